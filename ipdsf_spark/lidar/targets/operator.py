"""Targets as an operator of the stream: the classes of every complete interval on its blocks of about 50 m."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.averages.average import Average
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.column import column_of_averages
from ipdsf_spark.lidar.targets.records import values_of
from ipdsf_spark.lidar.targets.rules import classify

KIND: Final = "targets"
VERSION: Final = 1
SECOND_US: Final = 1_000_000


def operator(parameters: Parameters) -> Operator:
    """The operator for intervals of this length. It remembers nothing."""
    return Operator(KIND, VERSION, _Targets(parameters.interval_s))


@dataclass(frozen=True)
class _Targets:
    interval_s: int

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        return [self._row(site, average) for average in news.closed if average.block_total.size], b""

    def _row(self, site: Site, average: Average) -> Row:
        column = column_of_averages([average], site, interval_s=self.interval_s)
        values = values_of(column, classify(column), 0)
        bases_m = average.cloud_base_m
        values["maker_cloud_base_m"] = round(float(np.median(bases_m)), 1) if bases_m.size else None
        values["num_profiles"] = average.num_profiles
        return Row(KIND, average.index * self.interval_s * SECOND_US, values)
