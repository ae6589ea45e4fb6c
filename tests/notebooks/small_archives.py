"""Archives that a stream would have written, made by its stages without Spark and Kafka: small, and quickly."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ipdsf_spark.archive.averages import to_message
from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.tables import (
    AVERAGES,
    AVERAGES_SCHEMA,
    PARTITION,
    PRODUCTS,
    PRODUCTS_SCHEMA,
    Record,
    average_rows,
    file_schema,
    product_rows,
)
from ipdsf_spark.config import load
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.averages.column import Cells
from ipdsf_spark.lidar.simulator import FileBank, draw_plan, simulate, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.network_columns import Columns
from ipdsf_spark.stream.network_query import product_of
from ipdsf_spark.stream.network_stage import Arrived, NetworkSettings, NetworkStage
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Record as StageRecord
from ipdsf_spark.tensor import TensorSettings

DAY = "2026-06-15"
SENT_MS = 1_781_568_000_000  # the evening of the next day
OPERATORS = 'stream.operators=["layers", "air_quality", "targets", "edges", "forecast"]'
MUNICH = Site("munich", 48.15, 11.57, 539.0, instrument="Vaisala CL51")


def write(directory: Path, products: Iterable[Record], averages: Iterable[Record]) -> None:
    """Both tables, in one transaction each."""
    tables = (
        (PRODUCTS, PRODUCTS_SCHEMA, product_rows(list(products))),
        (AVERAGES, AVERAGES_SCHEMA, average_rows(list(averages))),
    )
    for name, schema, (by_day, faults) in tables:
        assert faults == []
        table = directory / name
        adds = [write_file(table, rows, file_schema(schema), {PARTITION: day}) for day, rows in by_day.items()]
        commit(table, schema=schema, partition_columns=[PARTITION], adds=adds, transactions={}, operation="WRITE")


def archive_of_a_site(directory: Path) -> None:
    """A day of a simulated CL51 near Munich, through decoder and stage of the stream."""
    day = simulate_day(MUNICH, DAY, rng=np.random.default_rng(7), scenario="mixed", instrument="cl51", cadence_s=60.0)
    bank = FileBank([day], minutes=10)
    stage, decoder = stage_of(load(overrides=[OPERATORS])), Decoder({MUNICH.id: MUNICH}, 300, 10**6)
    starts = np.arange(f"{DAY}T00:00", f"{DAY}T23:59", 10, dtype="datetime64[m]")
    pieces = [
        Piece.from_bytes(
            decoder.row_of(MUNICH.id, bank.file(MUNICH.id, 0, start).raw, "", SENT_MS, SENT_MS, None, "f", 0, n)[1]
        )
        for n, start in enumerate(starts)
    ]
    held = b""
    records: list[StageRecord] = []
    for part in (pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]):
        outcome = stage.step(MUNICH, part, held)
        assert outcome.state is not None
        held, records = outcome.state.to_bytes(), [*records, *outcome.records]
    kept = [
        (record.kind, Record(record.key, record.value, SENT_MS, 0, offset))
        for offset, record in enumerate(records)
        if record.kind not in ("site", "quarantine")
    ]
    write(
        directory,
        (record for kind, record in kept if kind != "averages"),
        (record for kind, record in kept if kind == "averages"),
    )


def archive_of_a_network(directory: Path) -> None:
    """Sixteen hours of five stations around Munich under one weather, and the table of sites beside the archive."""
    start = np.datetime64(f"{DAY}T00:00", "us")
    times = start + (np.arange(192) * 300_000_000).astype("timedelta64[us]")
    plan = draw_plan(np.random.default_rng(3), "clear")
    sites = {
        name: Site(name, 48.15 + 0.25 * np.cos(number), 11.57 + 0.4 * np.sin(number), 500.0, instrument="Vaisala CL31")
        for number, name in enumerate(("berg", "dorf", "feld", "stadt", "wald"))
    }
    settings = NetworkSettings(tensor=TensorSettings(rank=2, warm_up=36), cells=Cells(num=20))
    columns, messages = Columns(sites, 300, settings.cells), []
    for number, (name, site) in enumerate(sites.items()):
        rng = np.random.default_rng(number)
        made = simulate(site, times, rng=rng, cadence_s=300.0, noise=0.02, plan=lambda _: plan)
        messages += [
            (f"{name}|{average.index}".encode(), to_message(name, average, interval_s=300))
            for average in averages_of(made.profiles, 300)
        ]
    rows = [columns.row_of(key, value, SENT_MS * 1000, 0, offset) for offset, (key, value) in enumerate(messages)]
    assert not [row for row in rows if row[7]]
    stage = NetworkStage(settings)
    arrived = [Arrived(row[0], row[1], np.frombuffer(row[2], np.float32), *row[3:7]) for row in rows]
    products = [product_of(row, "products") for row in stage.step(arrived).rows]
    write(
        directory,
        (Record(each.key, each.value, SENT_MS, 0, offset) for offset, each in enumerate(products)),
        (Record(key, value, SENT_MS, 0, offset) for offset, (key, value) in enumerate(messages)),
    )
    tables = (f"[{each.id}]\nlatitude_deg = {each.latitude_deg:.3f}\nlongitude_deg = {each.longitude_deg:.3f}\n"
              for each in sites.values())  # fmt: skip
    (directory / "sites.toml").write_text("\n".join(tables), encoding="utf-8")
