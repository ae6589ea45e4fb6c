"""The account, the record and the table of drills: laws that need no engine."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.cli.main import main
from ipdsf_spark.drill import DRILLS, Account, Found, Outcome, markdown, named
from ipdsf_spark.drill.account import Read, Sent
from ipdsf_spark.drill.deadline import Deadline, DrillError
from ipdsf_spark.drill.outcome import merged, read_record, write_record
from ipdsf_spark.drill.recorded import GARBAGE, profiles_of, write_recorded
from ipdsf_spark.drill.sending import Sending
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.loadgen.replay import Replayed

TIMES = {0: "1970-01-01T00:02:30Z", 1: "1970-01-01T00:07:30Z"}
OUTCOME = Outcome(
    name="driver-killed",
    fault="driver killed",
    how="SIGKILL",
    unit="files",
    found=Found(Account(10, 0, 0, 1), 2.0, 3.0, ("a | b",), "well"),
    failure="",
    pages_asked=4,
    pages_answered=3,
    silent_s=1.5,
    seconds=9.0,
    date="2026-01-01T00:00:00+00:00",
    machine="2 cores, x86_64, Python 3.11.7, load 0.5 per core",
    commit="abc",
)


def product(interval: int, num: int, height: float | None = 500.0, *, is_final: bool = True) -> bytes:
    said = {"kind": "layers", "site": "oslo", "time": TIMES[interval], "num_profiles": num, "sent_ms": 7}
    return json.dumps(said | {"provisional": not is_final, "mixing_height_m": height}).encode()


def read(*products: bytes, letters: tuple[tuple[str, str, str], ...] = ()) -> Read:
    found = Read(letters=set(letters))
    for value in products:
        found.product(value)
    return found


SENT = [Sent("oslo", "a", {0: 20}), Sent("oslo", "b", {1: 20}), Sent("oslo", "bad", {})]
LETTER = ("oslo", "bad", "files-0-2")


def test_a_network_sends_its_files_in_order_however_many_loads_overlap() -> None:
    may_end, said = threading.Event(), list[str]()

    def first() -> Replayed:
        assert may_end.wait(30.0)
        said.append("first")
        return Replayed(1, 0, 10, 0.1)

    def second() -> Replayed:
        said.append("second")
        return Replayed(1, 0, 10, 0.1)

    before = Sending(first)
    after = Sending(second, after=before)
    may_end.set()
    after.join()

    assert said == ["first", "second"]
    assert before.is_over and after.is_over


def test_files_with_all_profiles_and_letters_for_the_rest_are_a_whole_account() -> None:
    account = read(product(0, 20), product(1, 20), letters=(LETTER,)).account(SENT)

    assert account == Account(sent=3, lost=0, repeated=0, quarantined=1)


@pytest.mark.parametrize(
    ("found", "lost", "repeated"),
    [
        (read(product(0, 20), letters=(LETTER,)), 1, 0),  # an interval is missing
        (read(product(0, 20), product(1, 19), letters=(LETTER,)), 1, 0),  # a profile is missing
        (read(product(0, 20), product(1, 20)), 1, 0),  # what was garbage is nowhere
        (read(product(0, 40), product(1, 20), letters=(LETTER,)), 0, 1),  # a file was counted twice
        (read(product(0, 20), product(0, 20, 510.0), product(1, 20), letters=(LETTER,)), 0, 1),  # another height
        (read(product(0, 20), product(0, 20, None), product(1, 20), letters=(LETTER,)), 0, 1),
        (read(product(0, 20), product(1, 20), letters=(LETTER, ("oslo", "bad", "files-0-9"))), 0, 1),
    ],
)
def test_what_is_missing_is_lost_and_what_is_said_twice_is_repeated(found: Read, lost: int, repeated: int) -> None:
    account = found.account(SENT)

    assert (account.lost, account.repeated) == (lost, repeated)


def test_a_product_that_is_said_again_as_it_was_and_one_of_another_site_change_nothing() -> None:
    other = product(0, 20).replace(b"oslo", b"rome")
    found = read(product(0, 9, 300.0, is_final=False), product(0, 20), product(0, 20), product(1, 20), other)

    assert found.account(SENT[:2]) == Account(2, 0, 0, 0)


def test_files_hold_one_interval_each_and_every_second_one_is_garbage_if_asked(tmp_path: Path) -> None:
    recorded = write_recorded(tmp_path, count=4, every_broken=2)

    assert [len(recorded.profiles[path.name]) for path in recorded.paths] == [1, 0, 1, 0]
    assert {num for each in recorded.profiles.values() for num in each.values()} == {20}
    assert profiles_of(GARBAGE) == {}


lines = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)
accounts = st.builds(Account, *[st.integers(0, 9)] * 4)
founds = st.builds(
    Found, accounts, st.none() | st.floats(0, 99), st.none() | st.floats(0, 99), st.lists(lines).map(tuple), lines
)
outcomes = st.builds(
    lambda name, found, failure: replace(OUTCOME, name=name, found=found, failure=failure),
    st.sampled_from([drill.name for drill in DRILLS]),
    st.none() | founds,
    lines,
)


@given(held=st.lists(outcomes, max_size=5))
def test_a_record_is_read_as_it_was_written(held: list[Outcome], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("record") / "drills.json"
    write_record(path, held)

    assert read_record(path) == held


@given(held=st.lists(outcomes, max_size=5))
def test_every_outcome_is_one_row_with_all_columns(held: list[Outcome]) -> None:
    text = markdown(held, record="drills.json")

    rows = [line.replace("\\|", "") for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(held)
    assert {row.count("|") for row in rows} == {rows[0].count("|")}


def test_a_loss_stands_in_the_table_and_below_it() -> None:
    lost = replace(OUTCOME, found=Found(Account(10, 2, 0, 0)))
    text = markdown([OUTCOME, lost, replace(OUTCOME, found=None, failure="it hung")], record="drills.json")

    assert "1 of 3 drills held" in text
    assert "**2**" in text
    assert "2 lost, 0 repeated of 10" in text
    assert "it hung" in text.partition("## What did not hold")[2]


def test_drills_that_the_record_lacks_are_named() -> None:
    assert "earthquake" in markdown([OUTCOME], record="x", drills=["driver-killed", "earthquake"])
    assert "does not hold" not in markdown([OUTCOME], record="x", drills=["driver-killed"])


def test_times_of_a_busy_machine_are_called_upper_bounds() -> None:
    busy = replace(OUTCOME, machine=OUTCOME.machine.replace("load 0.5", "load 9.0"))

    assert "upper bounds" in markdown([OUTCOME, busy], record="drills.json")
    assert "upper bounds" not in markdown([OUTCOME], record="drills.json")


def test_the_page_in_the_documents_is_the_record_beside_it(repository: Path) -> None:
    record = repository / "docs" / "benchmarks" / "drills.json"

    page = markdown(read_record(record), record=record.name, drills=[drill.name for drill in DRILLS])

    assert (repository / "docs" / "drills.md").read_text(encoding="utf-8") == page
    assert "/tmp/" not in page


def test_the_newest_outcome_of_a_drill_is_kept_in_the_order_of_the_drills() -> None:
    older = [replace(OUTCOME, name="backlog", seconds=1.0), replace(OUTCOME, seconds=1.0)]

    kept = merged(older, [replace(OUTCOME, name="backlog", seconds=2.0)], ["driver-killed", "backlog"])

    assert [(each.name, each.seconds) for each in kept] == [("driver-killed", 1.0), ("backlog", 2.0)]


def test_waiting_ends_with_the_name_of_what_was_waited_for() -> None:
    with pytest.raises(DrillError, match=r"in vain for the moon"):
        Deadline(0.01).until(lambda: False, "the moon")


def test_a_record_of_something_else_is_named(tmp_path: Path) -> None:
    path = tmp_path / "drills.json"
    path.write_text('[{"name": "x"}]')

    with pytest.raises(InputError, match="no outcome of a drill"):
        read_record(path)


def test_drills_have_names_of_their_own_and_unknown_ones_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)
    with pytest.raises(ConfigError, match="no drill is called earthquake"):
        named(["earthquake"])

    assert main(["drill", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(drill.name in listed for drill in DRILLS)


@pytest.mark.parametrize("option", ["--output", "--record"])
def test_a_file_in_the_place_of_a_folder_is_refused_before_anything_is_broken(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.drill.run", lambda *_, **__: pytest.fail("it was begun"))
    (tmp_path / "file").write_text("mine")
    named = tmp_path / "file" / ("drills.json" if option == "--record" else "")

    assert main(["drill", "--only", "poison-10", option, str(named)]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
