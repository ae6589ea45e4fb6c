"""Damaged files of every family and maker's history: always an answer, always soon, never much memory.

Thousands of mutations run in a process of their own whose memory is limited by the operating system, because a reader
that dies or eats the machine would take the test down with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import eprofile_l2, profiles
from made_texts import STAMPS, TEXTS, ld40_row, ld40_table, ld40_telegram
from network_files import (
    arm_ceil,
    cl61_rewritten,
    eprofile_l1,
    history_level_2,
    history_level_3,
    mpl2nc_file,
    mplnet_nrb,
    ncas_backscatter,
)
from test_archive_netcdf import cl2nc_file
from test_lufft_chm import chm_file, met_office_file
from test_micropulse import mini_mpl_file
from test_network_files import turned

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import lufft_chm, netcdf, vaisala_cl61
from ipdsf_spark.lidar.profiles import Decoded

# The process of the mutations is given its file and need not make them all.
FILES = (
    {}
    if __name__ == "__main__"
    else {
        "CHM15k netCDF-3": lufft_chm.encode_file(profiles(4)),
        "CHM15k netCDF-3 mode 1": lufft_chm.encode_file(profiles(2), mode=1),
        "CHM15k netCDF-4": chm_file(layout="NETCDF4"),
        "Met Office": met_office_file(),
        "CL61": vaisala_cl61.encode_file(profiles(3)),
        "E-PROFILE": eprofile_l2(),
        "cl2nc": cl2nc_file(),
        "MiniMPL": mini_mpl_file(),
        "CL61 again": cl61_rewritten(kind="i2", factor=2e-10, fill=-32768.0),
        "E-PROFILE L1": eprofile_l1(),
        "ARM": arm_ceil(),
        "ARM netCDF-4": arm_ceil(layout="NETCDF4"),
        "NCAS": ncas_backscatter(),
        "MPLNET": mplnet_nrb(),
        "mpl2nc": mpl2nc_file(),
        "BL-View level 2": history_level_2(),
        "BL-View level 3": history_level_3(),
        "LD40 table": ld40_table(*(ld40_row(f"21.06.26 09:{minute:02d}") for minute in range(20))),
        "LD40 telegrams": b"".join(stamp + b"\r\n" + ld40_telegram() for stamp in STAMPS),
        # Of the texts those that differ most; the others are damaged by the laws above.
        **{name: TEXTS[name] for name in ("CL31", "CT25K message 7", "CS135 message 006")},
    }
)
MUTATIONS = 1000 * int(os.environ.get("IPDSF_TEST_DEPTH", "1"))  # of each file
ADDRESS_SPACE_BYTES = 1_500_000_000  # Python and numpy map most of it without touching it
LONGEST_CPU_S = 5.0  # of one file of a few kB; a hang, not a slow machine


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
def test_thousands_of_mutations_stay_within_time_and_memory(tmp_path: Path) -> None:
    for name, raw in FILES.items():
        (tmp_path / name).write_bytes(raw)

    answer = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(MUTATIONS)],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )

    assert answer.returncode == 0, answer.stdout[-200:] + answer.stderr[-2000:]
    told = {name: result for line in answer.stdout.splitlines() for name, result in json.loads(line).items()}
    assert told.keys() == FILES.keys()
    for name, result in told.items():
        assert result["slowest_cpu_s"] < LONGEST_CPU_S, name
        assert result["decoded"] > 0, name  # damage beside the profiles does not cost them
        assert result["rejected"] > 0, name


ODD: list[Any] = [
    *("", "x", "-999", "1e-9", "nan", "10", "true", "km", "m", "feet", "Mm-1 sr-1", "rad", "julian", "360_day"),
    *("seconds since 0000-00-00", "days since 9999-12-31", "hours since 2026-06-21 +99:99", "years since 1970-01-01"),
    *(0, -1, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-300, np.int64(-(2**63)), np.uint8(255), np.float32(9.97e36)),
    *(np.array([1, 2, 3]), np.array([np.nan, 1.0])),
]
CF_KEYS = ["scale_factor", "add_offset", "missing_value", "valid_min", "valid_max", "valid_range", "_Unsigned"]
CHANGEABLE = ["CHM15k netCDF-4", "cl2nc", "MiniMPL", "CL61 again", "E-PROFILE", "E-PROFILE L1", "ARM", "NCAS", "MPLNET"]


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(CHANGEABLE),
    changes=st.lists(
        st.tuples(
            st.integers(0, 99),
            st.sampled_from([*CF_KEYS, "_FillValue", "units", "calendar", "title", "platform_altitude"]),
            st.integers(0, len(ODD) - 1),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_attributes_that_make_no_sense_give_profiles_or_reasons(name: str, changes: list[tuple[int, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "made.nc")
        path.write_bytes(FILES[name])
        with netCDF4.Dataset(path, "r+") as file:
            for place, key, odd in changes:
                holders = [file] if key in ("title", "platform_altitude") else list(file.variables.values())
                # The library itself refuses a fill value of another type than the variable.
                with contextlib.suppress(AttributeError, RuntimeError, TypeError):
                    holders[place % len(holders)].setncattr(key, ODD[odd])
        raw = path.read_bytes()

    decoded = check(raw)

    for block in decoded.blocks:
        assert (np.abs(block.tilt_deg) <= 60.0).all()
        assert (np.diff(block.range_m) > 0.0).all()


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(CHANGEABLE), place=st.integers(0, 99), kind=st.sampled_from(["f4", "i4", "i2", "i1", ""]))
def test_a_variable_turned_or_of_another_type_gives_no_time_that_no_profile_has(
    name: str, place: int, kind: str
) -> None:
    whole = check(FILES[name])
    with netCDF4.Dataset("made.nc", memory=FILES[name]) as file:
        # A time that has lost its digits is another time, of which nobody can know.
        names = [each for each in file.variables if not (kind and each.startswith(("time", "base_time")))]
    chosen = names[place % len(names)]

    decoded = check(turned(FILES[name], only=chosen, kind=kind))

    known = np.concatenate([block.time for block in whole.blocks])
    for block in decoded.blocks:
        assert np.isin(block.time, known).all()
        assert (np.diff(block.range_m) > 0.0).all()


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
    for path in sorted(Path(sys.argv[1]).iterdir()):
        raw, random = path.read_bytes(), np.random.default_rng(20210909)
        slowest, num_decoded, num_rejected = 0.0, 0, 0
        for _ in range(int(sys.argv[2])):
            started = time.process_time()
            decoded = check(mutate(raw, random))
            slowest = max(slowest, time.process_time() - started)
            num_decoded += bool(decoded.blocks)
            num_rejected += bool(decoded.rejected)
        result = {"slowest_cpu_s": slowest, "decoded": num_decoded, "rejected": num_rejected}
        print(json.dumps({path.name: result}), flush=True)


if __name__ == "__main__":
    main()
