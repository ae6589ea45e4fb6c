"""What the topics say of every site: status, newest heights, delay from sending to product, quarantine by reason.

A thread reads the sites, products and quarantine topics beside the stream, in bounded memory. It fails alone: what
cannot be read is told and tried again.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeGuard

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.kafka.headers import REPLAYED, header_of
from ipdsf_spark.kafka.reading import bounds, consumer_of
from ipdsf_spark.sites import LONGEST_ID

logger = logging.getLogger(__name__)

HEIGHTS_KEPT: Final = 288  # of a site: a day of five minutes
SITES_WITH_HISTORY: Final = 1_000
DELAYS_KEPT: Final = 4_096
TAIL: Final = 2_000  # products of each partition that are read at the start
REASONS: Final = 30  # kinds of reasons told apart; the rest is "other"
AT_ONCE: Final = 500
POLL_S: Final = 0.5
RETRY_S: Final = 10.0
QUIET_S: Final = 10.0  # without a record: then Kafka is asked whether it is there, which no record says
ANSWER_S: Final = 5.0
MOST_WRONG_S: Final = 120.0  # that this clock and the brokers' may be apart
LOOKS: Final = 3  # in turn that must find them so: a record may lie a while where a broker was away
APART_S: Final = 5.0  # between two looks
HEIGHTS: Final = "layers"
CALIBRATION: Final = "calibration"
OF_ALL: Final = ("network", "network_components")  # kinds of records about all sites at once, under no site's name
COUNTS: Final = ("profiles", "late", "duplicate", "foreign", "rejected", "faults")  # of a site's state


@dataclass
class SiteView:
    """What is known of a site.

    Attributes:
        status: its record of the sites topic.
        heights: product time (ISO-8601) to its newest revision, oldest first.
        sent_ms: of its newest file whose products were seen [ms since 1970].
        calibration: its newest row of that kind, empty before one was seen.
    """

    status: dict[str, Any] = field(default_factory=dict)
    heights: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)
    sent_ms: int = 0
    calibration: dict[str, Any] = field(default_factory=dict)

    @property
    def newest_sent_ms(self) -> int:
        """When its newest file was sent [ms since 1970], 0 if unknown."""
        return max(self.sent_ms, int(self.status.get("sent_ms") or 0))

    @property
    def calibration_ratio(self) -> float | None:
        """Its factor of today over the mean of 90 days; None before there are both."""
        factor, mean = (self.calibration.get(name) for name in ("factor", "mean_90_days"))
        if not (isinstance(factor, int | float) and isinstance(mean, int | float)):
            return None
        return factor / mean if factor > 0 and mean > 0 else None

    @property
    def last(self) -> dict[str, Any]:
        """Its newest product with a height; else its newest; empty before there is one."""
        newest = list(self.heights.values())
        return next((row for row in reversed(newest) if row.get("mixing_height_m") is not None), {}) or (
            newest[-1] if newest else {}
        )


class Network:
    """What the topics say; filled by records, asked by pages and metrics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sites: dict[str, SiteView] = {}
        self._delays: deque[float] = deque(maxlen=DELAYS_KEPT)
        self._reasons: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self._last_counts: dict[str, dict[str, int]] = {}
        self._taken_out: set[str] = set()
        self._apart_s: deque[float] = deque(maxlen=LOOKS)
        self._looked_s = -APART_S
        self._wrong = ""  # how it was called last
        self.problem = ""

    def sites(self) -> dict[str, SiteView]:
        """Site id to what is known of it."""
        with self._lock:
            return {
                site: SiteView(view.status, OrderedDict(view.heights), view.sent_ms, view.calibration)
                for site, view in self._sites.items()
            }

    def delays(self) -> list[float]:
        """From sending to product, of recent files [s]."""
        with self._lock:
            return list(self._delays)

    def reasons(self) -> dict[str, int]:
        """Kinds of reasons and how many records of the quarantine have them."""
        with self._lock:
            return dict(self._reasons)

    @property
    def clock_ahead_s(self) -> float:
        """By how much this machine's clock is ahead of the brokers', the least of the last looks; negative: behind."""
        return min(self._apart_s, key=abs) if len(self._apart_s) == LOOKS else 0.0

    def take_new(self, published_ms: int, now_s: float, at_s: float) -> None:
        """When brokers took a record that has just come: what this clock says beside it tells whether it is right.

        Args:
            published_ms: by the broker's clock [ms since 1970].
            now_s: by this one [s since 1970].
            at_s: of a clock that nobody sets.
        """
        if at_s < self._looked_s + APART_S:
            return
        self._looked_s = at_s
        self._apart_s.append(now_s - published_ms / 1000)
        ahead_s = self.clock_ahead_s
        is_wrong = abs(ahead_s) > MOST_WRONG_S
        wrong = ("ahead of" if ahead_s > 0 else "behind") if is_wrong else ""
        if wrong and wrong != self._wrong:
            logger.warning(
                "the clock of this machine is %.0f s %s Kafka's: set it; until then delays and freshness are wrong",
                abs(ahead_s), wrong,
            )  # fmt: skip
        elif self._wrong and not wrong:
            logger.warning("the clock of this machine and Kafka's agree again")
        self._wrong = wrong

    def counted(self) -> dict[str, int]:
        """By how much the counts of all sites have grown while somebody looked; never less than before."""
        with self._lock:
            return dict(self._counted)

    def take_status(self, value: bytes | None, site: str = "", *, is_old: bool = False) -> None:
        """A record of the sites topic.

        Args:
            value: its JSON; None where somebody has taken the site out of the topic.
            site: its key.
            is_old: it was there before anybody looked; what it counts is no news.
        """
        if value is None:
            with self._lock:
                self._sites.pop(site, None)
                self._taken_out.add(site)
            return
        said = _parsed(value)
        if (named := _site_of(said)) is not None:
            status = _status_of(said)
            with self._lock:
                self._taken_out.discard(named)
                self._sites.setdefault(named, SiteView()).status = status
                self._count(named, status, is_old=is_old)

    def _count(self, site: str, status: dict[str, Any], *, is_old: bool) -> None:
        last = self._last_counts.get(site)
        now = {key: status.get(key, 0) for key in COUNTS}
        if last is None:
            last = now if is_old else dict.fromkeys(COUNTS, 0)
        elif is_old:  # read again after a pause: what is behind what was seen is no new beginning
            now = {key: max(now[key], last[key]) for key in COUNTS}
        elif any(now[key] < last[key] for key in COUNTS):
            last = dict.fromkeys(COUNTS, 0)  # its state was forgotten and began anew
        self._counted.update({key: now[key] - last[key] for key in COUNTS})
        self._last_counts[site] = now

    def take_product(self, value: bytes | None, published_ms: int) -> None:
        """A record of the products topic.

        Args:
            value: its JSON.
            published_ms: when it was written [ms since 1970].
        """
        said = _parsed(value)
        site, time, kind = _site_of(said), said.get("time"), said.get("kind")
        if site is None or not _is_time(time) or kind in OF_ALL:
            return
        sent_ms = _whole(said.get("sent_ms"))
        with self._lock:
            if site in self._taken_out:
                return
            view = self._sites.setdefault(site, SiteView())
            if sent_ms > view.sent_ms:
                view.sent_ms = sent_ms
                if published_ms >= sent_ms:
                    self._delays.append((published_ms - sent_ms) / 1000)
            if kind == CALIBRATION and time >= str(view.calibration.get("time", "")):
                view.calibration = said | {name: _number(said.get(name)) for name in ("factor", "mean_90_days")}
            elif kind == HEIGHTS:
                view.heights[time] = _heights_of(said)
                if len(view.heights) > 1 and next(reversed(view.heights)) != max(view.heights):
                    view.heights = OrderedDict(sorted(view.heights.items()))
                most = HEIGHTS_KEPT if len(self._sites) <= SITES_WITH_HISTORY else 1
                while len(view.heights) > most:
                    view.heights.popitem(last=False)

    def take_letter(self, headers: Iterable[Any] | None) -> None:
        """Headers of a record of the quarantine topic; a mark that a file was sent again puts nothing aside."""
        headers = list(headers or ())
        if header_of(headers, REPLAYED):
            return
        kind = kind_of(header_of(headers, "reason"))
        with self._lock:
            self._reasons[kind if kind in self._reasons or len(self._reasons) < REASONS else "other"] += 1


