"""Running the streaming job: checks, one query, the archive beside it, a line per batch, a clean stop on SIGTERM."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pyspark.errors import StreamingQueryException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from ipdsf_spark.archive.keeper import ArchiveKeeper
from ipdsf_spark.archive.tables import archive_directory
from ipdsf_spark.config import Config, with_overrides
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.kafka import ensure_topics, num_partitions
from ipdsf_spark.kafka.quarantine import budget_warning, estimated_bytes
from ipdsf_spark.kafka.sample import Admission, admission
from ipdsf_spark.monitoring.job_metrics import TableState
from ipdsf_spark.monitoring.monitor import Monitor
from ipdsf_spark.monitoring.progress import Batch, LiveListener, Totals
from ipdsf_spark.sites import sites_of
from ipdsf_spark.spark.checkpoint import LIVE, checkpoint_directory, one_job
from ipdsf_spark.spark.executors import require_seen
from ipdsf_spark.spark.fixed import held_parameters, keep_parameters, require_same
from ipdsf_spark.spark.session import build_session, num_cores
from ipdsf_spark.stream import ended
from ipdsf_spark.stream.away import Outage
from ipdsf_spark.stream.follow import FollowedTopic, SitesFile, lay_aside
from ipdsf_spark.stream.live import LIVE_QUERY, stage_of, start_live
from ipdsf_spark.stream.running import POLL_S, Running, end
from ipdsf_spark.stream.signals import stop_on_signals

logger = logging.getLogger(__name__)

HEARD_S: Final = 10.0  # waited for what Spark's bus of events has still to tell
TOLERATED: Final = 1.2  # times the bytes that a batch should have, before its bound is changed
GENEROUS: Final = 2.0  # times the rows that a batch could have, before its bound is raised
STATE_LAYOUT: Final = "2"  # of the state's columns; a checkpoint of another cannot be continued


class StreamJob:
    """The live query of one session, and the archive beside it.

    While it runs it follows the topic and the table of sites: a query's bound on rows and its sites cannot change, so
    it is stopped between two batches and started again at once.

    Args:
        config: the whole configuration.
        on_batch: called after every micro-batch of the live query.
        spark: a session to use; built from the configuration by default.
        with_archive: whether products and averages also go to the archive.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_batch: Callable[[Batch, Totals], None] | None = None,
        spark: SparkSession | None = None,
        with_archive: bool = True,
    ) -> None:
        self.config = config
        self.bootstrap = check(config)
        self.spark = spark or build_session(config, app_name="ipdsf-stream")
        self._owns_session = spark is None
        self.listener = LiveListener(LIVE_QUERY, on_batch)
        self.archive = ArchiveKeeper(config, self.bootstrap) if with_archive else None
        self.monitor: Monitor | None = None
        self._running = Running()
        self._outage = Outage("the live query", config.kafka, self.bootstrap, config.kafka.topics, self._running.pause)
        self._admitted = Admission(config.stream.max_files_per_batch, 0)
        self._sites = SitesFile(config)
        self._topic: FollowedTopic
        self.queries: list[StreamingQuery] = []

    def start(self) -> StreamJob:
        """Start the queries.

        Raises:
            ConfigError: the checkpoint was written with parameters that cannot change, or executors do not see it.
        """
        self._topic = FollowedTopic(self.config, self.bootstrap, self.config.kafka.files_topic)
        self._fix_parameters()
        config = self.config
        require_seen(self.spark, checkpoint_directory(config))
        self._admitted = self._admission()
        self.spark.streams.addListener(self.listener)
        self.queries = [self._start_live()]
        if self.archive is not None:
            self.archive.start()
        self.monitor = Monitor(
            config,
            self.bootstrap,
            self.listener,
            sites=lambda: self._sites.table,
            tables=self._tables,
            archive=archive_directory(config) if self.archive is not None else None,
        ).start()
        return self

    def _tables(self) -> list[TableState]:
        """How the archive's tables go now."""
        keeper = self.archive
        if keeper is None:
            return []
        return [TableState(line.kind.name, line.lag, keeper.delay_s(line), bool(line.problem)) for line in keeper.lines]

    def ask_to_stop(self) -> None:
        """Let `run_until_stopped` return after the current batch."""
        self._running.ask_to_stop()

    def run_until_stopped(self) -> None:
        """Wait until somebody asks to stop or a query fails, then stop cleanly.

        Where brokers were away for longer than Kafka's clients wait, that is no failure: the query goes on once they
        answer.

        Raises:
            StreamingQueryException: a query failed.
        """
        if self._running.until_stopped(lambda: self.queries, self.look_again, self._begin_again):
            self.stop()

    def _begin_again(self, error: StreamingQueryException) -> bool:
        last_run = self.listener.last_run
        has_run = last_run == str(self.queries[0].runId)
        if not self._outage.is_over(error, has_run=has_run, has_ever_run=bool(last_run)):
            return False
        if self._topic.is_another():  # a broker that came back with an empty disk
            self._fix_parameters()
        self.queries[0] = self._start_live()
        return True

    def look_again(self) -> None:
        """Follow what has changed outside: the topic itself, the table of sites, and the size of files.

        Raises:
            ConfigError: the files topic was made anew, and the configuration forbids to begin with it.
        """
        self._follow_topic()
        if (sites := self._sites.changed()) is not None:
            logger.warning("the table of sites has changed: %d site(s) from now on", len(sites))
            self._restart_live()
        self.admit_by_size()

    def _follow_topic(self) -> None:
        """Begin with a files topic that was deleted and made anew, where that is allowed."""
        if self._topic.is_another():
            end(self.queries[0])
            self._fix_parameters()
            self.queries[0] = self._start_live()

    def _fix_parameters(self) -> None:
        self.config = with_fixed_parameters(self.config, num_cores(self.spark), self._topic.id)

    def admit_by_size(self) -> None:
        """Look at the size of the files again; where it asks for other batches, go on with those.

        A topic that is empty at the start tells nothing, and instruments come and go.
        """
        observed = self.listener.typical_bytes
        is_guess = not self._admitted.num_sampled
        if observed is None and not is_guess:
            return
        bound = self.config.stream
        if observed is not None:
            fitting = max(1, min(bound.max_files_per_batch, int(bound.max_bytes_per_batch / max(observed, 1.0))))
            found = Admission(fitting, 1)
        else:
            found = self._admission()
        is_less = found.num_sampled and found.max_files < self._admitted.max_files / TOLERATED
        is_more = found.max_files > GENEROUS * self._admitted.max_files and self.listener.lag > self._admitted.max_files
        if is_less or is_more:
            logger.warning("files have another size than was assumed: up to %d per batch", found.max_files)
            self._admitted = found
            self._restart_live()
        elif is_guess and found.num_sampled:
            self._admitted = Admission(self._admitted.max_files, found.num_sampled)

    def _start_live(self) -> StreamingQuery:
        return start_live(
            self.spark, self.config, self.bootstrap, max_files=self._admitted.max_files, sites=self._sites.table
        )

    def _restart_live(self) -> None:
        end(self.queries[0])
        self.queries[0] = self._start_live()

    def _admission(self) -> Admission:
        stream = self.config.stream
        return admission(self.config.kafka, self.bootstrap, stream.max_bytes_per_batch, stream.max_files_per_batch)

    def _hear_of(self, query: StreamingQuery) -> None:
        """Wait until the listener has been told of all batches of a query that has ended; events come behind."""
        deadline = time.monotonic() + HEARD_S
        while str(query.runId) not in self.listener.ended_runs and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def drain(self) -> None:
        """Process everything that is in the topics now, products archived included."""
        for query in self.queries:
            query.processAllAvailable()
        if self.archive is not None and not self.archive.drain():
            logger.warning("%s", self.archive.problem or "the archive has not caught up yet")

    def stop(self) -> None:
        """End after the batch in progress: what was admitted is finished, nothing is begun."""
        try:
            for query in self.queries:
                if query.isActive:
                    end(query)
                    self._hear_of(query)
        finally:
            if self.archive is not None:
                self.archive.stop()
            if self.monitor is not None:
                self.monitor.stop()
            self.spark.streams.removeListener(self.listener)
            if self._owns_session:
                self.spark.stop()


