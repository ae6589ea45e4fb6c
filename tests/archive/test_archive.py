"""The archive without a stream: reading what is there, and saying what is not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ipdsf_spark.archive.parquet import read_products
from ipdsf_spark.errors import InputError

NOON, LATER = pd.Timestamp("2026-06-21 12:00"), pd.Timestamp("2026-06-21 12:05")


def test_an_archive_that_holds_nothing_yet_is_named(tmp_path: Path) -> None:
    (tmp_path / "products").mkdir()

    with pytest.raises(InputError, match=r"no archive of products at .*products"):
        read_products(tmp_path / "products")


def test_of_every_site_and_time_the_newest_revision_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "date=2026-06-21"
    folder.mkdir()
    columns = ["site", "time", "mixing_height_m", "partition", "offset"]
    pd.DataFrame(
        [("oslo", LATER, 900.0, 0, 2), ("oslo", NOON, 800.0, 0, 3), ("ny", NOON, 500.0, 1, 0)], columns=columns
    ).to_parquet(folder / "a.parquet")
    pd.DataFrame([("oslo", NOON, 700.0, 0, 1)], columns=columns).to_parquet(folder / "b.parquet")

    products = read_products(tmp_path)

    assert [(row.site, row.time, row.mixing_height_m) for row in products.itertuples()] == [
        ("ny", NOON, 500.0),
        ("oslo", NOON, 800.0),
        ("oslo", LATER, 900.0),
    ]
