"""Profiles with one erf-shaped layer top of known height, for the tests of the retrieval."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import erf

from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57)
NOON = np.datetime64("2021-06-15T12:00:00", "us")


def erf_profile(height_m: Any, top_m: float, *, below: float = 2e-6, above: float = 3e-7, s_m: float = 80.0) -> Any:
    """B(z) of Steyn, Baldi, Hoff (1999, J. Atmos. Oceanic Technol. 16, 953), eq. 1."""
    return (below + above) / 2 - (below - above) / 2 * erf((height_m - top_m) / s_m)


def profiles_of(
    beta: Any,
    *,
    start: np.datetime64 = NOON,
    cadence_s: float = 15.0,
    resolution_m: float = 10.0,
    instrument: str = "Vaisala CL51",
    **changes: Any,
) -> Profiles:
    """Profiles of (T, G) backscatter at a steady cadence."""
    beta = np.atleast_2d(np.asarray(beta, np.float32))
    num_profiles, num_gates = beta.shape
    nothing = np.full((num_profiles, 1), np.nan, np.float32)
    seconds = np.arange(num_profiles) * cadence_s
    values: dict[str, Any] = {
        "instrument": instrument,
        "message_type": "2",
        "time": start + (seconds * 1e6).astype("timedelta64[us]"),
        "range_m": (np.arange(num_gates) + 0.5) * resolution_m,
        "range_resolution_m": resolution_m,
        "beta": beta,
        "is_calibrated": True,
        "wavelength_nm": 910.0,
        "cloud_base_m": nothing,
        "vertical_visibility_m": nothing[:, 0],
        "maker_layer_height_m": nothing,
        "sky_cover_octas": nothing,
        "sky_base_m": nothing,
        "is_precipitation": np.zeros(num_profiles, bool),
        "is_fog": np.zeros(num_profiles, bool),
        "tilt_deg": np.zeros(num_profiles, np.float32),
    }
    return Profiles(**(values | changes))


def steady(
    top_m: float = 1200.0,
    *,
    num_profiles: int = 80,
    num_gates: int = 770,
    resolution_m: float = 10.0,
    noise: float = 0.0,
    seed: int = 0,
    **changes: Any,
) -> Profiles:
    """A layer that does not change; `noise` is that of one profile at 1500 m relative to the layer's backscatter."""
    height_m = (np.arange(num_gates) + 0.5) * resolution_m
    beta = np.tile(erf_profile(height_m, top_m), (num_profiles, 1))
    draws = np.random.default_rng(seed).standard_normal(beta.shape)
    beta += noise * 2e-6 * draws * (height_m / 1500.0) ** 2
    return profiles_of(beta, resolution_m=resolution_m, **changes)


def rows_of(profiles: Profiles, rows: Any) -> Profiles:
    """Some of the profiles."""
    names = [field.name for field in dataclasses.fields(Profiles)]
    cut = {
        name: getattr(profiles, name)[rows]
        for name in names
        if isinstance(getattr(profiles, name), np.ndarray) and name != "range_m"
    }
    return dataclasses.replace(profiles, **cut)


def pieces_of(profiles: Profiles, cuts: Sequence[int]) -> list[Profiles]:
    """The profiles cut before each of `cuts`."""
    bounds = [0, *sorted(set(cuts)), len(profiles)]
    return [rows_of(profiles, slice(a, b)) for a, b in itertools.pairwise(bounds) if b > a]
