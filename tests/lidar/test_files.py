"""A folder of files is one run of profiles, wherever the logger cut it."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.lidar.files import FileReader
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
