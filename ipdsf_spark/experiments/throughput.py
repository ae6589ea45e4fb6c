"""Files per second through Kafka against the number of consumers, partitions, and how files are dealt to partitions.

A backlog lies in the topic; the consumers of one group wait until the broker has given each its partitions, and begin
at one moment. They read and count (`transfer`), which is the presentation's throughput, or run the analytic tasks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config import Config
from ipdsf_spark.experiments.bank import fill
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.group import ConsumerGroup, seats_of
from ipdsf_spark.experiments.result import Claim, Found, Table

TRANSFER: Final = "transfer"
ANALYSIS: Final = "analysis"
ROUND_ROBIN: Final = "round_robin"
BY_SITE: Final = "by_site"
CLEARLY: Final = 1.1  # times as much: less is what one run differs from the next
PRESENTED: Final = 150  # partitions
LIMIT_S: Final = 120.0


@dataclass(frozen=True)
class ThroughputSettings:
    """What is measured."""

    partitions: tuple[int, ...] = (50, 100, 150)
    consumers: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 160)
    partitionings: tuple[str, ...] = (ROUND_ROBIN, BY_SITE)
    files: int = 30_000
    analysts: tuple[int, ...] = (1, 2, 4)
    analysed: int = 2_000
    sites: int = 3_000


@dataclass(frozen=True)
class ThroughputRow:
    """One run.

    Attributes:
        work: transfer or analysis.
        partitioning: round_robin, or by_site, which keeps a site's order.
        partitions: of the topic.
        consumers: of the group.
        idle: of these, to whom the broker gave no partition.
        files: read.
        seconds: from letting them go to the newest batch.
        files_per_s, mb_per_s: throughput of all together.
        busiest: share of the files that the busiest consumer read, times the consumers that have partitions; 1 is even.
    """

    work: str
    partitioning: str
    partitions: int
    consumers: int
    idle: int
    files: int
    seconds: float
    files_per_s: float
    mb_per_s: float
    busiest: float


def measure(settings: ThroughputSettings, bench: Bench) -> Found:
    """Run by run."""
    rows: list[ThroughputRow] = []
    with bench.kafka() as kafka:
        for partitions in settings.partitions:
            for partitioning in settings.partitionings:
                run = f"throughput.{partitioning}{partitions}"
                config, overrides = bench.topics(run, kafka.bootstrap_servers, partitions=partitions)
                bench.say(f"{partitions} partitions, {partitioning}: filling with {settings.files:,} files")
                fill(config, bench.bank(), sites=settings.sites, count=settings.files, partitioning=partitioning)
                for consumers in settings.consumers:
                    rows.append(_transfer(settings, bench, config, partitioning, consumers))
                    bench.say(_line(rows[-1]))
                if partitioning == BY_SITE and partitions == settings.partitions[0]:
                    for consumers in settings.analysts:
                        rows.append(_analysis(settings, bench, config, overrides, consumers))
                        bench.say(_line(rows[-1]))
                bench.drop(config)
    title = "Files per second, and what the broker gave to whom"
    return Found((Table.of("throughput", title, rows, kind=ThroughputRow),))


def _transfer(
    settings: ThroughputSettings, bench: Bench, config: Config, partitioning: str, consumers: int
) -> ThroughputRow:
    return _read(bench, config, (), TRANSFER, partitioning, consumers, os.cpu_count() or 1, settings.files)


def _analysis(
    settings: ThroughputSettings, bench: Bench, config: Config, overrides: Sequence[str], consumers: int
) -> ThroughputRow:
    return _read(bench, config, overrides, ANALYSIS, BY_SITE, consumers, consumers, settings.analysed)


def _read(
    bench: Bench,
    config: Config,
    overrides: Sequence[str],
    work: str,
    partitioning: str,
    consumers: int,
    processes: int,
    files: int,
) -> ThroughputRow:
    kafka = config.kafka
    seats = seats_of(consumers, processes=processes)
    name = f"{work}-{consumers}"
    group = ConsumerGroup(kafka.bootstrap_servers, kafka.files_topic, name, work, seats, overrides)
    with group, bench.counting(files, f"{work}, {kafka.partitions} partitions, {consumers} consumers") as say:
        held = group.await_assignment(kafka.partitions)
        began_s = group.go()
        mark = group.await_files(files, until_s=began_s + LIMIT_S, say=say)
        members = group.finish()
    read = sum(member["received"] for member in members)
    read_bytes = sum(member["received_bytes"] for member in members)
    # A member that read on after the last file that counts would change nothing but the time.
    seconds = mark.seconds - began_s
    working = sum(number > 0 for number in held.values())
    return ThroughputRow(
        work,
        partitioning,
        kafka.partitions,
        consumers,
        consumers - working,
        mark.files,
        seconds,
        mark.files / seconds if seconds > 0 else 0.0,
        read_bytes / max(read, 1) * mark.files / seconds / 1e6 if seconds > 0 else 0.0,
        working * max(member["received"] for member in members) / max(read, 1),
    )


def claims(settings: ThroughputSettings, tables: Sequence[Table]) -> tuple[Claim, ...]:
    """What the presentation says of it."""
    rows = [row for row in tables[0].as_rows(ThroughputRow) if row.work == TRANSFER]
    return tuple(claim for claim in (_grows(rows), _idle(rows), _partitions(rows)) if claim is not None)


def _grows(rows: Sequence[ThroughputRow]) -> Claim | None:
    """Throughput rises until there are as many consumers as partitions."""
    told, is_rising = [], []
    for partitions in sorted({row.partitions for row in rows}):
        own = [r for r in rows if r.partitions == partitions and r.consumers <= partitions]
        own = [row for row in own if row.partitioning == own[0].partitioning]
        if len(own) < 2:
            continue
        best, last = max(own, key=lambda row: row.files_per_s), max(own, key=lambda row: row.consumers)
        told.append(
            f"{partitions} partitions: most at {best.consumers} consumers ({best.files_per_s:,.0f} files/s), "
            f"{last.files_per_s:,.0f} at {last.consumers}"
        )
        is_rising.append(last.files_per_s * CLEARLY >= best.files_per_s)
    if not told:
        return None
    said = "the throughput increases as long as there are fewer consumers than partitions"
    return Claim(said, "; ".join(told), all(is_rising))


def _idle(rows: Sequence[ThroughputRow]) -> Claim:
    said = "consumers beyond the number of partitions wait in idle mode"
    beyond = [row for row in rows if row.consumers > row.partitions]
    if not beyond:
        return Claim(said, "no run had more consumers than partitions", None)
    told = [f"{row.consumers} consumers, {row.partitions} partitions: {row.idle} without" for row in beyond]
    holds = all(row.idle == max(0, row.consumers - row.partitions) for row in rows)
    return Claim(said, f"the broker's assignment: {'; '.join(dict.fromkeys(told))}", holds)


def _partitions(rows: Sequence[ThroughputRow]) -> Claim | None:
    counts = sorted({row.partitions for row in rows})
    if len(counts) < 2:
        return None
    best = {count: max(row.files_per_s for row in rows if row.partitions == count) for count in counts}
    told = ", ".join(f"{count}: {rate:,.0f} files/s" for count, rate in best.items())
    said = "when the partitions are increased up to 150 the throughput increases"
    is_asked = counts[-1] >= PRESENTED
    return Claim(said, f"best of each: {told}", best[counts[-1]] > CLEARLY * best[counts[0]] if is_asked else None)


def _line(row: ThroughputRow) -> str:
    return (
        f"{row.work}, {row.partitions} partitions {row.partitioning}, {row.consumers} consumers ({row.idle} idle): "
        f"{row.files_per_s:,.0f} files/s, {row.mb_per_s:,.0f} MB/s"
    )
