"""A folder of files is one run of profiles, wherever the logger cut it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.files import FileReader, joined
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.instruments.stamps import UNDECIDED
from ipdsf_spark.lidar.simulator import INSTRUMENTS, simulate
from ipdsf_spark.lidar.site import Site

MUNICH = Site("munich", 48.15, 11.57)
TIMES = np.datetime64("2026-06-15T12:00", "us") + (15 * np.arange(12)).astype("timedelta64[s]")
LOG = INSTRUMENTS["cl31"].encode(
    simulate(MUNICH, TIMES, rng=np.random.default_rng(1), scenario="cumulus", instrument="cl31").profiles
)


# Where a profile's hex digits stand: a logger that cuts by size or time cuts there nine times in ten.
PROFILES = [(match.start() + 120, match.end() - 8) for match in re.finditer(rb"\x02[^\x03]*\x03", LOG)]


@settings(max_examples=40)
@given(st.data())
def test_messages_cut_by_the_end_of_a_file_are_put_together(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(PROFILES), min_size=1, max_size=4, unique=True))
    cuts = sorted(data.draw(st.integers(*profile)) for profile in chosen)
    files = [(f"{i}.dat", LOG[a:b]) for i, (a, b) in enumerate(pairwise([0, *cuts, len(LOG)]))]
    reader = FileReader()

    times = np.concatenate([block.time for block in reader.blocks(files)])

    np.testing.assert_array_equal(np.sort(times), TIMES)
    assert reader.num_joined == len(cuts)
    assert reader.rejected == []


def test_a_message_cut_in_the_middle_of_its_profile_leaves_nothing_rejected() -> None:
    cut = LOG.index(b"\x02", len(LOG) // 2) + 1500
    reader = FileReader()

    times = np.concatenate([block.time for block in reader.blocks([("a.dat", LOG[:cut]), ("b.dat", LOG[cut:])])])

    np.testing.assert_array_equal(np.sort(times), TIMES)
    assert reader.num_joined == 1
    assert reader.rejected == []


# The styles of loggers, as functions of what CL-View writes: stamp line, message, blank line.
STYLES: dict[str, Callable[[bytes], bytes]] = {
    "stamp before": lambda log: log,
    "stamp behind": lambda log: re.sub(rb"-(.{19})\r\n(\x01.*?\x04\r\n)\r\n", rb"\2\1\r\n", log, flags=re.DOTALL),
    "stamp on the line": lambda log: re.sub(rb"-(.{10}) (.{8})\r\n\x01", b"\\1T\\2.250,\x01", log),
    "line ends of one byte": lambda log: log.replace(b"\r\n", b"\n"),
    "Unix time": lambda log: re.sub(
        rb"-(.{19})\r\n", lambda found: b"%d " % np.datetime64(found[1].decode(), "s").astype(int), log
    ),
}
LOGS = {name: style(LOG) for name, style in STYLES.items()}


@settings(max_examples=100)
@given(name=st.sampled_from(sorted(LOGS)), data=st.data())
def test_a_log_cut_at_any_byte_gives_every_profile_once_and_rejects_nothing(name: str, data: st.DataObject) -> None:
    log = LOGS[name]
    # A file of one message between two cut stamps says nothing of which is its own: several cuts lie in profiles.
    inside = [match.start() + 900 for match in re.finditer(b"\x02", log)]
    several = st.lists(st.sampled_from(inside), min_size=2, max_size=3, unique=True).map(sorted)
    one = st.integers(20, len(log) - 1).map(lambda cut: [cut])
    # Nor does one behind half a stamp.
    ends = [match.end() for match in re.finditer(b"\x04", log)]
    cuts = data.draw(one.filter(lambda cuts: cuts[0] < ends[-2]) if name == "stamp behind" else one | several)
    files = [(f"{i}.dat", log[a:b]) for i, (a, b) in enumerate(pairwise([0, *cuts, len(log)])) if log[a:b].strip()]
    reader = FileReader()

    times = np.sort(np.concatenate([block.time for block in reader.blocks(files)]))

    whole = np.concatenate([block.time for block in FileReader().blocks([("whole.dat", log)])])
    np.testing.assert_array_equal(times, whole)
    assert reader.rejected == []


# Without a blank line nothing in a file tells whose a stamp is.
PLAIN_STYLES = {
    "before": re.sub(rb"-(.{19}\r\n\x01.*?\x04\r\n)\r\n", rb"\1", LOG, flags=re.DOTALL),
    "behind": LOGS["stamp behind"],
}
BESIDE = [0, 2, 4, 12, 20, 21, 23]  # bytes behind the end of a message: its line end, the stamp, the line end of that


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("name", sorted(PLAIN_STYLES))
def test_a_log_cut_beside_a_stamp_is_told_by_the_neighbours_which_message_it_belongs_to(name: str, beside: int) -> None:
    log = PLAIN_STYLES[name]
    ends = [match.end() for match in re.finditer(b"\x04", log)]
    behind_record = ends[7] + (2 if name == "before" else 23)
    cuts = [0, ends[3] + beside, behind_record, len(log)]
    reader = FileReader()

    files = [(f"{i}.dat", log[a:b]) for i, (a, b) in enumerate(pairwise(cuts))]
    times = np.sort(np.concatenate([block.time for block in reader.blocks(files)]))

    np.testing.assert_array_equal(times, TIMES)
    assert reader.rejected == []


def test_a_log_cut_beside_a_stamp_without_a_neighbour_is_read_or_named() -> None:
    before, behind = PLAIN_STYLES["before"], PLAIN_STYLES["behind"]
    stamp = before.rindex(b"\x01")
    interrupted, unfinished = FileReader(), FileReader()

    # Begun with a stamp, a log has stamps before its messages: the last waits for a message that never came.
    times = [moment for block in interrupted.blocks([("a.dat", before[:stamp])]) for moment in block.time]
    none = list(unfinished.blocks([("a.dat", behind[: behind.rindex(b"\x04") + 3])]))

    np.testing.assert_array_equal(times, TIMES[:-1])
    assert interrupted.rejected == []
    assert none == []
    assert [each.reason for each in unfinished.rejected] == [UNDECIDED] * len(TIMES)


def test_what_gives_no_profile_when_it_is_joined_is_named() -> None:
    log = PLAIN_STYLES["behind"]
    cut = [match.end() for match in re.finditer(b"\x04", log)][-2] + 8  # in the stamp before the last message
    reader = FileReader()

    num = sum(len(block) for block in reader.blocks([("a.dat", log[:cut]), ("b.dat", log[cut:])]))

    assert num + len(reader.rejected) == len(TIMES)


@pytest.mark.parametrize("cut", range(-12, 3))
def test_the_checksum_of_a_cs135_alone_at_the_head_of_the_next_file_ends_its_message(
    cut: int, real_ceilometer_data: Path
) -> None:
    log = next(real_ceilometer_data.rglob("20230612_ceilometer.txt")).read_bytes()
    at = [match.start() for match in re.finditer(b"\x03", log)][3] + cut
    reader = FileReader()

    times = [moment for block in reader.blocks([("a.txt", log[:at]), ("b.txt", log[at:])]) for moment in block.time]

    assert (len(times), reader.num_joined, reader.rejected) == (8, 1 if cut <= 4 else 0, [])


def test_a_message_over_three_files_is_put_together_and_leaves_nothing_rejected() -> None:
    start = LOG.index(b"\x02", len(LOG) // 2)
    cuts = [0, start + 800, start + 1600, len(LOG)]
    files = [(f"{i}.dat", LOG[a:b]) for i, (a, b) in enumerate(pairwise(cuts))]
    reader = FileReader()

    times = np.concatenate([block.time for block in reader.blocks(files)])

    np.testing.assert_array_equal(np.sort(times), TIMES)
    assert reader.rejected == []


def test_what_a_growing_file_has_gained_is_read_alone_and_joined_to_what_was_read_before() -> None:
    for size in range(len(LOG) // 2, len(LOG) // 2 + 4200, 350):
        before, after = decode(LOG[:size]), decode(LOG[size:])
        joint = joined(before.tail, after)

        found = [moment for part in (before, joint, after) for block in part.blocks for moment in block.time]
        np.testing.assert_array_equal(np.array(found), TIMES)


def test_what_gives_no_profile_is_told_by_file_offset_and_reason() -> None:
    damaged = LOG.replace(b"HN15", b"HX15", 1)
    reader = FileReader()

    num = sum(len(block) for block in reader.blocks([("good.dat", LOG), ("bad.dat", damaged)]))

    assert num == 2 * len(TIMES) - 1
    assert [stretch.file for stretch in reader.rejected] == ["bad.dat"]
    assert reader.rejected[0].reason


def test_files_are_listed_by_the_instrument_that_wrote_them() -> None:
    other = INSTRUMENTS["chm15k"]
    day = simulate(MUNICH, TIMES, rng=np.random.default_rng(1), instrument=other)
    reader = FileReader()

    list(reader.blocks([("a.dat", LOG), ("b.nc", other.encode(day.profiles)), ("c.dat", LOG)]))

    assert reader.files_by_instrument == {"Vaisala CL31": ["a.dat", "c.dat"], "Lufft CHM15k": ["b.nc"]}
