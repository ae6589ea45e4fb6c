"""The query on the network: averages from Kafka, slices by event time, the decomposition, products back to Kafka.

Averages become cells on the executors; what is left of one is two hundred bytes, and the decomposition wants all sites
at once, so that it runs on the driver, in `foreachBatch`. Its state (megabytes, one value for the whole network) would
otherwise travel through Arrow and the changelog of a state store with every micro-batch; here it is written only when
a slice was given, under the number of the batch as its transaction (`network_state`). Rows are published before the
state is kept: a batch that was interrupted is repeated from the state before it and publishes the same rows under the
same keys.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.kafka import ensure_topics, spark_options
from ipdsf_spark.kafka.dead_letter import dead_letter
from ipdsf_spark.lidar.averages.column import Cells
from ipdsf_spark.spark.checkpoint import checkpoint_directory, one_job
from ipdsf_spark.spark.fixed import held_parameters, keep_parameters, require_same
from ipdsf_spark.spark.session import build_session
from ipdsf_spark.stream import ended, schemas
from ipdsf_spark.stream.away import Outage
from ipdsf_spark.stream.follow import FollowedTopic, SitesFile, lay_aside
from ipdsf_spark.stream.live import kafka_source
from ipdsf_spark.stream.network_columns import Columns
from ipdsf_spark.stream.network_rows import KINDS, NetworkRow
from ipdsf_spark.stream.network_stage import Arrived, NetworkSettings, NetworkStage, Outcome, Refusal
from ipdsf_spark.stream.network_state import StateFiles
from ipdsf_spark.stream.running import Running, end
from ipdsf_spark.stream.signals import stop_on_signals
from ipdsf_spark.stream.site_stage import Record
from ipdsf_spark.stream.values import as_json, iso
from ipdsf_spark.tensor import TensorSettings

logger = logging.getLogger(__name__)

NETWORK_QUERY: Final = "ipdsf-network"
NETWORK: Final = "network"  # its folder beside that of the live query
FULL: Final = 0.9  # of the records that a batch may have: more wait in the topic
SILENT_DAYS: Final = 7  # after which a site is forgotten
SECONDS_A_DAY: Final = 86_400
ACKNOWLEDGED: Final = "acknowledged.txt"


@dataclass(frozen=True)
class NetworkBatch:
    """What one micro-batch came to, for whoever watches."""

    id: int
    num_averages: int
    num_refused: int
    num_slices: int
    num_rows: int
    num_sites: int
    num_open: int
    newest: str
    num_alarmed: int
    is_warm: bool


def network_settings(config: Config) -> NetworkSettings:
    """The parameters as the stage wants them.

    Raises:
        ConfigError: a day is no whole number of intervals.
    """
    network, interval_s = config.network, config.layers.averaging_s
    if SECONDS_A_DAY % interval_s:
        raise ConfigError(f"layers.averaging_s must divide a day for the network's season, got {interval_s}")
    period = SECONDS_A_DAY // interval_s
    return NetworkSettings(
        name=network.name,
        interval_s=interval_s,
        cells=Cells(network.lowest_m, network.cell_m, network.num_cells, network.min_snr),
        tensor=TensorSettings(
            rank=network.rank,
            period=period,
            warm_up=network.warm_up_intervals,
            most_sites=network.most_sites,
            most_silent=SILENT_DAYS * period,
        ),
        wait=network.wait_intervals,
        publish_filled=network.publish_filled,
    )


class NetworkQuery:
    """The query of one session.

    Args:
        config: the whole configuration.
        on_batch: called after every micro-batch.
        spark: a session to use; built from the configuration by default.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_batch: Callable[[NetworkBatch], None] | None = None,
        spark: SparkSession | None = None,
    ) -> None:
        self.config, self.settings = config, network_settings(config)
        self._sites = SitesFile(config)
        self.bootstrap = resolve_bootstrap(config)
        ensure_topics(config.kafka, self.bootstrap)
        self.directory = network_directory(config)
        self.spark = spark or build_session(config, app_name="ipdsf-network")
        self._owns_session = spark is None
        self._on_batch = on_batch
        self._files = StateFiles(self.directory / "state")
        self._running = Running()
        topics = (config.kafka.averages_topic, config.kafka.products_topic, config.kafka.quarantine_topic)
        self._outage = Outage("the network query", config.kafka, self.bootstrap, topics, self._running.pause)
        self.stage, self._done, self._model_batch = NetworkStage(self.settings), -1, -1
        self._topic: FollowedTopic
        self._first = 0  # number of the first batch of the query's own checkpoint
        self._has_begun = False  # whether the state in memory is that of the query that runs
        self.query: StreamingQuery | None = None

    def start(self) -> NetworkQuery:
        """Start the query.

        Raises:
            ConfigError: the checkpoint was written with parameters that cannot change.
        """
        self._topic = FollowedTopic(self.config, self.bootstrap, self.config.kafka.averages_topic)
        self._begin()
        return self

    def _begin(self) -> None:
        """Where the state of the last batch is, with the sites and the topic that there are now."""
        self._first, self._has_begun = self._first_batch(), False
        network = self.config.network
        columns = Columns(self._sites.table, self.settings.interval_s, self.settings.cells)
        records = kafka_source(
            self.spark,
            self.config,
            self.bootstrap,
            ("subscribe", self.config.kafka.averages_topic),
            max_records=network.max_averages_per_batch,
        ).select("key", "value", F.unix_micros("timestamp").alias("published_us"), "partition", "offset")
        self.query = (
            records.mapInArrow(columns, schemas.COLUMNS)
            .writeStream.queryName(NETWORK_QUERY)
            .option("checkpointLocation", str(self.directory / "query"))
            .trigger(processingTime=f"{network.trigger_s} seconds")
            .foreachBatch(self.take)
            .start()
        )

    def _first_batch(self) -> int:
        """Compare with the checkpoint, or begin one; the number of its first batch.

        What the network has learnt outlives the topic that it was learnt from: the state goes on under the next number,
        and only the place in the topic begins anew.
        """
        directory, kafka = self.directory, self.config.kafka
        held, wanted = _fixed(directory, self.settings, self.config)
        newest, first = self._files.newest(), int(held.get("first_batch", 0))
        if not held and (directory / "query").exists() and newest > max(_numbers(directory / "query" / "offsets")):
            raise ConfigError(
                f"{directory} has lost its parameters, and without them nobody knows with which state the query in it "
                "goes on: bring the folder back from a copy, or remove it, and the network is learnt anew"
            )
        if held.get("averages_topic_id", self._topic.id) != self._topic.id:
            lay_aside(
                directory,
                "query",
                topic=kafka.averages_topic,
                former_id=held["averages_topic_id"],
                may=not self.config.stream.fail_on_data_loss,
                goes_with_it="with all that the network has learnt",
            )
            first = newest + 1
        elif not (directory / "query").exists() and newest >= first:
            logger.warning("the query's own checkpoint is gone: the network begins anew")
            shutil.rmtree(self._files.directory)
            first = 0
        told = wanted | {"averages_topic_id": self._topic.id, "first_batch": str(first)}
        if told != held:
            keep_parameters(directory, told)
        return first

    def take(self, frame: DataFrame, batch: int) -> None:
        """One micro-batch: rows to Kafka, then the state to its file."""
        batch += self._first
        if self._files.has(batch):
            self._resume(batch)
            return
        if self._done != batch - 1 or not self._has_begun:  # a batch that was cut off has changed the one in memory
            self._resume(batch - 1)
        self._has_begun = True
        table = frame.toArrow()
        arrived, refused = split(table.to_pylist())
        limit = self.config.network.max_averages_per_batch
        num_followed = self.stage.num_acknowledged
        followed = self.stage.follow(acknowledged(self.directory))
        outcome = self.stage.step(arrived, is_full=table.num_rows >= FULL * limit)
        self._publish([*self._products([*followed, *outcome.rows]), *self._letters(refused, outcome.refusals)])
        has_changed = outcome.num_slices or self._model_batch < 0 or num_followed != self.stage.num_acknowledged
        model = self.stage.model.to_bytes() if has_changed else None
        self._model_batch = self._files.write(batch, self.stage.small_bytes(), model, self._model_batch)
        self._done = batch
        if self._on_batch is not None and (table.num_rows or outcome.num_slices):
            self._on_batch(self._told(batch, table.num_rows, len(refused), outcome))

    def _resume(self, batch: int) -> None:
        """Go on with the state as that batch left it; where it cannot be read, begin anew and say so."""
        self.stage = NetworkStage(self.settings)
        self._done, self._model_batch = batch, -1
        if batch < 0:
            return
        held = self._files.read(batch)
        try:
            if held is None:
                raise ValueError(f"no state of batch {batch} in {self._files.directory}")
            self.stage.load(held.small, held.model)
            self._model_batch = held.model_batch
        except ValueError as error:
            logger.warning("the network begins anew: %s", error)
            self.stage = NetworkStage(self.settings)
            self.stage.flags.append("state_began_anew")

    def _products(self, rows: Sequence[NetworkRow]) -> list[Record]:
        return [product_of(row, self.config.kafka.products_topic) for row in rows]

    def _letters(self, refused: Sequence[Mapping[str, Any]], refusals: Sequence[Refusal]) -> list[Record]:
        """Records that are no averages, whole; those that came at a wrong time, one per site and by reference."""
        letters = [
            self._letter(row["site"], row["partition"], row["offset"], row["reason"], row["value"]) for row in refused
        ]
        for each in refusals:
            logger.warning("site %s: %s", each.site, each.reason)
            letters.append(self._letter(each.site, each.partition, each.offset, each.reason, b""))
        return letters

    def _letter(self, site: str, partition: int, offset: int, reason: str, raw: bytes) -> Record:
        kafka = self.config.kafka
        letter = dead_letter(
            topic=kafka.averages_topic,
            partition=partition,
            offset=offset,
            site=site,
            file="",
            sent_ms=0,
            stretches=[(0, len(raw), reason)],
            raw=raw,
            max_bytes=kafka.max_message_bytes,
            exception="ipdsf.NoAverage",
            part="|network",
        )
        return Record("quarantine", 1, kafka.quarantine_topic, *letter)

    def _publish(self, records: Sequence[Record]) -> None:
        if not records:
            return
        kafka = self.config.kafka
        rows = [
            (each.topic, each.key, each.value, None if each.headers is None else list(each.headers)) for each in records
        ]
        (
            self.spark.createDataFrame(rows, schemas.TO_KAFKA)
            .coalesce(1)
            .write.format("kafka")
            .options(**spark_options(kafka, self.bootstrap))
            .option("includeHeaders", "true")
            .option("kafka.max.request.size", 2 * kafka.max_message_bytes)
            .option("kafka.acks", "all")
            .save()
        )

    def _told(self, batch: int, num_rows: int, num_refused: int, outcome: Outcome) -> NetworkBatch:
        stage = self.stage
        last = stage.slices.last
        return NetworkBatch(
            id=batch,
            num_averages=num_rows,
            num_refused=num_refused + sum(each.num for each in outcome.refusals),
            num_slices=outcome.num_slices,
            num_rows=len(outcome.rows),
            num_sites=len(stage.slices.newest),
            num_open=len(stage.slices.open),
            newest="" if last is None else iso(self.settings.middle_us(last)),
            num_alarmed=len(stage.standing),
            is_warm=stage.model.is_warm,
        )

    @property
    def last_batch(self) -> int:
        """Number of the newest micro-batch that was done, -1 before there is one."""
        return self._done

    def ask_to_stop(self) -> None:
        """Let `run_until_stopped` return after the current batch."""
        self._running.ask_to_stop()

    def run_until_stopped(self) -> None:
        """Wait until somebody asks to stop or the query fails, then stop cleanly; an outage of Kafka is no failure.

        Raises:
            StreamingQueryException: the query failed.
        """
        if self._running.until_stopped(self._queries, self.look_again, self._begin_again):
            self.stop()

    def _queries(self) -> list[StreamingQuery]:
        return [] if self.query is None else [self.query]

    def _begin_again(self, error: StreamingQueryException) -> bool:
        has_run = self.query is not None and self.query.lastProgress is not None
        if not self._outage.is_over(error, has_run=has_run, has_ever_run=has_run or self._done >= 0):
            return False
        self._topic.is_another()  # a broker that came back with an empty disk
        self._begin()
        return True

    def look_again(self) -> None:
        """Follow what has changed outside: the topic itself, and the table of sites.

        Raises:
            ConfigError: the topic was made anew, and the configuration forbids to begin with it.
        """
        is_another, sites = self._topic.is_another(), self._sites.changed()
        if sites is not None:
            logger.warning("the table of sites has changed: %d site(s) from now on", len(sites))
        if is_another or sites is not None:
            if self.query is not None:
                end(self.query)
            self._begin()

    def drain(self) -> None:
        """Process everything that is in the topic now; slices that wait for later ones stay open."""
        if self.query is not None:
            self.query.processAllAvailable()

    def stop(self) -> None:
        """End after the batch in progress."""
        try:
            if self.query is not None and self.query.isActive:
                end(self.query)
        finally:
            if self._owns_session:
                self.spark.stop()


