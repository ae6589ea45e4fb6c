"""The ground of drills: brokers, a streaming job, senders; all of it gone at the end.

Starting brokers and a job takes longer than most faults last. Drills therefore follow each other on one ground, each
with sites of its own; after one that did not end as it should, the ground is made anew.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.devkafka.nodes import free_ports
from ipdsf_spark.drill.account import Follower, Sent, read_topics
from ipdsf_spark.drill.deadline import Deadline, DrillError
from ipdsf_spark.drill.outcome import MOST_LINES, Account, Found
from ipdsf_spark.drill.pages import PageWatch
from ipdsf_spark.drill.recorded import Recorded, write_recorded
from ipdsf_spark.drill.sending import Sending
from ipdsf_spark.drill.small_disks import mounted
from ipdsf_spark.drill.verbs import Verb
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.loadgen.replay import Feed, replay, schedule

HEAP_MB: Final = 384
PARTITIONS: Final = 4
FILES: Final = 60  # of a site: five hours
SITES: Final = 6
RATE: Final = 6.0  # files per second of the whole network
ALL_AT_ONCE: Final = 10_000.0
# Lines meant for an operator: our own warnings, Spark's errors, what ended a verb.
TOLD: Final = r"\d (WARNING|ERROR) (?!status page)|COUNTS|^ipdsf \w+: |^pyspark[\w.]*Exception: "
SHARED: Final = "shared"
MOST_RESTARTS: Final = 5


class Ground:
    """What drills stand on.

    Args:
        folder: of its own; removed at the end.
        is_short: whether loads and faults are to be small.
    """

    def __init__(self, folder: Path, *, is_short: bool = False) -> None:
        self.folder, self.is_short = folder, is_short
        self.deadline = Deadline(0.0)
        self.stack = ExitStack()
        self.sent: list[Sent] = []
        self.overrides: list[str] = []
        self.pages: PageWatch | None = None
        self._name = ""
        self._kafka: EmbeddedKafka | None = None
        self._follower: Follower | None = None
        self._job: Verb | None = None
        self._network = ""
        self.kept: dict[str, object] = {}  # what drills that follow each other share
        self._verbs: list[Verb] = []
        self._marked_s = 0.0
        self._sending: Sending | None = None
        self._is_supervised = False
        self.num_restarts = 0
        folder.mkdir(parents=True, exist_ok=True)

    def begin(self, name: str, limit_s: float) -> None:
        """Another drill: with sites, counts and a deadline of its own."""
        self._name = name
        self.deadline = Deadline(limit_s)
        self.sent = []
        self._is_supervised, self.num_restarts = False, 0
        for verb in self._verbs:
            verb.forget()
        if self.pages is not None:
            self.pages.begin()

    def close(self) -> None:
        """End every process, and remove the folder."""
        self.stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- what runs ---------------------------------------------------------------------------------------------------

    @property
    def kafka(self) -> EmbeddedKafka:
        """Two brokers and a controller; started when they are first asked for."""
        if self._kafka is None:
            self._kafka = EmbeddedKafka(self.folder / "kafka", brokers=2, heap_mb=HEAP_MB)
            self.stack.callback(self._kafka.stop)
            self._kafka.start()
        return self._kafka

    def topics(self, name: str = SHARED, *, bootstrap: str = "", copies: int = 2) -> None:
        """Topics of that name, and somebody who reads what comes out.

        Args:
            name: of the network.
            bootstrap: where its Kafka is, if it is not that of this ground.
            copies: of each record.
        """
        if name == self._network:
            return
        self._end_job()
        self._network = name
        for disk in (self.checkpoint_disk, self.archive_disk):
            mounted(disk, self.stack)
        bootstrap = bootstrap or self.kafka.bootstrap_servers
        kinds = ("files", "averages", "products", "sites", "quarantine")
        self.overrides = [
            f"kafka.bootstrap_servers={bootstrap}",
            *(f"kafka.{kind}_topic={name}.{kind}" for kind in kinds),
            f"kafka.partitions={PARTITIONS}",
            f"kafka.replication_factor={copies}",
            f"stream.directory={json.dumps(str(self.folder / name))}",
            f"stream.archive_directory={json.dumps(str(self.archive_disk))}",
            "stream.archive_every_s=2",
            "stream.driver_memory_mb=768",
        ]
        ensure_topics(self.config.kafka, bootstrap)
        self._follower = Follower(self.config.kafka, bootstrap)
        self.stack.callback(self._follower.close)

    def stream(
        self,
        *settings: str,
        network: str = SHARED,
        is_supervised: bool = False,
        environment: dict[str, str] | None = None,
        code: Path | None = None,
    ) -> Verb:
        """The streaming job: the one that runs, or a new one where other topics or settings are wanted.

        Args:
            settings: beside those of the ground; a job with settings is always a new one.
            network: topics and checkpoint of that name.
            environment: beside that of this process, for a new job.
            is_supervised: whether it is started again where it ends, as a service manager does.
            code: folder of another version of this project, for a new job.
        """
        self._is_supervised = is_supervised
        self.topics(network)
        if settings or self._job is None or not self._job.is_running:
            self._end_job()
            port = free_ports(1)[0]
            listen = f"monitoring.listen=127.0.0.1:{port}"
            job = self.verb("stream", settings=(listen, *settings), environment=environment, code=code)
            self._job = job
            self.pages = PageWatch(f"http://127.0.0.1:{port}", lambda: job.pid).start()
            self.stack.callback(self.pages.close)
            job.start()
        return self._job

    def _end_job(self) -> None:
        if self._job is not None:
            self._job.stop()
        if self.pages is not None:
            self.pages.close()
        self._job = None

    @property
    def checkpoint_disk(self) -> Path:
        """A disk of its own for the checkpoint of the network in use."""
        return self.folder / self._network / "checkpoint"

    @property
    def archive_disk(self) -> Path:
        """Another one for its archive."""
        return self.folder / f"{self._network}-archive"

    def verb(
        self,
        *words: str,
        settings: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        code: Path | None = None,
    ) -> Verb:
        """A verb with the settings of this ground; not started."""
        log = self.folder / f"{len(self._verbs):02d}-{self._name}-{words[0]}.log"
        sets = [word for each in (*self.overrides, *settings) for word in ("--set", each)]
        verb = Verb(log, [*words, *sets], environment, code)
        self._verbs.append(verb)
        self.stack.callback(verb.close)
        return verb

    @property
    def config(self) -> Config:
        """As the job reads it, but for settings of its own."""
        return load(overrides=self.overrides)

    def answer_of(self, *words: str, settings: tuple[str, ...] = ()) -> list[str]:
        """What a verb answers, line by line.

        Raises:
            DrillError: it does not end.
        """
        verb = self.verb(*words, settings=settings).start()
        self.deadline.until(lambda: not verb.is_running, f"the end of `ipdsf {' '.join(words)}`")
        return verb.said(".")

    # -- what is sent ------------------------------------------------------------------------------------------------

    def recorded(self, *, every_broken: int = 0) -> Recorded:
        """Files for all sites to send."""
        return write_recorded(self.folder / f"files-{every_broken}", count=FILES, every_broken=every_broken)

    def send(self, turns: int, *, recorded: Recorded | None = None, sites: int = 0, rate: float = RATE) -> Sending:
        """Let every site send its next `turns` files; what was sent before in this drill is gone on from.

        Args:
            turns: files of each site.
            recorded: which files; whole ones by default.
            sites: of the network, the same in every call of a drill.
            rate: files per second of all together.

        Raises:
            DrillError: there are not so many files.
        """
        recorded = recorded or self.recorded()
        kafka, begin = self.config.kafka, len(self.sent)
        sites = sites or (3 if self.is_short else SITES)
        feeds = [Feed(self._name, recorded.paths)]
        count = turns * sites
        if begin + count > sites * len(recorded.paths):
            raise DrillError(f"{begin + count} files are to be sent, {sites} sites have {len(recorded.paths)} each")
        order = itertools.islice(schedule(feeds, sites, begin + count), begin, None)
        self.sent += [Sent(site, path.name, recorded.profiles[path.name]) for site, path in order]
        self._sending = Sending(
            lambda: replay(feeds, kafka, kafka.bootstrap_servers, rate=rate, num_sites=sites, count=count, begin=begin),
            after=self._sending,
        )
        return self._sending

    # -- what is waited for ------------------------------------------------------------------------------------------

    def account(self) -> Account:
        """As far as it is written now."""
        if self._follower is None:
            raise DrillError("no topics: nothing can be read")
        return self._follower.look().account(self.sent)

    def await_accounted(self, num: int, job: Verb | None = None) -> None:
        """Wait until so many files are accounted for.

        Raises:
            DrillError: it takes too long, or the job has ended.
        """

        def is_so() -> bool:
            self._look_after(job)
            account = self.account()
            return account.sent - account.lost >= num

        self.deadline.until(is_so, f"{num} of {len(self.sent)} files to be accounted for")

    def await_all(self, *sendings: Sending, job: Verb | None = None) -> None:
        """Wait until everything was sent and is accounted for."""
        self.deadline.until(lambda: all(each.is_over for each in sendings), "the end of sending")
        self.await_accounted(len(self.sent), job)

    # -- the fault and its end ---------------------------------------------------------------------------------------

    def mark(self) -> None:
        """The fault happens, or ends, now: times to recover count from here."""
        self._marked_s = time.time()

    def since_mark_s(self) -> float:
        """Seconds since then."""
        return round(time.time() - self._marked_s, 1)

    def await_back(self, job: Verb | None = None) -> float:
        """Wait for the first product of a file that was sent after the mark; returns the seconds since the mark."""

        def is_back() -> bool:
            self._look_after(job)
            self.account()
            return self._follower is not None and self._follower.read.newest_sent_ms > 1000 * self._marked_s

        self.deadline.until(is_back, "a height of a file that was sent after the fault")
        return self.since_mark_s()

    def recovered(self, *sendings: Sending, job: Verb, told: str = TOLD, remark: str = "") -> Found:
        """Wait until the network is as before, and read everything once more from the beginning.

        Args:
            sendings: that go on.
            job: that is to run on.
            told: pattern of the lines that the operator is meant to see.
            remark: for the table.
        """
        back_s = self.await_back(job)
        self.await_all(*sendings, job=job)
        return self.found(back_s, self.since_mark_s(), job.said(told), remark)

    def found(self, back_s: float | None, caught_up_s: float | None, told: list[str], remark: str = "") -> Found:
        """The account as a consumer reads it now from the beginning, and what is to be said beside it."""
        kafka = self.config.kafka
        account = read_topics(kafka, kafka.bootstrap_servers).account(self.sent)
        return Found(account, back_s, caught_up_s, tuple(told[:MOST_LINES]), remark)

    def _look_after(self, job: Verb | None) -> None:
        """Make sure that a job runs.

        Raises:
            DrillError: it has ended, and nobody starts it again; or that happened too often.
        """
        if job is None or job.is_running:
            return
        if not self._is_supervised or self.num_restarts >= MOST_RESTARTS:
            raise DrillError(f"the job ended with {job.ended_with}: {job.tail()}")
        self.num_restarts += 1
        job.start()
