"""A site's own line from the estimate to what a monitor beside it measured, judged on days that it has not seen.

The line is fitted by Huber's loss (Huber 1964, Ann. Math. Stat. 35, 73) with iterated weights, so that a bonfire beside
the monitor does not turn it; beside it stands the least-squares line. Both are judged by cross-validation over blocks
of whole days: neighbouring hours are so alike that a random split would only measure persistence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.air_quality.making import Making
from ipdsf_spark.lidar.profiles import Float64, Time

HUBER: Final = 1.345  # 95 % of the efficiency of least squares on Gaussian residuals
SIGMA_PER_MAD: Final = 1.4826
LEAST_HOURS: Final = 48
LEAST_BLOCKS: Final = 3
MOST_FOLDS: Final = 10
FORMAT: Final = 1
NUMBERS: Final = ("intercept", "slope", "r2", "rmse", "mae", "lowest", "highest")


@dataclass(frozen=True)
class SiteLine:
    """monitor = intercept + slope x estimate [µg/m3].

    Attributes:
        intercept, slope: of the line.
        num_hours: that it was fitted to.
        r2: squared correlation of estimate and monitor.
        rmse: of blocked cross-validation [µg/m3].
        mae: of blocked cross-validation [µg/m3].
        lowest, highest: range of the estimate in the fit [µg/m3].
        first, last: hours of the fit, UTC.
        made_of: how the estimates were made; None where the file does not say it.
    """

    intercept: float
    slope: float
    num_hours: int
    r2: float
    rmse: float
    mae: float
    lowest: float
    highest: float
    first: str
    last: str
    made_of: Making | None = None

    def at(self, estimate: float) -> float:
        """The line's value for an estimate [µg/m3]."""
        return self.intercept + self.slope * estimate

    def to_json(self, site: str) -> str:
        """The line as a file that `from_json` reads."""
        return json.dumps({"format": FORMAT, "site": site, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SiteLine:
        """The inverse of `to_json`.

        Raises:
            ValueError: the text is no such file.
        """
        try:
            read: dict[str, Any] = json.loads(text)
            if read["format"] != FORMAT:
                raise ValueError(f"regression of format {read['format']}, this is format {FORMAT}")
            line = cls(
                num_hours=int(read["num_hours"]),
                first=str(read["first"]),
                last=str(read["last"]),
                made_of=None if read.get("made_of") is None else Making.from_values(read["made_of"]),
                **{name: float(read[name]) for name in NUMBERS},
            )
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"not a regression written by ipdsf air fit: {error!r}") from error
        if not np.isfinite([line.intercept, line.slope, line.rmse]).all():
            raise ValueError("regression without numbers: intercept, slope and rmse must be finite")
        return line


@dataclass(frozen=True)
class Judged:
    """A method's errors on days it was not fitted to [µg/m3]."""

    name: str
    mae: float
    rmse: float
    bias: float


def least_squares(x: Float64, y: Float64) -> tuple[float, float]:
    """Intercept and slope of the least-squares line; slope 0 where all x are alike."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ (y - y.mean())) / spread if spread > 0.0 else 0.0
    return float(y.mean()) - slope * float(x.mean()), slope


def robust_line(x: Float64, y: Float64, iterations: int = 30) -> tuple[float, float]:
    """Intercept and slope by Huber's loss."""
    intercept, slope = least_squares(x, y)
    for _ in range(iterations):
        residual = y - intercept - slope * x
        scale = SIGMA_PER_MAD * float(np.median(np.abs(residual - np.median(residual))))
        if scale <= 0.0:
            break
        weight = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(residual), 1e-300))
        middle_x, middle_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = float(np.sum(weight * (x - middle_x) ** 2))
        new_slope = float(np.sum(weight * (x - middle_x) * (y - middle_y))) / spread if spread > 0.0 else 0.0
        new_intercept = float(middle_y - new_slope * middle_x)
        is_settled = abs(new_slope - slope) <= 1e-10 * (abs(slope) + 1e-10)
        intercept, slope = new_intercept, new_slope
        if is_settled:
            break
    return intercept, slope


