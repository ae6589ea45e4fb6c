"""Instruments that no longer fit their network are named, healthy ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_network import synthetic_network

from ipdsf_spark.tensor import NetworkTensor, TensorSettings
from ipdsf_spark.tensor.alarms import ResidualAlarms, features_of

FAULTY = 3
BEGIN = 325
NUM_SLICES = 375


def network_with(fault: str, seed: int = 2) -> np.ndarray:
    """(T, 12, 16) slices; site 3 is faulty from slice `BEGIN` on."""
    made = synthetic_network(3, (NUM_SLICES, 12, 16), np.random.default_rng(seed), missing=0.1, outliers=0.0)
    seen, spread = made.seen.copy(), made.truth.std()
    gates, after = np.arange(16), slice(BEGIN, None)
    if fault == "gain step":
        seen[after, FAULTY] += 0.5 * spread
    elif fault == "dirty window":
        seen[after, FAULTY] -= 0.02 * spread * np.arange(NUM_SLICES - BEGIN)[:, None]
    elif fault == "misalignment":
        seen[after, FAULTY] -= 0.6 * spread * (gates < 8) - 0.3 * spread
    elif fault == "clock jump":
        seen[after, FAULTY] = made.seen[BEGIN - 100 : BEGIN - 100 + NUM_SLICES - BEGIN, FAULTY]
    return seen


def alarmed(seen: np.ndarray) -> dict[str, int]:
    """First alarm of each site."""
    model = NetworkTensor(TensorSettings(rank=3, is_centered=False, warm_up=30), seen.shape[2])
    sites, first = [f"s{number}" for number in range(seen.shape[1])], {}
    for index, values in enumerate(seen):
        for alarm in model.update(index, sites, values).alarms:
            first.setdefault(alarm.site, index)
    return first


@pytest.mark.parametrize("fault", ["gain step", "dirty window", "misalignment", "clock jump"])
def test_a_planted_fault_is_found_within_hours_and_nobody_else_is_accused(fault: str) -> None:
    first = alarmed(network_with(fault))

    assert set(first) == {f"s{FAULTY}"}
    assert BEGIN <= first[f"s{FAULTY}"] < BEGIN + 40


def test_a_healthy_network_raises_no_alarm() -> None:
    assert alarmed(network_with("none")) == {}


def test_no_single_slice_raises_an_alarm_and_a_lasting_departure_names_its_kind() -> None:
    rng, alarms = np.random.default_rng(0), ResidualAlarms()
    alarms.grow(2)
    rows, told = np.arange(2), []
    for index in range(450):
        residual = rng.normal(size=(2, 30))
        if index == 310:
            residual[0] += 1000.0
        if index >= 400:
            residual[1] += 3.0
        told += alarms.update(index, ["one", "other"], rows, residual)

    assert {alarm.site for alarm in told} == {"other"}
    assert any(alarm.feature == "level" and alarm.direction == 1 for alarm in told)
    assert min(alarm.index for alarm in told) < 425


def test_features_are_medians_of_what_is_present() -> None:
    residual = np.array([[1.0, 1.0, np.nan, 3.0, 3.0, 3.0], [np.nan] * 6])

    features = features_of(residual)

    np.testing.assert_allclose(features[0], [3.0, 2.0, np.log(3.0)])
    assert np.isnan(features[1]).all()


def test_a_site_under_alarm_is_apart_until_somebody_takes_it_as_it_is() -> None:
    seen = network_with("gain step")
    model = NetworkTensor(TensorSettings(rank=3, is_centered=False, warm_up=30), 16)
    sites = [f"s{number}" for number in range(12)]
    for index, values in enumerate(seen[:360]):
        alarms = model.update(index, sites, values).alarms
    assert {alarm.site for alarm in alarms} == {"s3"}

    model.acknowledge("s3")
    after = [model.update(360 + number, sites, values).alarms for number, values in enumerate(seen[360:])]

    assert not any(after)
    with pytest.raises(ValueError, match="nowhere"):
        model.acknowledge("nowhere")