def run(config: Config, *, on_batch: Callable[[Batch, Totals], None]) -> Totals:
    """Run the job until SIGTERM or SIGINT; returns the counts.

    Raises:
        IpdsfError: what ended it.
    """
    with one_job(config, LIVE):
        job = StreamJob(config, on_batch=on_batch)
        stop_on_signals(job.ask_to_stop)
        with ended.named("the live query"):
            job.start().run_until_stopped()
    return job.listener.totals


def check(config: Config) -> str:
    """Everything that can be wrong before a query starts; returns where Kafka is.

    Raises:
        IpdsfError: what is wrong, and what would be right.
    """
    sites_of(config)
    stage_of(config)
    checkpoint_directory(config)
    archive_directory(config)
    bootstrap = resolve_bootstrap(config)
    kafka = config.kafka
    missing = set(kafka.topics) - set(num_partitions(kafka, bootstrap))
    if missing:
        logger.warning("creating topics %s", ", ".join(sorted(missing)))
    ensure_topics(config.kafka, bootstrap)
    if warning := budget_warning(kafka, estimated_bytes(kafka, bootstrap)):
        logger.warning("%s", warning)
    return bootstrap


def with_fixed_parameters(config: Config, cores: int, topic_id: str) -> Config:
    """The configuration with what the checkpoint fixes; written beside a new checkpoint, compared with an old one.

    Args:
        config: the whole configuration.
        cores: of the session.
        topic_id: what the broker calls the files topic. A topic that was deleted and made anew has the same name and
            other records: going on at the old offsets would skip its first ones.

    Raises:
        ConfigError: the configuration asks for what this checkpoint cannot change, or the topic is another one.
    """
    directory = checkpoint_directory(config)
    held = held_parameters(directory)
    # The number of state partitions is the checkpoint's, then the configuration's, and only then the cluster's.
    partitions = config.stream.state_partitions or int(held.get("state_partitions", cores))
    fixed = {
        "files_topic": config.kafka.files_topic,
        "averaging_s": str(config.layers.averaging_s),
        "state_partitions": str(partitions),
        "state": STATE_LAYOUT,
    }
    way_on = "restore them, or name another stream.directory, which begins anew from stream.starting_offsets"
    require_same(directory, held, fixed, unstated="1", way_on=way_on)
    if held.get("files_topic_id", topic_id) != topic_id:
        lay_aside(
            directory,
            "live",
            topic=config.kafka.files_topic,
            former_id=held["files_topic_id"],
            may=not config.stream.fail_on_data_loss,
            goes_with_it="every site's state included",
        )
    told = fixed | {"files_topic_id": topic_id}
    if told != held:
        keep_parameters(directory, told)
    return with_overrides(config, [f"stream.state_partitions={partitions}"])
