"""Heights against a reference, on a common grid of times, by what the sun does at the site.

The reference decides which times count. Both are averaged over the same bins, so that series of any spacing compare; a
radiosonde is one bin. Where the reference has a height and the other has none, the other was not available.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.heights.series import Heights
from ipdsf_spark.lidar.layers.ceiling import daylight
from ipdsf_spark.lidar.layers.scoring import Score, failures, score
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.profiles import Float64, Time

CLASSES: Final = ("night", "growth", "noon", "evening")
ALL: Final = "all"
MOST_BINS: Final = 5_000_000
AFTER_SUNRISE_S, AFTER_SUNSET_S, BEFORE_NOON_S = 1800.0, 5400.0, 3600.0
LATE_S: Final = 7200.0  # before sunset the evening begins
COLUMNS: Final = (
    "hours",
    "num",
    "available",
    "bias_m",
    "rmse_m",
    "r2",
    "p90_step_m",
    "within_1_sigma",
    "within_2_sigma",
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Heights and reference on N common times, one bin apart without gaps."""

    time: Time
    height_m: Float64
    sigma_m: Float64
    reference_m: Float64


def paired(heights: Heights, reference: Heights, every_s: int) -> Pairs:
    """Both as means over bins of `every_s`, from the first to the last time of the reference.

    Raises:
        InputError: the two have no time in common, or are spread over more bins than memory should hold.
    """
    numbers, means = _binned(reference.time, reference.height_m, every_s)
    if not numbers.size:
        raise InputError(f"the reference ({reference.source}) has no height")
    first, count = int(numbers[0]), int(numbers[-1] - numbers[0]) + 1
    if count > MOST_BINS:
        raise InputError(f"the reference spans {count} times of {every_s} s: give it in parts, or a longer --every")
    of_reference = np.full(count, np.nan)
    of_reference[numbers - first] = means

    def placed(values: Float64) -> Float64:
        found = np.full(count, np.nan)
        at, mean = _binned(heights.time, values, every_s)
        inside = (at >= first) & (at < first + count)
        found[at[inside] - first] = mean[inside]
        return found

    span = (heights.time.min(), heights.time.max())
    if span[1] < reference.time.min() - np.timedelta64(every_s, "s") or span[0] > reference.time.max():
        raise InputError(f"no time in common: heights from {span[0]} to {span[1]}, "
                         f"reference from {reference.time.min()} to {reference.time.max()}")  # fmt: skip
    time = ((first + np.arange(count)) * every_s + every_s // 2).astype("datetime64[s]").astype("datetime64[us]")
    return Pairs(time, placed(heights.height_m), placed(heights.sigma_m), of_reference)


def hour_classes(time: Time, latitude_deg: float, longitude_deg: float) -> NDArray[np.int64]:
    """(N,) index into `CLASSES`, -1 where the place is not known.

    Growth begins half an hour after sunrise and ends an hour before the sun's noon; the evening begins two hours before
    sunset and ends an hour and a half after it.
    """
    if not (np.isfinite(latitude_deg) and np.isfinite(longitude_deg)):
        return np.full(len(time), -1)
    seconds = time.astype("datetime64[us]").astype(np.int64) / 1e6
    solar_day = np.floor((seconds + longitude_deg * 240.0) / 86_400.0).astype(np.int64)
    found = np.zeros(len(time), np.int64)
    for day in np.unique(solar_day):
        span = daylight(datetime.fromtimestamp(int(day) * 86_400, UTC).date(), latitude_deg, longitude_deg)
        if span is None:
            continue  # polar night
        rise, fall = (moment.replace(tzinfo=UTC).timestamp() for moment in span)
        here, noon, length = solar_day == day, (rise + fall) / 2, fall - rise
        now = seconds[here]
        late = fall - min(LATE_S, length / 4)
        of_day = np.zeros(len(now), np.int64)
        of_day[(now >= rise + AFTER_SUNRISE_S) & (now < noon - BEFORE_NOON_S)] = 1
        of_day[(now >= max(noon - BEFORE_NOON_S, rise + AFTER_SUNRISE_S)) & (now < late)] = 2
        of_day[(now >= late) & (now < fall + AFTER_SUNSET_S)] = 3
        found[here] = of_day
    return found


def scores(pairs: Pairs, latitude_deg: float, longitude_deg: float) -> dict[str, Score]:
    """Of each class of hours that occurs, and of all."""
    classes = hour_classes(pairs.time, latitude_deg, longitude_deg)
    found = {}
    for number, name in enumerate(CLASSES):
        here = classes == number
        if np.isfinite(pairs.reference_m[here]).any():
            found[name] = score(*(np.where(here, each, np.nan) for each in _columns(pairs)))
    return found | {ALL: score(*_columns(pairs))}


def num_failures(pairs: Pairs) -> int:
    """Stretches of half an hour and more, at bins of five minutes, that are wrong by more than 300 m."""
    return failures(pairs.height_m - pairs.reference_m)


def table_rows(found: Mapping[str, Score]) -> list[dict[str, Any]]:
    """Rows with the columns `COLUMNS`; what is not known is None."""
    return [
        {name: _plain(value) for name, value in ({"hours": hours} | asdict(each)).items()}
        for hours, each in found.items()
    ]


def _columns(pairs: Pairs) -> tuple[Float64, Float64, Float64]:
    return pairs.height_m, pairs.sigma_m, pairs.reference_m


def _binned(time: Time, values: Float64, every_s: int) -> tuple[NDArray[np.int64], Float64]:
    """Numbers of the bins that have a value, and its mean."""
    known = np.isfinite(values)
    number = time[known].astype("datetime64[us]").astype(np.int64) // (1_000_000 * every_s)
    bins, where = np.unique(number, return_inverse=True)
    return bins, np.bincount(where, values[known], minlength=len(bins)) / np.maximum(np.bincount(where), 1)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return rounded(value, 3)
    return value
