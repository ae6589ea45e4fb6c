"""A journal that is damaged, deleted, behind, or of a former version.

Each fault is really done. Of every file, one record arrives: none is lost, none comes twice.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from edge_node import Node, arrived, once, sha256_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_growth import MESSAGE, STAMP, log

from ipdsf_spark.edge import repair
from ipdsf_spark.edge.entry import DELIVERED, Entry
from ipdsf_spark.edge.journal import DamagedJournalError, Journal
from ipdsf_spark.edge.status import status_of
from ipdsf_spark.errors import InputError


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
