"""Total time and latency of 18,000 files at 200 per second against the number of consumers.

The presentation shows the total time only. Its floor is the time of sending, 90 s by construction, so what tells the
sides apart is the excess over it and the latency of a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.experiments import live
from ipdsf_spark.experiments.arithmetic import excess_s, floor_s, speed_up
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.result import Claim, Found, Table

CONSUMERS: Final = "consumers"
STREAM: Final = "stream"
SIDES: Final = (CONSUMERS, STREAM)
NEARLY_LINEAR: Final = 0.8  # of the speed-up that as many consumers would give
AT_FLOOR: Final = 0.05  # of the floor: closer cannot be told from the sending


@dataclass(frozen=True)
class LatencySettings:
    """What is measured."""

    files: int = 18_000
    files_per_s: float = 200.0
    consumers: tuple[int, ...] = (1, 2, 4)
    sides: tuple[str, ...] = SIDES
    sites: int = 3_000
    partitions: int = 50
    warm_up_s: float = 20.0
    limit: float = 3.0  # times the floor, after which a run ends with what it has done


@dataclass(frozen=True)
class LatencyRow:
    """One run.

    Attributes:
        side: plain consumers in a group, or the streaming job with as many task slots.
        consumers: how many.
        files: sent.
        processed: of these.
        total_s: first file sent to last one processed; NaN if they were not all processed in the time given.
        excess_s: of it, beyond the time of sending.
        p50_s, p90_s, p99_s: from send to product, of single files.
        cpu_ms_per_file: of all processes of the side.
    """

    side: str
    consumers: int
    files: int
    processed: int
    total_s: float
    excess_s: float
    p50_s: float
    p90_s: float
    p99_s: float
    cpu_ms_per_file: float


def measure(settings: LatencySettings, bench: Bench) -> Found:
    """Run by run."""
    rows: list[LatencyRow] = []
    with bench.kafka() as kafka:
        for side in settings.sides:
            for consumers in settings.consumers:
                rows.append(_run(settings, bench, kafka.bootstrap_servers, kafka.pids, side, consumers))
                bench.say(_line(rows[-1], settings))
    title = f"{settings.files:,} files at {settings.files_per_s:g} per second, {settings.partitions} partitions"
    return Found((Table.of("latency", title, rows, kind=LatencyRow),))


def _run(
    settings: LatencySettings, bench: Bench, bootstrap: str, broker: frozenset[int], side: str, consumers: int
) -> LatencyRow:
    config, overrides = bench.topics(f"latency.{side}{consumers}", bootstrap, partitions=settings.partitions)
    load = live.Load(
        bench.bank(),
        settings.sites,
        settings.files_per_s,
        settings.files,
        int(settings.warm_up_s * settings.files_per_s),
        settings.limit * floor_s(settings.files, settings.files_per_s) + settings.warm_up_s,
    )
    with bench.counting(settings.files, f"{side} {consumers}") as say:
        if side == CONSUMERS:
            found = live.by_consumers(config, overrides, load, consumers, say=say)
        else:
            found = live.by_stream(config, load, consumers, without=broker, say=say)
    bench.drop(config)
    return LatencyRow(
        side,
        consumers,
        settings.files,
        found.processed,
        found.total_s,
        excess_s(found.total_s, settings.files, settings.files_per_s),
        found.latency.p50_s,
        found.latency.p90_s,
        found.latency.p99_s,
        1000.0 * found.cpu_s / found.processed if found.processed else math.nan,
    )


def claims(settings: LatencySettings, tables: Sequence[Table]) -> tuple[Claim, ...]:
    """What the presentation says of it."""
    rows = [row for row in tables[0].as_rows(LatencyRow) if row.side == CONSUMERS]
    said = "the total time is almost linearly reduced as the number of consumers is increased, on one node"
    if len(rows) < 2:
        return (Claim(said, "needs runs with two numbers of consumers", None),)
    floor = floor_s(settings.files, settings.files_per_s)
    told = ", ".join(
        f"{row.consumers}: {row.total_s:.1f} s" if math.isfinite(row.total_s) else f"{row.consumers}: > the limit"
        for row in rows
    )
    first, last = rows[0], rows[-1]
    if not math.isfinite(first.total_s):
        found = f"{told}; {first.consumers} did not finish, so no speed-up can be given; floor {floor:.1f} s"
        return (Claim(said, found, None),)
    if first.excess_s <= AT_FLOOR * floor:
        found = (
            f"{told}; {first.consumers} consumer(s) already end at the time of sending, {floor:.1f} s, below which no "
            "number of consumers can come"
        )
        return (Claim(said, found, False),)
    gained = speed_up(first.total_s, last.total_s) if math.isfinite(last.total_s) else 0.0
    wanted = last.consumers / first.consumers
    found = f"{told}; {wanted:g} times the consumers, {gained:.2f} times faster; floor {floor:.1f} s"
    return (Claim(said, found, gained >= NEARLY_LINEAR * wanted),)


def _line(row: LatencyRow, settings: LatencySettings) -> str:
    total = f"{row.total_s:.1f} s" if math.isfinite(row.total_s) else f"{row.processed} in the time given"
    return (
        f"{row.side} {row.consumers}: {total}, {row.excess_s:.2f} s beyond "
        f"{floor_s(settings.files, settings.files_per_s):.1f} s; p50 {row.p50_s:.2f}, p90 {row.p90_s:.2f}, "
        f"p99 {row.p99_s:.2f} s"
    )
