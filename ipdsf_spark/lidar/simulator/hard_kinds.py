"""Kinds of days that can fail a retrieval, as numbers: a plain one, and what each kind changes of it.

`KINDS` are for work, `HELD_BACK` for the check alone: no constant of a retrieval may be chosen by looking at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Layer:
    """Aerosol from elsewhere, above the mixing layer: dust, smoke.

    Attributes:
        base_m, depth_m: at local noon.
        slope_m_per_h: how it rises or sinks.
        strength: relative to the mixing layer's tracer.
        start_h, stop_h: hours from solar noon.
    """

    base_m: float
    depth_m: float
    strength: float
    slope_m_per_h: float = 0.0
    start_h: float = -30.0
    stop_h: float = 30.0


@dataclass(frozen=True)
class Kind:
    """What a kind of day is made of; times in hours, from sunrise or before sunset.

    Attributes:
        latitude_deg, longitude_deg, day: where and when.
        told_longitude_deg: the longitude that the retrieval is told; None = the true one.
        instrument: of `INSTRUMENTS`.
        night_m, day_m, yesterday_m: mixing height at night, in the afternoon, and of the afternoon before.
        growth_after_h: growth begins so long after sunrise ...
        growth_m_per_h: ... at this mean rate.
        collapse_before_h, collapse_h: collapse begins before sunset and takes so long.
        jump_at: share of `yesterday_m` at which the growing layer breaks through the residual layer; 0 = never.
        emission: flux in tracer per hour of a layer of 1 km, by day; the ambient tracer is 1.
        night_emission: the same at night.
        background: tracer of the free troposphere.
        calm_k: K above the mixing layer.
        sinking_per_s: divergence of the subsiding air.
        backscatter: of tracer 1 [m-1 sr-1].
        swelling: how much more a moist particle at the top of the layer scatters.
        waves: relative amplitude of gravity waves on the night's layer and of eddies on the day's.
        layers: aerosol from elsewhere.
        cloud: "", "cumulus", "deck", "high", "fog" or "drizzle".
        cloud_m: base of a deck; 0 = at the mixing layer's top.
        noise: standard deviation of a five-minute mean at 1500 m relative to `backscatter`.
        ripple: factor on the instrument's overlap ripple.
        stripes: relative amplitude of steps in the signal that stay at the same range.
        clip: signal below this share of `backscatter` is written as zero; 0 = never.
        sea_breeze_h: hours after solar noon at which the layer falls to `sea_breeze_m`; NaN = none.
        sea_breeze_m: depth of the sea's air.
    """

    latitude_deg: float = 48.0
    longitude_deg: float = 11.0
    day: str = "2026-06-15"
    told_longitude_deg: float | None = None
    instrument: str = "cl51"
    night_m: float = 220.0
    day_m: float = 1600.0
    yesterday_m: float = 1500.0
    growth_after_h: float = 1.5
    growth_m_per_h: float = 300.0
    collapse_before_h: float = 1.0
    collapse_h: float = 1.2
    jump_at: float = 0.9
    emission: float = 0.1
    night_emission: float = 0.02
    background: float = 0.12
    calm_k: float = 0.05
    sinking_per_s: float = 4e-6
    backscatter: float = 1.5e-6
    swelling: float = 0.15
    waves: float = 0.04
    layers: tuple[Layer, ...] = ()
    cloud: str = ""
    cloud_m: float = 0.0
    noise: float = 0.05
    ripple: float = 1.0
    stripes: float = 0.0
    clip: float = 0.0
    sea_breeze_h: float = float("nan")
    sea_breeze_m: float = 400.0


KINDS: Final[dict[str, Kind]] = {
    "clear": Kind(),
    "strong_residual": Kind(night_emission=0.008, emission=0.04, calm_k=0.02),
    "low_residual": Kind(yesterday_m=680.0, day_m=1200.0, night_m=110.0, night_emission=0.01, latitude_deg=52.0,
                         day="2026-03-20"),
    "touching_layers": Kind(night_m=380.0, yesterday_m=760.0, night_emission=0.03),
    "fast_growth": Kind(growth_m_per_h=1500.0, day_m=2600.0, yesterday_m=1100.0, latitude_deg=35.0, noise=0.02),
    "desert": Kind(day_m=4800.0, yesterday_m=4300.0, growth_m_per_h=900.0, latitude_deg=24.0, night_m=150.0, jump_at=.3,
                   backscatter=1e-6, background=0.08, noise=0.01),
    "weak_gradient": Kind(background=0.6, swelling=0.0, emission=0.12),
    "smoke_aloft": Kind(layers=(Layer(2300.0, 500.0, 0.9, -40.0), Layer(3500.0, 300.0, 0.6, 20.0))),
    "night_below_range": Kind(night_m=90.0, yesterday_m=700.0, night_emission=0.006, instrument="chm15k"),
    "cumulus": Kind(cloud="cumulus", day_m=1500.0),
    "fog_that_lifts": Kind(cloud="fog", night_m=150.0, day_m=900.0, day="2026-10-10", yesterday_m=800.0,
                           growth_m_per_h=200.0),
    "stripes": Kind(stripes=0.12, noise=0.05, instrument="cl31", backscatter=8e-7),
    "clipped": Kind(clip=0.35, instrument="cl31", night_m=300.0),
    "noisy": Kind(noise=0.2, instrument="cl31"),
    "early_collapse": Kind(collapse_before_h=2.2, collapse_h=0.8),
    "wrong_longitude": Kind(told_longitude_deg=21.0),
}  # fmt: skip
HELD_BACK: Final[dict[str, Kind]] = {
    "two_residual_layers": Kind(yesterday_m=1800.0, night_m=250.0, 
                                layers=(Layer(900.0, 350.0, 0.5, -8.0, -30.0, -3.0),)),
    "residual_at_550": Kind(yesterday_m=580.0, day_m=1400.0, night_m=80.0, night_emission=0.004, day="2026-09-20"),
    "slanted_shear": Kind(layers=(Layer(1400.0, 250.0, 0.8, -90.0), Layer(2600.0, 250.0, 0.5, -120.0))),
    "tropics": Kind(latitude_deg=5.0, longitude_deg=102.0, day="2026-04-01", day_m=1900.0, growth_m_per_h=500.0,
                    yesterday_m=1700.0, night_m=280.0, swelling=0.3),
    "clean_high_site": Kind(latitude_deg=28.0, longitude_deg=-16.5, backscatter=1.2e-7, background=0.5, noise=0.2,
                            stripes=0.15, day_m=700.0, yesterday_m=600.0, emission=0.05, instrument="cl31"),
    "dust_detached": Kind(layers=(Layer(700.0, 400.0, 0.6, 15.0, -12.0, -2.0),), night_m=200.0),
    "deck_on_top": Kind(cloud="deck", day_m=900.0, yesterday_m=850.0, night_m=300.0, day="2026-04-10",
                        growth_m_per_h=150.0),
    "deck_above": Kind(cloud="high", cloud_m=2600.0),
    "drizzle": Kind(cloud="drizzle", day_m=1000.0, yesterday_m=1000.0),
    "winter": Kind(latitude_deg=58.0, day="2026-12-20", day_m=450.0, yesterday_m=420.0, night_m=160.0,
                   growth_m_per_h=120.0, growth_after_h=1.0, collapse_before_h=0.8),
    "polar_day": Kind(latitude_deg=69.0, day="2026-06-10", day_m=1100.0, yesterday_m=1000.0, night_m=260.0,
                      growth_m_per_h=150.0),
    "sea_breeze": Kind(latitude_deg=41.0, sea_breeze_h=1.0, sea_breeze_m=450.0, day_m=1400.0),
    "overlap_ripple": Kind(instrument="chm15k", ripple=1.6, night_m=320.0),
    "shallow_night": Kind(night_m=90.0, night_emission=0.02, yesterday_m=760.0, instrument="cl51", noise=0.02),
    "deep_night": Kind(night_m=480.0, night_emission=0.03, waves=0.08, yesterday_m=900.0),
    "late_growth": Kind(growth_after_h=4.0, growth_m_per_h=700.0, day_m=2000.0, yesterday_m=1800.0),
}  # fmt: skip
