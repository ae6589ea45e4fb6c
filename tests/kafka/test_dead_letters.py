"""The quarantine against a real broker: what is listed, fetched, sent again, and how much of it is held in memory."""

from __future__ import annotations

import resource
import sqlite3
import time
from dataclasses import replace as dataclass_replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import ConfigResource

from ipdsf_spark.config import Config, KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import BrokerError, InputError
from ipdsf_spark.kafka import reading
from ipdsf_spark.kafka.client import producer_options
from ipdsf_spark.kafka.dead_letter import DeadLetter, dead_letter
from ipdsf_spark.kafka.quarantine import (
    Index,
    Quarantined,
    Selection,
    Values,
    budget_warning,
    estimated_bytes,
    gist_of,
    index_of,
    letter_of,
    read,
)
from ipdsf_spark.kafka.reading import consumer_of, records
from ipdsf_spark.kafka.replay import _mark, replay
from ipdsf_spark.kafka.schemas import record_schema
from ipdsf_spark.kafka.topics import admin
from tests.kafka.json_schema import breaches
from tests.sender_stamps import topics_stamped_by_senders

pytestmark = [pytest.mark.kafka]

DAY_MS = 86_400_000
NOON_MS = 1_782_043_200_000  # 2026-06-21 12:00 UTC


def config_for(name: str, kafka: EmbeddedKafka, *more: str) -> Config:
    config = load(
        overrides=[
            f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
            f"kafka.files_topic={name}.files",
            f"kafka.averages_topic={name}.averages",
            f"kafka.products_topic={name}.products",
            f"kafka.quarantine_topic={name}.bad",
            "kafka.partitions=2",
            *more,
        ]
    )
    topics_stamped_by_senders(config.kafka, kafka.bootstrap_servers)
    return config


