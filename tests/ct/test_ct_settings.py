from __future__ import annotations

import pytest

from ipdsf_spark.config import CtConfig, load
from ipdsf_spark.ct.cubes import DEFAULT_OVERLAP, SIZES
from ipdsf_spark.ct.enhancement import LINEAR_SHARE
from ipdsf_spark.ct.window import HU_WINDOW
from ipdsf_spark.errors import ConfigError


def test_configuration_and_kernel_share_their_defaults() -> None:
    defaults = CtConfig()

    assert (defaults.window_low_hu, defaults.window_high_hu) == HU_WINDOW
    assert defaults.linear_share == LINEAR_SHARE
    assert defaults.cube_size in SIZES
    assert defaults.overlap == DEFAULT_OVERLAP[defaults.cube_size]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("ct.window_low_hu=500", r"rising HU within int16, got \(500, 400\)"),
        ("ct.window_high_hu=40000", "rising HU within int16"),
        ("ct.linear_share=0", "above 0 and at most 1"),
        ("ct.linear_share=1.5", "above 0 and at most 1"),
        ("ct.cube_size=48", "32, 64 or 128, got 48"),
        ("ct.overlap=17", "0 to 16, half a cube, got 17"),
        ("ct.overlap=-1", "0 to 16"),
        ("ct.air_share_kept=1.1", "between 0 and 1"),
        ("storage.root=' '", "a folder or a URL"),
    ],
)
def test_impossible_settings_stop_before_work_starts(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(overrides=[override])
