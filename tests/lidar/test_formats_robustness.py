"""Damaged files of every family: always an answer, always soon, never much memory.

Thousands of mutations run in a process of their own whose memory is limited by the operating system, because a reader
that dies or eats the machine would take the test down with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import eprofile_l2, profiles
from made_texts import TEXTS
from test_archive_netcdf import cl2nc_file
from test_lufft_chm import chm_file, met_office_file
from test_micropulse import mini_mpl_file

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import lufft_chm, netcdf, vaisala_cl61
from ipdsf_spark.lidar.profiles import Decoded

FILES = {
    "CHM15k netCDF-3": lufft_chm.encode_file(profiles(4)),
    "CHM15k netCDF-3 mode 1": lufft_chm.encode_file(profiles(2), mode=1),
    "CHM15k netCDF-4": chm_file(layout="NETCDF4"),
    "Met Office": met_office_file(),
    "CL61": vaisala_cl61.encode_file(profiles(3)),
    "E-PROFILE": eprofile_l2(),
    "cl2nc": cl2nc_file(),
    "MiniMPL": mini_mpl_file(),
    **TEXTS,
}
MUTATIONS = 1000
# Each costs seconds: the texts that differ most; the others are damaged by the laws above.
MUTATED = [name for name in FILES if name not in TEXTS or name in ("CL31", "CT25K message 7", "CS135 message 006")]
ADDRESS_SPACE_BYTES = 1_500_000_000  # Python and numpy map most of it without touching it
LONGEST_RUN_CPU_S = 300
LONGEST_CPU_S = 5.0  # for one file of a few kB; of the processor, so that a busy machine does not count


def check(raw: bytes) -> Decoded:
    decoded = instruments.decode(raw)
    assert isinstance(decoded, Decoded)
    assert decoded.blocks or decoded.rejected
    for block in decoded.blocks:
        assert len(block) > 0
        for heights in (block.cloud_base_m, block.maker_layer_height_m, block.vertical_visibility_m):
            found = heights[np.isfinite(heights)]
            assert ((found >= 0.0) & (found < 1e5)).all()
    for stretch in decoded.rejected:
        assert stretch.reason
        assert netcdf.UNFORESEEN not in stretch.reason, stretch.reason
        assert 0 <= stretch.offset <= stretch.offset + stretch.length <= len(raw)
    return decoded


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(FILES)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=30),
)
def test_flipped_bytes_give_profiles_or_reasons(name: str, flips: list[tuple[float, int]]) -> None:
    raw = bytearray(FILES[name])
    for place, change in flips:
        raw[int(place * len(raw))] ^= change

    check(bytes(raw))


@settings(max_examples=100)
@given(name=st.sampled_from(sorted(FILES)), kept=st.floats(0, 1))
def test_a_file_cut_anywhere_gives_profiles_or_reasons(name: str, kept: float) -> None:
    check(FILES[name][: int(kept * len(FILES[name]))])


@settings(max_examples=100)
@given(
    name=st.sampled_from(sorted(FILES)),
    start=st.floats(0, 1),
    length=st.integers(1, 3000),
    where=st.floats(0, 1),
)
def test_repeated_and_missing_stretches_give_profiles_or_reasons(
    name: str, start: float, length: int, where: float
) -> None:
    raw = FILES[name]
    first, second = int(start * len(raw)), int(where * len(raw))

    check(raw[:second] + raw[first : first + length] + raw[second:])
    check(raw[:first] + raw[first + length :])


@settings(max_examples=150)
@given(
    name=st.sampled_from(sorted(FILES)),
    place=st.floats(0, 1, exclude_max=True),
    word=st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\0\0\0\0\0\1\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x40\0\0\0\0"]),
)
def test_impossible_numbers_in_a_header_give_profiles_or_reasons(name: str, place: float, word: bytes) -> None:
    raw = FILES[name]
    at = int(place * len(raw)) // 4 * 4

    check(raw[:at] + word + raw[at + len(word) :])


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATED)
def test_thousands_of_mutations_stay_within_time_and_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "made.nc"
    path.write_bytes(FILES[name])

    answer = subprocess.run(
        [sys.executable, __file__, str(path), str(MUTATIONS)], capture_output=True, text=True, check=False
    )

    assert answer.returncode == 0, answer.stderr[-2000:]
    told = json.loads(answer.stdout)
    assert told["slowest_cpu_s"] < LONGEST_CPU_S
    assert told["decoded"] > 0  # damage beside the profiles does not cost them
    assert told["rejected"] > 0


def mutate(raw: bytes, random: np.random.Generator) -> bytes:
    """One of six kinds of damage."""
    kind = random.integers(6)
    data = bytearray(raw)
    at = int(random.integers(len(data)))
    length = int(random.integers(1, 2000))
    if kind == 0:
        for _ in range(int(random.choice([1, 3, 20, 200]))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length]
    elif kind == 4:
        for _ in range(int(random.choice([1, 3, 20]))):
            data[int(random.integers(len(data)))] = int(random.choice([0, 255, 1, 127, 128]))
    else:
        word = int(random.choice([2**31, 2**40, 2**62, 2**32 - 1, len(data), int(random.integers(len(data)))]))
        at = at // 8 * 8
        data[at : at + 8] = word.to_bytes(8, random.choice(["little", "big"]))
    return bytes(data)


def main() -> None:
    import resource
    import time

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (LONGEST_RUN_CPU_S, LONGEST_RUN_CPU_S))  # a hang ends here
    raw, count = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
    random = np.random.default_rng(20210909)
    slowest, num_decoded, num_rejected = 0.0, 0, 0
    for _ in range(count):
        started = time.process_time()
        decoded = check(mutate(raw, random))
        slowest = max(slowest, time.process_time() - started)
        num_decoded += bool(decoded.blocks)
        num_rejected += bool(decoded.rejected)
    print(json.dumps({"slowest_cpu_s": slowest, "decoded": num_decoded, "rejected": num_rejected}))


if __name__ == "__main__":
    main()
