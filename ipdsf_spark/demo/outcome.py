"""What a run of the stream came to: heights per site, errors against known heights, seconds from send to product."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Float64, Time
from ipdsf_spark.plots import Truth

WARM_UP_SHARE = 0.2  # of the run: the first batches compile and load
NUM_CANDIDATES = 5
OTHER_LAYERS = ("below_m", "residual_height_m", "nocturnal_height_m", "entrainment_m")
WEATHER = int(Quality.FOG | Quality.PRECIPITATION)


@dataclass(frozen=True, eq=False)
class Errors:
    """Tracked less known heights of one site.

    Attributes:
        final_m: of final heights.
        provisional_m: of the last provisional heights.
    """

    final_m: Float64
    provisional_m: Float64


def newest(revisions: pd.DataFrame) -> pd.DataFrame:
    """The newest revision of every site and time."""
    ordered = revisions.sort_values(["published", "offset"])
    return ordered.drop_duplicates(["site", "time"], keep="last").sort_values(["site", "time"], ignore_index=True)


def last_provisional(revisions: pd.DataFrame) -> pd.DataFrame:
    """What a reader saw before each height became final."""
    return newest(revisions[revisions["provisional"]])


def layers_of(rows: pd.DataFrame) -> Layers:
    """Rows of one site as the kernel's columns."""
    time = pd.to_datetime(rows["time"]).to_numpy().astype("datetime64[us]")
    return Layers(
        time=time,
        mixing_height_m=rows["mixing_height_m"].to_numpy(np.float64),
        uncertainty_m=rows["uncertainty_m"].to_numpy(np.float64),
        provisional=rows["provisional"].to_numpy(bool),
        quality=np.array([_bits(names) for names in rows["quality"]], np.uint16),
        candidates_m=_table(rows["candidates_m"]),
        candidate_strength=_table(rows["candidate_strength"]),
        cloud_base_m=rows["cloud_base_m"].to_numpy(np.float64),
        num_profiles=rows["num_profiles"].to_numpy(np.int32),
        **{name: rows[name].to_numpy(np.float64) for name in OTHER_LAYERS},
    )


def availability_percent(layers: Layers) -> float:
    """Product times with a height, of those outside fog and rain; NaN if there is none."""
    dry = (layers.quality & WEATHER) == 0
    return float(100.0 * np.isfinite(layers.mixing_height_m[dry]).mean()) if dry.any() else float("nan")


def read_truth(path: Path) -> Truth | None:
    """The known heights of a simulated site."""
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    time = pd.to_datetime(table["time"], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    height = next(column for column in table.columns if "mixing_height" in column)
    return Truth(time, table[height].to_numpy(np.float64))


def errors_of(final: Layers, provisional: Layers, truth: Truth) -> Errors:
    """Errors at the product times."""
    return Errors(
        final.mixing_height_m - at(truth, final.time), provisional.mixing_height_m - at(truth, provisional.time)
    )


def at(truth: Truth, time: Time) -> Float64:
    """Known heights at other times, linear in between."""
    seconds = truth.time.astype(np.int64) / 1e6
    known: Float64 = np.interp(time.astype("datetime64[us]").astype(np.int64) / 1e6, seconds, truth.height_m)
    return known


def rmse(errors: Float64) -> float:
    """Root mean square of what is not NaN; NaN if nothing is."""
    known = errors[np.isfinite(errors)]
    return float(np.sqrt(np.mean(known**2))) if known.size else float("nan")


def bias(errors: Float64) -> float:
    """Mean of what is not NaN; NaN if nothing is."""
    known = errors[np.isfinite(errors)]
    return float(known.mean()) if known.size else float("nan")


def latency_s(revisions: pd.DataFrame) -> Float64:
    """Seconds from sending a file to the publication of each product it gave, first and final ones, after warm-up."""
    published_ms = pd.to_datetime(revisions["published"]).to_numpy().astype("datetime64[ms]").astype(np.int64)
    sent_ms = revisions["sent_ms"].to_numpy(np.int64)
    if not sent_ms.size:
        return np.empty(0)
    warm = sent_ms >= sent_ms.min() + WARM_UP_SHARE * (sent_ms.max() - sent_ms.min())
    seconds: Float64 = (published_ms[warm] - sent_ms[warm]) / 1000.0
    return seconds


def _bits(names: list[str]) -> int:
    return int(sum(int(Quality[name.upper()]) for name in names))


def _table(column: Iterable[Sequence[float]]) -> Float64:
    lists = list(column)
    rows = np.full((len(lists), NUM_CANDIDATES), np.nan)
    for line, values in enumerate(lists):
        rows[line, : len(values)] = values[:NUM_CANDIDATES]
    return rows
