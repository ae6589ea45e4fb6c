"""What is remembered of a site, and what the network is given of it."""

from __future__ import annotations

import numpy as np
from closed_intervals import START
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.forecast.memory import NAMES, PER_DAY, SLOT_STEPS, USUAL_DAYS, Memory
from ipdsf_spark.forecast.rows import observed_of
from ipdsf_spark.forecast.series import LEAD_STEPS, Observed

metres = st.none() | st.floats(0.0, 20_000.0)
row = st.fixed_dictionaries(
    {name: metres for name in ("mixing_height_m", "uncertainty_m", "below_m", "cloud_base_m", "residual_height_m")}
    | {"quality": st.lists(st.sampled_from(["fog", "precipitation", "cloud_capped", "low_snr", "of_the_future"]))}
)


def memory_of(latitude: float = 59.94, longitude: float = 10.72) -> Memory:
    return Memory(np.array([latitude]), np.array([longitude]))


def feature(told: object, name: str) -> float:
    return float(told.features[0, NAMES.index(name)])  # type: ignore[attr-defined]


@settings(max_examples=50)
@given(st.lists(row, min_size=1, max_size=20), st.sampled_from([(59.94, 10.72), (np.nan, np.nan), (-89.0, 180.0)]))
def test_whatever_was_seen_the_network_is_given_finite_numbers_of_the_order_of_one(
    rows: list[dict[str, object]], place: tuple[float, float]
) -> None:
    memory = memory_of(*place)

    for number, values in enumerate(rows):
        told = memory.step(START + number, observed_of(values))

        assert np.isfinite(told.features).all()
        assert np.abs(told.features).max() <= 6.0
        assert np.isfinite(told.last_m).all() and np.isfinite(told.usual_m).all()


def test_the_last_height_stays_and_grows_old() -> None:
    memory = memory_of()
    memory.step(START, observed_of({"mixing_height_m": 700.0}))

    for age in range(1, 4):
        told = memory.step(START + age, Observed.nothing(1))

        assert told.last_m[0] == 700.0
        assert feature(told, "has_height") == 0.0
        assert feature(told, "fresh_1h") == np.float32(np.exp(-age / 12))


def test_a_bound_below_the_last_height_takes_its_place() -> None:
    memory = memory_of()
    memory.step(START, observed_of({"mixing_height_m": 700.0}))

    assert memory.step(START + 1, observed_of({"below_m": 250.0})).last_m[0] == 250.0
    assert memory.step(START + 2, observed_of({"below_m": 300.0})).last_m[0] == 250.0


def test_yesterday_is_what_was_seen_a_day_before_the_lead() -> None:
    memory, height_m = memory_of(), lambda index: 500.0 + index % PER_DAY
    first = START - START % PER_DAY
    for index in range(first, first + PER_DAY + 20):
        told = memory.step(index, observed_of({"mixing_height_m": height_m(index)}))

    expected = [height_m(index + lead) for lead in LEAD_STEPS]
    np.testing.assert_allclose(told.yesterday_m[0], expected, atol=1.0)


def test_the_usual_course_of_the_day_follows_the_last_ten_days() -> None:
    memory = memory_of()
    for day, height_m in enumerate([400.0] * 3 + [900.0] * 5 * USUAL_DAYS):
        for slot in range(0, PER_DAY, SLOT_STEPS):
            told = memory.step(START + day * PER_DAY + slot, observed_of({"mixing_height_m": height_m}))

    np.testing.assert_allclose(told.usual_m, 900.0, atol=6.0)  # whole metres, the last five do not add up


def test_a_site_without_coordinates_has_no_sun_and_says_so() -> None:
    told = memory_of(np.nan, np.nan).step(START, Observed.nothing(1))

    assert feature(told, "has_sun") == 0.0
    assert not any(feature(told, name) for name in ("sun", "hour_cos", "day_length", "season"))


def test_sites_side_by_side_are_told_the_same_as_each_alone(rng: np.random.Generator) -> None:
    places = np.array([59.9, -33.9, np.nan]), np.array([10.7, 18.5, np.nan])
    together, alone = Memory(*places), [Memory(places[0][[site]], places[1][[site]]) for site in range(3)]

    for index in range(START, START + 60):
        height_m = np.where(rng.random(3) < 0.3, np.nan, rng.uniform(100.0, 2000.0, 3))
        seen = [observed_of({"mixing_height_m": None if np.isnan(h) else h}) for h in height_m]
        all_seen = Observed(
            *(np.concatenate([getattr(each, name) for each in seen]) for name in Observed.__dataclass_fields__)
        )
        told = together.step(index, all_seen)

        for site in range(3):
            np.testing.assert_array_equal(told.features[site], alone[site].step(index, seen[site]).features[0])
