"""Air quality as plain values: one record per site and hour, the same in JSON, CSV and the stream."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import AirFlag, names
from ipdsf_spark.lidar.air_quality.european_index import EuropeanIndex
from ipdsf_spark.lidar.air_quality.operator import AirRow
from ipdsf_spark.lidar.air_quality.us_index import Index
from ipdsf_spark.lidar.products.plain import instant, number, rounded

NOTE: Final = "indicative, estimated from lidar"
NOWCAST_SCHEME: Final = "US EPA AQI of the NowCast"


def record_of(row: AirRow) -> dict[str, Any]:
    """One row as plain values; what is missing is None. Units stand in the names."""
    us, european = row.us, row.european
    return {
        "site": row.site,
        "time": f"{np.datetime_as_string(row.time, unit='s')}Z",
        "pm2p5_ug_m3": None if row.pm2p5 is None else rounded(row.pm2p5, 2),
        "uncertainty_ug_m3": rounded(row.uncertainty, 2),
        "extinction_per_m": None if not np.isfinite(row.extinction) else float(f"{row.extinction:.4g}") + 0.0,
        "relative_humidity": rounded(row.relative_humidity, 3),
        "num_intervals": row.num_intervals,
        "completeness": round(row.num_intervals / row.num_expected, 3),
        "nowcast_pm2p5_ug_m3": None if row.nowcast is None else rounded(row.nowcast, 3),
        "us_aqi": None if us is None else us.value,
        "us_aqi_category": None if us is None else us.category,
        "us_aqi_scheme": None if us is None else NOWCAST_SCHEME,
        "us_aqi_version": None if us is None else us.version,
        "european_aqi": None if european is None else european.level,
        "european_aqi_name": None if european is None else european.name,
        "european_aqi_scheme": None if european is None else european.scheme,
        "european_aqi_version": None if european is None else european.version,
        "provisional": bool(row.flags & AirFlag.PROVISIONAL),
        "quality": names(int(row.flags)),
        "note": NOTE,
    }


def row_of(record: Mapping[str, Any]) -> AirRow:
    """The row that a record of the stream or of the archive tells; the inverse of `record_of`, rounded as that is."""
    mass, cast = number(record["pm2p5_ug_m3"]), number(record["nowcast_pm2p5_ug_m3"])
    us, european = number(record["us_aqi"]), number(record["european_aqi"])
    completeness, num = number(record["completeness"]), int(record["num_intervals"])
    return AirRow(
        site=record["site"],
        time=instant(record["time"]),
        pm2p5=mass if np.isfinite(mass) else None,
        uncertainty=number(record["uncertainty_ug_m3"]),
        extinction=number(record["extinction_per_m"]),
        relative_humidity=number(record["relative_humidity"]),
        num_intervals=num,
        num_expected=round(num / completeness) if completeness > 0 else 1,
        nowcast=cast if np.isfinite(cast) else None,
        us=Index(int(us), record["us_aqi_category"], cast, record["us_aqi_scheme"], record["us_aqi_version"])
        if np.isfinite(us)
        else None,
        european=EuropeanIndex(int(european), record["european_aqi_name"]) if np.isfinite(european) else None,
        flags=AirFlag(sum(int(AirFlag[name.upper()]) for name in record["quality"])),
    )


CSV_COLUMNS: Final = (
    *("site", "time", "pm2p5_ug_m3", "uncertainty_ug_m3", "extinction_per_m", "relative_humidity"),
    *("num_intervals", "completeness", "nowcast_pm2p5_ug_m3", "us_aqi", "us_aqi_category", "us_aqi_scheme"),
    *("us_aqi_version", "european_aqi", "european_aqi_name", "european_aqi_scheme", "european_aqi_version"),
    *("provisional", "quality", "note"),
)


def to_csv(rows: Iterable[AirRow], *, header: bool = True) -> str:
    """The rows as CSV; flags are joined by blanks, missing values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        record = record_of(row)
        writer.writerow([_cell(record[column]) for column in CSV_COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, bool):
        return int(value)
    return "" if value is None else value
