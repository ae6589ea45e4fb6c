"""Laws of the classic netCDF reader and writer: what the C library writes is read, what is written it can read."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_files import add, written

from ipdsf_spark.lidar.containers import netcdf3
from ipdsf_spark.lidar.containers.container import Damage, UnreadableFile

KINDS = ("i1", "i2", "i4", "f4", "f8")
LAYOUTS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def values_of(kind: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(-100, 100, shape).astype(kind)


@given(
    layout=st.sampled_from(LAYOUTS),
    num_records=st.integers(0, 5),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    widths=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_classic_reader_gives_what_the_c_library_wrote(
    layout: str, num_records: int, kinds: list[str], widths: list[int], seed: int
) -> None:
    stored = {f"v{i}": values_of(kind, (num_records, widths[i]), seed + i) for i, kind in enumerate(kinds)}
    fixed = values_of("f4", (3, 2), seed)

    def write(file: Any) -> None:
        file.createDimension("time", None)
        file.createDimension("three", 3)
        file.createDimension("two", 2)
        file.title = "made"
        add(file, "fixed", ("three", "two"), fixed, units="m", scale=np.float64(0.1))
        for index, (name, values) in enumerate(stored.items()):
            file.createDimension(f"width{index}", widths[index])
            add(file, name, ("time", f"width{index}"), values)

    dataset = netcdf3.open_bytes(written(write, layout=layout))

    assert dataset.text("title") == "made"
    assert np.array_equal(dataset.variables["fixed"].read(), fixed)
    assert dataset.variables["fixed"].attributes["units"] == "m"
    assert dataset.variables["fixed"].attributes["scale"] == pytest.approx(0.1)
    for index, (name, values) in enumerate(stored.items()):
        assert dataset.variables[name].dimensions == ("time", f"width{index}")
        assert dataset.variables[name].read().dtype == values.dtype
        assert np.array_equal(dataset.variables[name].read(), values)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_record_variable_is_not_padded(kind: str) -> None:
    values = values_of(kind, (4, 3), 1)

    def write(file: Any) -> None:
        file.createDimension("time", None)
        file.createDimension("three", 3)
        add(file, "v", ("time", "three"), values)

    raw = written(write, layout="NETCDF3_CLASSIC")

    assert np.array_equal(netcdf3.open_bytes(raw).variables["v"].read(), values)


@given(num_records=st.integers(0, 4), kinds=st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
def test_the_c_library_reads_what_the_writer_wrote(num_records: int, kinds: list[str]) -> None:
    stored = {f"v{i}": values_of(kind, (num_records, 3), i) for i, kind in enumerate(kinds)}
    scalar = np.float32(2.5)
    raw = netcdf3.to_bytes(
        {"time": num_records, "three": 3},
        {"title": "made", "year": 2021, "version": 1.25},
        [
            ("level", (), np.asarray(scalar), {"units": "m"}),
            ("axis", ("three",), np.arange(3, dtype="i2"), {}),
            *((name, ("time", "three"), values, {"scale_factor": 0.1}) for name, values in stored.items()),
        ],
        record="time",
    )

    with netCDF4.Dataset("made.nc", memory=raw) as file:
        file.set_auto_maskandscale(False)
        assert (file.title, file.year, file.version) == ("made", 2021, 1.25)
        assert file.dimensions["time"].isunlimited()
        assert float(file["level"][...]) == scalar
        assert file["axis"][:].tolist() == [0, 1, 2]
        for name, values in stored.items():
            assert np.array_equal(file[name][...], values)
            assert file[name].scale_factor == pytest.approx(0.1)


def records(num_records: int = 5) -> bytes:
    return netcdf3.to_bytes(
        {"time": num_records, "three": 3},
        {},
        [
            ("time", ("time",), np.arange(num_records, dtype="f8"), {}),
            ("beta", ("time", "three"), np.arange(3.0 * num_records, dtype="f4").reshape(-1, 3), {}),
        ],
        record="time",
    )


@given(kept=st.integers(0, 99))
def test_a_file_cut_short_still_gives_its_whole_records(kept: int) -> None:
    raw = records(5)
    record_bytes = 8 + 12
    cut = raw[: len(raw) - 5 * record_bytes + kept]
    whole = kept // record_bytes

    dataset = netcdf3.open_bytes(cut)

    assert dataset.variables["time"].read().tolist() == list(range(whole))
    assert dataset.variables["beta"].read().shape == (whole, 3)
    assert [(damage.first, damage.count) for damage in dataset.damage] == [(whole, 5 - whole)]
    assert dataset.damage[0].offset == len(cut) - kept % record_bytes
    assert "5 rows" in dataset.damage[0].reason


def test_a_file_still_being_written_has_as_many_records_as_fit() -> None:
    raw = bytearray(records(5))
    raw[4:8] = b"\xff" * 4  # the count a writer leaves while it streams

    dataset = netcdf3.open_bytes(bytes(raw))

    assert dataset.variables["time"].read().tolist() == [0, 1, 2, 3, 4]
    assert dataset.damage == ()


def test_files_whose_headers_differ_in_one_word_are_not_taken_for_one_another() -> None:
    """Headers are remembered; what is remembered must be the whole header and nothing but the header."""

    def file(title: str, unit: str, num_records: int) -> bytes:
        values = np.full(num_records, float(num_records))
        return netcdf3.to_bytes(
            {"time": num_records}, {"title": title}, [("v", ("time",), values, {"units": unit})], record="time"
        )

    for title, unit, num_records in [("a", "m", 2), ("b", "m", 2), ("a", "s", 2), ("a", "m", 3), ("a", "m", 2)]:
        dataset = netcdf3.open_bytes(file(title, unit, num_records))
        variable = dataset.variables["v"]
        assert (dataset.text("title"), variable.attributes["units"]) == (title, unit)
        assert variable.read().tolist() == [num_records] * num_records


@pytest.mark.parametrize(
    ("at", "word", "reason"),
    [
        (8, 7, "header is damaged"),  # the tag of the dimensions
        (12, 1 << 30, "header is damaged"),  # how many there are
        (16, 1 << 30, "cut or damaged"),  # the length of a name
    ],
)
def test_an_impossible_header_is_refused_with_a_reason(at: int, word: int, reason: str) -> None:
    raw = bytearray(records())
    struct.pack_into(">I", raw, at, word)

    with pytest.raises(UnreadableFile, match=reason):
        netcdf3.open_bytes(bytes(raw))


def test_a_small_file_cannot_claim_a_large_variable() -> None:
    variables = [("v", ("long",), np.zeros(4, "f8"), {})]
    raw = netcdf3.to_bytes({"time": 0, "long": 4}, {}, variables, record="time")
    length = struct.pack(">I", 4) + b"long" + struct.pack(">I", 4)
    raw = raw.replace(length, length[:-4] + b"\x7f\xff\xff\xff")

    with pytest.raises(UnreadableFile, match="v"):
        netcdf3.open_bytes(raw).variables["v"].read()


def test_no_damage_is_hidden_when_nobody_asks_for_it() -> None:
    damage: list[Damage] = []
    dataset = netcdf3.open_bytes(records(3))

    assert dataset.variables["beta"].read(damage, max_rows=2).shape == (2, 3)
    assert damage == []


def test_every_real_classic_file_reads_as_the_c_library_reads_it(real_ceilometer_data: Path) -> None:
    paths = [path for path in sorted(real_ceilometer_data.rglob("*.nc")) if path.read_bytes()[:3] == b"CDF"]
    for path in paths:
        dataset = netcdf3.open_bytes(path.read_bytes())
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            assert set(dataset.variables) == set(file.variables)
            for name, variable in dataset.variables.items():
                assert variable.dimensions == file[name].dimensions
                assert np.array_equal(variable.read(), file[name][...]), f"{path.name} {name}"
    assert len(paths) >= 13
