"""Calibration: exact where the answer is built in, honest about its uncertainty, and restarts lose nothing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.aerosol.inversion import attenuated_backscatter
from ipdsf_spark.lidar.aerosol.molecular import molecular_profiles
from ipdsf_spark.lidar.averages.average import Average, Sum
from ipdsf_spark.lidar.calibration import state as states
from ipdsf_spark.lidar.calibration.cloud import LIDAR_RATIO_SIGMA, LIDAR_RATIO_SR, cloud_sample
from ipdsf_spark.lidar.calibration.flags import CalibrationFlag, names
from ipdsf_spark.lidar.calibration.operator import DAY_S, finish, step
from ipdsf_spark.lidar.calibration.rayleigh import rayleigh_sample
from ipdsf_spark.lidar.calibration.scattering import TYPICAL_SIGMA, eta
from ipdsf_spark.lidar.calibration.state import Walk
from ipdsf_spark.lidar.calibration.water_vapour import precipitable_mm, transmission_squared
from ipdsf_spark.lidar.operators import News, Parameters, Row, operator_named
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

SITE = Site("sion", 46.2, 7.3, 480.0)
LENGTH_M = 50.0
HEIGHT_M = LENGTH_M * (np.arange(200) + 0.5)
INTERVAL_S = 300
DAY = 20_600  # since 1970
CLOUD_M = 1500.0


def opaque_cloud(instrument: str = "Vaisala CL51", base_m: float = CLOUD_M) -> Float64:
    """Calibrated backscatter whose integral is what an opaque liquid cloud's must be."""
    above_m = HEIGHT_M - base_m
    shape = np.where((above_m > 0.0) & (above_m < 400.0), np.exp(-above_m / 40.0), 0.0)
    scattering, _ = eta(instrument, float(HEIGHT_M[np.argmax(shape)]))
    return np.asarray(shape / (shape.sum() * LENGTH_M) / (2.0 * scattering * LIDAR_RATIO_SR))


def average_of(
    index: int, beta: Float64, *, instrument: str = "Vaisala CL51", noise: float = 1e-16, **more: Any
) -> Average:
    values: dict[str, Any] = {
        "index": index,
        "times": np.array([index * INTERVAL_S * 1_000_000, (index * INTERVAL_S + 150) * 1_000_000]),
        "first_m": 5.0,
        "resolution_m": 10.0,
        "total": np.zeros(600, np.float32),
        "missing": None,
        "block_gates": 5,
        "block_total": (2.0 * beta).astype(np.float32),
        "block_square": (2.0 * beta**2).astype(np.float32),
        "block_cross": None,
        "block_missing": None,
        "variance": 2.0 * noise**2,
        "num_noise": 2,
        "num_fog": 0,
        "num_precipitation": 0,
        "cloud_base_m": np.empty(0, np.float32),
        "higher_base_m": np.empty(0, np.float32),
        "vertical_visibility_m": np.empty(0, np.float32),
        "maker_layer_m": np.empty(0, np.float32),
        "clipped_from_m": np.empty(0, np.float32),
        "is_calibrated": True,
        "instrument": instrument,
        "wavelength_nm": 910.0 if instrument.startswith("Vaisala") else 1064.0,
    }
    return Average(**(values | more))


