"""Any bytes under any name are a volume or a named error: nothing else is raised, and little memory is asked for."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_dicom import save, slice_dataset

from ipdsf_spark.ct.reading import survey
from ipdsf_spark.errors import InputError

SOME = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = ("x.dcm", "x.nii", "x.nii.gz", "x.nrrd", "x.mha", "x.png", "x.tif", "x")
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)


def read(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about the bytes; not about patients, see test_dicom_series
        try:
            volume = survey(path)
        except InputError:
            return
    assert volume.hu.shape == volume.grid.shape


@pytest.fixture(scope="module")
def good_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    hu = np.random.default_rng(0).integers(-1000, 1000, (3, 10, 12)).astype(np.int16)
    for name in ("x.nii", "x.nii.gz", "x.nrrd", "x.mha"):
        sitk.WriteImage(sitk.GetImageFromArray(hu), str(folder / name))
    save(slice_dataset(hu[0]), folder / "x.dcm")
    packed = slice_dataset(hu[0])
    packed.compress("1.2.840.10008.1.2.5")
    save(packed, folder / "rle.dcm")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@SOME
@given(name=st.sampled_from(NAMES), raw=st.binary(max_size=600))
def test_any_bytes_are_a_volume_or_a_named_error(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    try:
        read(tmp_path / name)
    finally:
        (tmp_path / name).unlink()


@SOME
@given(data=st.data(), change=changes)
def test_a_damaged_file_is_a_volume_or_a_named_error(
    tmp_path: Path, good_files: dict[str, bytes], data: st.DataObject, change: list[tuple[float, int]]
) -> None:
    name = data.draw(st.sampled_from(sorted(good_files)))
    raw = bytearray(good_files[name])
    # Most of what matters lies in the header.
    span = min(len(raw), data.draw(st.sampled_from([64, 400, 1500, len(raw)])))
    for place, value in change:
        raw[int(place * span)] = value
    (tmp_path / name).write_bytes(raw)

    read(tmp_path / name)


@SOME
@given(data=st.data(), share=st.floats(0, 1))
def test_a_file_cut_anywhere_is_a_volume_or_a_named_error(
    tmp_path: Path, good_files: dict[str, bytes], data: st.DataObject, share: float
) -> None:
    name = data.draw(st.sampled_from(sorted(good_files)))
    raw = good_files[name]
    (tmp_path / name).write_bytes(raw[: int(len(raw) * share)])

    read(tmp_path / name)


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"Rows": 65_535, "Columns": 65_535}, "claims 65535 × 65535 pixels"),
        ({"NumberOfFrames": "2000000000"}, "claims 2000000000 frames"),
        ({"Rows": 8_000, "Columns": 8_000}, "cut short: 400 of 128000000 bytes"),
        ({"BitsAllocated": 64, "BitsStored": 64}, "stores 64 of 64 bits"),
        ({"SamplesPerPixel": 3}, "colour"),
    ],
)
def test_a_header_that_claims_the_impossible_asks_for_no_memory(
    tmp_path: Path, claims: dict[str, object], message: str
) -> None:
    path = save(slice_dataset(np.zeros((10, 20)), **claims), tmp_path / "liar.dcm")
    tracemalloc.start()

    with pytest.raises(InputError, match=message):
        survey(path)

    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_a_packed_slice_that_claims_the_impossible_asks_for_no_memory(tmp_path: Path) -> None:
    packed = slice_dataset(np.zeros((10, 20)))
    packed.compress("1.2.840.10008.1.2.5")
    packed.Rows = packed.Columns = 8_000

    with pytest.raises(InputError, match=r"liar\.dcm"):
        survey(save(packed, tmp_path / "liar.dcm"))
