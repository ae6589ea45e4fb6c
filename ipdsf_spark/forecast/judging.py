"""Forecasts against what came: errors and honesty at every lead, beside what anybody can foretell without a network.

The rivals: *persistence*, the last height stays; *yesterday*, the height of a day before by the half hour;
*climatology*, the site's usual course of the day; *damped trend*, the slope of the last hour goes on, less and less;
*diurnal step*, the last height goes the way that the site usually goes from this hour on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.memory import NAMES, PER_DAY
from ipdsf_spark.forecast.model import ForecastModel
from ipdsf_spark.forecast.series import LEAD_STEPS, LEADS_MIN
from ipdsf_spark.forecast.table import Table
from ipdsf_spark.lidar.profiles import Float64

FORECAST: Final = "LSTM"
RIVALS: Final = ("persistence", "yesterday", "climatology", "damped trend", "diurnal step")
NOMINAL: Final = 0.8  # share of heights that lie within the interval
TREND_STEPS: Final = 12  # an hour
LEAST_IN_TREND: Final = 6
LEAST_M: Final = 100.0  # a percentage of a lower height says nothing
FLAGS: Final = {name: NAMES.index(name) for name in ("has_height", "rain", "fog", "has_cloud")}


@dataclass(frozen=True)
class Errors:
    """Of one method at one lead.

    Attributes:
        num: heights.
        rmse_m, mae_m, bias_m: of the median.
        mape: mean absolute error relative to the height, of heights of at least `LEAST_M`; 0.1 is 10 %.
    """

    num: int
    rmse_m: float
    mae_m: float
    bias_m: float
    mape: float


@dataclass(frozen=True)
class Judged:
    """At one lead.

    Attributes:
        lead_min: minutes ahead.
        errors: by method, all over the same heights.
        covered: share of heights within the 80 % interval.
        width_m: its mean width.
    """

    lead_min: int
    errors: Mapping[str, Errors]
    covered: float
    width_m: float

    def skill(self, rival: str) -> float:
        """1 - MSE / MSE of the rival: 0 is no better, 1 is perfect."""
        return 1.0 - (self.errors[FORECAST].rmse_m / self.errors[rival].rmse_m) ** 2


def forecasts_m(
    table: Table, model: ForecastModel, on_step: Callable[[int], None] = lambda num: None
) -> NDArray[np.float32]:
    """(T, S, L, 3) quantiles, the network walking through all intervals as in the stream."""
    hidden = model.start(table.num_sites)
    found = np.empty((*table.usual_m.shape, 3), np.float32)
    for at in range(len(table)):
        features = table.features[at].astype(np.float32)
        said, hidden = model.step(features, hidden)
        last_m, usual_m = table.last_m[at].astype(np.float64), table.usual_m[at].astype(np.float64)
        found[at] = model.quantiles_m(said, features, last_m, usual_m)
        if at % PER_DAY == PER_DAY - 1:
            on_step(PER_DAY)
    return found


def slopes_m(seen_m: NDArray[np.float32]) -> Float64:
    """(T, S) least-squares slope of the last hour [m per step]; 0 where fewer than `LEAST_IN_TREND` are known."""
    num, sites = seen_m.shape
    known = np.isfinite(seen_m).astype(np.float64)
    value = np.nan_to_num(seen_m.astype(np.float64))
    step = np.arange(num)[:, None] + np.zeros((1, sites))

    def over_last_hour(values: Float64) -> Float64:
        total = np.concatenate([np.zeros((1, sites)), np.cumsum(values, axis=0)])
        first = np.maximum(np.arange(num) + 1 - TREND_STEPS, 0)
        return np.asarray(total[1:] - total[first])

    count, time, height = over_last_hour(known), over_last_hour(known * step), over_last_hour(known * value)
    cross, square = over_last_hour(known * step * value), over_last_hour(known * step * step)
    spread = count * square - time**2
    enough = (count >= LEAST_IN_TREND) & (spread > 0)
    return np.where(enough, (count * cross - time * height) / np.where(enough, spread, 1.0), 0.0)


def damping_of(table: Table) -> Float64:
    """(L,) share of the slope's extrapolation that is best at every lead, fitted on sites that are not judged."""
    slope, found = slopes_m(table.seen_m), np.zeros(len(LEAD_STEPS))
    for lead, steps in enumerate(LEAD_STEPS):
        change = table.target_m[:, :, lead] - table.last_m
        trend = slope * steps
        known = np.isfinite(change) & np.isfinite(table.seen_m)
        power = float(np.sum(trend[known] ** 2))
        found[lead] = float(np.sum(trend[known] * change[known])) / power if power else 0.0
    return np.clip(found, 0.0, 1.0)


def rivals_m(table: Table, damping: Float64) -> dict[str, Float64]:
    """(T, S, L) of every rival; arguments as `damping_of` and what it gave."""
    last_m = table.last_m[:, :, None].astype(np.float64) + np.zeros(len(LEAD_STEPS))
    trend_m = slopes_m(table.seen_m)[:, :, None] * np.array(LEAD_STEPS) * damping
    usual_m = table.usual_m.astype(np.float64)
    yesterday_m = np.where(np.isfinite(table.yesterday_m), table.yesterday_m, usual_m)
    found = (last_m, yesterday_m, usual_m, last_m + trend_m, last_m + usual_m - usual_m[:, :, :1])
    return dict(zip(RIVALS, found, strict=True))


def judged(table: Table, found_m: NDArray[np.float32], damping: Float64, where: NDArray[np.bool_]) -> list[Judged]:
    """Every lead at which a target is known.

    Args:
        table: of sites that were not trained on.
        found_m: (T, S, L, 3) as `forecasts_m`.
        damping: of the damped trend.
        where: (T, S) intervals at which forecasts are judged.
    """
    rivals = rivals_m(table, damping)
    lines = []
    for lead, minutes in enumerate(LEADS_MIN):
        target_m = table.target_m[:, :, lead].astype(np.float64)
        chosen = where & np.isfinite(target_m)
        if not chosen.any():
            continue
        truth_m = target_m[chosen]
        low_m, middle_m, high_m = (found_m[:, :, lead, at][chosen].astype(np.float64) for at in range(3))
        errors = {FORECAST: _errors(middle_m, truth_m)}
        errors |= {name: _errors(values[:, :, lead][chosen], truth_m) for name, values in rivals.items()}
        covered = float(np.mean((truth_m >= low_m) & (truth_m <= high_m)))
        lines.append(Judged(minutes, errors, covered, float(np.mean(high_m - low_m))))
    return lines


def after_days(table: Table, days: int) -> NDArray[np.bool_]:
    """(T, S) intervals after a warm-up in which the climatology comes to be known."""
    return np.broadcast_to((np.arange(len(table)) >= days * PER_DAY)[:, None], table.seen_m.shape)


def has_flag(table: Table, name: str) -> NDArray[np.bool_]:
    """(T, S) a flag of the features: has_height, rain, fog or has_cloud."""
    return table.features[:, :, FLAGS[name]] > 0


def _errors(value_m: Float64, truth_m: Float64) -> Errors:
    error = value_m - truth_m
    high = truth_m >= LEAST_M
    mape = float(np.mean(np.abs(error[high]) / truth_m[high])) if high.any() else float("nan")
    rmse = float(np.sqrt(np.mean(error**2)))
    return Errors(len(error), rmse, float(np.mean(np.abs(error))), float(np.mean(error)), mape)