def cloudy_days(factors: Sequence[float], *, first_day: int = DAY, per_day: int = 4, **more: Any) -> list[Average]:
    """Around noon of every day a cloud, seen by an instrument that needs these factors."""
    noon = DAY_S // 2 // INTERVAL_S
    return [
        average_of((first_day + day) * (DAY_S // INTERVAL_S) + noon + number, opaque_cloud() / factor, **more)
        for day, factor in enumerate(factors)
        for number in range(per_day)
    ]


def final(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "provisional" not in row.values["quality"]]


def run(averages: Sequence[Average], site: Site = SITE) -> list[Row]:
    rows, state = step(site, averages, b"", interval_s=INTERVAL_S)
    return final([*rows, *finish(site, state, interval_s=INTERVAL_S)[0]])


@settings(max_examples=50)
@given(power=st.floats(-14.0, 3.0), base_m=st.floats(700.0, 2000.0))
def test_a_factor_on_the_backscatter_comes_out_as_its_inverse(power: float, base_m: float) -> None:
    beta = opaque_cloud("Lufft CHM15k", base_m) * 10.0**power
    found = cloud_sample(beta, HEIGHT_M, LENGTH_M, instrument="Lufft CHM15k", wavelength_nm=1064.0)

    assert found is not None
    assert found.factor * 10.0**power == pytest.approx(1.0, rel=1e-9)


def test_the_integral_of_an_opaque_cloud_without_multiple_scattering_is_a_fortieth_and_a_bit() -> None:
    """1 / (2 · 18.8 sr) = 0.0266 sr⁻¹ (O'Connor et al. 2004)."""
    assert pytest.approx(0.0266, abs=1e-4) == 1.0 / (2.0 * LIDAR_RATIO_SR)
    assert [eta("Vaisala CL31", height)[0] for height in (0.0, 250.0, 1125.0, 9000.0)] == [0.934, 0.934, 0.823, 0.738]


def test_vapour_below_a_cloud_raises_the_factor_by_what_it_absorbs() -> None:
    """1 - 0.17 w^0.52 (Hopkin et al. 2019): 17 % for a centimetre, 27 % for two and a half."""
    high = np.array([1e6])
    assert transmission_squared(10.0, high)[0] == pytest.approx(0.83, abs=1e-9)
    assert transmission_squared(25.0, high)[0] == pytest.approx(0.726, abs=1e-3)
    assert transmission_squared(0.0, HEIGHT_M) == pytest.approx(1.0)

    beta = opaque_cloud()
    seen = beta * transmission_squared(15.0, HEIGHT_M)
    given_vapour = cloud_sample(
        seen, HEIGHT_M, LENGTH_M, instrument="Vaisala CL51", wavelength_nm=910.0, precipitable_water_mm=15.0
    )
    without = cloud_sample(seen, HEIGHT_M, LENGTH_M, instrument="Vaisala CL51", wavelength_nm=910.0)
    at_1064 = cloud_sample(beta, HEIGHT_M, LENGTH_M, instrument="Vaisala CL51", wavelength_nm=1064.0)

    assert given_vapour is not None and without is not None and at_1064 is not None
    assert given_vapour.factor == pytest.approx(1.0, rel=1e-9)
    assert without.factor > 1.1
    assert not without.has_water_vapour
    assert at_1064.has_water_vapour


def test_water_vapour_follows_the_season_of_the_hemisphere() -> None:
    moist = dataclasses.replace(SITE, precipitable_water_mm=15.0, precipitable_water_amplitude_mm=8.0)
    july, january = 20_654, 20_470  # 2026-07-20, 2026-01-17

    assert precipitable_mm(moist, july) == pytest.approx(23.0, abs=0.3)
    assert precipitable_mm(moist, january) == pytest.approx(7.0, abs=0.3)
    assert precipitable_mm(dataclasses.replace(moist, latitude_deg=-30.0), july) == pytest.approx(7.0, abs=0.3)
    assert precipitable_mm(SITE, july) is None


@pytest.mark.parametrize(
    "beta",
    [
        opaque_cloud(base_m=300.0),
        opaque_cloud(base_m=3000.0),
        opaque_cloud() + np.where(HEIGHT_M < 1200.0, 2e-6, 0.0),
        np.where(HEIGHT_M > CLOUD_M, 2e-5, 1e-7),
        np.where(HEIGHT_M < 1000.0, np.nan, opaque_cloud()),
        np.zeros(HEIGHT_M.size),
        np.full(HEIGHT_M.size, np.nan),
    ],
    ids=["too low", "too high", "haze below", "no end", "missing below", "zeros", "nothing"],
)
def test_what_is_no_opaque_liquid_cloud_gives_no_factor(beta: Float64) -> None:
    assert cloud_sample(beta, HEIGHT_M, LENGTH_M, instrument="Vaisala CL51", wavelength_nm=1064.0) is None


@settings(max_examples=15, deadline=None)
@given(power=st.floats(-12.0, 1.0), extinction=st.floats(5e-6, 6e-5), top_m=st.floats(800.0, 2000.0))
def test_the_return_of_air_gives_the_factor_whatever_the_aerosol_below(
    power: float, extinction: float, top_m: float
) -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    aerosol = np.where(top_m > HEIGHT_M, extinction, 0.0)
    beta = attenuated_backscatter(aerosol, 50.0, *air, HEIGHT_M) / 10.0**power
    found = rayleigh_sample(beta, 0.02 * beta, HEIGHT_M, *air, lowest_m=0.0)

    assert found is not None
    assert found.factor == pytest.approx(10.0**power, rel=0.01)
    assert found.aerosol_depth == pytest.approx(float(aerosol.sum()) * LENGTH_M, rel=0.03)


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_particles_aloft_that_noise_hides_are_in_the_uncertainty(share: float) -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    aloft = share * np.exp(-(HEIGHT_M - 4000.0) / 4800.0) * air[0] * 50.0
    beta = attenuated_backscatter(aloft, 50.0, *air, HEIGHT_M)
    noise = 8e-10 * np.square(HEIGHT_M / 4000.0)
    rng = np.random.default_rng(7)
    found = [rayleigh_sample(beta + rng.normal(0.0, noise), noise, HEIGHT_M, *air, lowest_m=200.0) for _ in range(40)]
    off = np.array([np.log(each.factor) / each.sigma for each in found if each])

    assert off.size > 10
    assert np.quantile(np.abs(off), 0.9) < 2.0


def test_nights_of_which_noise_hides_the_particles_have_them_in_the_uncertainty_of_their_day() -> None:
    midnight = DAY * (DAY_S // INTERVAL_S)
    quiet, noisy = (run(clear_night(midnight, 60, noise=noise))[-1].values for noise in (2e-4, 2e-2))

    assert quiet["day_sigma"] == pytest.approx(np.hypot(0.045, 0.03), abs=0.004)
    assert noisy["num_clear_nights"] == 1
    assert noisy["day_sigma"] > 2.0 * quiet["day_sigma"]


def test_a_night_without_noise_and_particles_is_nearly_certain() -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    beta = attenuated_backscatter(np.zeros(HEIGHT_M.size), 50.0, *air, HEIGHT_M)
    found = rayleigh_sample(beta, 1e-3 * beta, HEIGHT_M, *air, lowest_m=0.0)

    assert found is not None and found.sigma < 0.01


def test_a_night_in_which_air_cannot_be_seen_gives_no_factor() -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    beta = attenuated_backscatter(np.zeros(HEIGHT_M.size), 50.0, *air, HEIGHT_M)

    assert rayleigh_sample(beta, 10.0 * beta, HEIGHT_M, *air, lowest_m=0.0) is None
    aerosol_everywhere = beta * (1.0 + HEIGHT_M / 2000.0)
    assert rayleigh_sample(aerosol_everywhere, 0.005 * beta, HEIGHT_M, *air, lowest_m=0.0) is None
    noisy = beta * (1.0 + HEIGHT_M / 200.0)
    assert rayleigh_sample(noisy, 6.0 * beta, HEIGHT_M, *air, lowest_m=0.0) is None


def test_a_clear_night_calibrates_a_photon_counter_in_the_stream() -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    beta = attenuated_backscatter(np.where(HEIGHT_M < 1000.0, 2e-5, 0.0), 50.0, *air, HEIGHT_M) / 3e-12
    midnight = DAY * (DAY_S // INTERVAL_S)
    night = [
        average_of(midnight + number, beta, instrument="Lufft CHM15k", noise=2e-2, is_calibrated=False)
        for number in range(60)
    ]
    rows = run(night)

    assert rows[-1].values["num_clear_nights"] == 1
    assert rows[-1].values["day_factor"] == pytest.approx(3e-12, rel=0.02)
    assert "rayleigh" in rows[-1].values["quality"]


def clear_night(first: int, num: int, noise: float = 2e-2) -> list[Average]:
    """Clear intervals of an instrument that needs a factor of 3e-12."""
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    beta = attenuated_backscatter(np.zeros(HEIGHT_M.size), 50.0, *air, HEIGHT_M) / 3e-12
    return [
        average_of(first + number, beta, instrument="Lufft CHM15k", noise=noise, is_calibrated=False)
        for number in range(num)
    ]


@pytest.mark.parametrize("silent", [20, 288 * 21])
def test_a_night_belongs_to_the_day_in_which_it_ended_however_long_nothing_came_after_it(silent: int) -> None:
    midnight = DAY * (DAY_S // INTERVAL_S)
    night = clear_night(midnight - 70, 60)
    noon = clear_night(midnight - 70 + 60 + silent, 5)

    rows = run([*night, *noon])

    assert [row.values["num_clear_nights"] for row in rows] == [1, 0]
    assert rows[0].values == run(night)[0].values


@pytest.mark.parametrize(
    "site",
    [Site("ny-alesund", 78.9, 11.9, 480.0), Site("anywhere", float("nan"), float("nan"), 480.0)],
    ids=["polar night", "no coordinates"],
)
def test_a_night_that_does_not_end_is_looked_at_every_day(site: Site) -> None:
    december = (np.datetime64("2026-12-10", "D") - np.datetime64("1970-01-01", "D")).astype(int)

    rows = run(clear_night(int(december) * (DAY_S // INTERVAL_S), 288 * 4), site)

    assert len(rows) == 4
    assert all(row.values["num_clear_nights"] >= 1 for row in rows)
    assert [row.values["day_factor"] for row in rows] == pytest.approx([3e-12] * 4, rel=0.02)


def test_a_day_without_a_cloud_says_why_and_the_uncertainty_grows_through_it() -> None:
    clear = [average_of((DAY + 30) * 288 + 140 + number, np.full(HEIGHT_M.size, 1e-7)) for number in range(3)]
    rows = run([*cloudy_days([1.6] * 3), *clear])

    assert rows[-1].values["day_factor"] is None
    assert "no_suitable_cloud" in rows[-1].values["quality"]
    assert "no_clear_night" not in rows[-1].values["quality"]  # at 910 nm nights are not looked at
    assert rows[-1].values["factor"] == pytest.approx(1.6, rel=1e-3)
    assert rows[-1].values["sigma"] > rows[2].values["sigma"]


def test_a_short_night_at_1064_nm_is_a_reason_of_its_own_and_none_where_a_cloud_gave_the_factor() -> None:
    short = clear_night(DAY * (DAY_S // INTERVAL_S), 10)
    clouds = cloudy_days([1.6], first_day=DAY + 1, instrument="Lufft CHM15k")

    first, second = run([*short, *clouds])

    assert {"no_suitable_cloud", "no_clear_night"} <= set(first.values["quality"])
    assert not {"no_suitable_cloud", "no_clear_night"} & set(second.values["quality"])


def test_clouds_of_a_day_make_one_final_row_with_their_factor() -> None:
    rows = run(cloudy_days([1.6, 1.6]))

    assert [row.time_us for row in rows] == [DAY * DAY_S * 1_000_000, (DAY + 1) * DAY_S * 1_000_000]
    assert rows[0].values["day_factor"] == pytest.approx(1.6, rel=1e-4)
    assert rows[0].values["num_cloud_intervals"] == 4
    assert {"without_water_vapour", "liquid_cloud", "young"} <= set(rows[0].values["quality"])
    assert not {"step", "outlier"} & {name for row in rows for name in row.values["quality"]}
    assert [row.values["alarm"] for row in rows] == [False, False]
    assert rows[1].values["sigma"] < rows[0].values["sigma"]


def test_clouds_of_a_day_that_differ_make_its_value_as_uncertain_as_they_scatter() -> None:
    """Half of the samples say 1, half of them 2: logarithms with a standard deviation of ln 2 / 2."""
    (first, *_), (second, *_) = (cloudy_days([factor], per_day=1) for factor in (1.0, 2.0))
    averages = [dataclasses.replace(first, index=first.index + number) for number in range(3)]
    averages += [dataclasses.replace(second, index=second.index + 20 + number) for number in range(3)]

    (row,) = run(averages)

    assert row.values["day_factor"] == pytest.approx(2.0**0.5, rel=1e-3)
    assert row.values["day_sigma"] == pytest.approx(math.hypot(math.log(2.0) / 2.0, LIDAR_RATIO_SIGMA), abs=1e-3)


def test_an_instrument_whose_multiple_scattering_is_not_known_is_given_the_usual_one_and_that_is_said() -> None:
    known, unknown = (run(cloudy_days([1.0], instrument=each)) for each in ("Vaisala CL31", "Campbell CS135"))

    assert "assumed_scattering" not in known[0].values["quality"]
    assert "assumed_scattering" in unknown[0].values["quality"]
    assert unknown[0].values["day_sigma"] == pytest.approx(
        math.sqrt(known[0].values["day_sigma"] ** 2 + TYPICAL_SIGMA**2), abs=1e-3
    )


def test_a_cloud_that_is_too_cold_to_be_liquid_gives_no_factor_at_a_high_site() -> None:
    """A peak 1.5 km above the instrument lies above 5.4 km, -20 °C, from an altitude of 3.9 km on."""
    factors = [
        run(cloudy_days([1.6]), dataclasses.replace(SITE, altitude_m=altitude_m))[0].values["day_factor"]
        for altitude_m in (3700.0, 4100.0)
    ]

    assert factors == [pytest.approx(1.6, rel=1e-3), None]


def test_an_interval_without_a_sample_gives_no_row_of_its_own() -> None:
    clear = [average_of(DAY * 288 + 140 + number, np.full(HEIGHT_M.size, 1e-7)) for number in range(5)]

    rows, _ = step(SITE, clear, b"", interval_s=INTERVAL_S)

    assert rows == []


def test_a_cloud_that_passes_is_not_long_enough_and_samples_that_disagree_are_no_cloud() -> None:
    short = run(cloudy_days([1.6], per_day=2))
    first, second, third = cloudy_days([1.0], per_day=3)
    uneven = [first, dataclasses.replace(second, block_total=second.block_total * np.float32(1.4)), third]

    assert short[0].values["day_factor"] is None
    assert run(uneven)[0].values["day_factor"] is None


def test_one_strange_day_is_left_out_and_five_that_agree_are_a_step() -> None:
    rows = run(cloudy_days([1.0] * 20 + [2.0] + [1.0] * 3 + [2.0] * 6))
    quality = [set(row.values["quality"]) for row in rows]

    assert "outlier" in quality[20]
    assert rows[20].values["factor"] == pytest.approx(1.0, rel=1e-3)
    assert "step" in quality[28]
    assert rows[28].values["alarm"]
    assert rows[29].values["factor"] == pytest.approx(2.0, rel=0.02)


def test_a_drift_beyond_five_percent_and_three_sigma_alarms_and_scatter_does_not() -> None:
    rng = np.random.default_rng(2)
    steady = run(cloudy_days((1.5 * np.exp(rng.normal(0.0, 0.09, 150))).tolist()))
    drifting = run(cloudy_days((1.5 * np.exp(0.004 * np.arange(90) + rng.normal(0.0, 0.03, 90))).tolist()))

    assert not any(row.values["alarm"] for row in steady)
    assert any("drift" in row.values["quality"] for row in drifting)
    assert not any("drift" in row.values["quality"] for row in drifting[:15])


def test_a_state_that_is_not_sure_does_not_alarm() -> None:
    days = np.full(states.DAYS, 0.4, np.float32)
    unsure = Walk(day=DAY, value=0.48, variance=0.05**2, num_days=90, last_days=days)

    assert not unsure.is_drifting
    assert dataclasses.replace(unsure, variance=0.01**2).is_drifting
    assert not dataclasses.replace(unsure, value=0.43, variance=0.001**2).is_drifting


def test_even_long_intervals_must_be_three_that_agree() -> None:
    for num, is_found in ((2, False), (3, True)):
        averages = cloudy_days([1.2], per_day=num)
        rows, state = step(SITE, averages, b"", interval_s=600)
        (row,) = final([*rows, *finish(SITE, state, interval_s=600)[0]])
        assert (row.values["day_factor"] is not None) == is_found


def test_weak_laser_and_blocked_window_are_flagged_and_not_used() -> None:
    weak = run(cloudy_days([1.2], health={"laser_energy_percent": Sum(160.0, 2)}))
    blocked = run(cloudy_days([1.2], health={"window_transmission_percent": Sum(80.0, 2)}))
    dirty = run(cloudy_days([1.2], health={"window_transmission_percent": Sum(140.0, 2)}))

    assert weak[0].values["day_factor"] is None
    assert "low_laser" in weak[0].values["quality"]
    assert weak[0].values["laser_percent"] == 80.0
    assert blocked[0].values["day_factor"] is None
    assert dirty[0].values["day_factor"] == pytest.approx(1.2, rel=1e-3)
    assert {"dirty_window"} <= set(dirty[0].values["quality"]) & set(blocked[0].values["quality"])


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_restart_from_bytes_goes_on_as_if_nothing_had_happened(data: st.DataObject) -> None:
    air = molecular_profiles(1064.0, HEIGHT_M, 480.0)
    beta = attenuated_backscatter(np.zeros(HEIGHT_M.size), 50.0, *air, HEIGHT_M)
    kind = {"instrument": "Lufft CHM15k", "noise": 1e-16}
    night = [average_of((DAY + 5) * 288 + number, beta, **kind) for number in range(50)]  # type: ignore[arg-type]
    averages = [*cloudy_days([1.1, 1.3, 1.2, 1.2, 2.0], **kind), *night]  # type: ignore[arg-type]
    cut = data.draw(st.integers(0, len(averages)))

    whole, whole_state = step(SITE, averages, b"", interval_s=INTERVAL_S)
    first, state = step(SITE, averages[:cut], b"", interval_s=INTERVAL_S)
    second, state = step(SITE, averages[cut:], state, interval_s=INTERVAL_S)

    assert state == whole_state
    assert [*first, *second] == whole
    assert len(state) < 2_500


def test_averages_that_come_twice_change_nothing() -> None:
    averages = cloudy_days([1.1, 1.3])
    rows, state = step(SITE, averages, b"", interval_s=INTERVAL_S)
    again, same = step(SITE, averages, state, interval_s=INTERVAL_S)

    assert rows
    assert (again, same) == ([], state)


def test_a_state_of_another_version_or_cut_short_is_refused_by_name() -> None:
    _, state = step(SITE, cloudy_days([1.1]), b"", interval_s=INTERVAL_S)

    with pytest.raises(ValueError, match="version 77"):
        states.unpack(bytes([77]) + state[1:])
    with pytest.raises(ValueError, match="were expected"):
        states.unpack(state[:-3])
    assert states.pack(states.unpack(state)) == state


@pytest.mark.parametrize("version", [1, 2])
def test_a_state_of_before_goes_on_where_it_stood(version: int) -> None:
    averages = [*cloudy_days([1.1, 1.3]), *clear_night((DAY + 2) * 288, 20)]
    _, state = step(SITE, averages, b"", interval_s=INTERVAL_S)
    known = states.unpack(state)
    walk = 12 + 8 * (3 + 7 + 3) + 8 * 3  # head, whole numbers, the walk's other numbers before the two of version 3
    particles = walk + 8 * (2 + 6)  # the day's, of version 2
    of_2 = state[walk + 16 : particles + 8] if version == 2 else state[walk + 16 : particles]
    before = bytes([version]) + state[1:walk] + of_2 + state[particles + 8 :]
    operator = operator_named("calibration", Parameters())

    assert operator.version == 3 and operator.migrate is not None
    moved = states.unpack(operator.migrate(version, before))
    assert moved.walk.alone == known.walk.variance and moved.walk.common == 0.0  # all days were independent
    moved.walk.alone = known.walk.alone
    assert states.pack(moved) == state
    assert known.night.num > 0
    with pytest.raises(ValueError, match="version 7"):
        operator.migrate(7, before)


def test_unknown_wavelength_and_short_range_are_named() -> None:
    unknown = run(cloudy_days([1.0], wavelength_nm=float("nan")))
    short = [dataclasses.replace(each, block_total=each.block_total[:30]) for each in cloudy_days([1.0])]

    assert "no_wavelength" in unknown[0].values["quality"]
    assert "short_range" in run(short)[0].values["quality"]


def test_another_instrument_begins_a_calibration_of_its_own() -> None:
    calibration = operator_named("calibration", Parameters(interval_s=INTERVAL_S))
    _, state = calibration.step(SITE, News(closed=cloudy_days([1.1] * 3)), b"")
    rows, _ = calibration.step(SITE, News(closed=cloudy_days([3.0] * 2, first_day=DAY + 3), has_new_source=True), state)

    last_of_former, first = final(rows)
    assert (last_of_former.values["num_days"], first.values["num_days"]) == (3, 1)
    assert last_of_former.values["factor"] == pytest.approx(1.1, rel=1e-3)
    assert first.values["factor"] == pytest.approx(3.0, rel=1e-3)


def test_names_of_flags_are_those_of_the_bits() -> None:
    assert names(int(CalibrationFlag.DRIFT | CalibrationFlag.YOUNG)) == ["drift", "young"]
