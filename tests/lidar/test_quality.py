"""Quality bits keep their meaning: files and topics carry the numbers."""

from __future__ import annotations

import numpy as np

from ipdsf_spark.lidar.products.quality import Quality, names


def test_the_bits_keep_their_numbers() -> None:
    assert {flag.name: flag.value for flag in Quality} == {
        "CLOUD_CAPPED": 1,
        "PRECIPITATION": 2,
        "FOG": 4,
        "NEAR_RANGE_EDGE": 8,
        "LOW_SNR": 16,
        "AMBIGUOUS": 32,
        "GAP_FILLED": 64,
        "PROVISIONAL": 128,
        "FEW_PROFILES": 256,
        "UNCALIBRATED": 512,
        "NO_SUN": 1024,
        "RESIDUAL_LAYER": 2048,
        "CLIPPED": 4096,
        "NO_EDGE": 8192,
    }


def test_names_are_those_of_the_set_bits_lowest_first() -> None:
    assert names(0) == []
    assert names(4 | 128 | 1) == ["cloud_capped", "fog", "provisional"]
    assert all(flag < 2**16 for flag in Quality)
    assert np.uint16(sum(Quality)) == sum(Quality)