class Sender:
    """Files and the dead letters about them, as edge and stream would write them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.producer = Producer(
            {"bootstrap.servers": config.kafka.bootstrap_servers, "linger.ms": 0, "message.max.bytes": 8_100_000}
        )

    def file(self, site: str, name: str, raw: bytes, *, sent_ms: int = NOON_MS) -> tuple[str, int, int]:
        where: list[tuple[str, int, int]] = []
        headers: list[tuple[str, str | bytes | None]] = [("file", name), ("site", site), ("sent_ms", str(sent_ms))]
        self.producer.produce(
            self.config.kafka.files_topic,
            raw,
            site,
            headers=headers,
            on_delivery=lambda error, record: where.append((record.topic(), record.partition(), record.offset())),
        )
        self.producer.flush(20)
        return where[0]

    def letter(
        self,
        place: tuple[str, int, int],
        site: str,
        name: str,
        raw: bytes,
        *reasons: str,
        sent_ms: int = NOON_MS,
        at_ms: int = 0,
        part: str = "",
        max_bytes: int = 8_000_000,
    ) -> str:
        topic, partition, offset = place
        key, value, headers = dead_letter(
            topic=topic, partition=partition, offset=offset, site=site, file=name, sent_ms=sent_ms,
            stretches=[(7, 3, reason) for reason in reasons], raw=raw, max_bytes=max_bytes, part=part,
        )  # fmt: skip
        topic = self.config.kafka.quarantine_topic
        self.producer.produce(topic, value, key, headers=headers, timestamp=at_ms or round(time.time() * 1000))
        self.producer.flush(20)
        return key.decode()


@pytest.fixture(scope="module")
def filled(kafka: EmbeddedKafka) -> tuple[Config, dict[str, str]]:
    """Four letters of two sites and days; the first was written twice, the third refers to its file."""
    config = config_for("quarantine", kafka)
    sender = Sender(config)
    ids = {}
    for turn in range(2):  # a batch that was repeated
        ids["oslo"] = sender.letter(
            ("f", 0, 1), "oslo", "a.dat", b"\x1f\x8b whole", "checksum 12 is not 13", "no header",
            at_ms=NOON_MS - DAY_MS + turn,
        )  # fmt: skip
    ids["ny"] = sender.letter(("f", 0, 2), "ny", "b.nc", b"\x89HDF", "no profile in the file", at_ms=NOON_MS)
    place = sender.file("ny", "c.dat", b"held by the files topic", sent_ms=NOON_MS - 5)
    ids["late"] = sender.letter(place, "ny", "c.dat", b"", "late: 5 profile(s) of an interval that is closed",
                                sent_ms=NOON_MS - 5, part="|late")  # fmt: skip
    ids["gone"] = sender.letter(("quarantine.files", 1, 999), "ny", "d.dat", b"", "late: 6 profile(s) of an interval "
                                "that is closed", part="|late")  # fmt: skip
    return config, ids


def ids_of(config: Config, selection: Selection) -> list[str]:
    with index_of(config.kafka, config.kafka.bootstrap_servers, since_ms=selection.since_ms) as index:
        return [letter.id for letter in index.letters(selection)]


def test_a_letter_that_a_repeated_batch_wrote_twice_is_listed_once_and_oldest_first(
    filled: tuple[Config, dict[str, str]],
) -> None:
    config, ids = filled

    letters = read(config.kafka, config.kafka.bootstrap_servers)

    assert [letter.id for letter in letters] == [ids[name] for name in ("oslo", "ny", "late", "gone")]
    assert letters[0].published_ms == NOON_MS - DAY_MS + 1
    assert (letters[0].size, letters[0].num_stretches, letters[0].sent_ms) == (8, 2, NOON_MS)


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (Selection(site="ny"), ["ny", "late", "gone"]),
        (Selection(reason="CHECKSUM"), ["oslo"]),
        (Selection(reason="no header"), ["oslo"]),  # its second reason
        (Selection(reason="no"), ["oslo", "ny"]),
        (Selection(reason="nothing says this"), []),
        (Selection(since_ms=NOON_MS), ["ny", "late", "gone"]),
        (Selection(until_ms=NOON_MS), ["oslo"]),
        (Selection(since_ms=NOON_MS - DAY_MS, until_ms=NOON_MS + 1), ["oslo", "ny"]),
        (Selection(limit=1), ["gone"]),
        (Selection(site="ny", limit=2), ["late", "gone"]),
        (Selection(since_ms=NOON_MS + 10**12), []),
    ],
    ids=str,
)
def test_a_selection_takes_what_it_names_and_nothing_else(
    filled: tuple[Config, dict[str, str]], selection: Selection, names: list[str]
) -> None:
    config, ids = filled

    assert ids_of(config, selection) == [ids[name] for name in names]


def test_ids_select_and_an_id_that_is_not_there_is_named(filled: tuple[Config, dict[str, str]]) -> None:
    config, ids = filled

    assert ids_of(config, Selection(ids=(ids["ny"],))) == [ids["ny"]]
    with pytest.raises(InputError, match="nothing in quarantine is called f-9-9; see `ipdsf quarantine list`"):
        ids_of(config, Selection(ids=(ids["ny"], "f-9-9")))


def test_a_value_is_the_file_as_it_came_from_the_letter_or_from_the_record_it_refers_to(
    filled: tuple[Config, dict[str, str]],
) -> None:
    config, ids = filled
    letters = {letter.id: letter for letter in read(config.kafka, config.kafka.bootstrap_servers)}

    with Values(config.kafka, config.kafka.bootstrap_servers) as values:
        assert values.of(letters[ids["late"]]) == b"held by the files topic"
        assert values.of(letters[ids["oslo"]]) == b"\x1f\x8b whole"
        with pytest.raises(InputError, match=r"refers to quarantine\.files-1-999, and that record is not there"):
            values.of(letters[ids["gone"]])


def test_a_record_of_a_topic_made_anew_is_not_taken_for_the_one_that_was_referred_to(kafka: EmbeddedKafka) -> None:
    config = config_for("anew", kafka)
    sender = Sender(config)
    place = sender.file("oslo", "young.dat", b"another file")
    sender.letter(place, "oslo", "old.dat", b"", "late")
    sender.letter(place, "oslo", "young.dat", b"", "written before the record", part="|2", at_ms=NOON_MS)

    with Values(config.kafka, config.kafka.bootstrap_servers) as values:
        for letter in read(config.kafka, config.kafka.bootstrap_servers):
            with pytest.raises(InputError, match="where another record stands: the topic was made anew"):
                values.of(letter)


def test_the_report_counts_by_day_site_and_reason_without_its_numbers(filled: tuple[Config, dict[str, str]]) -> None:
    config, _ = filled

    with index_of(config.kafka, config.kafka.bootstrap_servers) as index:
        lines = list(index.report())

    assert [(line.day, line.site, line.num_letters, line.num_stretches) for line in lines[:2]] == [
        ("2026-06-20", "oslo", 1, 2),
        ("2026-06-21", "ny", 1, 1),
    ]
    assert lines[0].reason == "checksum # is not #"
    assert lines[2].reason == "late: # profile(s) of an interval that is closed"
    assert lines[2].num_letters == 2


def test_like_reasons_have_the_same_gist() -> None:
    assert gist_of("no header at 17.5 m (and 3 more)") == gist_of("no header at 2 m") == "no header at # m"


def test_damaged_messages_are_one_kind_whatever_their_checksums() -> None:
    said = [
        gist_of(f"checksum: message says 0x{told:04x}, its bytes give 0x{told ^ 0xFFFF:04x}") for told in range(500)
    ]

    assert set(said) == {"checksum: message says #, its bytes give #"}
    assert gist_of("checksum: message says 41be, its bytes give e13b") == said[0]  # letters of before
    assert gist_of("Vaisala CL31 of 1.5e-3 m, not CT25K") == "Vaisala CL# of #e-# m, not CT#K"


def files_of(config: Config) -> list[tuple[bytes, dict[str, str]]]:
    with consumer_of(config.kafka, config.kafka.bootstrap_servers, "test") as consumer:
        return [
            (record.value() or b"", {name: value.decode() for name, value in record.headers() or []})
            for record in records(consumer, config.kafka.files_topic, config.kafka.bootstrap_servers)
        ]


def test_a_replayed_file_goes_to_the_partition_of_its_sites_other_files(kafka: EmbeddedKafka) -> None:
    config = config_for("placed", kafka)
    broker, sender = config.kafka.bootstrap_servers, Sender(config)
    java = Producer(producer_options(config.kafka, broker))  # as the edge node; Spark's choice is the same
    sites = "abcdefgh"
    for number, site in enumerate(sites):
        java.produce(config.kafka.files_topic, b"new", site)
        sender.letter(("f", 0, number), site, "a.dat", b"old", "no header")
    java.flush(20)

    assert replay(config.kafka, broker, read(config.kafka, broker)).num_sent == len(sites)

    with consumer_of(config.kafka, broker, "test") as consumer:
        held = {(record.key(), record.partition()) for record in records(consumer, config.kafka.files_topic, broker)}
    assert len({partition for _, partition in held}) == 2
    assert len(held) == len(sites)


def test_a_letter_larger_than_kafka_takes_now_is_named_and_the_others_are_sent(kafka: EmbeddedKafka) -> None:
    config = config_for("larger", kafka)
    broker, sender = config.kafka.bootstrap_servers, Sender(config)
    sender.letter(("f", 0, 1), "oslo", "large.dat", bytes(300_000), "no header")
    sender.letter(("f", 0, 2), "oslo", "small.dat", b"raw", "no header")
    smaller = dataclass_replace(config.kafka, max_message_bytes=100_000)

    with pytest.raises(BrokerError, match=r"1 record.s. were not taken: large\.dat: .*too large"):
        replay(smaller, broker, read(config.kafka, broker))

    assert [value for value, _ in files_of(config)] == [b"raw"]
    assert [letter.file for letter in read(config.kafka, broker) if letter.replayed] == ["small.dat"]


def test_a_replay_from_which_kafka_went_away_says_so_and_blames_no_letter(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for("away", kafka)
    broker, sender = config.kafka.bootstrap_servers, Sender(config)
    for number in range(3):
        sender.letter(("f", 0, number), "oslo", "a.dat", b"raw", "no header")
    letters, refused = read(config.kafka, broker), list[str]()

    def away(*_: object, **__: object) -> tuple[int, int]:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    monkeypatch.setattr(reading, "ends_of", away)
    with pytest.raises(BrokerError, match=f"Kafka at {broker}: .*transport"):
        replay(config.kafka, broker, letters, on_refused=lambda letter, reason: refused.append(reason))
    assert not refused


def test_a_replay_sends_the_file_as_it_came_with_its_own_time_and_marks_the_letter(kafka: EmbeddedKafka) -> None:
    config = config_for("replayed", kafka)
    broker = config.kafka.bootstrap_servers
    sender = Sender(config)
    raw = bytes(range(256)) * 40
    first = sender.letter(("f", 0, 1), "oslo", "a.nc.gz", raw, "unknown instrument", sent_ms=NOON_MS - 123)
    sender.letter(("f", 0, 1), "oslo", "a.nc.gz", b"", "late: 2", sent_ms=NOON_MS - 123, part="|late")
    sender.letter(("f", 3, 9), "oslo", "", b"", "operator layers: ValueError", part="|layers|oslo")

    refused: list[str] = []
    rehearsed = replay(config.kafka, broker, read(config.kafka, broker), is_rehearsal=True)
    assert (rehearsed.num_sent, files_of(config)) == (1, [])
    done = replay(
        config.kafka, broker, read(config.kafka, broker), on_refused=lambda letter, reason: refused.append(reason)
    )

    assert (done.num_sent, done.num_same, done.num_refused, done.num_again) == (1, 1, 1, 0)
    assert "f-3-9" in refused[0]
    assert files_of(config) == [
        (raw, {"file": "a.nc.gz", "site": "oslo", "replayed": first, "sent_ms": str(NOON_MS - 123)})
    ]
    letters = read(config.kafka, broker)
    assert sorted(letter.position for letter in letters if letter.replayed) == ["f-0-1", "f-0-1"]
    assert [letter.position for letter in letters if not letter.replayed] == ["f-3-9"]

    again = replay(config.kafka, broker, letters)
    assert (again.num_sent, again.num_again) == (0, 2)
    once_more = replay(config.kafka, broker, letters, again=True)
    assert once_more.num_sent == 1
    assert [value for value, _ in files_of(config)] == [raw, raw]  # the mark leads to the letter that holds the file


def test_a_quarantine_is_kept_for_ever_unless_somebody_decides(kafka: EmbeddedKafka) -> None:
    for name, more, kept in (("kept", (), "-1"), ("cut", ("kafka.quarantine_keep_days=3",), str(3 * DAY_MS))):
        config = config_for(name, kafka, *more)
        resource_of = ConfigResource(ConfigResource.Type.TOPIC, config.kafka.quarantine_topic)  # type: ignore[attr-defined]
        client = admin(config.kafka, kafka.bootstrap_servers)
        answer = client.describe_configs([resource_of])
        assert next(iter(answer.values())).result(20)["retention.ms"].value == kept


def test_a_quarantine_beyond_its_budget_is_told_with_a_way_on(kafka: EmbeddedKafka) -> None:
    config = config_for("budget", kafka, "kafka.quarantine_warn_mb=1")
    sender = Sender(config)
    noise = np.random.default_rng(0).bytes(200_000)
    for number in range(9):
        sender.letter(("f", 0, number), "oslo", "a", noise, "noise")

    found = estimated_bytes(config.kafka, kafka.bootstrap_servers)

    assert found == pytest.approx(1_800_000, rel=0.01)
    assert "holds about 2 MB, more than kafka.quarantine_warn_mb = 1" in str(budget_warning(config.kafka, found))
    assert budget_warning(config.kafka, 1_000_000) is None
    assert budget_warning(load().kafka, 10**9) is None


def test_reading_holds_no_values_however_many_there_are(kafka: EmbeddedKafka) -> None:
    config = config_for("large", kafka)
    sender = Sender(config)
    noise = np.random.default_rng(1).bytes(4_000_000)
    for number in range(40):  # 160 MB
        sender.letter(("f", 0, number), "oslo", "a", noise, "noise")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with index_of(config.kafka, config.kafka.bootstrap_servers) as index:
        assert sum(1 for _ in index.letters()) == 40
        assert index.num_bytes > 160_000_000

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_the_index_spills_to_a_file_of_its_own(tmp_path: Path) -> None:
    index = Index()

    assert index._table.execute("PRAGMA database_list").fetchone()[2] == ""  # temporary, not in memory
    assert index._table.execute("PRAGMA cache_size").fetchone()[0] < 0
    index.close()
    with pytest.raises(sqlite3.ProgrammingError):
        index._table.execute("SELECT 1")


def test_a_topic_that_is_not_there_is_named(kafka: EmbeddedKafka) -> None:
    config = load(overrides=["kafka.quarantine_topic=nowhere.bad"])

    with pytest.raises(BrokerError, match=r"no topic nowhere\.bad at"):
        read(config.kafka, kafka.bootstrap_servers)


def test_a_letter_of_strangers_says_what_it_can(kafka: EmbeddedKafka) -> None:
    config = config_for("strange", kafka)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    theirs: list[tuple[str, str | bytes | None]] = [
        ("__streams.errors.message", "boom"), ("__streams.errors.topic", "their-topic"),
        ("__streams.errors.partition", "3"), ("__streams.errors.offset", "17"), ("sent_ms", "yesterday"),
        ("site", None), ("site", b"\xff\xfe"), ("num_stretches", "-4"),
    ]  # fmt: skip
    producer.produce(config.kafka.quarantine_topic, None, None, headers=theirs)
    producer.produce(config.kafka.quarantine_topic, b"x", b"\xff")
    producer.flush(20)

    letters: list[Quarantined] = read(config.kafka, kafka.bootstrap_servers)

    assert [(letter.id, letter.position, letter.reason, letter.sent_ms) for letter in letters] == [
        ("strange.bad-0-0", "their-topic-3-17", "boom", 0),
        ("\ufffd", "", "no reason given", 0),
    ]


class Held:
    """A record as the client hands it over."""

    def __init__(self, letter: DeadLetter) -> None:
        self._letter = letter

    def topic(self) -> str:
        return "bad"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_782_000_000_000

    def key(self) -> bytes:
        return self._letter.key

    def value(self) -> bytes:
        return self._letter.value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._letter.headers


@pytest.mark.parametrize("max_bytes", [100, 1_000_000])
def test_letter_and_mark_are_what_their_schema_says_and_say_where_the_file_came_from(max_bytes: int) -> None:
    letter = dead_letter(
        topic="ceilometer.files.a-1", partition=3, offset=42, site="a-1", file="f.dat", sent_ms=1,
        stretches=[(0, 5, "no message header")], raw=b"noise", max_bytes=max_bytes,
    )  # fmt: skip
    mark = _mark(KafkaConfig(), letter_of(cast("Any", Held(letter))))

    for headers in ({name: value.decode() for name, value in letter.headers}, mark):
        assert not list(breaches(headers, record_schema("dead_letter")))
        source = [headers[f"__streams.errors.{name}"] for name in ("topic", "partition", "offset")]
        assert source == ["ceilometer.files.a-1", "3", "42"]
