"""Instruments that no longer fit their network are named, healthy ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.tensor import NetworkTensor, TensorSettings, state
from ipdsf_spark.tensor.alarms import FEATURES, Alarm, ResidualAlarms, features_of
from ipdsf_spark.tensor.clocks import LEAST_SITES

NUM_SITES, NUM_GATES, FAULTY = 12, 16, 3
BEGIN, NUM_SLICES = 5 * 288, 6 * 288
LONGER = 10 * 288  # for what is found from its days
SITES = [f"s{number}" for number in range(NUM_SITES)]


def network_with(fault: str, seed: int = 2, num_slices: int = NUM_SLICES) -> np.ndarray:
    """(T, I, K) log10 of backscatter of sites in one weather; site 3 is faulty from slice `BEGIN` on."""
    rng = np.random.default_rng(seed)
    time, gate = np.arange(num_slices)[:, None], np.arange(NUM_GATES)
    top = 5.0 + 5.0 * np.clip(np.sin(2 * np.pi * (time / 288 - 0.3)), 0.0, 1.0)
    common = -6.0 - 0.5 * (1.0 + np.tanh(gate - top))
    wander = np.zeros((num_slices, NUM_SITES))
    for index in range(1, num_slices):  # weather that a site has for itself, of some hours
        wander[index] = 0.97 * wander[index - 1] + rng.normal(0.0, 0.012, NUM_SITES)
    clean = common[:, None, :] + rng.normal(0.0, 0.1, NUM_SITES)[:, None] + wander[:, :, None]
    after = slice(BEGIN, None)
    if fault.startswith("light"):
        clean[after, FAULTY] += np.log10(float(fault.split()[1]))
    elif fault == "misalignment":
        clean[after, FAULTY] += np.log10(1.0 - 0.8 * gate / NUM_GATES)
    elif fault.startswith("clock"):
        late = int(fault.split()[1]) * 12
        clean[after, FAULTY] = np.roll(clean[:, FAULTY], late, axis=0)[after]
    seen = clean + rng.normal(0.0, 0.03, clean.shape)
    seen[seen < -7.2] = np.nan  # below the noise
    seen[rng.random(seen.shape) < 0.1] = np.nan
    return seen


def alarmed(seen: np.ndarray) -> dict[str, tuple[int, set[str]]]:
    """First alarm of each site, and the features that were ever up."""
    alarms, rows = ResidualAlarms(), np.arange(NUM_SITES)
    alarms.grow(NUM_SITES)
    first: dict[str, tuple[int, set[str]]] = {}
    for index, values in enumerate(seen):
        for alarm in alarms.update(index, SITES, rows, values):
            first.setdefault(alarm.site, (index, set()))[1].add(alarm.feature)
    return first


@pytest.mark.parametrize(
    ("fault", "named", "hours"),
    [
        ("light 0.1", {"level"}, 6),
        ("light 0.25", {"level"}, 6),
        ("light 0.4", {"level"}, 12),
        ("light 0.7", {"level"}, 96),
        ("light 1.5", {"level"}, 96),  # a gain
        ("misalignment", {"slope", "cells"}, 96),  # the upper cells go dark, or go missing
        ("clock 6", {"clock"}, 60),
    ],
)
def test_a_planted_fault_is_found_within_its_time_and_nobody_else_is_accused(
    fault: str, named: set[str], hours: int
) -> None:
    first = alarmed(network_with(fault, num_slices=LONGER if hours > 24 else NUM_SLICES))

    assert set(first) == {f"s{FAULTY}"}
    at, features = first[f"s{FAULTY}"]
    assert BEGIN <= at < BEGIN + 12 * hours
    assert named & features


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_healthy_network_raises_no_alarm(seed: int) -> None:
    assert alarmed(network_with("none", seed, LONGER)) == {}


@pytest.mark.parametrize(("behind_h", "direction"), [(3, -1), (9, -1), (-5, 1)])
def test_a_wrong_clock_is_told_with_its_hours_and_goes_down_when_it_is_set(behind_h: int, direction: int) -> None:
    seen, healthy = network_with(f"clock {behind_h}", num_slices=LONGER), network_with("none", num_slices=LONGER)
    seen[-2 * 288 :] = healthy[-2 * 288 :]
    alarms, rows = ResidualAlarms(), np.arange(NUM_SITES)
    alarms.grow(NUM_SITES)
    told: list[Alarm] = []
    for index, values in enumerate(seen):
        standing = [each for each in alarms.update(index, SITES, rows, values) if each.feature == "clock"]
        told += standing

    assert {(each.site, each.direction) for each in told} == {(f"s{FAULTY}", direction)}
    assert np.median([each.off_h for each in told]) == pytest.approx(abs(behind_h), abs=0.5)
    assert not standing


@pytest.mark.parametrize("minutes", [10, 15, 30, 60])
def test_hours_and_days_are_those_of_the_clock_whatever_the_length_of_an_interval(minutes: int) -> None:
    every = minutes // 5
    rows, found = np.arange(NUM_SITES), {}
    for fault in ("clock 6", "light 0.25", "none"):
        alarms = ResidualAlarms(288 // every)
        alarms.grow(NUM_SITES)
        found[fault] = [
            alarm
            for index, values in enumerate(network_with(fault, num_slices=LONGER)[::every])
            for alarm in alarms.update(index, SITES, rows, values)
        ]

    assert found["none"] == []
    assert {alarm.site for alarm in [*found["clock 6"], *found["light 0.25"]]} == {f"s{FAULTY}"}
    off_h = [alarm.off_h for alarm in found["clock 6"] if alarm.feature == "clock"]
    assert np.median(off_h) == pytest.approx(6.0, abs=0.5)
    begin = BEGIN // every
    assert begin <= found["light 0.25"][0].index < begin + 12 * 12 // every


def test_alarms_of_the_version_before_are_read_and_go_on() -> None:
    seen = network_with("light 0.25")
    model = NetworkTensor(TensorSettings(rank=3, warm_up=30), NUM_GATES)
    for index, values in enumerate(seen[BEGIN - 400 : BEGIN], start=BEGIN - 400):
        model.update(index, SITES, values)
    plain, arrays = state.unpack(model.to_bytes())
    arrays = {name: array for name, array in arrays.items() if not name.startswith(("alarms.days", "alarms.clocks"))}
    arrays["alarms.sums"] = np.repeat(arrays["alarms.sums"][:, :, None], 2, axis=2)

    raw = state.pack(plain, arrays)
    older = NetworkTensor.from_bytes(raw[:4] + b"\x02" + raw[5:])
    told = [older.update(index, SITES, seen[index]).alarms for index in range(BEGIN, BEGIN + 72)]

    assert {alarm.site for alarm in told[-1]} == {f"s{FAULTY}"}
    assert NetworkTensor.from_bytes(older.to_bytes()).alarms.days.hour[0] == (BEGIN + 71) // 12


def test_a_fault_is_not_learnt_while_it_lasts_and_ends_when_it_is_mended() -> None:
    seen, mended = network_with("light 0.25"), network_with("none")
    alarms, rows = ResidualAlarms(), np.arange(NUM_SITES)
    alarms.grow(NUM_SITES)
    for index, values in enumerate(np.concatenate([seen, seen[BEGIN:], seen[BEGIN:]])):
        standing = alarms.update(index, SITES, rows, values)
    assert {alarm.site for alarm in standing} == {"s3"}
    assert all(alarm.direction == -1 for alarm in standing if alarm.feature == "level")

    days = np.concatenate([mended[BEGIN:]] * 3)  # a day's median takes half a day to tell, and the sum two to fall
    for index, values in enumerate(days, start=NUM_SLICES + 2 * (NUM_SLICES - BEGIN)):
        standing = alarms.update(index, SITES, rows, values)

    assert not standing
    assert not alarms.standing(rows).any()


def test_no_single_slice_raises_an_alarm() -> None:
    seen = network_with("none")
    seen[BEGIN, FAULTY] += 1000.0

    assert alarmed(seen) == {}


def test_features_are_medians_of_departures_from_what_the_network_shows() -> None:
    values = np.zeros((LEAST_SITES + 1, 12))
    values[0], values[1, 6:] = 1.0, 0.5
    values[2, 3:] = np.nan

    features = features_of(values)

    np.testing.assert_allclose(features[0, :2], [1.0, 0.0])
    np.testing.assert_allclose(features[1, 1], 0.5)
    assert np.isnan(features[2, :3]).all()  # three cells are too few
    assert features[2, 3] == 0.25
    assert features.shape == (LEAST_SITES + 1, len(FEATURES))


def test_fewer_sites_than_a_middle_needs_raise_no_alarm() -> None:
    seen = network_with("light 0.1")[:, : LEAST_SITES - 1]
    alarms, rows = ResidualAlarms(), np.arange(LEAST_SITES - 1)
    alarms.grow(LEAST_SITES - 1)

    assert not any(alarms.update(index, SITES, rows, values) for index, values in enumerate(seen))


def test_a_site_under_alarm_is_apart_until_somebody_takes_it_as_it_is() -> None:
    seen = network_with("light 0.25")
    model = NetworkTensor(TensorSettings(rank=3, warm_up=30), NUM_GATES)
    begin, end = BEGIN - 400, BEGIN + 72
    for index, values in enumerate(seen[begin:end], start=begin):
        told = model.update(index, SITES, values).alarms
    assert {alarm.site for alarm in told} == {"s3"}
    model = NetworkTensor.from_bytes(model.to_bytes())

    model.acknowledge("s3")
    after = [model.update(index, SITES, seen[index]).alarms for index in range(end, end + 40)]

    assert not any(after)
    with pytest.raises(ValueError, match="nowhere"):
        model.acknowledge("nowhere")
