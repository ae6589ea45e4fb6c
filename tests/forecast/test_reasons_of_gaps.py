"""What a forecast made from files or an archive says of why no height was seen."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.forecast.foretold import foretold
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.rows import flags_of, quality_of, series_of_layers
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.products.quality import Quality, names
from ipdsf_spark.lidar.site import Site

OSLO = Site("oslo", 59.942, 10.720, 96.0)


def layers_of(quality: Quality, below_m: float = float("nan")) -> Layers:
    """Six intervals without a height, for the same reason."""
    nothing = np.full(6, np.nan)
    return Layers(
        time=np.datetime64("2021-09-09T00:02:30", "us") + (300 * np.arange(6)).astype("timedelta64[s]"),
        mixing_height_m=nothing,
        uncertainty_m=nothing,
        provisional=np.ones(6, bool),
        quality=np.full(6, int(quality), np.uint16),
        candidates_m=np.full((6, 5), np.nan),
        candidate_strength=np.full((6, 5), np.nan),
        cloud_base_m=nothing,
        num_profiles=np.full(6, 20, np.int32),
        below_m=np.full(6, below_m),
    )


@pytest.mark.parametrize(
    "why",
    [Quality.PRECIPITATION, Quality.FOG, Quality.AMBIGUOUS, Quality.LOW_SNR, Quality.RESIDUAL_LAYER, Quality.NO_EDGE,
     Quality.CLIPPED | Quality.LOW_SNR],
)  # fmt: skip
def test_a_gap_of_a_measured_interval_has_its_reason_and_is_no_missing_data(why: Quality, model: ForecastModel) -> None:
    layers = layers_of(why)
    values = foretold(series_of_layers(OSLO, layers, layers), model).values

    assert values["is_filled"] and values["filled_because"] == sorted(names(int(why)))


def test_a_top_below_the_lowest_gate_is_the_reason_where_a_bound_is_known(model: ForecastModel) -> None:
    layers = layers_of(Quality.NEAR_RANGE_EDGE, below_m=200.0)

    assert foretold(series_of_layers(OSLO, layers, layers), model).values["filled_because"] == ["near_range_edge"]


def test_reasons_of_an_archives_rows_come_back_from_their_bits() -> None:
    reasons = ["ambiguous", "clipped", "fog", "low_snr", "no_edge", "precipitation", "residual_layer"]

    assert sorted(quality_of(flags_of([*reasons, "few_profiles"]), has_data=True, has_bound=False)) == reasons
    assert quality_of(0, has_data=False, has_bound=False) == ["no_data"]
