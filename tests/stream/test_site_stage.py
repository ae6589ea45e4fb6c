"""Pieces of one site to records, without Spark: state as bytes, messages that span files, instruments that change."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from site_pieces import (
    DECODER,
    MORNING_MS,
    OSLO,
    STAGE,
    assert_alike,
    counting,
    counts,
    letters,
    piece_of,
    products,
    step,
)

from ipdsf_spark.lidar.instruments.stamps import UNDECIDED
from ipdsf_spark.lidar.operators import Operator
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome, Timing
from ipdsf_spark.stream.site_state import SiteState


def test_files_one_by_one_leave_the_state_that_they_leave_together(cl51_files: list[bytes]) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files)]
    after, one_by_one = Outcome(), {}
    for piece in pieces:
        after = step(STAGE, [piece], after)
        one_by_one |= products(after)

    for together in (step(STAGE, pieces), step(STAGE, pieces[::-1])):  # a batch has no order of its own
        for key, product in products(together).items():
            if not product["provisional"]:
                assert one_by_one[key] == product
        assert counts(after) == counts(together)
        assert after.state.intervals == together.state.intervals


def test_files_of_one_millisecond_are_in_the_order_of_their_offsets_as_numbers(cl51_file: bytes) -> None:
    cut = len(cl51_file) - 4000
    begin, end = piece_of(cl51_file[:cut], 9), piece_of(cl51_file[cut:], 10)  # as text, "10" comes before "9"

    after = step(STAGE, [end._replace(sent_ms=begin.sent_ms), begin])

    assert letters(after) == []
    assert [record.topic for record in after.records].count("files") == 1


def test_a_message_is_joined_once_and_its_beginning_is_not_kept(cl51_file: bytes) -> None:
    cut = len(cl51_file) - 4000
    joined = step(STAGE, [piece_of(cl51_file[:cut], 0), piece_of(cl51_file[cut:], 1)])

    again = step(STAGE, [piece_of(cl51_file[cut:], 2)], joined)

    assert len(letters(again)) == 1
    assert [record for record in again.records if record.topic == "files"] == []


def test_a_file_that_comes_twice_is_a_duplicate_and_changes_nothing(cl51_files: list[bytes]) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files[:4])]
    first = step(STAGE, pieces)

    for number in range(4):
        again = step(STAGE, [piece_of(cl51_files[number], 10 + number)], first)

        assert products(again) == {}
        assert letters(again) == []
        assert counts(again).duplicate == 20
        assert counts(again).is_balanced


def test_a_growing_file_is_used_once_and_nothing_of_it_is_late_or_quarantined(cl51_files: list[bytes]) -> None:
    whole, after = b"".join(cl51_files[:4]), Outcome()
    said: set[bytes] = set()

    for number in range(4):
        after = step(STAGE, [piece_of(b"".join(cl51_files[: number + 1]), number)], after)
        said |= products(after).keys()
        assert letters(after) == []

    assert counts(after).used == 80
    assert counts(after).duplicate == 20 + 40 + 60
    assert counts(after).late == 0
    assert said == products(step(STAGE, [piece_of(whole)])).keys() != set()


def test_a_file_that_never_came_is_late_when_its_interval_is_closed(cl51_files: list[bytes]) -> None:
    early, *rest = [piece_of(raw, number) for number, raw in enumerate(cl51_files)]
    before = step(STAGE, rest)

    after = step(STAGE, [early], before)

    ((letter, headers),) = letters(after)
    assert headers["reason"] == "late: 20 profile(s) of an interval that is closed"
    assert headers["reference"] == early.position  # whole in the files topic; nothing travels twice
    assert letter.value == b""
    assert counts(after).late == 20
    assert counts(after).is_balanced


@pytest.mark.parametrize("lost", [4000, 9000, 15_000])
def test_a_message_that_two_files_share_comes_back_as_a_file_of_its_own(cl51_file: bytes, lost: int) -> None:
    cut = len(cl51_file) - lost
    first = step(STAGE, [piece_of(cl51_file[:cut], 0)])
    second = step(STAGE, [piece_of(cl51_file[cut:], 1)], first)

    assert letters(first) == letters(second) == []
    third = step(STAGE, [joined_of(second, 2)], second)

    assert letters(third) == []
    assert counts(third).used == 20
    assert_alike(products(third), products(step(STAGE, [piece_of(cl51_file)])))


def test_a_file_shares_a_message_with_the_one_before_and_another_with_the_one_behind(cl51_file: bytes) -> None:
    cuts = [0, 4_000, len(cl51_file) - 9_000, len(cl51_file)]
    after, shared = Outcome(), []
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        after = step(STAGE, [piece_of(cl51_file[start:stop], number)], after)
        assert letters(after) == []
        shared += [record for record in after.records if record.topic == "files"]

    assert len(shared) == 2
    for number, record in enumerate(shared, 3):
        joined = dict(record.headers or [])["joined"].decode()
        after = step(STAGE, [piece_of(record.value, number, joined=joined)], after)
        assert letters(after) == []
    assert counts(after).used == 20


def joined_of(outcome: Outcome, number: int) -> Piece:
    """The message that two files share, as the next batch reads it."""
    (record,) = [record for record in outcome.records if record.topic == "files"]
    return piece_of(record.value, number, joined=dict(record.headers or [])["joined"].decode())


@pytest.mark.parametrize("stands", ["before", "behind"])
def test_a_log_cut_beside_a_stamp_is_read_when_its_neighbour_has_come(cl51_file: bytes, stands: str) -> None:
    records = re.findall(rb"-(.{19}\r\n)(\x01.*?\x04\r\n)", cl51_file, re.DOTALL)[:5]
    parts = [part for record in records for part in (record if stands == "before" else record[::-1])]
    first = step(STAGE, [piece_of(b"".join(parts[:5]), 0)])
    second = step(STAGE, [piece_of(b"".join(parts[5:]), 1)], first)

    third = step(STAGE, [joined_of(second, 2)], second)

    assert letters(first) == letters(second) == letters(third) == []
    assert counts(third).used == 5


def test_a_log_cut_beside_a_stamp_whose_neighbour_never_comes_is_quarantined_by_name(cl51_file: bytes) -> None:
    records = re.findall(rb"-(.{19}\r\n)(\x01.*?\x04\r\n)", cl51_file, re.DOTALL)[:2]
    held = step(STAGE, [piece_of(records[0][1] + records[0][0] + records[1][1], 0)])

    silent = step(STAGE, [], held, silent=True)

    assert letters(held) == []
    ((_, headers),) = letters(silent)
    assert UNDECIDED in headers["reason"]
    assert counts(silent).rejected == 2


def test_an_unfinished_message_whose_end_never_comes_is_quarantined(cl51_files: list[bytes]) -> None:
    first = step(STAGE, [piece_of(cl51_files[0][:-4000], 0)])
    second = step(STAGE, [piece_of(cl51_files[1], 1)], first)  # whose first stamp might have been its end

    for after in (step(STAGE, [joined_of(second, 2)], second), step(STAGE, [], first, silent=True)):
        ((_, headers),) = letters(after)
        assert "unfinished message" in headers["reason"]


def test_a_message_whose_beginning_was_lost_is_quarantined(cl51_file: bytes) -> None:
    ((_, headers),) = letters(step(STAGE, [piece_of(cl51_file[2000:])]))

    assert "message" in headers["reason"]


def test_two_halves_that_give_no_profile_together_are_quarantined_as_what_they_are(cl51_files: list[bytes]) -> None:
    first = step(STAGE, [piece_of(cl51_files[0][:-4000], 0)])
    second = step(STAGE, [piece_of(cl51_files[1][3000:], 1)], first)  # another message's end

    third = step(STAGE, [joined_of(second, 2)], second)

    ((_, headers),) = letters(third)
    assert int(headers["num_stretches"]) >= 1
    assert "unfinished message" in headers["stretches"]


def test_a_repeated_batch_writes_the_same_keys(cl51_file: bytes) -> None:
    pieces = [piece_of(cl51_file, 1), piece_of(b"garbage", 7)]

    first, second = step(STAGE, pieces), step(STAGE, pieces)

    assert first.records == second.records
    ((letter, headers),) = letters(first)
    assert (letter.key, letter.value) == (b"files-0-7", b"garbage")
    assert (headers["__streams.errors.topic"], headers["__streams.errors.offset"]) == ("files", "7")


def test_a_burst_of_noise_is_one_dead_letter() -> None:
    noise = b"\x01CL018121\x02\r\nxxxxx\r\n" * 2000

    ((letter, headers),) = letters(step(STAGE, [piece_of(noise)]))

    assert letter.value == noise
    assert int(headers["num_stretches"]) >= 1999
    assert len(json.loads(headers["stretches"])) == 20
    assert sum(map(len, headers.values())) < 20_000


def test_an_id_that_never_gave_a_profile_leaves_nothing_behind() -> None:
    after = step(STAGE, [piece_of(b"garbage"), piece_of(b"more garbage", 1)])

    assert after.state is None
    assert len(letters(after)) == 2


def test_a_silent_site_becomes_final_and_its_intervals_are_published(cl51_files: list[bytes]) -> None:
    before = step(STAGE, [piece_of(raw, number) for number, raw in enumerate(cl51_files[:6])])
    assert any(product["provisional"] for product in products(before).values())

    after = step(STAGE, [], before, silent=True)

    assert {product["provisional"] for product in products(after).values()} == {False}
    assert products(after).keys() >= products(before).keys()
    (status,) = [json.loads(record.value) for record in after.records if record.kind == "site"]
    assert status["is_silent"]
    published = [record.key for outcome in (before, after) for record in outcome.records if record.kind == "averages"]
    assert len(published) == len(set(published)) == 6  # each interval exactly once


def test_a_site_that_was_moved_begins_anew_with_a_flag(cl51_files: list[bytes]) -> None:
    before = step(STAGE, [piece_of(raw, number) for number, raw in enumerate(cl51_files[:5])])

    after = STAGE.step(
        Site("oslo", 59.94, 10.72, max_height_m=6000.0), [piece_of(cl51_files[5], 5)], before.state.to_bytes()
    )

    (status,) = products(after, "site").values()
    assert "site_settings_changed" in status["flags"]
    assert counts(after).faults == 0
    assert counts(after).used == 120  # what was counted stays


@given(st.binary(max_size=400))
def test_any_bytes_for_a_state_are_begun_anew(held: bytes) -> None:
    outcome = STAGE.step(OSLO, [], held)

    assert outcome.state is None or isinstance(outcome.state, SiteState)


def test_a_second_instrument_under_one_id_is_named_and_not_averaged_away(cl51_files: list[bytes]) -> None:
    before = step(STAGE, [piece_of(cl51_files[0])])
    stranger = piece_of(cl51_files[1], 1)
    averages = stranger.averages.replace(b"Vaisala CL51", b"Vaisala CL31")

    after = step(STAGE, [stranger._replace(averages=averages)], before)

    ((_, headers),) = letters(after)
    assert headers["reason"] == (
        "20 profile(s) of a second instrument under this id, Vaisala CL31, unit 0; the first is Vaisala CL51, unit 0"
    )
    assert counts(after).foreign == 20
    assert counts(after).is_balanced


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "file by file"])
def test_an_instrument_that_takes_the_place_of_a_silent_one_is_said_once_and_begins_anew(
    cl51_files: list[bytes], together: bool
) -> None:
    stage = replace(STAGE, operators=(Operator("count", 1, counting),), timing=Timing(silence_s=600))
    before = step(stage, [piece_of(raw, number) for number, raw in enumerate(cl51_files[:2])])
    others = [piece_of(cl51_files[number], number) for number in (12, 13, 14)]
    others = [each._replace(averages=each.averages.replace(b"Vaisala CL51", b"Vaisala CL31")) for each in others]

    said, after = [], before
    for batch in [others] if together else [[each] for each in others]:
        after = step(stage, batch, after)
        said += [flag for status in products(after, "site").values() for flag in status["flags"]]

    assert said == ["instrument_exchanged"]
    assert (counts(after).used, counts(after).foreign) == (100, 0)
    (status,) = products(step(stage, [], after, silent=True), "site").values()
    assert status["instrument"] == "Vaisala CL31"


def test_averages_are_published_only_where_that_is_asked_for(cl51_files: list[bytes]) -> None:
    pieces = [piece_of(raw, number) for number, raw in enumerate(cl51_files[:4])]

    told, quiet = (step(replace(STAGE, publishes_averages=asked), pieces).records for asked in (True, False))

    assert [record for record in told if record.topic != "averages"] == quiet
    assert len(told) - len(quiet) >= 2


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12)), max_size=25),
    st.floats(0, 1),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_any_damage_to_a_file_goes_through_all_operators_and_every_profile_is_accounted_for(
    cl51_file: bytes, damage: list[tuple[float, bytes]], cut: float, sent_ms: int, silent: list[bool]
) -> None:
    raw = bytearray(cl51_file[:40_000])
    for place, noise in damage:
        at = int(place * len(raw))
        raw[at : at + len(noise)] = noise
    files = [bytes(raw), bytes(raw[: int(cut * len(raw))]), bytes(raw[int(cut * len(raw)) :])]
    after = Outcome()

    for number, (part, is_silent) in enumerate(zip(files, silent, strict=True)):
        row = DECODER.row_of("oslo", part, "a.dat", sent_ms, MORNING_MS, None, "files", 0, number)
        after = step(STAGE, [Piece.from_bytes(row[1])], after, silent=is_silent)
        assert all(len(record.value) < 1_000_000 for record in after.records)
        if after.state is not None:
            assert after.state.counts.is_balanced
            assert after.state.counts.faults == 0