def blocks_of(time: Time, num_folds: int = MOST_FOLDS) -> Float64:
    """(N,) fold of each hour: runs of whole days, as many in each fold.

    Raises:
        ValueError: the hours lie on fewer than three days.
    """
    day = time.astype("datetime64[D]").astype(np.int64)
    days = np.unique(day)
    if days.size < LEAST_BLOCKS:
        raise ValueError(f"{days.size} day(s) of common hours; cross-validation needs at least {LEAST_BLOCKS}")
    folds = min(num_folds, days.size)
    return np.asarray(np.searchsorted(days, day) * folds // days.size, np.float64)


Predictor = Callable[[Float64], Float64]
Fitter = Callable[[Float64, Float64], Predictor]


def cross_validated(name: str, fit: Fitter, x: Float64, y: Float64, fold: Float64) -> Judged:
    """Errors of `fit` on each fold, fitted to the others.

    Args:
        name: of the method.
        fit: from predictors (n, ...) and values (n,) to a function of predictors.
        x: (N, ...) predictors.
        y: (N,) what the monitor measured.
        fold: (N,) from `blocks_of`.
    """
    error = np.empty(y.size)
    for number in np.unique(fold):
        out = fold == number
        error[out] = fit(x[~out], y[~out])(x[out]) - y[out]
    return Judged(name, float(np.abs(error).mean()), float(np.sqrt(np.mean(error**2))), float(error.mean()))


def by_line(line: Callable[[Float64, Float64], tuple[float, float]]) -> Fitter:
    """A line's fit as a `Fitter` on the estimate alone, the first column where there are several."""

    def fit(x: Float64, y: Float64) -> Predictor:
        def estimate(of: Float64) -> Float64:
            return of if of.ndim == 1 else np.asarray(of[:, 0])

        intercept, slope = line(estimate(x), y)
        return lambda new: np.asarray(intercept + slope * estimate(new))

    return fit


def fit_site(time: Time, estimate: Float64, monitor: Float64) -> tuple[SiteLine, list[Judged]]:
    """The site's robust line, and what it and its rivals err on unseen days.

    Args:
        time: (N,) hours, UTC.
        estimate: (N,) hourly means without regression [µg/m3].
        monitor: (N,) hourly means of a monitor [µg/m3].

    Raises:
        ValueError: fewer than 48 common hours on three days, an estimate or a monitor that does not vary, or a monitor
            that falls where the estimate rises.
    """
    is_common = np.isfinite(estimate) & np.isfinite(monitor)
    time, x, y = time[is_common], estimate[is_common], monitor[is_common]
    if x.size < LEAST_HOURS:
        raise ValueError(f"{x.size} hours have both an estimate and a monitor's value; a fit needs {LEAST_HOURS}")
    if not np.ptp(x) > 0.0:
        raise ValueError("the estimate is the same in all hours: there is nothing to fit a line to")
    if not np.ptp(y) > 0.0:
        raise ValueError("the monitor says the same in all hours: there is nothing to fit a line to")
    fold = blocks_of(time)
    judged = [
        cross_validated(
            "constant (mean of the monitor)", lambda _, v: lambda new: np.full(len(new), v.mean()), x, y, fold
        ),
        cross_validated("estimate without regression", lambda _, __: lambda new: new, x, y, fold),
        cross_validated("line, least squares", by_line(least_squares), x, y, fold),
        cross_validated("line, robust", by_line(robust_line), x, y, fold),
    ]
    intercept, slope = robust_line(x, y)
    if slope <= 0.0:
        raise ValueError(
            f"the monitor's values fall where the estimates rise (slope {slope:.2g}), as no mass of particles does; "
            "are its times, unit and column right?"
        )
    own = judged[-1]
    r2 = float(np.corrcoef(x, y)[0, 1] ** 2)
    first, last = (str(stamp.astype("datetime64[h]")) + ":00Z" for stamp in (time.min(), time.max()))
    line = SiteLine(intercept, slope, int(x.size), r2, own.rmse, own.mae, float(x.min()), float(x.max()), first, last)
    return line, judged
