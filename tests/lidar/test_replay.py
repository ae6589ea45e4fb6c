"""What a reader of the stream sees of recorded profiles."""

from __future__ import annotations

from functools import cache

import numpy as np

from ipdsf_spark.lidar.layers.mixing_height import LayerSettings, retrieve
from ipdsf_spark.lidar.layers.replay import replay, upserted
from ipdsf_spark.lidar.simulator import SimulatedDay, reference_plan, simulate_day
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57)


@cache
def day() -> SimulatedDay:
    return simulate_day(MUNICH, "2026-06-15", rng=np.random.default_rng(3), plan=reference_plan(), cadence_s=60)


def test_every_interval_is_issued_once_and_provisional() -> None:
    issued = replay([day().profiles], MUNICH).issued

    assert len(issued) == 288
    assert issued.provisional.all()
    assert (np.diff(issued.time) > np.timedelta64(0, "s")).all()


def test_only_what_the_lag_has_passed_is_final() -> None:
    settings = LayerSettings()
    latest = replay([day().profiles], MUNICH, settings).latest
    age = latest.time[-1] - latest.time

    assert len(latest) == 288
    assert latest.provisional[age < np.timedelta64(settings.lag_s, "s")].all()
    assert not latest.provisional[age > np.timedelta64(settings.lag_s + settings.reorder_s + 600, "s")].any()


def test_final_heights_of_the_stream_are_those_of_the_whole_day_with_the_same_lag() -> None:
    latest, whole = replay([day().profiles], MUNICH).latest, retrieve([day().profiles], MUNICH)
    final = ~latest.provisional

    # the probabilities of an open interval are kept in fewer digits between files
    np.testing.assert_allclose(latest.mixing_height_m[final], whole.mixing_height_m[final], atol=0.01)


def test_a_later_row_replaces_an_earlier_one_of_the_same_time() -> None:
    layers = replay([day().profiles], MUNICH).issued
    rows = np.array([5, 3, 5, 4])
    twice = type(layers)(*(getattr(layers, name)[rows] for name in type(layers).__dataclass_fields__))
    twice.mixing_height_m[:] = [1.0, 2.0, 3.0, 4.0]

    kept = upserted(twice)

    np.testing.assert_array_equal(kept.time, layers.time[[3, 4, 5]])
    np.testing.assert_array_equal(kept.mixing_height_m, [2.0, 4.0, 3.0])
