"""Rows of heights as the network sees them, and its forecasts as rows of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.series import (
    AMBIGUOUS,
    CAPPED,
    CLIPPED,
    FOG,
    INTERVAL_S,
    LEADS_MIN,
    LOW_SNR,
    NO_EDGE,
    RAIN,
    RESIDUAL,
    Observed,
    Series,
)
from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

KIND: Final = "forecast"
BITS: Final = {
    "precipitation": RAIN,
    "fog": FOG,
    "cloud_capped": CAPPED,
    "ambiguous": AMBIGUOUS,
    "low_snr": LOW_SNR,
    "no_edge": NO_EDGE,
    "residual_layer": RESIDUAL,
    "clipped": CLIPPED,
}
BOUND: Final = "near_range_edge"  # told by the bound itself
_NAMES: Final = ("p10_m", "p50_m", "p90_m")
MICROSECONDS: Final = 1_000_000


def flags_of(quality: Iterable[str]) -> int:
    """Bits of `series` from the names of `Quality`."""
    return sum({BITS[name] for name in quality if name in BITS})


def quality_of(flags: int, *, has_data: bool, has_bound: bool) -> list[str]:
    """Names of `Quality` from bits of `series`, and whether an upper bound stands for a height."""
    if not has_data:
        return ["no_data"]
    return [*(name for name, bit in BITS.items() if flags & bit), *([BOUND] if has_bound else [])]


def observed_of(values: Mapping[str, Any]) -> Observed:
    """One interval of one site from the values of a row of heights, as `products.records` writes them."""

    def metres(name: str) -> Float64:
        value = values.get(name)
        return np.array([np.nan if value is None else float(value)])

    return Observed(
        metres("mixing_height_m"),
        metres("uncertainty_m"),
        metres("below_m"),
        metres("cloud_base_m"),
        metres("residual_height_m"),
        np.array([flags_of(values.get("quality", ()))], np.uint8),
        np.array([True]),
    )


def observed_of_layers(layers: Layers) -> tuple[int, Observed]:
    """Number of the first interval and (T, 1) what was seen from there on, gaps as gaps.

    Raises:
        ValueError: there is no row.
    """
    if not len(layers):
        raise ValueError("no height to foretell from")
    index = layers.time.astype("datetime64[s]").astype(np.int64) // INTERVAL_S
    start = int(index[0])
    at = index - start
    num = int(at[-1]) + 1

    def filled(values: Float64) -> Float64:
        found = np.full((num, 1), np.nan)
        found[at, 0] = values
        return found

    flags, has_data = np.zeros((num, 1), np.uint8), np.zeros((num, 1), bool)
    for name, bit in BITS.items():
        flags[at, 0] |= np.where(layers.quality & Quality[name.upper()], bit, 0).astype(np.uint8)
    has_data[at, 0] = True
    return start, Observed(
        filled(layers.mixing_height_m),
        filled(layers.uncertainty_m),
        filled(layers.below_m),
        filled(layers.cloud_base_m),
        filled(layers.residual_height_m),
        flags,
        has_data,
    )


def series_of_layers(site: Site, issued: Layers, latest: Layers) -> Series:
    """One site's series: what the stream would have seen, and what the heights finally were.

    Raises:
        ValueError: there is no row.
    """
    start, seen = observed_of_layers(issued)
    target_m = np.full(seen.flags.shape, np.nan)
    at = latest.time.astype("datetime64[s]").astype(np.int64) // INTERVAL_S - start
    inside = (at >= 0) & (at < len(target_m))
    target_m[at[inside], 0] = latest.mixing_height_m[inside]
    place = np.array([site.latitude_deg]), np.array([site.longitude_deg])
    return Series((site.id,), *place, start, seen, target_m)


def values_of(index: int, seen: Observed, quality: Iterable[str], quantiles_m: Float64, model: ForecastModel,
              *, is_warm: bool) -> dict[str, Any]:  # fmt: skip
    """A row's values: the height now, seen or filled, and what is foretold at every lead.

    Args:
        index: number of the interval that is over.
        seen: (1,) what was seen in it.
        quality: of the row of heights; says why there is no height.
        quantiles_m: (L, 3) of the network, lead 0 first.
        model: that said it.
        is_warm: the site has been followed for a day.
    """
    has = bool(np.isfinite(seen.height_m[0]))
    rounded: list[list[float]] = quantiles_m.round(1).tolist()
    now = dict(zip(_NAMES, rounded[0], strict=True))
    middle_us = middle_us_of(index)
    ahead = [
        {"lead_min": lead, "time": _iso(middle_us + lead * 60 * MICROSECONDS)}
        | dict(zip(_NAMES, rounded[number], strict=True))
        for number, lead in enumerate(LEADS_MIN)
        if lead
    ]
    return {
        "mixing_height_m": round(float(seen.height_m[0]), 1) if has else now["p50_m"],
        "is_filled": not has,
        "filled_because": [] if has else sorted(set(quality)) or ["no_data"],
        "filled": None if has else now,
        "forecast": ahead,
        "is_warm": is_warm,
        "model": model.sha256[:12],
    }


def middle_us_of(index: int) -> int:
    """Middle of an interval [µs since 1970], the time of its rows."""
    return (index * INTERVAL_S + INTERVAL_S // 2) * MICROSECONDS


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
