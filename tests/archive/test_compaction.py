"""Upkeep of the tables: compaction changes no row, and only what no version needs is removed, after its retention."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from records import NOON_MS, average, product, record
from written_tables import append

from ipdsf_spark.archive import upkeep
from ipdsf_spark.archive.delta.log import snapshot
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.inspection import inspect
from ipdsf_spark.archive.reading import files, read_averages, read_newest, read_products, read_revisions
from ipdsf_spark.archive.tables import (
    AVERAGES_SCHEMA,
    NEWEST,
    PARTITION,
    PRODUCTS,
    PRODUCTS_SCHEMA,
    file_schema,
    product_rows,
)
from ipdsf_spark.archive.upkeep import compact
from ipdsf_spark.cli.main import main
from ipdsf_spark.errors import InputError


def test_a_file_that_is_large_enough_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        append(tmp_path, record(product("oslo", 5 * number, 700.0), offset=number))
    sizes = sorted(file.size for file in snapshot(tmp_path / PRODUCTS).files.values())
    monkeypatch.setattr(upkeep, "TARGET_BYTES", 2 * sizes[0])  # no file is smaller than half of it

    done = compact(tmp_path, keep_h=168)

    assert (done.num_joined, done.num_written) == (0, 0)


def test_compaction_changes_no_row_and_makes_the_newest_view(tmp_path: Path) -> None:
    for number in range(6):
        revised = record(product("oslo", 0, 700.0 + number), offset=100 + number, published_ms=NOON_MS + number)
        append(tmp_path, record(product("oslo", 1440 * (number % 2), 700.0 + number), offset=number), revised)
        append(tmp_path, record(average("oslo", 5 * number), offset=number), schema=AVERAGES_SCHEMA)
    before = read_revisions(tmp_path)
    averages = read_averages(tmp_path)

    done = compact(tmp_path, keep_h=168)

    assert (done.num_written, done.num_days, done.num_removed) == (3, 2, 0)
    assert len(files(tmp_path)) == 2
    pd.testing.assert_frame_equal(read_revisions(tmp_path), before)
    pd.testing.assert_frame_equal(read_averages(tmp_path), averages)
    newest = read_newest(tmp_path)
    assert sorted(newest["mixing_height_m"]) == sorted(read_products(tmp_path)["mixing_height_m"]) == [705.0, 705.0]
    again = compact(tmp_path, keep_h=168)
    assert (again.num_written, again.num_days) == (0, 0)


def test_files_that_no_version_names_are_removed_only_after_their_retention(tmp_path: Path) -> None:
    for number in range(3):
        append(tmp_path, record(product("oslo", 5 * number, 700.0), offset=number))
    replaced = files(tmp_path)
    orphan = tmp_path / PRODUCTS / "date=2026-06-21" / "part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"")

    compact(tmp_path, keep_h=1)
    assert all(Path(path).exists() for path in [*replaced, orphan])
    hour_ago = NOON_MS / 1000 - 7_200 * 24 * 365
    for path in [*replaced, orphan]:
        os.utime(path, (hour_ago, hour_ago))
    compact(tmp_path, keep_h=1)
    assert all(Path(path).exists() for path in replaced)  # they left the table just now
    assert not orphan.exists()
    compact(tmp_path, keep_h=0)
    assert not any(Path(path).exists() for path in replaced)
    assert len(read_products(tmp_path)) == 3


def test_a_file_whose_commit_is_coming_survives_the_shortest_retention(tmp_path: Path) -> None:
    append(tmp_path, record(product("oslo", 0, 700.0), offset=0))
    folder, columns = tmp_path / PRODUCTS, file_schema(PRODUCTS_SCHEMA)
    rows = product_rows([record(product("oslo", 5, 800.0), offset=1)])[0]["2026-06-21"]
    coming = write_file(folder, rows, columns, {PARTITION: "2026-06-21"})

    compact(tmp_path, keep_h=0)  # by hand, beside an archiver between its file and its commit

    commit(folder, schema=PRODUCTS_SCHEMA, partition_columns=[PARTITION], adds=[coming])
    assert read_products(tmp_path)["mixing_height_m"].tolist() == [700.0, 800.0]


def test_a_file_damaged_inside_is_named_and_compaction_goes_on_with_the_other_days(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        append(tmp_path, record(product("oslo", 1440 * (number % 2), 700.0 + number), offset=number))
    damaged = Path(files(tmp_path)[0])
    raw = damaged.read_bytes()
    damaged.write_bytes(raw[:100] + bytes(400) + raw[500:])
    words = ["--directory", str(tmp_path)]

    assert main(["archive", "compact", *words]) == 1
    told = capsys.readouterr().out
    assert "joined 2 files into 1, made 1 day(s)" in told
    assert f"damaged: {damaged} cannot be read" in told
    assert main(["archive", "inspect", *words]) == 0  # the ends of the files are whole
    assert main(["archive", "inspect", "--whole", *words]) == 1
    assert f"damaged: {damaged} cannot be read" in capsys.readouterr().out
    with pytest.raises(InputError, match="archive rebuild"):
        read_products(tmp_path)


def test_the_newest_view_is_a_table_like_the_others(tmp_path: Path) -> None:
    append(tmp_path, record(product("oslo", 5, 800.0), offset=1))
    compact(tmp_path, keep_h=1)

    assert {table.name for table in inspect(tmp_path)} == {PRODUCTS, NEWEST}
    (tmp_path / NEWEST / next(iter(snapshot(tmp_path / NEWEST).files))).write_bytes(b"")
    assert ["has 0 bytes, not" in problem for table in inspect(tmp_path) for problem in table.problems] == [True]
