"""Which rows of a day are the newest of their key, in windows of time, so that memory does not grow with the day."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ipdsf_spark.archive.delta.log import DataFile
from ipdsf_spark.archive.page_checksums import CHECKED

ROWS_AT_ONCE: Final = 300_000  # about 50 MB of keys
COLUMNS: Final = ["key", "published", "offset", "time"]
BEGINNING, END = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Group:
    """A row group of a file.

    Attributes:
        number: of the group in its file.
        first_row: its place among the rows of all files.
        low_us, high_us: times that its rows have [us since 1970]; everything, where the file does not say.
    """

    path: Path
    number: int
    first_row: int
    low_us: int
    high_us: int


def newest_rows(directory: Path, held: Sequence[DataFile], *, at_once: int = ROWS_AT_ONCE) -> NDArray[np.bool_]:
    """Which rows of the files, one after the other, are the newest of their key.

    The newest revision is the one that Kafka took last. All revisions of a key have one time, which is part of it.

    Args:
        directory: of the table.
        held: files of one day.
        at_once: rows whose keys are compared at once, about.

    Raises:
        OSError, pyarrow.ArrowException: a file cannot be read.
    """
    groups, num_rows = _groups(directory, held)
    chosen = np.zeros(num_rows, bool)
    for low_us, high_us in _windows(groups, math.ceil(num_rows / at_once)):
        parts = [
            _rows(group, low_us, high_us) for group in groups if group.low_us < high_us and group.high_us >= low_us
        ]
        if parts:
            rows = np.concatenate([part[0] for part in parts])
            chosen[rows[_newest(pa.concat_tables([part[1] for part in parts]))]] = True
    return chosen


def _groups(directory: Path, held: Sequence[DataFile]) -> tuple[list[_Group], int]:
    groups: list[_Group] = []
    num_rows = 0
    for file in held:
        path = directory / file.path
        with pq.ParquetFile(path, **CHECKED) as parquet:
            index = parquet.schema_arrow.get_field_index("time")
            for number in range(parquet.metadata.num_row_groups):
                about = parquet.metadata.row_group(number)
                told = about.column(index).statistics if parquet.schema.column(index).path == "time" else None
                groups.append(_Group(path, number, num_rows, *_span(told)))
                num_rows += about.num_rows
    return groups, num_rows


def _span(told: pq.Statistics | None) -> tuple[int, int]:
    if told is None or not told.has_min_max or told.null_count is None:
        return BEGINNING, END
    low, high = (int(np.datetime64(each.replace(tzinfo=None), "us").astype(np.int64)) for each in (told.min, told.max))
    return (BEGINNING if told.null_count else low), high


def _windows(groups: Sequence[_Group], num: int) -> Iterator[tuple[int, int]]:
    """Spans of time [us], begin included, that hold every row once."""
    told = [us for group in groups for us in (group.low_us, group.high_us) if BEGINNING < us < END]
    inner = np.linspace(min(told), max(told), num + 1)[1:-1].astype(np.int64).tolist() if told and num > 1 else []
    edges = [BEGINNING, *inner, END]
    yield from itertools.pairwise(edges)


def _rows(group: _Group, low_us: int, high_us: int) -> tuple[NDArray[np.int64], pa.Table]:
    """Places and keys of the rows of a group that lie in a window; those without a time lie in the first."""
    with pq.ParquetFile(group.path, **CHECKED) as parquet:
        table = parquet.read_row_group(group.number, columns=COLUMNS)
    time_us = table.column("time").cast(pa.int64()).fill_null(BEGINNING).to_numpy()
    is_here = (time_us >= low_us) & (time_us < high_us)
    return group.first_row + np.flatnonzero(is_here), table.select(COLUMNS[:-1]).filter(pa.array(is_here))


def _newest(keys: pa.Table) -> NDArray[np.int64]:
    codes = keys.column("key").combine_chunks().dictionary_encode()
    numbers = np.asarray(codes.indices if not isinstance(codes, pa.ChunkedArray) else codes.chunk(0).indices)
    published = keys.column("published").cast(pa.int64()).to_numpy()
    order = np.lexsort((keys.column("offset").to_numpy(), published, numbers))
    is_last = np.append(numbers[order][1:] != numbers[order][:-1], True) if len(order) else np.zeros(0, bool)
    newest: NDArray[np.int64] = order[is_last]
    return newest
