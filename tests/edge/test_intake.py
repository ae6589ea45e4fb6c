"""From the folder to the journal: complete files, what files have grown by, files that cannot be read."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edge_node import DAY_S, Node, records_of, sha256_of
from netCDF4 import Dataset
from test_growth import MESSAGE, STAMP, TABLE, log

from ipdsf_spark.edge import store
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.edge.entry import APPENDED, REWRITTEN, WHOLE, Entry
from ipdsf_spark.edge.folder import is_ignored
from ipdsf_spark.errors import ConfigError


def parts(agent: EdgeAgent) -> list[tuple[str, int, str, bytes]]:
    """Everything taken in so far, as it would be sent."""
    return [(entry.kind, entry.start, entry.name, agent.store.read(entry)) for entry in agent.journal.pending(1_000)]


def test_a_file_is_taken_in_only_when_it_has_stopped_changing(node: Node) -> None:
    node.settings["settle_s"] = 2.0
    agent = node.agent()

    node.write("day.dat", b"begun")
    assert agent.take_in() == 0
    node.clocks.passes(1.0)
    node.write("day.dat", b"begun, and finished")
    assert agent.take_in() == 0
    node.clocks.passes(1.9)
    assert agent.take_in() == 0
    node.clocks.passes(0.2)
    assert agent.take_in() == 1
    assert agent.take_in() == 0

    (entry,) = agent.journal.pending(9)
    assert entry.sha256 == sha256_of(b"begun, and finished")


def test_a_file_that_has_lain_there_longer_than_files_take_to_settle_is_taken_in_at_the_first_look(node: Node) -> None:
    node.settings["settle_s"] = 5.0
    node.write("old.dat", b"old", age_s=5.5)
    node.write("young.dat", b"young", age_s=4.5)
    agent = node.agent()

    assert agent.take_in() == 1
    assert [entry.name for entry in agent.journal.pending(9)] == ["old.dat"]


def test_what_is_still_written_or_hidden_is_not_taken_in_from_a_folder(node: Node) -> None:
    for name in ("a.part", "b.TMP", ".hidden", "day/.c.dat", ".trash/d.dat", "day/e.dat"):
        node.write(name, name.encode(), age_s=100.0)
    agent = node.agent()

    agent.take_in()

    assert [entry.name for entry in agent.journal.pending(9)] == ["day/e.dat"]


def test_a_file_over_the_limit_that_cannot_be_cut_is_refused_once_and_its_neighbours_wait_for_kafka(node: Node) -> None:
    node.kafka = replace(node.kafka, max_message_bytes=1_000)
    node.write("a.nc", b"CDF\x01" + bytes(1_000))
    node.write("b.nc", b"CDF\x01" + bytes(900))

    for _ in range(2):
        agent = node.agent()
        agent.take_in()

    assert agent.journal.counts() == {"pending": 1, "delivered": 0, "refused": 1, "missing": 0}
    assert agent.journal.refused()[0].reason == "1004 bytes, kafka.max_message_bytes allows 1000: write shorter files"


def test_a_copy_that_the_disk_did_not_take_at_the_last_moment_is_not_counted_on(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = store._placed

    def refusing(partial: Path, target: Path) -> OSError | None:
        return OSError(errno.ENOSPC, "No space left on device") if "a.dat" in target.name else real(partial, target)

    monkeypatch.setattr(store, "_placed", refusing)
    node.write("a.dat", b"a")
    node.write("b.dat", b"b")
    agent = node.agent()

    assert agent.take_in() == 2

    copies = {entry.name: entry.copy for entry in agent.journal.pending(9)}
    assert copies["a.dat"] == ""
    assert agent.store.place(copies["b.dat"]).read_bytes() == b"b"
    assert "no local copies are kept" in caplog.text


@pytest.mark.parametrize("jump_s", [-DAY_S, 3_652 * DAY_S])
def test_a_clock_that_jumps_delays_no_file(node: Node, jump_s: float) -> None:
    node.settings["settle_s"] = 2.0
    agent = node.agent()
    node.write("day.dat", b"written before the jump")

    assert agent.take_in() == 0
    node.clocks.wall_s += jump_s
    node.clocks.passes(2.1)

    assert agent.take_in() == 1


def test_a_growing_log_is_taken_in_as_what_is_new_of_it(node: Node) -> None:
    agent = node.agent()
    node.write("day.dat", log(2))
    agent.take_in()
    for _ in range(3):
        node.clocks.passes(60.0)
        node.append("day.dat", STAMP % 7 + MESSAGE)
        agent.take_in()

    found = parts(agent)

    assert [kind for kind, *_ in found] == [WHOLE, APPENDED, APPENDED, APPENDED]
    assert b"".join(raw for *_, raw in found) == (node.watched / "day.dat").read_bytes()
    assert [start for _, start, *_ in found] == [0, len(log(2)), len(log(3)), len(log(4))]


def test_an_unfinished_message_waits_for_its_end_and_goes_when_nothing_comes(node: Node) -> None:
    node.settings["settle_s"] = 2.0
    agent = node.agent()
    node.write("day.dat", log(1), age_s=60.0)
    agent.take_in()
    node.clocks.passes(60.0)
    node.append("day.dat", log(1) + (STAMP % 9 + MESSAGE)[:40])
    agent.take_in()
    node.clocks.passes(3.0)
    agent.take_in()
    assert b"".join(raw for *_, raw in parts(agent)) == log(1) * 2

    node.clocks.passes(31.0)
    agent.take_in()

    assert b"".join(raw for *_, raw in parts(agent)) == (node.watched / "day.dat").read_bytes()


def test_a_log_that_never_rests_is_taken_in_up_to_its_last_finished_message(node: Node) -> None:
    node.settings["settle_s"] = 5.0
    agent = node.agent()
    node.write("day.dat", b"")
    for _ in range(40):
        node.append("day.dat", STAMP % 1 + MESSAGE + STAMP % 2 + MESSAGE[:30])
        agent.take_in()
        node.clocks.passes(1.0)
        node.append("day.dat", MESSAGE[30:])

    taken = b"".join(raw for *_, raw in parts(agent))

    assert taken.count(b"\x04") >= 40
    assert taken.count(b"\x01") == taken.count(b"\x04")
    assert (node.watched / "day.dat").read_bytes().startswith(taken)


def test_each_part_of_a_table_begins_with_its_column_names(node: Node) -> None:
    agent = node.agent()
    node.write("a.his", TABLE + b"2026-07-01, 1\r\n")
    agent.take_in()
    node.clocks.passes(60.0)
    node.append("a.his", b"2026-07-02, 2\r\n")
    agent.take_in()

    first, second = agent.journal.pending(9)

    assert agent.store.read(second) == TABLE + b"2026-07-02, 2\r\n"
    assert (second.start, second.preamble) == (first.stop, len(TABLE))


def test_a_file_replaced_by_another_of_its_name_is_taken_in_whole(node: Node) -> None:
    agent = node.agent()
    node.write("live.dat", log(3))
    agent.take_in()
    node.clocks.passes(60.0)
    node.write("live.dat", log(4)[30:])
    agent.take_in()

    assert [(kind, start) for kind, start, *_ in parts(agent)] == [(WHOLE, 0), (WHOLE, 0)]


def test_a_text_file_beyond_the_limit_goes_in_parts_that_end_with_a_message(node: Node) -> None:
    from dataclasses import replace

    node.kafka = replace(node.kafka, max_message_bytes=300)
    agent = node.agent()
    node.write("day.dat", log(12))
    agent.take_in()

    found = parts(agent)

    assert b"".join(raw for *_, raw in found) == log(12)
    assert max(len(raw) for *_, raw in found) <= 300
    assert all(raw.endswith(b"\x04\r\n") for *_, raw in found)


def write_netcdf(path: Path, minutes: int, *, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    with Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("time", None)
        file.createDimension("range", 512)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(minutes)
        file.createVariable("beta", "i4", ("time", "range"))[:] = rng.integers(0, 1 << 30, (minutes, 512))


def test_a_netcdf_that_grows_is_taken_in_again_once_it_has_settled_and_says_what_it_supersedes(node: Node) -> None:
    node.settings |= {"settle_s": 2.0, "rewritten_settle_s": 900.0}
    agent = node.agent()
    for minutes in range(3, 8):
        write_netcdf(node.watched / "day.nc", minutes)
        os.utime(node.watched / "day.nc", (node.clocks.wall_s,) * 2)
        for _ in range(3):
            agent.take_in()
            node.clocks.passes(20.0)
    assert len(agent.journal.pending(9)) == 1

    node.clocks.passes(900.0)
    agent.take_in()

    first, second = agent.journal.pending(9)
    assert (first.kind, second.kind) == (WHOLE, REWRITTEN)
    assert second.supersedes == first.sha256
    assert agent.store.read(second) == (node.watched / "day.nc").read_bytes()


def test_a_netcdf_replaced_by_another_is_taken_in_at_once_and_supersedes_nothing(node: Node) -> None:
    agent = node.agent()
    for seed in range(3):
        write_netcdf(node.watched / "live.nc", 5, seed=seed)
        os.utime(node.watched / "live.nc", (node.clocks.wall_s,) * 2)
        agent.take_in()
        node.clocks.passes(60.0)

    assert [(entry.kind, entry.supersedes) for entry in agent.journal.pending(9)] == [(WHOLE, "")] * 3


def test_a_file_that_cannot_be_read_once_is_only_delayed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = node.agent()
    node.write("a.dat", b"flaky", age_s=9.0)
    node.write("b.dat", b"sound")
    real = open
    with monkeypatch.context() as patch:

        def fails(path: Any, *rest: Any, **more: Any) -> Any:
            if str(path).endswith("a.dat"):
                raise OSError(5, "Input/output error")
            return real(path, *rest, **more)

        patch.setattr("builtins.open", fails)
        assert agent.take_in() == 1
    assert agent.told.matters == (f"cannot read {node.watched}/a.dat: Input/output error; tried again every 30 s",)

    node.clocks.passes(31.0)

    assert agent.take_in() == 1
    assert agent.told.matters == ()


def test_a_file_that_cannot_be_read_holds_up_no_other(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open
    monkeypatch.setattr("builtins.open", lambda path, *how, **more: refused(path) or real(path, *how, **more))

    def refused(path: object) -> None:
        if str(path).endswith("a.dat"):
            raise OSError(errno.EIO, "Input/output error")

    node.write("a.dat", b"a", age_s=60.0)
    node.write("b.dat", b"b", age_s=50.0)
    agent = node.agent()

    assert agent.take_in() == 1
    node.write("c.dat", b"c", age_s=40.0)
    assert agent.take_in() == 1

    assert [entry.name for entry in agent.journal.pending(9)] == ["b.dat", "c.dat"]


def test_a_file_that_was_removed_is_forgotten_at_the_next_pruning_and_one_that_is_there_is_not(node: Node) -> None:
    agent = node.agent()
    node.write("a.dat", b"a")
    node.write("b.dat", b"b")
    agent.take_in()
    agent.prune()  # from now on this folder is known as the one that is watched
    (node.watched / "a.dat").unlink()
    node.clocks.passes(100.0)
    agent.take_in()

    agent.prune()

    assert [source.name for source in agent.journal.sources()] == ["b.dat"]
    assert [entry.name for entry in agent.journal.pending(9)] == ["a.dat", "b.dat"]  # what was taken in is still sent


def test_a_name_that_is_no_utf8_is_taken_in(node: Node) -> None:
    agent = node.agent()
    (node.watched / os.fsdecode(b"\xff.dat")).write_bytes(b"odd")

    assert agent.take_in() == 1
    assert [entry.name for entry in agent.journal.pending(9)] == ["\\xff.dat"]


@pytest.mark.kafka
def test_a_name_that_is_no_utf8_is_sent_without_a_copy(connected: Node) -> None:
    (connected.root / "edge").write_bytes(b"no place for copies")
    path = connected.watched / os.fsdecode(b"m\xe5ling.dat")
    path.write_bytes(b"value")
    os.utime(path, (connected.clocks.wall_s, connected.clocks.wall_s))

    agent = connected.agent()
    assert agent.take_in() == 1
    assert agent.send_pending()

    assert [record.value for record in records_of(connected)] == [b"value"]
    assert agent.journal.counts()["missing"] == 0


@pytest.mark.parametrize("name", ["a.part", "A.PART", "a.Tmp", ".hidden"])
def test_files_that_are_still_written_are_left_alone_whatever_the_letters_of_their_ending(name: str) -> None:
    assert is_ignored(name)
    assert not is_ignored("a.dat")


def test_a_link_to_a_folder_is_told_once_and_not_followed(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    (node.watched / "days").mkdir()
    node.write("days/a.dat", b"a")
    (node.watched / "today").symlink_to(node.watched / "days")
    (node.watched / "up").symlink_to(node.watched)
    agent = node.agent()

    for _ in range(3):
        node.clocks.passes(100.0)
        agent.take_in()

    told = [record.message for record in caplog.records if "is a link to a folder" in record.message]
    assert len(told) == 2
    assert [entry.name for entry in agent.journal.pending(9)] == ["days/a.dat"]


@pytest.mark.parametrize(
    ("place", "is_refused"), [("instrument/edge", True), ("instrument/.edge", False), ("instrument/.edge/day", False)]
)
def test_copies_within_the_watched_folder_are_refused_unless_hidden(node: Node, place: str, is_refused: bool) -> None:
    node.settings["directory"] = str(node.root / place)
    if is_refused:
        with pytest.raises(ConfigError, match="lies in the watched folder"):
            node.agent()
    else:
        node.agent().close()


def test_what_was_taken_in_under_an_older_journal_is_known_by_its_bytes(node: Node) -> None:
    agent = node.agent()
    node.write("day.dat", log(2))
    raw = log(2)
    agent.journal.add([Entry("day.dat", 0, sha256_of(raw), len(raw), state="delivered")])

    assert agent.take_in() == 0
    node.clocks.passes(60.0)
    node.append("day.dat", STAMP % 3 + MESSAGE)
    agent.take_in()

    assert [(kind, start) for kind, start, *_ in parts(agent)] == [(APPENDED, len(raw))]
