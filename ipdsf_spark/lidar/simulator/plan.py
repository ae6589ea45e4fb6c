"""What the atmosphere does on one solar day, drawn before anything is computed.

Times are seconds from the middle between sunrise and sunset, heights metres above the instrument. A plan is a value:
the same plan gives the same day at any cadence, and any window of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

HOUR_S: Final = 3600.0
NUM_EDDIES: Final = 4
NUM_DRIFTS: Final = 2
SUMMER_DAYLIGHT_H: Final = 14.0


Wave = tuple[float, float, float]  # relative amplitude, period [s], phase


@dataclass(frozen=True)
class Spell:
    """A stretch of cloud, rain or fog over the instrument.

    Attributes:
        kind: ``"liquid"``, ``"cirrus"``, ``"rain"`` or ``"fog"``.
        start_s, stop_s: seconds from the middle of the day.
        base_m: of the cloud, which a mixing layer that grows into it lifts; NaN = always at the layer's top.
        depth_m: geometrical depth of cloud or fog.
        extinction_per_m: of cloud droplets, ice, rain or fog droplets [m-1].
    """

    kind: str
    start_s: float
    stop_s: float
    base_m: float
    depth_m: float
    extinction_per_m: float


@dataclass(frozen=True)
class DayPlan:
    """Heights, aerosol and weather of one solar day.

    Attributes:
        scenario: what it was drawn as.
        nocturnal_height_m: of the stable layer before sunrise.
        daytime_height_m: of the mixing layer in the afternoon.
        residual_height_m: of the layer that the afternoon leaves for the night.
        growth_delay_s: growth begins this long after sunrise ...
        growth_duration_s: ... and takes this long, less where the day is short.
        collapse_lead_s: the layer begins to collapse this long before sunset ...
        collapse_duration_s: ... and takes this long.
        entrainment_m: s of the erf profile at the layer's top (Steyn 1999); half of it at night.
        backscatter: of the mixing layer, particles and air [m-1 sr-1].
        background: particles of the free troposphere at the ground, relative to `backscatter`.
        residual: particles of the residual layer at night, relative to `backscatter`.
        residual_decay_s: time in which it falls to that from the mixing layer's when the layer has collapsed: until
            then there is nothing to see at the nocturnal layer's top.
        lofted: particles of an elevated layer at 3 km, relative to `backscatter`.
        texture: relative amplitude of plumes in the mixing layer, of sheets in the residual layer, and of the swelling
            of particles towards the moist top.
        eddies: (amplitude relative to the height, period [s], phase) of thermals and waves on the layer's top.
        drift: the same for the slow waves of the nocturnal layer.
        spells: clouds, rain and fog.
    """

    scenario: str = "clear"
    nocturnal_height_m: float = 250.0
    daytime_height_m: float = 1600.0
    residual_height_m: float = 1500.0
    growth_delay_s: float = 1.5 * HOUR_S
    growth_duration_s: float = 6.0 * HOUR_S
    collapse_lead_s: float = 0.5 * HOUR_S
    collapse_duration_s: float = HOUR_S
    entrainment_m: float = 100.0
    backscatter: float = 2.0e-6
    background: float = 0.12
    residual: float = 0.45
    residual_decay_s: float = 0.0
    lofted: float = 0.0
    texture: float = 0.0
    eddies: tuple[Wave, ...] = ()
    drift: tuple[Wave, ...] = ()
    spells: tuple[Spell, ...] = ()


def reference_plan() -> DayPlan:
    """The synthetic day of the science notes §1.8: growth from 215 to 1615 m, residual layer at 1.5 km, no weather."""
    return DayPlan(scenario="clear", nocturnal_height_m=215.0, daytime_height_m=1615.0, residual_height_m=1500.0)


def draw_plan(rng: np.random.Generator, scenario: str, daylight_h: float = SUMMER_DAYLIGHT_H) -> DayPlan:
    """One day of `scenario`.

    Args:
        rng: decides everything.
        scenario: one of `SCENARIOS`.
        daylight_h: hours from sunrise to sunset; short days grow shallow layers.

    Raises:
        ValueError: there is no such scenario.
    """
    if scenario not in SCENARIOS:
        raise ValueError(f"unknown scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    season = float(np.clip(daylight_h / SUMMER_DAYLIGHT_H, 0.35, 1.15))
    daytime_m = float(rng.uniform(1200.0, 2000.0) * season)
    nocturnal_m = float(min(rng.uniform(220.0, 420.0), 0.8 * daytime_m))
    plan = DayPlan(
        scenario=scenario,
        nocturnal_height_m=nocturnal_m,
        daytime_height_m=daytime_m,
        residual_height_m=float(daytime_m * rng.uniform(0.88, 1.0)),
        growth_delay_s=float(rng.uniform(1.0, 2.5) * HOUR_S),
        growth_duration_s=float(rng.uniform(4.5, 6.5) * HOUR_S),
        collapse_lead_s=float(rng.uniform(0.0, 1.5) * HOUR_S),
        collapse_duration_s=float(rng.uniform(0.75, 1.75) * HOUR_S),
        entrainment_m=float(rng.uniform(60.0, 140.0)),
        backscatter=float(rng.lognormal(np.log(1.8e-6), 0.35)),
        background=float(rng.uniform(0.05, 0.15)),
        residual=float(rng.uniform(0.3, 0.6)),
        residual_decay_s=float(rng.uniform(0.0, 1800.0)),
        texture=float(rng.uniform(0.03, 0.1)),
        eddies=_waves(rng, NUM_EDDIES, amplitude=(0.004, 0.015), period_s=(900.0, 5400.0)),
        drift=_waves(rng, NUM_DRIFTS, amplitude=(0.02, 0.06), period_s=(7200.0, 18_000.0)),
    )
    return replace(plan, **SCENARIOS[scenario](rng, plan))


def _waves(
    rng: np.random.Generator, number: int, *, amplitude: tuple[float, float], period_s: tuple[float, float]
) -> tuple[Wave, ...]:
    return tuple(
        (float(rng.uniform(*amplitude)), float(rng.uniform(*period_s)), float(rng.uniform(0.0, 2 * np.pi)))
        for _ in range(number)
    )


Weather = dict[str, Any]


def _clear(rng: np.random.Generator, plan: DayPlan) -> Weather:
    return {}


def _cumulus(rng: np.random.Generator, plan: DayPlan) -> Weather:
    """Fair-weather clouds of one to six minutes on the growing and the grown layer."""
    first_s, last_s = -1.5 * HOUR_S, 4.0 * HOUR_S
    cover = float(rng.uniform(0.15, 0.45))
    spells, start_s = [], first_s + float(rng.uniform(0, 900))
    while start_s < last_s:
        length_s = float(rng.uniform(60.0, 360.0))
        spells.append(_liquid(rng, start_s, start_s + length_s, depth_m=(150.0, 500.0)))
        start_s += length_s + float(rng.exponential(200.0 * (1.0 - cover) / cover))
    return {"spells": tuple(spells)}


def _stratus(rng: np.random.Generator, plan: DayPlan) -> Weather:
    """A grey deck at the top of a shallow mixing layer, from the night into the afternoon."""
    daytime_m = float(min(plan.daytime_height_m, rng.uniform(700.0, 1100.0)))
    start_s, stop_s = float(rng.uniform(-11.0, -6.0) * HOUR_S), float(rng.uniform(0.5, 5.0) * HOUR_S)
    base_m = float(rng.uniform(450.0, 0.9 * max(daytime_m, 600.0)))
    deck = _liquid(rng, start_s, stop_s, depth_m=(200.0, 350.0), base_m=base_m)
    return {"daytime_height_m": daytime_m, "residual_height_m": 0.95 * daytime_m, "spells": (deck,)}


def _rain(rng: np.random.Generator, plan: DayPlan) -> Weather:
    """One to three showers from a deck above the mixing layer."""
    spells = []
    for _ in range(int(rng.integers(1, 4))):
        start_s, length_s = float(rng.uniform(-10.0, 9.0) * HOUR_S), float(rng.uniform(0.5, 2.5) * HOUR_S)
        base_m = float(rng.uniform(1.12, 1.4) * plan.daytime_height_m)
        spells.append(
            _liquid(
                rng, start_s - 0.5 * HOUR_S, start_s + length_s + 0.5 * HOUR_S, depth_m=(300.0, 600.0), base_m=base_m
            )
        )
        spells.append(Spell("rain", start_s, start_s + length_s, base_m, base_m, float(rng.uniform(1.5e-4, 6e-4))))
    return {"spells": tuple(spells)}


def _fog(rng: np.random.Generator, plan: DayPlan) -> Weather:
    """Radiation fog from the small hours until the sun has burnt it off, perhaps lifting into stratus."""
    start_s, stop_s = float(rng.uniform(-11.0, -8.0) * HOUR_S), float(rng.uniform(-4.0, -2.0) * HOUR_S)
    visibility_m = float(rng.uniform(80.0, 400.0))
    fog = Spell("fog", start_s, stop_s, 0.0, float(rng.uniform(60.0, 180.0)), 3.0 / visibility_m)
    lifted = _liquid(rng, stop_s, stop_s + 0.75 * HOUR_S, depth_m=(100.0, 200.0), base_m=float(rng.uniform(220, 320)))
    return {"spells": (fog, lifted) if rng.random() < 0.5 else (fog,)}


def _mixed(rng: np.random.Generator, plan: DayPlan) -> Weather:
    """A day with everything: cirrus, fog or not, cumulus, an evening shower, dust aloft."""
    spells = list(_cumulus(rng, plan)["spells"])
    start_s = float(rng.uniform(-10.0, 4.0) * HOUR_S)
    cirrus_base_m, cirrus_depth_m = float(rng.uniform(6000.0, 9000.0)), float(rng.uniform(400.0, 1500.0))
    spells.append(Spell("cirrus", start_s, start_s + 5.0 * HOUR_S, cirrus_base_m, cirrus_depth_m, 1.5e-4))
    if rng.random() < 0.5:
        spells.extend(_fog(rng, plan)["spells"])
    if rng.random() < 0.6:
        spells.extend(_rain(rng, plan)["spells"][:2])
    return {"spells": tuple(spells), "lofted": float(rng.uniform(0.0, 0.2))}


def _liquid(
    rng: np.random.Generator,
    start_s: float,
    stop_s: float,
    *,
    depth_m: tuple[float, float],
    base_m: float = float("nan"),
) -> Spell:
    return Spell("liquid", start_s, stop_s, base_m, float(rng.uniform(*depth_m)), float(rng.uniform(0.01, 0.03)))


SCENARIOS: Final[dict[str, Callable[[np.random.Generator, DayPlan], Weather]]] = {
    "clear": _clear,
    "cumulus": _cumulus,
    "stratus": _stratus,
    "rain": _rain,
    "fog": _fog,
    "mixed": _mixed,
}
