"""An instrument that sees nothing in its lowest hundreds of metres: a wide overlap, a roof, a container's wall."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site


@pytest.mark.parametrize("blind_m", [300.0, 590.0, 600.0, 900.0])
def test_heights_above_a_blind_zone_are_found_however_deep_it_is(blind_m: float) -> None:
    site = Site("munich", 48.1, 11.6, 500.0, min_height_m=blind_m)
    day = simulate_day(site, date(2026, 6, 21), rng=np.random.default_rng(1), instrument="cl51", scenario="clear",
                       cadence_s=60.0)  # fmt: skip
    layers = retrieve([day.profiles], site)
    noon = (layers.time > np.datetime64("2026-06-21T10:30")) & (layers.time < np.datetime64("2026-06-21T16:00"))
    error_m = (layers.mixing_height_m - day.truth_at(layers.time))[noon]

    assert day.truth_at(layers.time)[noon].min() > 1500.0
    assert np.isfinite(error_m).mean() > 0.9
    assert np.sqrt(np.nanmean(np.square(error_m))) < 60.0
    assert not (layers.quality & int(Quality.LOW_SNR)).any()