def run(config: Config, *, on_batch: Callable[[NetworkBatch], None]) -> int:
    """Run the query until SIGTERM or SIGINT; returns the number of its last batch."""
    with one_job(config, NETWORK):
        query = NetworkQuery(config, on_batch=on_batch)
        stop_on_signals(query.ask_to_stop)
        with ended.named("the network query"):
            query.start().run_until_stopped()
    return query.last_batch


def network_directory(config: Config) -> Path:
    """Where the query keeps its checkpoint and state."""
    return checkpoint_directory(config) / NETWORK


def acknowledged(directory: Path) -> list[str]:
    """Sites that a person took as they are, oldest first, from the list beside the checkpoint."""
    try:
        lines = (directory / ACKNOWLEDGED).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line.split()[-1] for line in lines if line.strip()]


def acknowledge(config: Config, sites: Sequence[str]) -> Path:
    """Add sites to that list; the running query follows with its next batch. Returns the list's path.

    Raises:
        InputError: there is no query whose list it could be.
    """
    directory = network_directory(config)
    if not directory.is_dir():
        raise InputError(f"no network has run in {directory}: name its stream.directory")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = directory / ACKNOWLEDGED
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{now} {site}\n" for site in sites))
    return path


def split(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Arrived], list[Mapping[str, Any]]]:
    """Averages as cells, and records that are none."""
    arrived = [
        Arrived(
            row["index"],
            row["site"],
            np.frombuffer(row["cells"], np.float32),
            row["source"],
            row["published_us"],
            row["partition"],
            row["offset"],
        )
        for row in rows
        if not row["reason"]
    ]
    return arrived, [row for row in rows if row["reason"]]


