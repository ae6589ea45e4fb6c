"""Air quality as an operator of the stream: hourly PM2.5 near the ground and its indices, indicative."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.air_quality import operator as hourly
from ipdsf_spark.lidar.air_quality.adapter import interval_of
from ipdsf_spark.lidar.air_quality.mass import AirSettings
from ipdsf_spark.lidar.air_quality.operator import AirRow
from ipdsf_spark.lidar.air_quality.records import record_of
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.site import Site

KIND: Final = "air_quality"


def operator(parameters: Parameters) -> Operator:
    """The operator for intervals of this length.

    Raises:
        ValueError: an hour is no whole number of intervals.
    """
    return Operator(KIND, hourly.STATE_VERSION, _Air(AirSettings(interval_s=parameters.interval_s)))


@dataclass(frozen=True)
class _Air:
    settings: AirSettings

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        if news.has_new_source:
            state = b""  # what another instrument measured says nothing of this one's hour
        closed = [
            interval_of(average, site, interval_s=self.settings.interval_s, wavelength_nm=average.wavelength_nm)
            for average in news.closed
        ]
        found: list[AirRow] = []
        if closed:
            found, state = hourly.step(site, closed, state, self.settings)
        if news.is_silent:
            last, state = hourly.finish(site, state, self.settings)
            found += last
        return [_row(each) for each in found], state


def _row(row: AirRow) -> Row:
    values = record_of(row)
    del values["site"], values["time"]
    return Row(KIND, int(row.time.astype("datetime64[us]").astype(np.int64)), values)
