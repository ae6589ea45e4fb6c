"""Records of the averages topic as cells of a network, for `mapInArrow`: a guarded loop around the lidar room's cells.

Whatever a record holds ends as a row: cells, or the reason why there are none and the record's value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ipdsf_spark.archive.averages import from_message
from ipdsf_spark.lidar.averages.column import MAJORITY, Cells, ClearProfile, column_of
from ipdsf_spark.lidar.layers import screening
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import site_named

logger = logging.getLogger(__name__)

READ: Final = ("key", "value", "published_us", "partition", "offset")
RESULT: Final = pa.schema(
    [
        ("index", pa.int64()),
        ("site", pa.string()),
        ("cells", pa.binary()),
        ("source", pa.string()),
        ("published_us", pa.int64()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("reason", pa.string()),
        ("value", pa.binary()),
    ]
)


@dataclass(frozen=True)
class Columns:
    """Pickled once per query: records of averages to rows of `RESULT`.

    Args:
        sites: known sites, `default` included where there is one.
        interval_s: length of an interval of this network [s].
        cells: of a site in a slice.
    """

    sites: Mapping[str, Site]
    interval_s: int
    cells: Cells

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row for every record, in order."""
        for batch in batches:
            columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in READ]
            rows = [self.row_of(*record) for record in zip(*columns, strict=True)]
            arrays = zip(*rows, strict=True) if rows else ((),) * len(RESULT)
            yield pa.RecordBatch.from_arrays(
                [pa.array(values, field.type) for values, field in zip(arrays, RESULT, strict=True)], schema=RESULT
            )

    def row_of(
        self, key: bytes | None, value: bytes | None, published_us: int, partition: int, offset: int
    ) -> tuple[Any, ...]:
        """One record. Raises nothing."""
        where = (published_us, partition, offset)
        site_id = (key or b"").decode("utf-8", "replace").partition("|")[0]
        try:
            index, site_id, cells, source = self._cells_of(value or b"")
        except Exception as error:
            logger.warning("average at partition %d, offset %d: %s", partition, offset, error)
            reason = f"no average of a network: {type(error).__name__}: {error}"[:500]
            return (0, site_id, b"", "", *where, reason, value or b"")
        return (index, site_id, cells, source, *where, "", None)

    def _cells_of(self, value: bytes) -> tuple[int, str, bytes, str]:
        """Interval, site, cells and source.

        Raises:
            ValueError: it is no average, or one of another network.
            ConfigError: the site is not known.
        """
        batch = from_message(value)
        batch.validate(full=True)
        if batch.num_rows != 1:
            raise ValueError(f"{batch.num_rows} rows where one is expected")

        def one(name: str) -> Any:
            return batch.column(name)[0].as_py()

        interval_s, start, num = one("interval_s"), one("start"), one("num_profiles") or 0
        if interval_s != self.interval_s:
            raise ValueError(f"an interval of {interval_s} s in a network of {self.interval_s} s")
        if not isinstance(start, datetime) or num < 1:
            raise ValueError("an average without a time or without a profile")
        site = site_named(self.sites, one("site") or "")
        instrument = one("instrument") or ""
        factor, _ = screening.calibration(instrument, site.calibration, is_calibrated=bool(one("is_calibrated")))
        beta = batch.column("beta_clear")[0]
        clipped = [height for height in one("clipped_from_m") or [] if height is not None]
        profile = ClearProfile(
            beta=np.array(beta.values.to_numpy(zero_copy_only=False), np.float64) if beta.is_valid else np.empty(0),
            first_m=one("gate_first_m") or 0.0,
            gate_m=one("gate_length_m") or 0.0,
            tilt_deg=one("tilt_deg") or 0.0,
            noise_at_unit_range=one("noise_at_unit_range") or 0.0,
            factor=factor,
            lowest_m=screening.min_height_m(instrument, site.min_height_m),
            clipped_from_m=min(clipped, default=float("inf")),
            is_wet=max(one("num_fog") or 0, one("num_precipitation") or 0) >= MAJORITY * num,
        )
        index = int(start.timestamp()) // interval_s
        return index, site.id, column_of(profile, self.cells).tobytes(), f"{instrument} {one('identity') or ''}".strip()
