"""Looking at the watched folder: what was seen before, what changes in place, folders that go away and come back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from edge_node import Node

from ipdsf_spark.edge import folder as folder_module
from ipdsf_spark.edge.folder import Folder


def test_a_restart_reads_no_file_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        node.write(f"sub/{number}.dat", b"%d" % number)
    assert node.agent().take_in() == 20

    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a known file was opened"))

    assert node.agent().take_in() == 0


def test_a_look_at_an_unchanged_folder_asks_about_no_file(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(150):
        node.write(f"{number:03d}.dat", b"%d" % number)
    agent = node.agent()
    agent.take_in()
    node.clocks.passes(3.0)
    agent.take_in()
    asked = []
    real = os.stat
    monkeypatch.setattr(folder_module.os, "stat", lambda path, **more: asked.append(path) or real(path, **more))

    for _ in range(10):
        node.clocks.passes(1.0)
        agent.take_in()

    assert len(asked) <= 10 * (1 + folder_module.NUM_YOUNG)
    node.write("new.dat", b"new")
    assert agent.take_in() == 1


def test_an_old_file_that_changes_in_place_is_found_at_the_next_full_look(node: Node) -> None:
    agent = node.agent()
    for number in range(100):
        node.write(f"{number:03d}.dat", b"a,%d\n" % number, age_s=1_000.0 - number)
    agent.take_in()
    node.clocks.passes(30.0)
    node.append("000.dat", b"b\n")
    before = agent.take_in()

    node.clocks.passes(folder_module.FULL_LOOK_S)

    assert (before, agent.take_in()) == (0, 1)


def test_files_that_appear_between_two_looks_come_oldest_first(node: Node) -> None:
    agent = node.agent()
    node.write("first.dat", b"1")
    agent.take_in()
    for name, age_s in (("b.dat", 1.0), ("c.dat", 3.0), ("a.dat", 2.0)):
        node.write(name, name.encode(), age_s=age_s)

    assert agent.take_in() == 3

    assert [entry.name for entry in agent.journal.pending(9)] == ["first.dat", "c.dat", "a.dat", "b.dat"]


def test_the_oldest_come_first_however_many_there_are(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "LARGEST_QUEUE", 7)
    for number in range(30):
        node.write(f"{number}.dat", b"%d" % number, age_s=100.0 - number)
    agent = node.agent()
    while agent.take_in(limit=4):
        pass

    assert [entry.name for entry in agent.journal.pending(99)] == [f"{number}.dat" for number in range(30)]


def test_a_subfolder_that_cannot_be_listed_is_told_and_the_others_are_looked_at(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.write("bad/a.dat", b"a")
    node.write("good/b.dat", b"b")
    agent = node.agent()
    real = os.scandir

    def fails(path: Any) -> Any:
        if str(path).endswith("bad"):
            raise OSError(116, "Stale file handle")
        return real(path)

    monkeypatch.setattr(folder_module.os, "scandir", fails)

    assert agent.take_in() == 1
    assert any("bad: Stale file handle" in matter for matter in agent.told.matters)


def test_a_folder_that_goes_away_and_comes_back_is_told_and_looked_at_at_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    node.write("a.dat", b"a")
    agent = node.agent()
    agent.take_in()
    away = node.root / "away"

    for name in ("b.dat", "c.dat"):
        node.watched.rename(away)
        node.clocks.passes(1.0)
        assert agent.take_in() == 0
        away.rename(node.watched)
        node.write(name, name.encode())
        node.clocks.passes(1.0)
        assert agent.take_in() == 1

    told = [record.message for record in caplog.records]
    assert told == 2 * [
        f"cannot look at {node.watched}: No such file or directory; looked at again",
        f"{node.watched} can be looked at again",
    ]


def test_a_folder_that_could_not_be_listed_is_listed_again_at_the_next_look(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.write("bad/a.dat", b"a")
    agent = node.agent()
    with monkeypatch.context() as patched:
        patched.setattr(
            folder_module.os, "scandir", lambda path: (_ for _ in ()).throw(OSError(5, "Input/output error"))
        )
        for _ in range(5):
            node.clocks.passes(1.0)
            assert agent.take_in() == 0

    node.clocks.passes(1.0)

    assert agent.take_in() == 1
    assert not agent.told.matters


def test_the_scan_index_knows_files_by_size_time_and_inode(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(b"a")
    (found,) = Folder(tmp_path).changed()
    folder = Folder(tmp_path, monotonic=lambda: 0.0)
    folder.taken(found.name, found.stamp)

    assert folder.changed() == []
    (tmp_path / "b.dat").write_bytes(b"a")
    os.utime(tmp_path / "b.dat", ns=(found.mtime_ns, found.mtime_ns))
    (tmp_path / "b.dat").replace(tmp_path / "a.dat")  # the same size and time: another file

    assert [each.name for each in folder.changed()] == ["a.dat"]
