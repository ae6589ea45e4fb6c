"""Tables written commit by commit, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.archive.delta.log import snapshot
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.reading import read_products
from ipdsf_spark.archive.tables import (
    AVERAGES,
    PARTITION,
    PRODUCTS,
    PRODUCTS_SCHEMA,
    Record,
    average_rows,
    file_schema,
    product_rows,
)


def append(directory: Path, *records: Record, writer: str = "w", schema: pa.Schema = PRODUCTS_SCHEMA) -> None:
    """One commit of these records."""
    name, rows = (PRODUCTS, product_rows) if schema is PRODUCTS_SCHEMA else (AVERAGES, average_rows)
    folder = directory / name
    before = snapshot(folder).transactions.get(writer, 0)
    by_day, faults = rows(records)
    assert not faults
    adds = [write_file(folder, batches, file_schema(schema), {PARTITION: day}) for day, batches in by_day.items()]
    commit(folder, schema=schema, partition_columns=[PARTITION], adds=adds,
           transactions={writer: (before, before + len(records))})  # fmt: skip


def heights(directory: Path) -> dict[str, float]:
    found = read_products(directory)
    return {f"{row.site} {row.time:%H:%M}": row.mixing_height_m for row in found.itertuples()}


def read_file_heights(path: Path) -> list[float]:
    rows: list[float] = pq.read_table(path, columns=["mixing_height_m"], partitioning=None)[0].to_pylist()
    return rows
