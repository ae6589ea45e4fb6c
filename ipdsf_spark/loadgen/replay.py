"""Recorded files as a live network: for demonstrations and load tests."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, ConfigError, InputError
from ipdsf_spark.kafka import headers
from ipdsf_spark.kafka.client import made, producer_options
from ipdsf_spark.sites import check_site_id

logger = logging.getLogger(__name__)

IGNORED_SUFFIXES: Final = (".csv", ".toml", ".json", ".md", ".png", ".html")
BY_KEY: Final = -1  # librdkafka: let the partitioner choose
SETTLED_WITHIN_S: Final = 320.0  # of the last record: librdkafka's message.timeout.ms, 300 s, and a little
CACHE_BYTES: Final = 256_000_000  # files kept in memory, so that a load test does not measure the disk


@dataclass(frozen=True)
class Feed:
    """The files of one recorded site, in the order they are sent."""

    site: str
    files: Sequence[Path]


@dataclass(frozen=True)
class Replayed:
    """What was sent; `reason` is that of the last file that failed."""

    sent: int
    failed: int
    bytes: int
    seconds: float
    reason: str = ""


def feeds_of(directory: Path) -> list[Feed]:
    """One feed per folder that holds files, named after the folder; files in the order of their names.

    Raises:
        InputError: there is no file to send, or a folder that cannot be a site: it is no recorded network.
    """
    if not directory.is_dir():
        raise InputError(f"nothing to replay: {directory} is no folder")
    by_folder: dict[Path, list[Path]] = {}
    for path in sorted(directory.rglob("*")):
        is_data = path.is_file() and path.suffix.lower() not in IGNORED_SUFFIXES and not path.name.startswith(".")
        if is_data and path.name != "README":
            by_folder.setdefault(path.parent, []).append(path)
    if not by_folder:
        raise InputError(f"nothing to replay: no instrument files below {directory}")
    own = directory.resolve().name  # of files that lie in the folder itself, also where it was called "."
    feeds = [Feed(str(folder.relative_to(directory)), files) for folder, files in by_folder.items()]
    feeds = [Feed(own if feed.site == "." else feed.site.replace("/", "."), feed.files) for feed in feeds]
    for feed in feeds:
        try:
            check_site_id(feed.site)
        except ConfigError as error:  # the stream would refuse its files one by one
            raise InputError(f"the folder {feed.files[0].parent} names no site: {error}; nothing was sent") from error
    return feeds


def schedule(feeds: Sequence[Feed], num_sites: int, count: int | None) -> Iterator[tuple[str, Path]]:
    """(site, file) in sending order: every site's next file in turn.

    With more sites than feeds, the feeds are shared under new site ids; with `count`, feeds start over when they end.
    """
    sites = [
        (feed.site if lap == 0 else f"{feed.site}-{lap}", feed)
        for lap in range(-(-num_sites // len(feeds)))
        for feed in feeds
    ][:num_sites]
    sent = 0
    for turn in itertools.count():
        is_any = False
        for site, feed in sites:
            if turn >= len(feed.files) and count is None:
                continue
            is_any = True
            if count is not None and sent >= count:
                return
            yield site, feed.files[turn % len(feed.files)]
            sent += 1
        if not is_any:
            return


def replay(
    feeds: Sequence[Feed],
    kafka: KafkaConfig,
    bootstrap: str,
    *,
    rate: float,
    num_sites: int | None = None,
    count: int | None = None,
    begin: int = 0,
    partitioning: str = "by_site",
    num_partitions: int | None = None,
    on_sent: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Send recorded files at a fixed rate.

    Args:
        feeds: what to send.
        kafka: topic and login.
        bootstrap: where Kafka is.
        rate: files per second of the whole network.
        num_sites: sites of the network; those recorded by default.
        count: files to send; every file once by default.
        begin: files of the network that were sent before; it goes on after them.
        partitioning: ``by_site`` keeps a site's order; ``round_robin`` spreads files evenly, as in the presentation.
        num_partitions: of the files topic as it is; as configured by default.
        on_sent: called with the files sent and failed so far, about five times a second.
        should_stop: asked before every file.

    Raises:
        BrokerError: Kafka took none of the files.
    """
    options = producer_options(kafka, bootstrap) | {
        "enable.idempotence": True,
        "linger.ms": 5,
        "message.max.bytes": kafka.max_message_bytes + 100_000,
        "queue.buffering.max.messages": 100_000,
    }
    producer = made(Producer, options)
    is_spread = partitioning == "round_robin" and not kafka.topic_per_site
    tally = _Tally()
    cache: dict[Path, tuple[bytes, str]] = {}
    cached = sent = total = 0
    started = time.monotonic()
    next_report = 0.0
    everything = schedule(feeds, num_sites or len(feeds), None if count is None else begin + count)
    for site, path in itertools.islice(everything, begin, None):
        if should_stop():
            break
        if path not in cache:
            raw = path.read_bytes()
            entry = (raw, sha256(raw).hexdigest())
            if cached + len(raw) <= CACHE_BYTES:
                cache[path] = entry
                cached += len(raw)
        else:
            entry = cache[path]
        wait_s = started + sent / rate - time.monotonic()
        producer.poll(max(wait_s, 0.0))
        while (left := started + sent / rate - time.monotonic()) > 0:
            producer.poll(left)
        told: dict[str, str | bytes | None] = {
            headers.FILE: path.name,
            headers.SHA256: entry[1],
            headers.SITE: site,
            headers.SENT_MS: str(time.time_ns() // 1_000_000),
            headers.SEQ: str(begin + sent),
            headers.OFFSET: "0",
        }
        partition = sent % (num_partitions or kafka.partitions) if is_spread else BY_KEY
        while True:
            try:
                producer.produce(kafka.files_topic_of(site), entry[0], site, partition, tally.settled, headers=told)
                break
            except BufferError:  # Kafka is slower than we are: wait for room
                producer.poll(0.5)
            except KafkaException as error:  # of this file alone: it is larger than kafka.max_message_bytes
                tally.failed += 1
                tally.reason = f"{path.name} of {site}: {error.args[0].str()}"
                break
        sent += 1
        total += len(entry[0])
        if on_sent is not None and time.monotonic() >= next_report:
            on_sent(sent, tally.failed)
            next_report = time.monotonic() + 0.2
    # The client gives up a record by itself before that; whatever it still holds then was not delivered.
    if unsettled := producer.flush(SETTLED_WITHIN_S):
        tally.failed += unsettled
        tally.reason = tally.reason or f"not acknowledged within {SETTLED_WITHIN_S:.0f} s"
    if on_sent is not None:
        on_sent(sent, tally.failed)
    if sent and tally.failed >= sent:
        raise BrokerError(f"Kafka at {bootstrap} took none of {sent} files: {tally.reason}")
    return Replayed(sent, tally.failed, total, time.monotonic() - started, tally.reason)


class _Tally:
    def __init__(self) -> None:
        self.failed = 0
        self.reason = ""

    def settled(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            self.reason = error.str()