class Follower:
    """The thread that fills a `Network`.

    Args:
        kafka: topics and login.
        bootstrap: where Kafka is.
        network: what to fill.
    """

    def __init__(self, kafka: KafkaConfig, bootstrap: str, network: Network) -> None:
        self._kafka, self._bootstrap, self.network = kafka, bootstrap, network
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ipdsf-follower", daemon=True)

    def start(self) -> Follower:
        """Begin; returns at once and raises nothing."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join(RETRY_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with consumer_of(self._kafka, self._bootstrap, "monitor", is_following=True) as consumer:
                    self._follow(consumer)
            except Exception as error:  # whatever it is, the page says that it is not up to date
                is_known = isinstance(error, IpdsfError | KafkaException)
                said = str(error) if is_known else f"{type(error).__name__}: {error}"
                if said != self.network.problem:
                    logger.warning("the status page and its metrics do not see the topics: %s", said)
                self.network.problem = said
                self._stopped.wait(RETRY_S)

    def _follow(self, consumer: Consumer) -> None:
        kafka = self._kafka
        places, ends = [], {}
        for topic, tail in ((kafka.sites_topic, None), (kafka.products_topic, TAIL), (kafka.quarantine_topic, 0)):
            for number, (low, high) in bounds(consumer, topic, self._bootstrap).items():
                places.append(TopicPartition(topic, number, low if tail is None else max(low, high - tail)))
                ends[topic, number] = high
        consumer.assign(places)
        self.network.problem = ""
        has_all = False
        heard_s = time.monotonic()
        while not self._stopped.is_set():
            newest_ms = 0
            messages = consumer.consume(AT_ONCE, POLL_S)
            is_quiet = not messages and time.monotonic() > heard_s + QUIET_S
            if is_quiet:
                consumer.list_topics(kafka.sites_topic, timeout=ANSWER_S)  # a consumer waits for ever, without a word
            if messages or is_quiet:
                heard_s = time.monotonic()
            for message in messages:
                error = message.error()
                if error is None:
                    kind, published_ms = message.timestamp()
                    is_new = (message.offset() or 0) >= ends.get((message.topic() or "", message.partition() or 0), 0)
                    self._take(message, is_old=not is_new)
                    if has_all and is_new and kind == TIMESTAMP_LOG_APPEND_TIME:
                        newest_ms = max(newest_ms, published_ms)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
            if newest_ms:
                self.network.take_new(newest_ms, time.time(), time.monotonic())
            has_all = len(messages) < AT_ONCE  # what comes next was written since, but for what a link held up

    def _take(self, message: Message, *, is_old: bool) -> None:
        topic = message.topic()
        if topic == self._kafka.sites_topic:
            self.network.take_status(message.value(), _text(message.key()), is_old=is_old)
        elif topic == self._kafka.products_topic:
            self.network.take_product(message.value(), message.timestamp()[1])
        else:
            self.network.take_letter(message.headers())


def kind_of(reason: str) -> str:
    """What a reason says less names, numbers and details, so that there are few kinds of them."""
    first = reason.partition(" (and ")[0]
    first = re.sub(r"'[^']*'|\"[^\"]*\"", "…", first)
    first = re.sub(r"0x[0-9a-fA-F]+|\b(?=[0-9a-f]*\d)[0-9a-f]{4}\b|[-+]?\d[\d.,:T/-]*", "N", first)
    return " ".join(first.split())[:80].strip(" :") or "no reason given"


def _parsed(value: bytes | None) -> dict[str, Any]:
    try:
        said = json.loads(value or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


# Anybody whom Kafka lets may write a record. One that is not as the stream writes it must not cost the page.


def _site_of(said: Mapping[str, Any]) -> str | None:
    """Whose record it is; None where it says no id that the stream would have read under."""
    site = said.get("site")
    if not isinstance(site, str) or len(site) > LONGEST_ID:
        return None
    return site.encode(errors="replace").decode()  # half a letter of UTF-16 stands in no address


def _status_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of a status, each of its kind."""
    counts = {key: _whole(said.get(key)) for key in COUNTS}
    words = {key: _words(said.get(key)) for key in ("alarms", "flags")}
    times = {key: _text(said.get(key)) for key in ("site", "time", "instrument")}
    judged = {"is_silent": bool(said.get("is_silent")), "is_balanced": bool(said.get("is_balanced", True))}
    return {**times, **counts, **words, **judged, "sent_ms": _whole(said.get("sent_ms"))}


def _heights_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of a product with heights, each of its kind."""
    heights = {name: _number(said.get(name)) for name in ("mixing_height_m", "uncertainty_m")}
    return {"time": said["time"], **heights, "provisional": bool(said.get("provisional")),
            "quality": _words(said.get("quality"))}  # fmt: skip


def _text(said: Any) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said if isinstance(said, str) else ""


def _words(said: Any) -> list[str]:
    return [word for word in said if isinstance(word, str)] if isinstance(said, list) else []


def _number(said: Any) -> float | None:
    try:
        return float(said) if isinstance(said, int | float) and math.isfinite(said) else None
    except OverflowError:
        return None


def _whole(said: Any) -> int:
    number = _number(said)
    return 0 if number is None else int(number)


def _is_time(said: Any) -> TypeGuard[str]:
    try:
        return isinstance(said, str) and datetime.fromisoformat(said).tzinfo is not None
    except ValueError:
        return False
