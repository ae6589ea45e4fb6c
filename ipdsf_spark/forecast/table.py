"""Series walked through by `Memory`: what the network is given and what it shall say, for training and judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.memory import NUM_FEATURES, PER_DAY, Memory, sun_features
from ipdsf_spark.forecast.series import LEAD_STEPS, Series

NUM_LEADS: Final = len(LEAD_STEPS)


@dataclass(frozen=True, eq=False)
class Table:
    """T intervals of S sites as the network meets them.

    Attributes:
        start: number of the first interval since 1970.
        features: (T, S, F).
        last_m: (T, S) persistence.
        usual_m: (T, S, L) climatology.
        yesterday_m: (T, S, L) a day before the lead, NaN where not known.
        target_m: (T, S, L) what was to be foretold, NaN where not known.
        seen_m: (T, S) heights as they were seen, NaN where none.
    """

    start: int
    features: NDArray[np.float16]
    last_m: NDArray[np.float32]
    usual_m: NDArray[np.float32]
    yesterday_m: NDArray[np.float32]
    target_m: NDArray[np.float32]
    seen_m: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.features)

    @property
    def num_sites(self) -> int:
        """Number of sites."""
        return int(self.features.shape[1])


def table_of(series: Series, on_step: Callable[[int], None] = lambda num: None) -> Table:
    """Walk through all intervals.

    Args:
        series: S sites.
        on_step: told a number of intervals as they are done.
    """
    num, sites = series.target_m.shape
    features = np.empty((num, sites, NUM_FEATURES), np.float16)
    last_m = np.empty((num, sites), np.float32)
    usual_m = np.empty((num, sites, NUM_LEADS), np.float32)
    yesterday_m = np.empty((num, sites, NUM_LEADS), np.float32)
    memory = Memory(series.latitude_deg, series.longitude_deg)
    for at in range(num):
        if at % PER_DAY == 0:
            days = series.start + at + np.arange(PER_DAY)
            suns = sun_features(days, series.latitude_deg, series.longitude_deg)
        told = memory.step(series.start + at, series.observed.at(at), suns[at % PER_DAY])
        features[at], last_m[at] = told.features, told.last_m
        usual_m[at], yesterday_m[at] = told.usual_m, told.yesterday_m
        if at % PER_DAY == PER_DAY - 1:
            on_step(PER_DAY)
    target_m = np.full((num, sites, NUM_LEADS), np.nan, np.float32)
    for lead, steps in enumerate(LEAD_STEPS):
        if steps < num:
            target_m[: num - steps, :, lead] = series.target_m[steps:]
    seen_m = series.observed.height_m.astype(np.float32)
    return Table(series.start, features, last_m, usual_m, yesterday_m, target_m, seen_m)
