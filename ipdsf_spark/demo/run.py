"""The demonstration itself: a real Kafka, a replayed network, the streaming job, and a page of what came of it."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from ipdsf_spark.archive.reading import read_revisions
from ipdsf_spark.archive.tables import archive_directory
from ipdsf_spark.config import Config, with_overrides
from ipdsf_spark.demo import outcome
from ipdsf_spark.demo.page import Balance, Latency, Link, NetworkReport, QuarantineLine, Report, SiteCard
from ipdsf_spark.demo.pictures import Archived, draw_day, draw_forecast, draw_network
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.forecast.series import INTERVAL_S
from ipdsf_spark.kafka.quarantine import Quarantined
from ipdsf_spark.kafka.quarantine import read as read_quarantine
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, feeds_of, replay
from ipdsf_spark.monitoring.progress import Batch, Totals
from ipdsf_spark.plots import error_figure, latency_figure, save
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.sites import layer_settings, site_named, sites_of
from ipdsf_spark.spark.jvm import end_jvm, has_jvm
from ipdsf_spark.stream.job import StreamJob
from ipdsf_spark.stream.network_query import NetworkQuery

logger = logging.getLogger(__name__)

WARM_UP_TIMEOUT_S: Final = 60.0
MAX_CURTAINS: Final = 24
NETWORK_MAP: Final = "pictures/network.svg"
OPERATORS: Final = ("layers", "air_quality", "targets", "edges", "forecast")  # what the page shows


@dataclass(frozen=True)
class Demonstration:
    """What to show.

    Attributes:
        data: recorded or simulated files, one folder per site.
        out: where page, pictures and tables go; made anew.
        rate: files per second.
        num_sites: sites of the network; those recorded by default.
        title: of the page.
        is_simulated: whether ``truth/SITE.csv`` beside the folders holds known heights.
    """

    data: Path
    out: Path
    rate: float
    num_sites: int | None
    title: str
    is_simulated: bool


@dataclass(frozen=True)
class Streamed:
    """What the stream left for the page.

    Attributes:
        config: with which it ran.
        feeds: what was sent.
        totals: counts of the job.
        num_sent: files.
        quarantined: what gave no profile.
    """

    config: Config
    feeds: Sequence[Feed]
    totals: Totals
    num_sent: int
    quarantined: Sequence[Quarantined]


def stream(demonstration: Demonstration, config: Config) -> Streamed:
    """Send the network's files through the job."""
    out = demonstration.out
    for stale in ("kafka", "stream", "pictures", "tables"):
        shutil.rmtree(out / stale, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    feeds = feeds_of(demonstration.data)
    feeds = [feed for feed in feeds if feed.site != "truth"]
    with EmbeddedKafka(out / "kafka", heap_mb=config.broker.heap_mb) as kafka:
        config = with_overrides(
            config,
            [
                f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
                f'stream.directory="{out.absolute() / "stream"}"',
                "stream.archive_every_s=15",
                f"stream.operators={json.dumps(operators_for(config))}",
                "network.trigger_s=1",
            ],
        )
        had_jvm = has_jvm()
        totals, sent = _stream(demonstration, config, feeds)
        if not had_jvm:
            end_jvm()  # its producers would ask for a broker that is no more, several times a second
        quarantined = read_quarantine(config.kafka, kafka.bootstrap_servers)
    return Streamed(config, feeds, totals, sent, quarantined)


def operators_for(config: Config) -> list[str]:
    """The demonstration's own operators; the forecast knows intervals of five minutes alone."""
    return [name for name in OPERATORS if name != "forecast" or config.layers.averaging_s == INTERVAL_S]


def _stream(demonstration: Demonstration, config: Config, feeds: Sequence[Feed]) -> tuple[Totals, int]:
    """Replay the network through the job; returns its counts and the files sent."""
    num_sites = demonstration.num_sites or len(feeds)
    laps = max(1, -(-num_sites // len(feeds)))
    total = sum(len(feed.files) for feed in feeds) * laps if laps > 1 else sum(len(feed.files) for feed in feeds)
    with progress_bar(total=total, unit="file", desc="streaming") as bar:

        def show(batch: Batch, totals: Totals) -> None:
            bar.set_postfix_str(f"{totals.read} read, {totals.products} products, lag {batch.lag}")

        job = StreamJob(config, on_batch=show).start()
        try:
            sent = [0]

            def count(number: int, failed: int) -> None:
                bar.update(number - sent[0])
                sent[0] = number

            replay(
                feeds,
                config.kafka,
                config.kafka.bootstrap_servers,
                rate=demonstration.rate,
                num_sites=num_sites,
                on_sent=count,
            )
            job.drain()
            _await_counts(job, sent[0])
            _decompose(job)
        finally:
            job.stop()
    return job.listener.totals, sent[0]


def _decompose(job: StreamJob) -> None:
    """The network's own query over the averages that the stream has published, in the same session."""
    network = NetworkQuery(job.config, spark=job.spark).start()
    try:
        network.drain()
    finally:
        network.stop()
    job.drain()  # its products to the archive


def _await_counts(job: StreamJob, sent: int) -> None:
    """The report of the last batch comes a moment after the batch."""
    done = threading.Event()
    deadline = time.monotonic() + WARM_UP_TIMEOUT_S
    while job.listener.totals.read < sent and time.monotonic() < deadline:
        done.wait(0.1)


def report_of(
    demonstration: Demonstration, streamed: Streamed, *, commands: Sequence[str], is_quiet: bool = False
) -> Report:
    """Pictures and tables, and all that goes on the page.

    Args:
        demonstration: what is shown.
        streamed: what came of it.
        commands: by which a reader does the same.
        is_quiet: without a bar, because something else has one.
    """
    out, config, totals, quarantined = demonstration.out, streamed.config, streamed.totals, streamed.quarantined
    (out / "pictures").mkdir(exist_ok=True)
    (out / "tables").mkdir(exist_ok=True)
    revisions = read_revisions(archive_directory(config))
    archived = Archived.of(archive_directory(config), revisions)
    sites = sites_of(config)
    cards, errors, figures = [], [], []
    for feed in progress_bar(streamed.feeds[:MAX_CURTAINS], desc="drawing", unit="site", disable=is_quiet):
        card, error = _card(demonstration, config, feed, site_named(sites, feed.site), archived, quarantined)
        cards.append(card)
        if error is not None:
            errors.append(error)
    alarmed = draw_network(archived, sites, config.network.name, out / NETWORK_MAP)
    latencies = outcome.latency_s(revisions)
    if latencies.size:
        save(latency_figure(latencies), out / "pictures" / "latency.png")
        figures.append(
            Link(
                "pictures/latency.png",
                "Seconds from sending a file to the products it gave, first and final ones, after warm-up.",
            )
        )
    first_error = next((card for card in cards if not np.isnan(card.rmse_final_m)), None)
    if first_error is not None:
        figures.insert(0, Link(f"pictures/{first_error.id}-error.png", f"Tracked less known height, {first_error.id}."))
    tables = _write_tables(out, archived.final, cards, quarantined)
    lines = [QuarantineLine(item.site, item.file, item.position, item.reason) for item in quarantined]
    return Report(
        title=demonstration.title,
        subtitle=_subtitle(demonstration, cards),
        balance=Balance(
            sent=streamed.num_sent,
            read=totals.read,
            decoded=totals.decoded,
            quarantined=totals.quarantined,
            both=totals.both,
            waiting=totals.waiting,
            joined=totals.joined,
            profiles=totals.profiles,
            late=totals.late,
        ),
        latency=_latency(latencies),
        rmse_final_m=outcome.rmse(np.concatenate([e.final_m for e in errors])) if errors else float("nan"),
        rmse_provisional_m=outcome.rmse(np.concatenate([e.provisional_m for e in errors])) if errors else float("nan"),
        sites=cards,
        quarantine=lines,
        figures=figures,
        tables=tables,
        commands=commands,
        network=None if alarmed is None else NetworkReport(NETWORK_MAP, alarmed),
    )


def _card(
    demonstration: Demonstration,
    config: Config,
    feed: Feed,
    site: Site,
    archived: Archived,
    quarantined: Sequence[Quarantined],
) -> tuple[SiteCard, outcome.Errors | None]:
    out = demonstration.out
    layers = outcome.layers_of(archived.final[archived.final["site"] == feed.site])
    reader = FileReader(clock=site.clock)
    blocks = [block for block in reader.blocks((path.name, path.read_bytes()) for path in feed.files) if len(block)]
    instruments = sorted(reader.files_by_instrument)
    # A picture shows one instrument; a mixed folder shows the one with most files.
    main = max(instruments, key=lambda name: len(reader.files_by_instrument[name]), default="")
    drawable = [block for block in blocks if block.instrument == main and not np.isnat(block.time).all()]
    truth = (
        outcome.read_truth(demonstration.data / "truth" / f"{feed.site}.csv") if demonstration.is_simulated else None
    )
    picture = fan = ""
    if drawable:
        picture = f"pictures/{feed.site}.png"
        draw_day(archived, site, drawable, layer_settings(config).ceiling, truth, out / picture)
        fan = f"pictures/{feed.site}-forecast.png"
        fan = fan if draw_forecast(archived, site, out / fan) else ""
    error = None
    if truth is not None and len(layers):
        first = outcome.layers_of(archived.provisional[archived.provisional["site"] == feed.site])
        error = outcome.errors_of(layers, first, truth)
        as_seen = np.full(len(layers), np.nan)
        position = np.searchsorted(layers.time, first.time)
        as_seen[position[position < len(layers)]] = first.mixing_height_m[position < len(layers)]
        known = outcome.at(truth, layers.time)
        drawn = error_figure(layers.time, known, layers.mixing_height_m, as_seen, site=feed.site)
        save(drawn, out / "pictures" / f"{feed.site}-error.png")
    card = SiteCard(
        id=feed.site,
        instrument=", ".join(instruments) or "nothing readable",
        curtain=picture,
        num_products=len(layers),
        availability_percent=outcome.availability_percent(layers),
        rmse_final_m=outcome.rmse(error.final_m) if error else float("nan"),
        rmse_provisional_m=outcome.rmse(error.provisional_m) if error else float("nan"),
        bias_final_m=outcome.bias(error.final_m) if error else float("nan"),
        num_rejected=sum(item.site == feed.site for item in quarantined),
        forecast=fan,
    )
    return card, error


def _write_tables(
    out: Path, final: pd.DataFrame, cards: Sequence[SiteCard], quarantined: Sequence[Quarantined]
) -> list[Link]:
    columns = ["site", "time", "mixing_height_m", "uncertainty_m", "provisional", "quality", "cloud_base_m"]
    final[[*columns, "num_profiles"]].to_csv(out / "tables" / "heights.csv", index=False)
    pd.DataFrame([vars(card) for card in cards]).to_csv(out / "tables" / "sites.csv", index=False)
    rows = [(item.site, item.file, item.position, item.num_stretches, item.size, item.reason) for item in quarantined]
    pd.DataFrame(rows, columns=["site", "file", "position", "pieces", "bytes", "reason"]).to_csv(
        out / "tables" / "quarantine.csv", index=False
    )
    return [
        Link("tables/heights.csv", "heights.csv: every site and time"),
        Link("tables/sites.csv", "sites.csv: the numbers per site"),
        Link("tables/quarantine.csv", "quarantine.csv: what gave no profile, and why"),
        Link("stream/archive/", "stream/archive: the Delta tables"),
    ]


def _latency(seconds: Float64) -> Latency | None:
    if not seconds.size:
        return None
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Latency(int(seconds.size), float(p50), float(p95), float(p99), float(seconds.max()))


def _subtitle(demonstration: Demonstration, cards: Sequence[SiteCard]) -> str:
    kinds = sorted({card.instrument for card in cards})
    what = "Simulated instruments that write genuine files" if demonstration.is_simulated else "Recorded files"
    return (
        f"{what} ({', '.join(kinds[:8])}), sent at {demonstration.rate:g} files per second into a real Kafka, decoded, "
        "checked and tracked by Spark Structured Streaming on this machine."
    )
