"""Genuine CL51 files of a simulated morning."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import pytest

from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site

FILE_MINUTES = 5
SITE = Site("oslo", 59.94, 10.72, instrument="Vaisala CL51")


def rows(profiles: Profiles, start: int, stop: int) -> Profiles:
    """Some of the profiles."""
    cut = slice(start, stop)
    names = (
        *("time", "beta", "cloud_base_m", "vertical_visibility_m", "maker_layer_height_m", "sky_cover_octas"),
        *("sky_base_m", "is_precipitation", "is_fog", "tilt_deg"),
    )
    return dataclasses.replace(
        profiles, alarms=(), health={}, depolarisation=None, **{name: getattr(profiles, name)[cut] for name in names}
    )


def morning_files(scenario: str) -> list[bytes]:
    """Three hours of five-minute files, 08:00 to 11:00 UTC."""
    day = simulate_day(SITE, date(2021, 6, 21), rng=np.random.default_rng(5), instrument="cl51", scenario=scenario)
    per_file = FILE_MINUTES * 4
    first = 8 * 60 * 4
    return [
        vaisala_cl.encode_file(rows(day.profiles, start, start + per_file))
        for start in range(first, first + 36 * per_file, per_file)
    ]


@pytest.fixture(scope="session")
def cl51_files() -> list[bytes]:
    """Three hours of five-minute files of a clear morning, 08:00 to 11:00 UTC."""
    return morning_files("clear")


@pytest.fixture(scope="session")
def stratus_files() -> list[bytes]:
    """The same under stratus."""
    return morning_files("stratus")


@pytest.fixture(scope="session")
def cl51_file(cl51_files: list[bytes]) -> bytes:
    """Five minutes at 15 s."""
    return cl51_files[0]
