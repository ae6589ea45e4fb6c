"""What of a changed file is new: nothing lost, nothing twice, no part that ends inside a message being written."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.edge.growth import finished, habit_of, pieces_of

STAMP = b"-2026-07-01 00:00:%02d\r\n"
MESSAGE = b"\x01CL3101\x02\r\n0W 01000 ////// 0123456789ab\r\n00000aff000\r\n\x03ab12\x04\r\n"
CT_MESSAGE = b"\x01CT02020\x02\r\n00 ///// ///// ///// 00000300\r\n  0 000b001\r\n\x03\r\n"
TABLE = b"History file\r\nCREATEDATE, UNIXTIME, CEILOMETER\r\n"


def log(count: int, message: bytes = MESSAGE) -> bytes:
    return b"".join(STAMP % number + message for number in range(count))


def test_a_message_log_is_cut_before_the_stamp_of_the_unfinished_message() -> None:
    new = log(2) + STAMP % 2 + MESSAGE[:20]

    assert finished(new, habit_of(log(5))) == len(log(2))


def test_where_stamps_follow_their_record_the_stamp_stays_with_it() -> None:
    record = MESSAGE + b"2026-07-01 00:00:00\r\n"

    habit = habit_of(record * 3)

    assert habit.stamps_follow
    assert finished(record * 2 + MESSAGE[:20], habit) == len(record * 2)


@pytest.mark.parametrize("message", [MESSAGE, CT_MESSAGE])
def test_all_is_finished_where_the_last_message_is_closed(message: bytes) -> None:
    assert finished(log(3, message), habit_of(log(3, message))) == len(log(3, message))


def test_a_checksum_that_is_not_complete_keeps_its_message_back() -> None:
    assert finished(log(2)[:-6], habit_of(log(2))) == len(log(1))


def test_a_message_that_has_only_begun_is_no_record() -> None:
    assert finished(STAMP % 0 + MESSAGE[:30], habit_of(log(2))) == 0


def test_text_without_frames_ends_at_a_line() -> None:
    assert finished(b"1;2\n3;4\n5;", habit_of(b"1;2\n")) == len(b"1;2\n3;4\n")


@pytest.mark.parametrize(
    "head", [b"CDF\x01\0\0", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b\x08", b"PK\x03\x04", b"BZh9", b"a\0b\0"]
)
def test_a_container_cannot_be_continued(head: bytes) -> None:
    assert not habit_of(head + b"1 2 3").is_text


def test_column_names_are_known_from_the_first_line_that_begins_with_a_number() -> None:
    assert habit_of(TABLE + b"2026-07-01 00:00:00, 1, 2\r\n").preamble == len(TABLE)
    assert habit_of(b"2026-07-01, 1\n2026-07-02, 2\n").preamble == 0
    assert habit_of(log(2)).preamble == 0


@given(
    parts=st.lists(
        st.binary(min_size=1, max_size=40).map(lambda raw: raw.replace(b"\0", b"\n")), min_size=1, max_size=8
    ),
    limit=st.integers(5, 60),
    is_quiet=st.booleans(),
)
def test_pieces_follow_one_another_without_gap_or_overlap_and_within_the_limit(
    parts: list[bytes], limit: int, is_quiet: bool
) -> None:
    raw = b"".join(parts)
    habit = habit_of(raw)
    taken = 0

    for piece in pieces_of(io.BytesIO(raw), 0, len(raw), habit, limit=limit, is_quiet=is_quiet):
        assert piece.start == taken < piece.stop
        assert piece.stop - piece.start + piece.preamble <= max(limit, piece.preamble + 1)
        taken = piece.stop

    assert taken == len(raw) or not is_quiet


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_a_log_written_in_any_steps_is_sent_whole_and_never_ends_inside_a_message(steps: list[int]) -> None:
    raw = log(6)
    habit = habit_of(raw)
    sent, size = [], 0
    position = 0
    for step in [*steps, len(raw)]:
        size = min(size + step, len(raw))
        for piece in pieces_of(io.BytesIO(raw[:size]), position, size, habit, limit=10_000, is_quiet=False):
            sent.append(raw[piece.start : piece.stop])
            position = piece.stop
    assert b"".join(sent) == raw
    assert all(part.endswith(b"\x04\r\n") or not part.count(b"\x01") > part.count(b"\x04") for part in sent)


@pytest.mark.parametrize("start", [0, 40, 196])
def test_no_record_reaches_beyond_the_size_that_was_looked_at_though_the_file_goes_on_growing(start: int) -> None:
    raw = b"1,2\n" * 100

    pieces = list(pieces_of(io.BytesIO(raw), start, 200, habit_of(raw), limit=1_000, is_quiet=True))

    assert [(piece.start, piece.stop) for piece in pieces] == [(start, 200)]
