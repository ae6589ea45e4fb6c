"""Heights as plain values."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.products import records as products
from ipdsf_spark.lidar.products.quality import Quality


def two_rows() -> Layers:
    candidates_m = np.full((2, 5), np.nan)
    candidates_m[0, :2] = [812.34, 1500.0]
    return Layers(
        time=np.array(["2021-09-09T12:02:30", "2021-09-09T12:07:30"], "datetime64[us]"),
        mixing_height_m=np.array([812.34, np.nan]),
        uncertainty_m=np.array([35.04, np.nan]),
        provisional=np.array([False, True]),
        quality=np.array([0, int(Quality.FOG | Quality.PROVISIONAL)], np.uint16),
        candidates_m=candidates_m,
        candidate_strength=candidates_m / 1e4,
        cloud_base_m=np.array([np.nan, 90.0]),
        num_profiles=np.array([20, 18], np.int32),
    )


def test_a_missing_height_is_null_and_says_why() -> None:
    row = json.loads(json.dumps(products.products_of("oslo", two_rows())[1]))

    assert row["mixing_height_m"] is None
    assert row["uncertainty_m"] is None
    assert row["quality"] == ["fog", "provisional"]
    assert row["provisional"] is True
    assert row["candidates_m"] == []


def test_a_row_carries_its_site_its_time_in_utc_and_its_candidates() -> None:
    row = products.product_of("oslo", two_rows(), 0)

    assert (row["site"], row["time"]) == ("oslo", "2021-09-09T12:02:30Z")
    assert row["mixing_height_m"] == 812.3
    assert row["candidates_m"] == [812.3, 1500.0]


def test_csv_has_one_line_per_product_time_and_the_same_values() -> None:
    rows = list(csv.DictReader(io.StringIO(products.to_csv("oslo", two_rows()))))

    assert [row["mixing_height_m"] for row in rows] == ["812.3", ""]
    assert rows[0]["candidates_m"].split() == ["812.3", "1500.0"]
    assert rows[1]["quality"] == "fog provisional"
    assert [row["provisional"] for row in rows] == ["0", "1"]


def test_csv_of_a_second_site_can_follow_without_a_second_header() -> None:
    both = products.to_csv("a", two_rows()) + products.to_csv("b", two_rows(), header=False)

    assert [row["site"] for row in csv.DictReader(io.StringIO(both))] == ["a", "a", "b", "b"]
