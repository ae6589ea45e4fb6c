"""The strongest layer tops of a transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.layers.candidates import Peaks, strongest

EDGE_M = np.arange(301) * 10.0


def bumps(*tops: tuple[float, float], width_m: float = 60.0) -> np.ndarray:
    w = sum(size * np.exp(-(((EDGE_M - top_m) / width_m) ** 2)) for top_m, size in tops)
    return np.asarray(w)[None, :]


def found_in(w: np.ndarray, **changes: Any) -> Peaks:
    arguments: dict[str, Any] = {"num": 5, "min_strength": 0.05, "min_snr": 4.0}
    sigma = changes.pop("sigma", np.zeros_like(w))
    return strongest(w, sigma, EDGE_M, changes.pop("first_edge", 10), **(arguments | changes))


def test_tops_come_strongest_first_and_only_as_many_as_asked_for() -> None:
    w = bumps((400, 0.1), (800, 0.4), (1200, 0.2), (1600, 0.3), (2000, 0.15), (2400, 0.25), (2800, 0.06))
    peaks = found_in(w)

    np.testing.assert_allclose(peaks.height_m, [800, 1600, 2400, 1200, 2000], atol=1.0)
    assert list(peaks.rank) == [0, 1, 2, 3, 4]


@given(st.floats(500.0, 2500.0))
def test_a_top_between_edges_is_found_between_them(top_m: float) -> None:
    peaks = found_in(bumps((top_m, 0.3)))

    assert peaks.height_m[0] == pytest.approx(top_m, abs=0.5)


def test_weak_or_noisy_maxima_are_no_layer_tops() -> None:
    w = bumps((800, 0.2), (1600, 0.04))

    assert len(found_in(w).row) == 1
    assert len(found_in(w, sigma=np.full_like(w, 0.06)).row) == 0


def test_nothing_is_sought_below_the_first_edge() -> None:
    w = bumps((300, 0.4), (900, 0.1))

    np.testing.assert_allclose(found_in(w, first_edge=50).height_m, [900], atol=1.0)


def test_two_maxima_closer_than_a_layer_is_thick_are_one() -> None:
    peaks = found_in(bumps((1000, 0.3), (1045, 0.29), width_m=12.0))

    assert len(peaks.row) == 1


def test_a_plateau_is_one_top() -> None:
    w = bumps((1000, 0.3))
    w[0, 97:104] = w.max()

    assert len(found_in(w).row) == 1


def test_an_undefined_transform_has_no_tops() -> None:
    assert len(found_in(np.full((3, 301), -np.inf)).row) == 0


def test_a_sharper_or_quieter_edge_is_located_better() -> None:
    blunt = found_in(bumps((1000, 0.3), width_m=150.0), sigma=np.full((1, 301), 0.02))
    sharp = found_in(bumps((1000, 0.3), width_m=60.0), sigma=np.full((1, 301), 0.02))
    quiet = found_in(bumps((1000, 0.3), width_m=60.0), sigma=np.full((1, 301), 0.008))

    assert quiet.sigma_m[0] < sharp.sigma_m[0] < blunt.sigma_m[0]


def test_every_profile_is_ranked_by_itself() -> None:
    w = np.concatenate([bumps((700, 0.1), (1500, 0.2)), bumps((700, 0.3), (1500, 0.2)), np.zeros((1, 301))])
    peaks = found_in(w)

    assert list(peaks.row) == [0, 0, 1, 1]
    np.testing.assert_allclose(peaks.height_m, [1500, 700, 700, 1500], atol=1.0)
