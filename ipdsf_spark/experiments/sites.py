"""Sites from ten to thousands, live at a file a minute each, and how many more a machine would carry.

Live: the streaming job keeps up, or it does not. Then a backlog is drained by the streaming job, by a pool of plain
consumers with the same kernels, and by the same job with everything left as Spark and its Kafka source come; from
files per second and CPU per file follows, by stated arithmetic, what more sites need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config import StreamConfig
from ipdsf_spark.experiments import live
from ipdsf_spark.experiments.arithmetic import FILE_EVERY_S, Projection
from ipdsf_spark.experiments.bank import fill
from ipdsf_spark.experiments.bench import Bench, Broker
from ipdsf_spark.experiments.drain import Drained, drain_by_consumers, drain_by_stream
from ipdsf_spark.experiments.result import Claim, Found, Table
from ipdsf_spark.experiments.settings import DEFAULT_SPARK
from ipdsf_spark.spark.jvm import end_jvm

STREAM: Final = "stream"
POOL: Final = "plain consumers"
DEFAULT: Final = "default Spark"
LAG_S: Final = 3.0  # of sending that may lie unprocessed when it ends: about a batch
FEW: Final = 2.0  # files that may lie there whatever the rate
NEAR_REAL_TIME_S: Final = 3.0  # p99
WARM_UP_PER_S: Final = 50.0
THOUSANDS: Final = 1_000


@dataclass(frozen=True)
class SitesSettings:
    """What is measured."""

    sites: tuple[int, ...] = (10, 100, 1_000, 3_000, 12_000)
    seconds: float = 90.0  # of sending at each number
    partitions: int = 50
    backlog: int = 6_000
    default_backlog: int = 2_000
    limit_s: float = 600.0
    warm_up: int = 1_000
    projected: int = 12_000


@dataclass(frozen=True)
class SitesRow:
    """A network, live.

    Attributes:
        sites: each with a file a minute.
        files_per_s: of all together.
        files: sent.
        processed: of these, in the time given.
        p50_s, p90_s, p99_s: from send to product.
        end_lag: files that were not processed when sending ended.
        keeps_up: all were processed, and no more than a batch lay there at the end.
        cpu_ms_per_file: of all processes of the job.
    """

    sites: int
    files_per_s: float
    files: int
    processed: int
    p50_s: float
    p90_s: float
    p99_s: float
    end_lag: int
    keeps_up: bool
    cpu_ms_per_file: float


@dataclass(frozen=True)
class DrainRow:
    """A backlog, drained, and what follows from it.

    Attributes:
        side: who drained.
        files: timed.
        files_per_s: throughput.
        cpu_ms_per_file: of all processes of the side.
        is_complete: it came to the end in the time given.
        sites: that this throughput carries, a file a minute each.
        cores: that the projected number of sites needs.
        arithmetic: by which both follow.
    """

    side: str
    files: int
    files_per_s: float
    cpu_ms_per_file: float
    is_complete: bool
    sites: int
    cores: float
    arithmetic: str


def measure(settings: SitesSettings, bench: Bench) -> Found:
    """Live, then the backlog."""
    networks: list[SitesRow] = []
    drained: list[DrainRow] = []
    with bench.kafka() as kafka:
        for sites in settings.sites:
            networks.append(_live(settings, bench, kafka, sites))
            bench.say(_line(networks[-1]))
        for side in (POOL, STREAM, DEFAULT):
            end_jvm()  # each side begins with a JVM of its own options
            drained.append(_row(settings, side, _drain(settings, bench, kafka, side)))
            bench.say(f"{side}: {drained[-1].files_per_s:,.0f} files/s, {drained[-1].cpu_ms_per_file:.2f} ms of CPU")
        end_jvm()
    tables = (
        Table.of("sites", "Live, a file a minute from each site", networks, kind=SitesRow),
        Table.of("backlog", "A backlog drained, and the sites and cores that follow", drained, kind=DrainRow),
    )
    return Found(tables)


def _live(settings: SitesSettings, bench: Bench, kafka: Broker, sites: int) -> SitesRow:
    rate = sites / FILE_EVERY_S
    config, _ = bench.topics(f"sites{sites}", kafka.bootstrap_servers, partitions=settings.partitions)
    files = max(10, int(rate * settings.seconds))
    # Fewer than a site each would leave sites without state, and more than that says nothing new.
    warm_up = min(settings.warm_up, max(20, sites))
    rate_before = max(rate, WARM_UP_PER_S)
    limit_s = 3 * files / rate + 120
    load = live.Load(bench.bank(), sites, rate, files, warm_up, limit_s, rate_before)
    with bench.counting(files, f"{sites:,} sites") as say:
        found = live.by_stream(config, load, 0, without=kafka.pids, say=say)
    bench.drop(config)
    keeps_up = found.processed >= files and found.end_lag <= max(FEW, LAG_S * rate)
    cpu_ms = 1000 * found.cpu_s / max(found.processed, 1)
    spread = found.latency
    return SitesRow(
        sites, rate, files, found.processed, spread.p50_s, spread.p90_s, spread.p99_s, found.end_lag, keeps_up, cpu_ms
    )


def _drain(settings: SitesSettings, bench: Bench, kafka: Broker, side: str) -> Drained:
    is_default = side == DEFAULT
    count = settings.default_backlog if is_default else settings.backlog
    warm_up = count // 2 if is_default else min(settings.warm_up, count // 2)
    # Timed from the end of one batch to the end of another: a backlog that fits into one would give nothing. Spark by
    # itself admits all there is.
    batch = min(StreamConfig.max_files_per_batch, max(1, (count + warm_up) // 3))
    overrides = (*(DEFAULT_SPARK if is_default else ()), f"stream.max_files_per_batch={batch}")
    run = f"backlog.{side.replace(' ', '-')}"
    config, words = bench.topics(run, kafka.bootstrap_servers, partitions=settings.partitions, overrides=overrides)
    fill(config, bench.bank(), sites=max(settings.sites), count=count + warm_up)
    with bench.counting(count + warm_up, f"backlog, {side}") as say:
        if side == POOL:
            found = drain_by_consumers(config, words, count, warm_up, limit_s=settings.limit_s, say=say)
        else:
            found = drain_by_stream(config, count, warm_up, limit_s=settings.limit_s, without=kafka.pids, say=say)
    bench.drop(config)
    return found


def _row(settings: SitesSettings, side: str, found: Drained) -> DrainRow:
    if not found.files:
        return DrainRow(side, 0, 0.0, math.nan, False, 0, math.nan, "not one batch more than the warm-up in time")
    projection = Projection(found.files_per_s, found.cpu_s / found.files)
    return DrainRow(
        side,
        found.files,
        found.files_per_s,
        found.cpu_ms_per_file,
        found.is_complete,
        projection.sites,
        projection.cores(settings.projected),
        projection.said(settings.projected),
    )


def claims(settings: SitesSettings, tables: Sequence[Table]) -> tuple[Claim, ...]:
    """What the presentation says of it."""
    networks = tables[0].as_rows(SitesRow)
    said = "IPDSF scales to process thousands of near real time streaming sensors at the same time"
    held = [row for row in networks if row.keeps_up]
    most = max((row.sites for row in held), default=0)
    told = "; ".join(
        f"{row.sites:,} sites: {'kept up' if row.keeps_up else 'fell behind'}, p99 {row.p99_s:.2f} s"
        for row in networks
    )
    if max(settings.sites) < THOUSANDS:
        return (Claim(said, told, None),)
    is_fast = any(row.sites == most and row.p99_s <= NEAR_REAL_TIME_S for row in held)
    return (Claim(said, told, most >= THOUSANDS and is_fast),)


def _line(row: SitesRow) -> str:
    return (
        f"{row.sites:,} sites, {row.files_per_s:.1f} files/s: {'keeps up' if row.keeps_up else 'falls behind'}, "
        f"p50 {row.p50_s:.2f}, p99 {row.p99_s:.2f} s, {row.end_lag} unprocessed at the end"
    )
