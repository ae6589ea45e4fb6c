"""What stops an agent on its own machine: full disks, missing copies, wrong clocks.

Each fault is really done. Of every file, one record arrives: none is lost, none comes twice.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource
from edge_node import DAY_S, Node, arrived, once, records_of, sha256_of

from ipdsf_spark.edge.entry import DELIVERED, Entry

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
