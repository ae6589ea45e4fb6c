"""The quarantine, topics and samples as far as they need no broker: letters, marks, counts and settings of records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, InputError
from ipdsf_spark.kafka import sample
from ipdsf_spark.kafka.quarantine import (
    Index,
    Quarantined,
    ReportLine,
    Selection,
    Values,
    budget_warning,
    letter_of,
    place_of,
    stretches_of,
)
from ipdsf_spark.kafka.replay import _file_headers, _mark, of_position
from ipdsf_spark.kafka.sample import Admission, _turns, admission
from ipdsf_spark.kafka.sites import SiteStatus, status_of, total_of
from ipdsf_spark.kafka.topics import topic_settings

DAY_MS = 86_400_000
NOON_MS = 1_782_043_200_000  # 2026-06-21 12:00 UTC
KAFKA = KafkaConfig()


@dataclass(frozen=True)
class Record:
    """As much of a message of confluent-kafka as a reader asks for."""

    said: Sequence[tuple[str, str | bytes | None]] = ()
    raw: bytes | None = b""
    name: bytes | None = b"f-0-1"
    at: tuple[str, int, int] = ("bad", 0, 5)
    stamp_ms: int = NOON_MS

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        return list(self.said)

    def value(self) -> bytes | None:
        return self.raw

    def key(self) -> bytes | None:
        return self.name

    def topic(self) -> str:
        return self.at[0]

    def partition(self) -> int:
        return self.at[1]

    def offset(self) -> int:
        return self.at[2]

    def timestamp(self) -> tuple[int, int]:
        return 1, self.stamp_ms

    def error(self) -> None:
        return None


def letter(**said: Any) -> Quarantined:
    values = {name: said.pop(name) for name in ("raw", "name", "at", "stamp_ms") if name in said}
    return letter_of(cast(Any, Record([(name, str(value).encode()) for name, value in said.items()], **values)))


def index(*records: Record) -> Index:
    made = Index()
    for each in records:
        made.add(cast(Any, each))
    return made


def test_a_letter_says_what_stands_in_its_headers_and_key() -> None:
    found = letter(
        reason="no message header", num_stretches=2, stretches='[[7,3,"no message header"],[20,5,"checksum"]]',
        site="oslo", file="a.dat", position="files-3-17", sent_ms=NOON_MS - 5, raw=b"four", name=b"files-3-17|late",
        stamp_ms=NOON_MS + 9,
    )  # fmt: skip

    assert (found.id, found.position, found.size) == ("files-3-17|late", "files-3-17", 4)
    assert (found.site, found.file, found.sent_ms, found.published_ms) == ("oslo", "a.dat", NOON_MS - 5, NOON_MS + 9)
    assert stretches_of(found) == [(7, 3, "no message header"), (20, 5, "checksum")]
    assert (found.num_stretches, found.partition, found.offset, found.replayed) == (2, 0, 5, "")


def test_a_letter_of_a_stranger_says_what_it_can_and_its_numbers_are_none() -> None:
    theirs = {f"__streams.errors.{name}": value for name, value in (("topic", "files"), ("partition", 3))}

    found = letter(
        **theirs, **{"__streams.errors.message": "cannot parse"}, sent_ms="-5", num_stretches="many", name=None
    )
    whole = letter(**theirs, **{"__streams.errors.offset": 9}, quarantined_ms=NOON_MS - 1)

    assert (found.id, found.position, found.reason) == ("bad-0-5", "", "cannot parse")
    assert (found.sent_ms, found.num_stretches, stretches_of(found)) == (0, 0, [])
    assert (whole.position, whole.published_ms, whole.reason) == ("files-3-9", NOON_MS - 1, "no reason given")
    assert [stretches_of(replace(found, stretches=text)) for text in ("{", "[[1]]", "5", "[[1,2,3]")] == [[]] * 4


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 9)), max_size=12))
def test_of_a_key_the_record_that_was_taken_last_counts(written: list[tuple[str, int, int]]) -> None:
    newest: dict[str, tuple[int, int, str]] = {}
    records = []
    for number, (key, stamp, offset) in enumerate(written):
        said = [("reason", f"number {number}".encode())]
        records.append(Record(said, b"xy", key.encode(), ("bad", 0, offset), NOON_MS + stamp))
        if (stamp, offset) >= newest.get(key, (-1, -1, ""))[:2]:
            newest[key] = (stamp, offset, f"number {number}")

    made = index(*records)

    assert {each.id: each.reason for each in made.letters()} == {key: held[2] for key, held in newest.items()}
    assert (made.num_records, made.num_bytes) == (len(written), 3 * len(written))


LETTERS = [
    Record([("site", b"oslo"), ("reason", b"No header at 7")], b"1", b"a", ("bad", 0, 1), NOON_MS),
    Record([("site", b"rome"), ("reason", b"no header at 9"), ("replayed", b"x")], b"22", b"b", ("bad", 1, 1), NOON_MS),
    Record([("site", b"oslo"), ("reason", b"late"), ("stretches", b'[[0,1,"CHECKSUM"]]')], b"", b"c", ("bad", 0, 2),
           NOON_MS + DAY_MS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        (Selection(), "abc"),
        (Selection(site="oslo"), "ac"),
        (Selection(site="osl"), ""),
        (Selection(reason="HEADER"), "ab"),
        (Selection(reason="checksum"), "c"),
        (Selection(since_ms=NOON_MS + 1), "c"),
        (Selection(since_ms=NOON_MS), "abc"),
        (Selection(until_ms=NOON_MS), ""),
        (Selection(until_ms=NOON_MS + 1), "ab"),
        (Selection(limit=2), "bc"),
        (Selection(limit=0), ""),
        (Selection(ids=("c", "a")), "ac"),
        (Selection(ids=("c", "a"), site="oslo", limit=1), "c"),
    ],
)
def test_letters_are_chosen_by_what_is_asked_and_come_oldest_first(selection: Selection, ids: str) -> None:
    made = index(*LETTERS)

    assert "".join(each.id for each in made.letters(selection)) == ids
    assert sum(line.num_letters for line in made.report(replace(selection, limit=None))) >= len(ids)
    assert selection.is_everything == (selection == Selection())


def test_a_report_counts_like_reasons_of_a_day_and_site_together() -> None:
    again = Record([("site", b"oslo"), ("reason", b"No header at 12 (and 3 more)"), ("num_stretches", b"4")], b"666",
                   b"d", ("bad", 0, 3), NOON_MS + 1)  # fmt: skip

    assert list(index(*LETTERS, again).report()) == [
        ReportLine("2026-06-21", "oslo", "No header at #", 2, 4, 4, 0),
        ReportLine("2026-06-21", "rome", "no header at #", 1, 0, 2, 1),
        ReportLine("2026-06-22", "oslo", "late", 1, 0, 0, 0),
    ]


def test_an_id_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="nothing in quarantine is called x, y; see"):
        list(index(*LETTERS).letters(Selection(ids=("y", "a", "x"))))


def values_of(**records: Record) -> Callable[[Quarantined], bytes]:
    """Values of letters in a Kafka that holds these records."""

    class Fetcher:
        def fetch(self, topic: str, partition: int, offset: int) -> Record | None:
            return records.get(f"{topic}_{partition}_{offset}")

    made = Values.__new__(Values)
    made._topic = "bad"
    made._fetcher = cast(Any, Fetcher())
    return made.of


def test_the_value_of_a_letter_is_its_own_or_that_of_the_record_it_refers_to() -> None:
    held = {
        "bad_0_5": Record(raw=b"own"),
        "bad_0_6": Record([("reference", b"bad-0-5")]),
        "files_1_2": Record([("file", b"a.dat, and more")], b"the file", stamp_ms=NOON_MS),
    }
    of = values_of(**held)

    assert of(letter()) == b"own"
    assert of(letter(reference="bad-0-5")) == b"own"
    assert of(letter(reference="bad-0-6")) == b"own"
    assert of(letter(reference="files-1-2", file="a.dat")) == b"the file"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"at": ("bad", 0, 9)}, "has just left the quarantine topic"),
        ({"reference": "files-1-3"}, "refers to files-1-3, and that record is not there any more"),
        ({"reference": "nowhere"}, "refers to nowhere, and that record is not there any more"),
        ({"reference": "files-1-2", "file": "b.dat"}, "where another record stands"),
        ({"reference": "files-1-2", "stamp_ms": NOON_MS - 1}, "where another record stands"),
        ({"reference": "bad-0-7"}, "refers in circles"),
    ],
)
def test_a_value_that_is_not_there_any_more_is_named(said: dict[str, Any], reason: str) -> None:
    of = values_of(
        bad_0_5=Record(raw=b"own"),
        bad_0_7=Record([("reference", b"bad-0-7")]),
        files_1_2=Record([("file", b"a.dat")], b"the file"),
    )

    with pytest.raises(InputError, match=reason):
        of(letter(**said))


def test_a_place_of_a_record_is_topic_partition_and_offset() -> None:
    assert place_of("a-b.files-12-345") == of_position("a-b.files-12-345") == ("a-b.files", 12, 345)
    assert [place_of(text) for text in ("files-1", "-1-2", "files-1-x", "files--1-2-", "")] == [None] * 5
    assert of_position("files") == ("", -1, -1)


def test_a_mark_keeps_what_the_letter_said_and_refers_to_where_its_value_is() -> None:
    first = letter(site="oslo", file="a.dat", position="files-3-17", sent_ms=5, reason="late", stamp_ms=NOON_MS)

    mark = _mark(KAFKA, first)
    said = letter(**{name: value for name, value in mark.items() if value is not None}, stamp_ms=NOON_MS + 99)

    assert mark["reference"] == f"{KAFKA.quarantine_topic}-0-5"
    assert (mark["__streams.errors.partition"], mark["__streams.errors.offset"]) == ("3", "17")
    assert replace(said, reference="", replayed="") == first
    assert _mark(KAFKA, replace(first, reference="files-3-17"))["reference"] == "files-3-17"
    assert _file_headers(first) == {"file": "a.dat", "site": "oslo", "replayed": "f-0-1", "sent_ms": "5"}
    assert "sent_ms" not in _file_headers(replace(first, sent_ms=0))


def test_a_quarantine_is_too_large_beyond_its_megabytes_and_never_without_a_budget() -> None:
    kafka = KafkaConfig(quarantine_warn_mb=3)

    assert budget_warning(kafka, 3_000_000) is None
    assert "holds about 4 MB, more than kafka.quarantine_warn_mb = 3" in str(budget_warning(kafka, 3_600_000))
    assert budget_warning(KafkaConfig(quarantine_warn_mb=0), 10**15) is None


# -- samples of sizes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "max_bytes", "max_files", "expected"),
    [
        ([100, 100, 1_000, 3_000], 20_000, 99, Admission(10, 4)),  # the larger half has 2 000 bytes each
        ([100, 1_000, 3_000], 20_000, 99, Admission(10, 3)),
        ([100], 10**6, 99, Admission(99, 1)),
        ([10**6], 10, 99, Admission(1, 1)),
        ([0, 0], 10, 99, Admission(10, 2)),
        ([], 10 * sample.UNKNOWN_BYTES, 99, Admission(10, 0)),
    ],
)
def test_a_batch_is_bounded_by_the_larger_half_of_the_sizes(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], max_bytes: int, max_files: int, expected: Admission
) -> None:
    monkeypatch.setattr(sample, "sampled_sizes", lambda *_: sizes)

    assert admission(KAFKA, "nowhere:9092", max_bytes, max_files) == expected


def test_sizes_are_a_guess_where_kafka_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> list[int]:
        raise BrokerError("no Kafka answers")

    monkeypatch.setattr(sample, "sampled_sizes", fails)

    assert admission(KAFKA, "nowhere:9092", 5 * sample.UNKNOWN_BYTES, 99) == Admission(5, 0)


def test_sizes_are_a_guess_where_no_site_has_a_topic_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed:
        topics: ClassVar[dict[str, Any]] = {"ceilometer.files": None, "ceilometer.layers": None}

    class Consumer:
        def list_topics(self, **_: object) -> Listed:
            return Listed()

        def close(self) -> None:
            pass

    monkeypatch.setattr(sample, "made", lambda *_: Consumer())

    found = admission(KafkaConfig(topic_per_site=True), "nowhere:9092", 5 * sample.UNKNOWN_BYTES, 99)

    assert found == Admission(5, 0)


@given(st.sets(st.tuples(st.tuples(st.sampled_from(["f", "g"]), st.integers(0, 3)), st.integers(0, 20)), max_size=20))
def test_every_place_is_looked_at_in_one_turn_and_no_partition_twice_in_any(
    places: set[tuple[tuple[str, int], int]],
) -> None:
    turns = _turns(places)

    assert sorted(place for turn in turns for place in turn.items()) == sorted(places)
    of_one = [sum(partition == each for each, _ in places) for partition in {each for each, _ in places}]
    assert len(turns) == max(of_one, default=0)


# -- sites and topics ----------------------------------------------------------------------------------------------


def test_a_status_takes_what_it_knows_in_the_form_it_knows_and_leaves_out_the_rest() -> None:
    told = {"site": "oslo", "files": 3, "profiles": True, "late": "5", "alarms": ["window"], "time": None, "new": 1}

    assert status_of(json.dumps(told)) == SiteStatus("oslo", files=3, alarms=["window"])
    assert [status_of(value) for value in ("{", "5", '{"site": 3}', "[" * 10**5)] == [None] * 4


def test_counts_of_all_sites_are_added() -> None:
    total = total_of([SiteStatus("a", files=2, profiles=30, late=1), SiteStatus("b", files=1, used=4, faults=2)])

    assert total == {"files": 3, "profiles": 30, "rejected": 0, "used": 4, "duplicate": 0, "late": 1, "foreign": 0,
                     "faults": 2}  # fmt: skip


@pytest.mark.parametrize(("copies", "needed"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_one_broker_may_be_down_without_stopping_anything_and_from_three_copies_on_two_hold_what_was_taken(
    copies: int, needed: str
) -> None:
    settings = topic_settings(KafkaConfig(replication_factor=copies))

    assert {held["min.insync.replicas"] for _, held in settings.values()} == {needed}


def test_a_quarantine_is_kept_for_the_days_that_somebody_decides_and_else_for_ever() -> None:
    for days, kept_ms in ((0, "-1"), (30, "2592000000")):
        kafka = KafkaConfig(quarantine_keep_days=days)
        assert topic_settings(kafka)[kafka.quarantine_topic][1]["retention.ms"] == kept_ms
