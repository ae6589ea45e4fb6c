"""The newest revision of every key, whatever the number of rows that are looked at together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.archive import revisions
from ipdsf_spark.archive.delta.log import DataFile
from ipdsf_spark.archive.revisions import newest_rows

MIDNIGHT = datetime(2026, 6, 21, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
SCHEMA = pa.schema([("key", pa.string()), ("time", INSTANT), ("published", INSTANT), ("offset", pa.int64())])
Row = tuple[str, int | None, int, int]  # site, minute of the day, second of Kafka, offset

ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.none() | st.integers(0, 1439), st.integers(0, 4), st.integers(0, 10**6)
    ),
    max_size=40,
    unique_by=lambda row: row[3],
)  # fmt: skip


def written(folder: Path, files: list[list[Row]], *, rows_per_group: int) -> list[DataFile]:
    held = []
    for number, rows in enumerate(files):
        times = [None if minute is None else MIDNIGHT + timedelta(minutes=minute) for _, minute, _, _ in rows]
        table = pa.table(
            [
                [f"{site}|layers|{time}" for (site, *_), time in zip(rows, times, strict=True)],
                times,
                [MIDNIGHT + timedelta(seconds=second) for _, _, second, _ in rows],
                [offset for *_, offset in rows],
            ],
            schema=SCHEMA,
        )
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=rows_per_group)
        held.append(DataFile(f"{number}.parquet", {}, 0, 0, len(rows)))
    return held


@given(st.lists(ROWS, min_size=1, max_size=3), st.integers(1, 50), st.integers(1, 8))
def test_every_key_has_one_newest_row_however_many_are_compared_at_once(
    files: list[list[Row]], at_once: int, rows_per_group: int
) -> None:
    with TemporaryDirectory() as folder:
        held = written(Path(folder), files, rows_per_group=rows_per_group)

        chosen = newest_rows(Path(folder), held, at_once=at_once)

    rows = [row for each in files for row in each]
    newest: dict[tuple[str, int | None], tuple[int, int]] = {}
    for site, minute, second, offset in rows:
        newest[site, minute] = max(newest.get((site, minute), (-1, -1)), (second, offset))
    found = {rows[n][:2]: rows[n][2:] for n in chosen.nonzero()[0]}
    assert len(chosen) == len(rows)
    assert found == newest
    assert chosen.sum() == len(newest)


def test_of_a_day_of_many_rows_only_a_window_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [("a", minute, 0, minute) for minute in range(1440)]
    held = written(tmp_path, [rows], rows_per_group=60)
    sizes = []
    newest = revisions._newest
    monkeypatch.setattr(revisions, "_newest", lambda keys: (sizes.append(keys.num_rows), newest(keys))[1])

    assert newest_rows(tmp_path, held, at_once=100).all()
    assert len(sizes) == 15
    assert max(sizes) <= 100