def product_of(row: NetworkRow, topic: str) -> Record:
    """A row as the record of the products topic, keyed by site, kind and time like every other."""
    if row.kind not in KINDS:
        raise ValueError(f"{row.kind} is no kind of the network's: {', '.join(KINDS)}")
    time = iso(row.time_us)
    values = {"kind": row.kind, "site": row.site, "time": time, **row.values}
    return Record(row.kind, 1, topic, f"{row.site}|{row.kind}|{time}".encode(), as_json(values))


def _numbers(log: Path) -> list[int]:
    """Of the batches in one of Spark's logs; -1 where there is none."""
    names = [path.name for path in log.iterdir()] if log.is_dir() else []
    return [-1, *(int(name) for name in names if name.isdigit())]


def _fixed(directory: Path, settings: NetworkSettings, config: Config) -> tuple[dict[str, str], dict[str, str]]:
    """What an old checkpoint fixes, nothing if there is none, and what this configuration asks for.

    Raises:
        ConfigError: the configuration asks for what this checkpoint cannot change.
    """
    told = {
        "averages_topic": config.kafka.averages_topic,
        "interval_s": settings.interval_s,
        **{name: value for name, value in asdict(settings.cells).items() if name != "least_snr"},
        **{name: getattr(settings.tensor, name) for name in ("rank", "warm_up", "most_sites")},
    }
    wanted = {name: str(value) for name, value in told.items()}
    held = held_parameters(directory)
    way_on = f"restore them, or remove {directory}, and the network is learnt anew from stream.starting_offsets"
    require_same(directory, held, wanted, unstated="nothing", way_on=way_on)
    return held, wanted
