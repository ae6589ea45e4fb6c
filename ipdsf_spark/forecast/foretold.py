"""A series of one site walked through as in the stream, up to the moment at which a forecast is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ipdsf_spark.forecast.memory import NAMES, PER_DAY, Memory
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.rows import middle_us_of, quality_of, values_of
from ipdsf_spark.forecast.series import INTERVAL_S, LEAD_STEPS, Series
from ipdsf_spark.lidar.products.plain import instant
from ipdsf_spark.lidar.profiles import Float64, Time

SHOWN_STEPS: Final = PER_DAY  # before the forecast
AFTER_STEPS: Final = LEAD_STEPS[-1] + 6
HAS_USUAL: Final = NAMES.index("has_usual")


@dataclass(frozen=True, eq=False)
class Fan:
    """What a picture of a forecast shows.

    Attributes:
        time: (T,) middles of intervals up to the forecast.
        seen_m: (T,) heights as they were seen, NaN where none.
        filled_m: (T, 3) quantiles of what the height was, where none was seen, else NaN.
        ahead: (L,) times of the leads, the first that of the forecast.
        ahead_m: (L, 3) quantiles.
        usual_m: (L,) the climatology, NaN where it is not known.
        later: (N,) times after the forecast.
        later_m: (N,) heights that came, NaN where none.
    """

    time: Time
    seen_m: Float64
    filled_m: Float64
    ahead: Time
    ahead_m: Float64
    usual_m: Float64
    later: Time
    later_m: Float64


@dataclass(frozen=True, eq=False)
class Foretold:
    """A forecast: when it was made, its record, and its picture."""

    time: np.datetime64
    values: Mapping[str, Any]
    fan: Fan


def foretold(
    series: Series, model: ForecastModel, at: np.datetime64 | None = None, highest_m: float = math.inf
) -> Foretold:
    """Walk through a series of one site.

    Args:
        series: of one site.
        model: whose forecast.
        at: UTC; the last interval that is over by then is the newest that is known. None = all is known.
        highest_m: the site's `max_height_m`; nothing is foretold above it.

    Raises:
        ValueError: nothing is known by then.
    """
    num = len(series)
    if at is not None:
        seconds = int(at.astype("datetime64[s]").astype(np.int64))
        num = min(num, seconds // INTERVAL_S - series.start)
    if num < 1:
        by = "now" if at is None else f"{at.astype('datetime64[s]')}Z"
        raise ValueError(f"nothing is known by {by}: the first interval begins at {_time_of(series.start - 1)}Z")
    memory, hidden = Memory(series.latitude_deg, series.longitude_deg), model.start(1)
    filled_m = np.full((num, 3), np.nan)
    for step in range(num):
        seen = series.observed.at(step)
        told = memory.step(series.start + step, seen)
        said, hidden = model.step(told.features, hidden)
        found_m = model.quantiles_m(said, told.features, told.last_m, told.usual_m, highest_m)[0]
        if not np.isfinite(seen.height_m[0]):
            filled_m[step] = found_m[0]
    index = series.start + num - 1
    has_bound = bool(np.isfinite(seen.below_m[0]))
    quality = quality_of(int(seen.flags[0]), has_data=bool(seen.has_data[0]), has_bound=has_bound)
    values = values_of(index, seen, quality, found_m, model, is_warm=num >= PER_DAY)
    first = max(num - SHOWN_STEPS, 0)
    after = np.arange(num, min(num + AFTER_STEPS, len(series)))
    has_usual = told.features[0, HAS_USUAL] > 0
    fan = Fan(
        _times(np.arange(series.start + first, series.start + num)),
        series.observed.height_m[first:num, 0],
        filled_m[first:],
        _times(index + np.array(LEAD_STEPS)),
        found_m,
        told.usual_m[0] if has_usual else np.full(len(LEAD_STEPS), np.nan),
        _times(series.start + after),
        series.target_m[after, 0],
    )
    return Foretold(_time_of(index), values, fan)


def fan_of_records(records: Sequence[Mapping[str, Any]], number: int) -> Fan:
    """The picture of what the stream foretold of one site, from its records alone.

    Args:
        records: of kind `forecast`, of one site, in time order.
        number: of the record whose forecast is shown.
    """
    time = np.array([instant(record["time"]) for record in records], "datetime64[us]")
    is_filled = np.array([bool(record["is_filled"]) for record in records])
    height_m = np.array([float(record["mixing_height_m"]) for record in records])
    seen_m = np.where(is_filled, np.nan, height_m)
    filled_m = np.full((len(records), 3), np.nan)
    for line in np.flatnonzero(is_filled).tolist():
        filled_m[line] = _quantiles(records[line]["filled"])
    made = records[number]
    now = filled_m[number] if is_filled[number] else np.full(3, height_m[number])
    ahead_m = np.array([now, *(_quantiles(lead) for lead in made["forecast"])])
    ahead = np.array([time[number], *(instant(lead["time"]) for lead in made["forecast"])], "datetime64[us]")
    first, last = max(number + 1 - SHOWN_STEPS, 0), min(number + 1 + AFTER_STEPS, len(records))
    before, after = slice(first, number + 1), slice(number + 1, last)
    unknown = np.full(len(ahead), np.nan)
    return Fan(time[before], seen_m[before], filled_m[before], ahead, ahead_m, unknown, time[after], seen_m[after])


def _quantiles(values: Mapping[str, Any]) -> list[float]:
    return [float(values[name]) for name in ("p10_m", "p50_m", "p90_m")]


def _times(index: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Time:
    return ((index * INTERVAL_S + INTERVAL_S // 2) * 1_000_000).astype("datetime64[us]")


def _time_of(index: int) -> np.datetime64:
    return np.datetime64(middle_us_of(index) // 1_000_000, "s")
