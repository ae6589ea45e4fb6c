"""What stops an agent elsewhere: full disks, damaged journals, missing copies, wrong clocks, partitions without leader.

Each fault is really done. Of every file, one record arrives: none is lost, none comes twice.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource
from edge_node import DAY_S, Node, records_of, sha256_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_growth import MESSAGE, STAMP, log

from ipdsf_spark.edge import repair, resume, sender
from ipdsf_spark.edge.arrived import FilesTopic, Meter, partition_of
from ipdsf_spark.edge.entry import DELIVERED, PENDING, Entry
from ipdsf_spark.edge.journal import DamagedJournalError, Journal
from ipdsf_spark.edge.resume import IN_FLIGHT_SINCE
from ipdsf_spark.edge.status import status_of
from ipdsf_spark.errors import InputError


def arrived(node: Node) -> Counter[bytes]:
    """How often each value was read."""
    return Counter(record.value for record in records_of(node))


def once(*values: bytes) -> Counter[bytes]:
    return Counter(dict.fromkeys(values, 1))


# -- full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 4 MB for the agent's folder."""
    place = tmp_path / "edge"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else takes all the room there is, to the last byte."""
    path = disk / "somebody-else"
    with path.open("ab", buffering=0) as file:
        for block in (65_536, 512, 1):
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue
    return path


@pytest.mark.kafka
def test_sending_goes_on_while_the_disk_is_full_and_copies_are_kept_again_after(
    connected: Node, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    agent = connected.agent()
    connected.write("before.dat", b"before")
    assert connected.passes(agent)
    filler = fill(small_disk)
    for number in range(30):
        connected.write(f"{number}.dat", b"full %d" % number + bytes(3_000))
        assert connected.passes(agent)
        agent.prune()
    agent._keep_journal()
    told = [record.message for record in caplog.records if "no local copies are kept" in record.message]
    assert len(told) == 1
    filler.unlink()
    connected.write("after.dat", b"after")
    assert connected.passes(agent)
    agent.close()

    again = connected.agent()
    assert connected.passes(again)
    assert arrived(connected) == once(
        b"before", b"after", *(b"full %d" % number + bytes(3_000) for number in range(30))
    )
    kept = [each for each in again.journal.kept(99) if each.copy]
    assert {each.name for each in kept} == {"before.dat", "after.dat"}


@pytest.mark.kafka
def test_an_agent_killed_on_a_full_disk_sends_nothing_twice_and_starts_on_it(connected: Node, small_disk: Path) -> None:
    agent = connected.agent()
    connected.write("before.dat", b"before")
    assert connected.passes(agent)
    fill(small_disk)
    values = [os.urandom(20_000) for _ in range(40)]
    for number, value in enumerate(values):
        connected.write(f"{number}.dat", value)
    assert connected.passes(agent)
    agent._keep_journal()
    fill(small_disk)  # the reserve is gone as well
    more = [os.urandom(30_000) for _ in range(40)]
    for number, value in enumerate(more):
        connected.write(f"more-{number}.dat", value)
    assert connected.passes(agent)
    del agent  # killed: nothing is closed

    again = connected.agent()
    connected.write("last.dat", b"last")
    assert connected.passes(again)

    assert arrived(connected) == once(b"before", *values, *more, b"last")


def test_an_agent_that_finds_the_disk_full_prunes_first(node: Node, small_disk: Path) -> None:
    agent = node.agent()
    entries = []
    for number in range(20):
        raw = os.urandom(60_000)
        entry = Entry(f"{number}.dat", 0, sha256_of(raw), len(raw), state=DELIVERED, delivered_s=node.clocks.wall_s)
        copy = agent.store.keep(entry, raw)
        entries.append(Entry(**{**entry.__dict__, "copy": copy}))
    agent.journal.add(entries)
    agent.close()
    fill(small_disk)
    node.settings["disk_budget_mb"] = 1

    again = node.agent()

    assert again.prune() == 4
    assert again.journal.bytes_kept() <= 1_000_000


# -- journal -------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
@settings(max_examples=5, suppress_health_check=list(HealthCheck), phases=(Phase.generate,), print_blob=False)
@given(data=st.data())
def test_a_journal_cut_or_overwritten_anywhere_loses_nothing_and_repeats_nothing(
    connected: Node, data: st.DataObject
) -> None:
    for path in (connected.home, connected.watched):
        shutil.rmtree(path, ignore_errors=True)
    connected.watched.mkdir()
    run = str(time.monotonic_ns()).encode()  # other files in every example, in the same topic
    connected.write("day.dat", run + log(2))
    agent = connected.agent()
    connected.write("delivered.dat", b"delivered" + run)
    assert connected.passes(agent)
    connected.append("day.dat", more := STAMP % 5 + run + MESSAGE)
    assert connected.passes(agent)
    if data.draw(st.booleans(), label="has a backup"):
        agent._keep_journal()
    connected.write("waiting.dat", b"waiting" + run)
    agent.take_in()
    agent.close()
    if data.draw(st.booleans(), label="source is gone"):
        (connected.watched / "waiting.dat").unlink()
    if data.draw(st.booleans(), label="copies are gone"):
        shutil.rmtree(connected.home / "copies" / "2026", ignore_errors=True)
    path = connected.home / repair.NAME
    raw = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(raw)), label="from")
    if data.draw(st.booleans(), label="cut"):
        del raw[start:]
    else:
        noise = data.draw(st.binary(min_size=1, max_size=9_000), label="noise")
        raw[start : start + len(noise)] = noise
    path.write_bytes(raw)

    again = connected.agent()
    assert connected.passes(again)
    assert connected.passes(again)
    again.close()

    of_run = Counter(value for value in arrived(connected).elements() if run in value)
    assert of_run == once(run + log(2), more, b"delivered" + run, b"waiting" + run)


def test_a_journal_damaged_while_it_is_used_is_mended_and_told_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    agent = node.agent()
    for number in range(300):
        node.write(f"{number}.dat", b"%d" % number)
    agent.take_in()
    path = node.home / repair.NAME
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4_096):
            file.seek(page * 4_096)
            file.write(b"\xff" * 64)
    agent.journal._db.execute("PRAGMA cache_size=0")

    node.clocks.passes(100.0)
    node.write("new.dat", b"new")
    agent.take_in()
    agent.take_in()

    assert agent.journal.counts()["pending"] == 301
    assert (node.home / repair.DAMAGED).exists()
    assert len([each for each in caplog.records if "is damaged" in each.message]) == 1


@pytest.mark.parametrize("name", ["journal.sqlite", "journal.sqlite and its backup"])
def test_a_journal_that_was_deleted_is_written_anew_from_the_copies(node: Node, name: str) -> None:
    agent = node.agent()
    node.write("a.dat", b"a")
    agent.take_in()
    agent._keep_journal()
    agent.close()
    (node.home / repair.NAME).unlink()
    if "backup" in name:
        (node.home / repair.BACKUP).unlink()

    again = node.agent()

    assert [entry.name for entry in again.journal.pending(9)] == ["a.dat"]
    assert again.take_in() == 0
    assert again.journal.fact(repair.MUST_ASK) == repair.FROM_START  # nothing says from where on to look in Kafka


def test_a_backup_of_a_journal_says_from_where_on_kafka_is_asked_what_has_arrived_since(node: Node) -> None:
    agent = node.agent()
    agent.journal.put([], marks={2: 17})
    agent._keep_journal()
    agent.close()
    (node.home / repair.NAME).unlink()

    again = node.agent()

    assert (again.journal.marks(), again.journal.fact(repair.MUST_ASK)) == ({2: 17}, repair.FROM_MARKS)


def test_a_start_without_the_room_in_reserve_asks_kafka_what_the_journal_may_not_know(node: Node) -> None:
    agent = node.agent()
    agent.close()
    assert (node.home / repair.RESERVE).stat().st_size == repair.RESERVE_BYTES
    again = node.agent()
    assert not again.journal.fact(repair.MUST_ASK)
    again.close()
    repair.release_reserve(node.home)

    last = node.agent()

    assert last.journal.fact(repair.MUST_ASK) == repair.FROM_MARKS
    assert not (node.home / repair.RESERVE).exists()  # kept again once Kafka has answered
    last.journal.put_facts(**{repair.MUST_ASK: ""})
    last._keep_journal()
    assert (node.home / repair.RESERVE).exists()


def test_a_copy_that_was_delivered_is_known_as_delivered_by_its_place_when_the_journal_is_lost(node: Node) -> None:
    agent = node.agent()
    for name in ("a.dat", "b.dat"):
        node.write(name, name.encode())
    agent.take_in()
    first, _ = agent.journal.pending(9)
    dated = replace(first, state=DELIVERED, copy=agent.store.dated(first, 1_790_000_000.0))  # 2026-09-21T14:13:20Z
    agent.store.move(dated.copy)
    agent.journal.put([dated])
    agent.close()
    (node.home / repair.NAME).unlink()

    again = node.agent()

    assert [entry.name for entry in again.journal.pending(9)] == ["b.dat"]
    (kept,) = again.journal.kept(9)
    assert (kept.name, kept.copy[:10], kept.delivered_s) == ("a.dat", "2026/09/21", 1_789_948_800.0)
    assert again.store.read(kept) == b"a.dat"


def test_a_copy_of_a_delivered_record_that_still_lies_among_the_waiting_is_brought_to_its_place(node: Node) -> None:
    agent = node.agent()
    node.write("a.dat", b"a")
    agent.take_in()
    (waiting,) = agent.journal.pending(9)
    delivered = replace(waiting, state=DELIVERED, copy=agent.store.dated(waiting, 1_790_000_000.0))
    agent.journal.put([delivered])  # and the power went before the copy was moved
    agent.close()

    again = node.agent()

    assert again.store.read(delivered) == b"a"
    assert list(again.store.waiting()) == []
    assert again.journal.counts()["delivered"] == 1


@pytest.mark.parametrize(
    ("code", "is_wrong"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT | 3 << 8, True),  # extended: an index
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_BUSY, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_IOERR | 1 << 8, False),  # extended: of reading
    ],
)
def test_a_journal_is_damaged_where_the_file_is_wrong_and_not_where_disk_or_somebody_else_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, is_wrong: bool
) -> None:
    def fails(self: Journal, **_: object) -> None:
        error = sqlite3.OperationalError("said by SQLite")
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr(Journal, "_open", fails)

    with pytest.raises(DamagedJournalError if is_wrong else sqlite3.OperationalError, match="said by SQLite"):
        Journal(tmp_path / "journal.sqlite")


def test_a_folder_in_the_place_of_the_journal_is_set_aside_as_often_as_it_comes(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    agent = node.agent()
    node.write("a\nb.dat", b"a")
    agent.take_in()
    agent.close()
    for _ in range(2):
        (node.home / repair.NAME).unlink()
        (node.home / repair.NAME).mkdir()
        (node.home / repair.NAME / "somebodys").write_bytes(b"file")
        with pytest.raises(InputError, match="a folder lies in its place"):
            status_of(node.edge, "oslo")

        agent = node.agent()

        assert agent.journal.path == node.home / repair.NAME
        assert [entry.name for entry in agent.journal.pending(9)] == ["a\nb.dat"]
        agent.close()
    assert len(list(node.home.glob(f"{repair.DAMAGED}.*/somebodys"))) == 2
    assert all("\n" not in record.message for record in caplog.records)
    assert "a\\nb.dat" in status_of(node.edge, "oslo").as_text()


def test_the_journal_of_the_first_version_is_taken_over(node: Node) -> None:
    node.home.mkdir(parents=True)
    (node.home / "copies" / "2026" / "01" / "01").mkdir(parents=True)
    old = sqlite3.connect(node.home / repair.NAME)
    old.executescript(
        "PRAGMA journal_mode=WAL;"
        "CREATE TABLE files (sha256 TEXT NOT NULL, name TEXT NOT NULL, copy TEXT NOT NULL, bytes INTEGER NOT NULL,"
        " seen_s REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', in_flight INTEGER NOT NULL"
        " DEFAULT 0, PRIMARY KEY (name, sha256));"
        "CREATE TABLE marks (partition INTEGER PRIMARY KEY, offset INTEGER NOT NULL);"
        "INSERT INTO marks VALUES (0, 7);"
    )
    for name, state in (("a.dat", "delivered"), ("b.dat", "pending")):
        raw = name.encode()
        copy = f"2026/01/01/{sha256_of(raw)[:8]}-{name}"
        (node.home / "copies" / copy).write_bytes(raw)
        node.write(name, raw)
        old.execute("INSERT INTO files VALUES (?,?,?,?,?,?,'',0)", (sha256_of(raw), name, copy, len(raw), 1.0, state))
    old.commit()
    old.close()

    agent = node.agent()

    assert agent.take_in() == 0
    assert [(entry.name, agent.store.read(entry)) for entry in agent.journal.pending(9)] == [("b.dat", b"b.dat")]
    assert agent.journal.counts()["delivered"] == 1
    assert agent.journal.marks() == {0: 7}


def test_a_journal_that_lagged_behind_is_on_disk_once_the_disk_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    first = journal.add([Entry("a", 0, "a" * 64, 1)])[0]
    other = Journal(path)
    other._db.execute("BEGIN IMMEDIATE")  # every change is refused
    journal._db.execute("PRAGMA busy_timeout=0")
    journal.add([Entry("b", 0, "b" * 64, 1)])
    journal.put([Entry(**{**first.__dict__, "state": DELIVERED})])
    assert journal.is_behind
    assert [entry.name for entry in journal.pending(9)] == ["b"]
    assert journal.counts()["delivered"] == 1

    other._db.execute("ROLLBACK")

    assert journal.catch_up()
    assert not journal.is_behind
    assert [entry.name for entry in Journal(path).pending(9)] == ["b"]


def test_a_copy_that_was_being_written_when_the_power_went_is_cleared_away(node: Node) -> None:
    agent = node.agent()
    node.write("a.dat", b"a")
    agent.take_in()
    agent.close()
    unfinished = agent.store.root / "waiting" / "0123.part"
    unfinished.write_bytes(b"half")

    again = node.agent()

    assert not unfinished.exists()
    assert [entry.name for entry in again.journal.pending(9)] == ["a.dat"]


# -- copies --------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_copy_that_is_missing_is_replaced_by_the_source_or_told_and_the_others_go(
    connected: Node, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = connected.agent()
    for name in ("a", "b", "c"):
        connected.write(f"{name}.dat", name.encode())
    agent.take_in()
    for entry in agent.journal.pending(9):
        if entry.name in ("a.dat", "b.dat"):
            path = agent.store.place(entry.copy)
            path.unlink() if how == "deleted" else path.write_bytes(b"?")
    (connected.watched / "b.dat").unlink()

    assert agent.send_pending()

    assert arrived(connected) == once(b"a", b"c")
    assert agent.journal.counts() == {"pending": 0, "delivered": 2, "refused": 0, "missing": 1}
    (missing,) = agent.journal.refused()
    assert missing.name == "b.dat"
    assert any("cannot send b.dat" in record.message for record in caplog.records)


# -- clocks --------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
@pytest.mark.parametrize("jump_s", [-DAY_S, 3_652 * DAY_S])
def test_a_clock_that_jumps_neither_stops_sending_nor_prunes_and_times_sent_are_kafkas(
    connected: Node, jump_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    connected.clocks.wall_s = time.time()
    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent, 0.0)
    connected.clocks.wall_s += jump_s
    connected.write("b.dat", b"b")
    assert connected.passes(agent, 0.0)
    connected.write("c.dat", b"c")
    assert connected.passes(agent, 0.0)

    assert agent.prune() == 0
    assert agent.journal.counts()["delivered"] == 3
    sent = {record.headers["file"]: int(record.headers["sent_ms"]) / 1000.0 for record in records_of(connected)}
    assert all(abs(sent[name] - time.time()) < 300.0 for name in ("a.dat", "b.dat", "c.dat"))
    assert len([record for record in caplog.records if "the clock of this machine is" in record.message]) == 1


@pytest.mark.kafka
def test_an_agent_that_starts_with_a_wrong_clock_dates_one_file_wrongly_and_no_batch(connected: Node) -> None:
    connected.clocks.wall_s = time.time() - 365 * DAY_S
    agent = connected.agent()
    for number in range(30):
        connected.write(f"{number}.dat", b"%d" % number)
    assert connected.passes(agent)
    agent.close()

    sent_s = [int(record.headers["sent_ms"]) / 1000.0 for record in records_of(connected)]
    assert len(sent_s) == 30
    assert sum(abs(moment - time.time()) > 300.0 for moment in sent_s) == 1


@pytest.mark.kafka
def test_a_topic_that_refuses_the_time_of_a_wrong_clock_gets_kafkas_time(connected: Node) -> None:
    admin = AdminClient({"bootstrap.servers": connected.bootstrap})
    resource = ConfigResource("topic", connected.kafka.files_topic)
    resource.set_config("message.timestamp.type", "CreateTime")
    for future in admin.alter_configs([resource]).values():
        future.result(10.0)
    connected.clocks.wall_s = time.time()
    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent, 0.0)
    connected.clocks.wall_s += 3_652 * DAY_S
    connected.write("b.dat", b"b")

    assert not connected.passes(agent, 0.0)  # refused, and the time learned
    assert connected.passes(agent, 0.0)

    assert arrived(connected) == once(b"a", b"b")


def test_copies_are_pruned_by_kafkas_time_the_oldest_first_and_never_the_undelivered(node: Node) -> None:
    agent = node.agent()
    now_s = node.clocks.wall_s
    for number, (state, age_d) in enumerate([("delivered", 1_200), ("pending", 1_300), ("delivered", 3)]):
        raw = b"%d" % number
        entry = Entry(f"{number}.dat", 0, sha256_of(raw), 1, state=state, delivered_s=now_s - age_d * DAY_S)
        agent.journal.add([Entry(**{**entry.__dict__, "copy": agent.store.keep(entry, raw)})])
    assert agent.prune() == 0  # nobody has told the time

    agent.clock.heard(now_s)

    assert agent.prune() == 1
    assert {entry.name for entry in [*agent.journal.kept(9), *agent.journal.pending(9)]} == {"1.dat", "2.dat"}
    node.settings["disk_budget_mb"] = 1


def test_the_budget_takes_the_oldest_delivered_copies(node: Node) -> None:
    node.settings["disk_budget_mb"] = 1
    agent = node.agent()
    for number, state in enumerate(["delivered", "pending", "delivered", "delivered"]):
        raw = os.urandom(400_000)
        entry = Entry(f"{number}.dat", 0, sha256_of(raw), len(raw), state=state)
        agent.journal.add([Entry(**{**entry.__dict__, "copy": agent.store.keep(entry, raw)})])

    assert agent.prune() == 2

    assert [entry.name for entry in agent.journal.kept(9)] == ["3.dat"]
    assert agent.store.place(agent.journal.pending(9)[0].copy).exists()


# -- Kafka ---------------------------------------------------------------------------------------------------------


@pytest.mark.kafka
def test_the_partition_of_a_site_is_the_one_that_kafkas_clients_choose(connected: Node) -> None:
    chosen: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": connected.bootstrap, "partitioner": "murmur2_random"})
    keys = ["oslo", "bergen", "a", "ab", "abc", "münchen", "site-12345"]
    for key in keys:
        producer.produce(
            connected.kafka.files_topic,
            b"x",
            key=key,
            on_delivery=lambda _, message: chosen.update({message.key().decode(): message.partition()}),
        )
    producer.flush(30.0)

    assert chosen == {key: partition_of(key.encode(), connected.kafka.partitions) for key in keys}


@pytest.mark.kafka
def test_resuming_reads_no_record_before_the_last_known_one_and_no_other_partition(connected: Node) -> None:
    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent)
    agent.close()
    producer = Producer({"bootstrap.servers": connected.bootstrap, "partitioner": "murmur2_random"})
    for number in range(60):
        producer.produce(connected.kafka.files_topic, bytes(50_000), key=f"other-{number}")
    producer.flush(60.0)
    asked: list[tuple[int, int]] = []
    real = FilesTopic.records

    def counted(self: FilesTopic, partition: int, start: int, meter: Meter, **named: Any) -> Iterator[object]:
        asked.append((partition, start))
        yield from real(self, partition, start, meter, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FilesTopic, "records", counted)
        again = connected.agent()
        connected.write("b.dat", b"b")
        assert connected.passes(again)
        assert asked == []  # nothing was in flight: nothing is read
        again.close()
        (entry,) = again_journal_of(connected).of_file("b.dat")
        journal = again_journal_of(connected)
        journal.put([Entry(**{**entry.__dict__, "state": "pending", "in_flight": True})])
        journal.close()
        assert connected.passes(connected.agent())
        own = partition_of(b"oslo", connected.kafka.partitions)
        assert [partition for partition, _ in asked] == [own]


@pytest.mark.kafka
@pytest.mark.parametrize("has_arrived", [True, False], ids=["arrived", "lost"])
def test_resuming_reads_of_a_shared_partition_the_moments_of_the_flight_only(
    connected: Node, monkeypatch: pytest.MonkeyPatch, has_arrived: bool
) -> None:
    own = partition_of(b"oslo", connected.kafka.partitions)

    def others_write() -> None:
        producer = Producer({"bootstrap.servers": connected.bootstrap})
        for _ in range(80):
            producer.produce(connected.kafka.files_topic, bytes(50_000), key="other", partition=own)
        producer.flush(60.0)

    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent, 0.1)
    others_write()
    connected.write("b.dat", b"b")
    assert connected.passes(agent, 0.1)
    others_write()
    connected.write("c.dat", b"c")
    agent.take_in()
    agent.close()
    topic = FilesTopic(connected.kafka, connected.bootstrap, "oslo")
    taken_s = {each.entry.name: each.entry.delivered_s for each in topic.records(own, 0, Meter())}["b.dat"]
    topic.close()
    journal = again_journal_of(connected)
    assert abs(float(journal.fact(IN_FLIGHT_SINCE)) - taken_s) < resume.CLOCK_S
    # Killed before the journal knew of the acknowledgement; or before Kafka had anything.
    (entry,) = journal.of_file("b.dat" if has_arrived else "c.dat")
    journal.put([replace(entry, state=PENDING, in_flight=True)], marks={own: 1})
    journal.put_facts(**{IN_FLIGHT_SINCE: repr(taken_s)})
    journal.close()
    read = Meter()
    monkeypatch.setattr(resume, "Meter", lambda: read)
    monkeypatch.setattr(resume, "CLOCK_S", 0.0)
    monkeypatch.setattr(resume, "ARRIVES_WITHIN_S", 0.001)

    assert connected.passes(connected.agent(), 0.1)

    assert len(b"b") <= read.bytes <= 20 * 50_000, "of 160 records of another site in this partition"
    assert Counter(record.value for record in records_of(connected) if record.key == "oslo") == once(b"a", b"b", b"c")


def again_journal_of(node: Node) -> Journal:
    return Journal(node.home / repair.NAME)


@pytest.mark.kafka
def test_a_queue_that_is_full_holds_back_and_loses_nothing(connected: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Producer
    refused = []

    class Small:
        """A producer with room for three records."""

        def __init__(self, options: dict[str, object]) -> None:
            self._producer = real({**options, "queue.buffering.max.messages": 3, "linger.ms": 20})

        def produce(self, *args: object, **more: object) -> None:
            try:
                self._producer.produce(*args, **more)
            except BufferError:
                refused.append(1)
                raise

        def __getattr__(self, name: str) -> object:
            return getattr(self._producer, name)

    monkeypatch.setattr(sender, "Producer", Small)
    agent = connected.agent()
    values = [b"%d" % number for number in range(40)]
    for number, value in enumerate(values):
        connected.write(f"{number}.dat", value)

    assert connected.passes(agent)

    assert refused
    assert arrived(connected) == once(*values)


def test_what_kafka_has_not_acknowledged_in_time_is_not_sent_behind_the_journals_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Producer] = []

    def patient(options: dict[str, object]) -> Producer:
        made.append(Producer({**options, "message.timeout.ms": 60_000}))
        return made[-1]

    monkeypatch.setattr(sender, "Producer", patient)
    monkeypatch.setattr(sender, "ACKNOWLEDGED_WITHIN_S", 0.2)
    agent = node.agent()
    agent.clock.heard(node.clocks.wall_s)  # so that nothing has to be asked of Kafka before
    node.write("a.dat", b"a")

    assert not node.passes(agent)

    assert [len(producer) for producer in made] == [0]
    assert [entry.name for entry in agent.journal.in_flight()] == ["a.dat"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError._AUTHENTICATION, "authentication failed"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "does not allow it"),
        (KafkaError.LEADER_NOT_AVAILABLE, "has no leader"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "has no topic"),
        (KafkaError._TRANSPORT, "no Kafka answers"),
    ],
)
def test_what_keeps_kafka_from_taking_files_is_told_once_by_its_name(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int, says: str
) -> None:
    def fails(self: FilesTopic) -> int:
        raise KafkaException(KafkaError(code))

    monkeypatch.setattr(FilesTopic, "partition", fails)
    agent = node.agent()
    node.write("a.dat", b"a")
    caplog.set_level(logging.WARNING)

    for _ in range(3):
        assert not node.passes(agent)

    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert says in told[0]
    assert "files of oslo wait on disk" in told[0]


@pytest.mark.kafka
def test_a_backlog_leaves_no_copy_behind_in_the_waiting_ones(connected: Node) -> None:
    agent = connected.agent()
    for number in range(250):
        connected.write(f"{number}.dat", b"%d" % number)
    assert connected.passes(agent)

    assert list(agent.store.waiting()) == []
    assert len(agent.journal.kept(999)) == 250
    assert all(agent.store.read(entry) for entry in agent.journal.kept(999))
