"""Laws of the netCDF-4 reader: any chunks, filters, groups and attributes; damage stays where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_files import add, place_of_chunk, written

from ipdsf_spark.lidar.containers import hdf5, hdf5_headers
from ipdsf_spark.lidar.containers.container import Damage, UnreadableFile
from ipdsf_spark.lidar.containers.hdf5_heap import STRUCTURES_PER_FILE, Store

KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4")


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    chunk=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    level=st.integers(0, 9),
    has_shuffle=st.booleans(),
    has_checksum=st.booleans(),
    is_growing=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_variable_of_any_chunks_and_filters_reads_as_it_was_written(
    kind: str,
    shape: tuple[int, int],
    chunk: tuple[int, int],
    level: int,
    has_shuffle: bool,
    has_checksum: bool,
    is_growing: bool,
    seed: int,
) -> None:
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(kind)
    assume(is_growing or all(size <= length for size, length in zip(chunk, shape, strict=True)))

    def write(file: Any) -> None:
        file.createDimension("a", None if is_growing else shape[0])
        file.createDimension("b", shape[1])
        variable = file.createVariable(
            "v",
            values.dtype.str[1:],
            ("a", "b"),
            zlib=level > 0,
            complevel=level,
            shuffle=has_shuffle,
            fletcher32=has_checksum,
            chunksizes=(chunk[0], min(chunk[1], shape[1])),
            endian={">": "big", "<": "little"}.get(values.dtype.byteorder, "native"),
        )
        variable[...] = values

    variable = hdf5.open_bytes(written(write)).variables["v"]

    assert variable.dimensions == ("a", "b")
    assert np.array_equal(variable.read(), values)
    assert np.array_equal(variable.read(max_rows=1), values[:1])
    assert variable.read().dtype.isnative


@settings(max_examples=20)
@given(num_variables=st.integers(1, 120), num_attributes=st.integers(0, 40), num_groups=st.integers(0, 12))
def test_any_number_of_names_is_found(num_variables: int, num_attributes: int, num_groups: int) -> None:
    def write(file: Any) -> None:
        file.createDimension("x", 2)
        for index in range(num_variables):
            add(file, f"variable_{index}", ("x",), np.full(2, index, "i4"), units=f"unit {index}")
        for index in range(num_attributes):
            file.setncattr(f"attribute_{index}", f"text {index}")
        for index in range(num_groups):
            group = file.createGroup(f"group_{index}")
            add(group, "inner", ("x",), np.full(2, -index, "i4"))

    dataset = hdf5.open_bytes(written(write))

    for index in range(num_variables):
        assert dataset.variables[f"variable_{index}"].read().tolist() == [index, index]
        assert dataset.variables[f"variable_{index}"].attributes["units"] == f"unit {index}"
    assert [dataset.text(f"attribute_{index}") for index in range(num_attributes)] == [
        f"text {index}" for index in range(num_attributes)
    ]
    for index in range(num_groups):
        inner = dataset.groups[f"group_{index}"].variables["inner"]
        assert inner.read().tolist() == [-index, -index]
        assert inner.dimensions == ("x",)


def test_attributes_are_numbers_and_texts_as_they_were_written() -> None:
    def write(file: Any) -> None:
        file.number = np.float64(0.25)
        file.numbers = np.array([1, 2, 3], "i2")
        file.text = "grüße"
        file.empty = ""
        file.setncattr_string("long", "ä" * 5000)

    attributes = hdf5.open_bytes(written(write)).attributes

    assert float(attributes["number"][0]) == 0.25  # type: ignore[index]
    assert attributes["numbers"].tolist() == [1, 2, 3]  # type: ignore[union-attr]
    assert attributes["text"] == "grüße"
    assert attributes["empty"] == ""
    assert attributes["long"] == "ä" * 5000
    assert "absent" not in attributes


def growing(num_rows: int = 6, num_gates: int = 400) -> tuple[bytes, np.ndarray]:
    values = np.random.default_rng(3).normal(size=(num_rows, num_gates)).astype("f4")

    def write(file: Any) -> None:
        file.createDimension("time", None)
        file.createDimension("range", num_gates)
        variable = file.createVariable("beta", "f4", ("time", "range"), zlib=True, chunksizes=(1, num_gates))
        variable[...] = values
        add(file, "short", ("time",), np.arange(2, dtype="f4"), fill=np.float32(-9.0))

    return written(write), values


def test_what_was_never_written_of_a_growing_variable_is_not_invented() -> None:
    raw, _ = growing()

    assert hdf5.open_bytes(raw).variables["short"].read().tolist() == [0.0, 1.0]


def test_a_damaged_chunk_costs_its_row_and_is_named_with_its_place() -> None:
    raw, values = growing()
    start = place_of_chunk(raw, "beta", row=2)
    broken = raw[:start] + bytes(byte ^ 0x5A for byte in raw[start : start + 40]) + raw[start + 40 :]
    damage: list[Damage] = []

    read = hdf5.open_bytes(broken).variables["beta"].read(damage)

    assert np.isnan(read[2]).all()
    assert np.array_equal(np.delete(read, 2, axis=0), np.delete(values, 2, axis=0))
    assert [(stretch.offset, stretch.first, stretch.count) for stretch in damage] == [(start, 2, 1)]
    assert damage[0].reason.startswith("beta, row 2: damaged chunk")
    with pytest.raises(UnreadableFile, match="row 2"):
        hdf5.open_bytes(broken).variables["beta"].read()


def test_a_wrong_checksum_is_damage() -> None:
    def write(file: Any) -> None:
        file.createDimension("x", 64)
        variable = file.createVariable("v", "i2", ("x",), fletcher32=True, chunksizes=(64,))
        variable[...] = np.arange(64, dtype="i2")

    raw = written(write)
    start = raw.index(np.arange(64, dtype="<i2").tobytes())
    broken = raw[: start + 9] + b"\x77" + raw[start + 10 :]

    with pytest.raises(UnreadableFile, match="checksum"):
        hdf5.open_bytes(broken).variables["v"].read()


def test_an_unknown_filter_is_named_with_what_to_do() -> None:
    def write(file: Any) -> None:
        file.createDimension("x", 64)
        variable = file.createVariable("v", "i4", ("x",), compression="zstd", chunksizes=(64,))
        variable[...] = np.arange(64)

    try:
        raw = written(write)
    except RuntimeError:
        pytest.skip("the installed C library cannot pack with zstd")

    with pytest.raises(UnreadableFile, match="filter 32015; write it with deflate"):
        hdf5.open_bytes(raw).variables["v"].read()


def test_a_claim_of_gigabytes_is_refused_before_anything_is_allocated() -> None:
    def write(file: Any) -> None:
        file.createDimension("a", 1 << 20)
        file.createDimension("b", 1 << 12)
        file.createVariable("v", "f8", ("a", "b"), zlib=True)

    raw = written(write)

    with pytest.raises(UnreadableFile, match="claims"):
        hdf5.open_bytes(raw).variables["v"].read()


def test_a_variable_that_claims_far_more_than_it_stores_is_refused() -> None:
    def write(file: Any) -> None:
        file.createDimension("a", 2048)
        file.createDimension("b", 512)
        variable = file.createVariable("v", "f8", ("a", "b"), zlib=True, chunksizes=(1, 64))
        variable[0, :64] = 1.0

    with pytest.raises(UnreadableFile, match="stores 1 chunks"):
        hdf5.open_bytes(written(write)).variables["v"].read()


def test_more_names_than_two_levels_of_a_tree_hold_are_found() -> None:
    def write(file: Any) -> None:
        for index in range(1500):
            file.createVariable(f"v{index}", "i2")[...] = index

    dataset = hdf5.open_bytes(written(write))

    assert len(dataset.variables) == 1500
    assert [int(dataset.variables[f"v{index}"].read()) for index in range(0, 1500, 149)] == list(range(0, 1500, 149))


def test_a_file_may_visit_so_many_structures_and_no_more() -> None:
    store = Store(b"", 8, 8)
    store.spend(STRUCTURES_PER_FILE)

    with pytest.raises(UnreadableFile, match="ring"):
        store.spend()


def test_a_damaged_attribute_costs_no_other() -> None:
    def write(file: Any) -> None:
        file.first = "sound"
        file.broken = np.int32(7)
        file.last = "sound"

    raw = written(write)
    dataspace = raw.index(b"broken\0") + len(b"broken\0") + 12  # after the datatype of a whole number
    attributes = hdf5.open_bytes(raw[:dataspace] + b"\x4d" + raw[dataspace + 1 :]).attributes

    assert (attributes["first"], attributes["last"], "broken" in attributes) == ("sound", "sound", False)


class TestWhatOnlyH5pyWrites:
    """Groups in the style before HDF5 1.8 and types of their own: other programs' netCDF-4 files have them."""

    @pytest.fixture(params=["earliest", "v108"])
    def raw(self, request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
        h5py = pytest.importorskip("h5py", reason="h5py is not installed, and nothing else writes such files")
        with h5py.File(tmp_path / "made.h5", "w", libver=(request.param, "v108")) as file:
            time = file.create_dataset("time", data=np.arange(7.0), maxshape=(None,), chunks=(3,))
            time.make_scale("time")
            beta = file.create_dataset("beta", data=np.arange(77.0).reshape(7, 11), chunks=(2, 4), compression=4)
            beta.dims[0].attach_scale(time)
            beta.attrs["units"] = "1/(m sr)"
            inner = file.create_group("inner")
            for index in range(60):
                inner.create_dataset(f"v{index}", data=np.full(3, index, "i2"))
            file["named"] = np.dtype("f4")
            beta.attrs.create("typed", 2.5, dtype=file["named"])
            file.create_dataset("typed", data=np.zeros(2, "f4"), dtype=file["named"])
        return (tmp_path / "made.h5").read_bytes()

    def test_groups_variables_and_attributes_are_read(self, raw: bytes) -> None:
        dataset = hdf5.open_bytes(raw)

        beta = dataset.variables["beta"]
        assert np.array_equal(beta.read(), np.arange(77.0).reshape(7, 11))
        assert beta.dimensions[0] == "time"
        assert beta.attributes["units"] == "1/(m sr)"
        assert "typed" not in beta.attributes  # its type stands elsewhere in the file
        values = [dataset.groups["inner"].variables[f"v{index}"].read().tolist() for index in range(60)]
        assert values == [[index] * 3 for index in range(60)]

    def test_a_type_of_its_own_is_refused_by_name(self, raw: bytes) -> None:
        with pytest.raises(UnreadableFile, match="typed"):
            _ = hdf5.open_bytes(raw).variables["typed"]


def test_chunk_indexes_of_newer_hdf5_are_refused_with_what_to_do(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed, and nothing else writes such files")
    with h5py.File(tmp_path / "made.h5", "w", libver="latest") as file:
        file.create_dataset("v", data=np.arange(40.0).reshape(4, 10), chunks=(1, 10), maxshape=(None, 10))

    with pytest.raises(UnreadableFile, match=r"nccopy|layout"):
        hdf5.open_bytes((tmp_path / "made.h5").read_bytes()).variables["v"].read()


def test_a_group_is_no_variable_and_a_variable_no_group() -> None:
    def write(file: Any) -> None:
        file.createGroup("inner")
        file.createDimension("x", 2)
        add(file, "v", ("x",), np.arange(2))

    dataset = hdf5.open_bytes(written(write))

    with pytest.raises(UnreadableFile, match="inner"):
        _ = dataset.variables["inner"]
    assert len(dataset.groups["v"].variables) == 0


@pytest.mark.parametrize("length", [0, 8, 16, 48, 96])
def test_a_file_that_ends_in_its_first_structures_is_refused_with_a_reason(length: int) -> None:
    raw, _ = growing()

    with pytest.raises(UnreadableFile):
        hdf5.open_bytes(raw[:length].ljust(9, b"\0"))


def test_every_real_netcdf4_file_reads_as_the_c_library_reads_it(real_ceilometer_data: Path) -> None:
    paths = [path for path in sorted(real_ceilometer_data.rglob("*.nc")) if path.read_bytes()[:8] == hdf5.MAGIC]
    num_variables = 0
    for path in paths:
        dataset = hdf5.open_bytes(path.read_bytes())
        with netCDF4.Dataset(path) as file:
            file.set_auto_maskandscale(False)
            for ours, theirs in [(dataset, file), *((dataset.groups[name], file[name]) for name in file.groups)]:
                for name in theirs.variables:
                    variable = ours.variables[name]
                    stored = variable.read()
                    wanted = theirs[name][...][: len(stored)] if stored.ndim else theirs[name][...]
                    assert np.array_equal(stored, wanted, equal_nan=stored.dtype.kind == "f"), f"{path.name} {name}"
                    assert variable.dimensions == theirs[name].dimensions
                    assert {
                        key for key in theirs[name].ncattrs() if isinstance(theirs[name].getncattr(key), str)
                    } <= set(variable.attributes)
                    num_variables += 1
    assert len(paths) >= 20
    assert num_variables > 500


@pytest.mark.parametrize("bit", [0, 6])
def test_a_remembered_header_hides_no_damage(bit: int) -> None:
    def write(file: Any) -> None:
        file.createDimension("time", None)
        add(file, "a", ("time",), np.arange(5), fill=-9, packed=True, units="m", note="x" * 99)
        file["a"].second_note = "y" * 300

    raw = written(write)

    def outcome(of: bytes) -> str:
        try:
            variable = hdf5.open_bytes(of).variables["a"]
            return f"{variable.shape} {variable.read([]).tolist()} {dict(variable.attributes)}"
        except UnreadableFile as error:
            return str(error)

    hdf5_headers._remembered_headers.clear()
    outcome(raw)
    (known,) = hdf5_headers._remembered_headers.items()
    places = known[1].places
    assert any(place.stretch.layout_at >= 0 for place in places[1:]), "the layout moves with the data behind it"
    for place in places:
        for at in range(place.start, place.start + len(place.block)):
            damaged = bytearray(raw)
            damaged[at] ^= 1 << bit
            hdf5_headers._remembered_headers.clear()
            cold = outcome(bytes(damaged))
            hdf5_headers._remembered_headers.clear()
            hdf5_headers._remembered_headers[known[0]] = known[1]
            assert outcome(bytes(damaged)) == cold, f"byte {at - place.start} of {len(place.block)}"
