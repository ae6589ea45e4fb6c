from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid
from synthetic_dicom import PATIENT, PATIENT_ID, WriteSeries, save, slice_dataset

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


def problems(volume: Volume) -> dict[str, tuple[str, ...]]:
    return {p.kind: p.files for p in volume.problems}


def test_slices_follow_their_positions_not_their_file_names(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert volume.problems == ()
    assert volume.grid.spacing_mm == (2.5, 0.7, 0.7)
    assert volume.grid.origin_mm == (-10.0, -20.0, 100.0)
    assert volume.study == "series"


@given(
    slope=st.sampled_from([1, 2, 0.5]),
    intercept=st.sampled_from([-1024, 0, -2048, -8192, -1024.5]),
    is_signed=st.booleans(),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rescale_and_sign_of_the_stored_values_give_back_the_hu(
    tmp_path: Path, slope: float, intercept: float, is_signed: bool
) -> None:
    steps = np.arange(-900 * 16, 900 * 16, 90).reshape(16, 20) if is_signed else np.arange(320).reshape(16, 20) * 9
    hu = intercept + steps * slope
    path = save(slice_dataset(hu, slope=slope, intercept=intercept, is_signed=is_signed), tmp_path / "one.dcm")

    volume = survey(path)

    np.testing.assert_array_equal(volume.hu[0], hu)
    is_short = float(slope).is_integer() and float(intercept).is_integer() and abs(hu).max() < 2**15
    assert volume.hu.dtype == (np.int16 if is_short or (hu == hu.astype(np.int16)).all() else np.float32)


def test_bits_above_those_stored_are_not_part_of_the_value(tmp_path: Path) -> None:
    hu = np.full((4, 4), 30)
    dataset = slice_dataset(hu, BitsStored=12, HighBit=11)
    stored = np.frombuffer(dataset.PixelData, "<u2") | 0x8000  # an overlay in the highest bit
    dataset.PixelData = stored.tobytes()

    np.testing.assert_array_equal(survey(save(dataset, tmp_path / "overlay.dcm")).hu[0], hu)


def test_twelve_bit_signed_values_keep_their_sign(tmp_path: Path) -> None:
    hu = np.array([[-1000, -1], [0, 1000]])
    dataset = slice_dataset(hu, intercept=0, is_signed=True, BitsStored=12, HighBit=11)
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF).tobytes()

    np.testing.assert_array_equal(survey(save(dataset, tmp_path / "short.dcm")).hu[0], hu)


def test_stated_padding_is_known_in_hu(chest: Chest, write_series: WriteSeries) -> None:
    chest[:, 0, :] = -2000
    files = write_series(chest, intercept=0, is_signed=True, PixelPaddingValue=-2000)

    assert read_volume(files[0].parent).padding_hu == -2000


def test_stated_padding_is_rescaled_like_every_value(chest: Chest, write_series: WriteSeries) -> None:
    even = chest // 2 * 2
    even[:, 0, :] = -2048
    files = write_series(even, slope=2, intercept=-3000, PixelPaddingValue=476)

    assert read_volume(files[0].parent).padding_hu == -2048


def test_padding_that_is_not_stated_is_found(chest: Chest, write_series: WriteSeries) -> None:
    chest[:, 0, :] = -3024
    assert read_volume(write_series(chest, intercept=-3024)[0].parent).padding_hu == -3024


def test_air_is_not_padding(chest: Chest, write_series: WriteSeries) -> None:
    chest[:, :3, :] = -1024
    assert read_volume(write_series(chest)[0].parent).padding_hu is None


def test_a_copy_of_a_slice_is_left_out_and_named(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    copy = files[2].with_name("copy.dcm")
    copy.write_bytes(files[2].read_bytes())

    volume = read_volume(copy.parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert len(problems(volume)["duplicates"]) == 1
    assert problems(volume)["duplicates"][0] in {"copy.dcm", files[2].name}


@pytest.mark.parametrize(
    "changed", [{"AcquisitionNumber": None}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, {"InstanceNumber": 100}]
)
def test_an_instance_that_left_an_archive_twice_is_a_copy_whatever_was_changed_in_its_header(
    chest: Chest, write_series: WriteSeries, changed: dict[str, Any]
) -> None:
    files = write_series(chest)
    for k, file in enumerate(files[:4]):
        again = pydicom.dcmread(file)
        for keyword, value in changed.items():
            if value is None:
                delattr(again, keyword)
            else:
                setattr(again, keyword, value + k if isinstance(value, int) else value)
        again.save_as(file.with_name(f"copy-{k}.dcm"))

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert [p.text for p in volume.problems if p.kind == "duplicates"] == ["4 copies of other slices left out"]
    again.PixelData = bytes(len(again.PixelData))
    again.save_as(files[0].with_name("copy-3.dcm"))
    with pytest.raises(InputError, match="at the place of another but with other values"):
        read_volume(files[0].parent)


def test_a_missing_slice_is_named_by_its_neighbours(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[3].unlink()

    volume = survey(files[0].parent)

    assert problems(volume) == {"missing_slices": (files[2].name, files[4].name)}
    assert "1 slice(s) missing between 105.00 and 110.00 mm" in str(volume.problems[0])
    assert volume.grid.spacing_mm[0] == 2.5
    with pytest.raises(InputError, match=f"missing.*{files[2].name}, {files[4].name}"):
        read_volume(files[0].parent)


def test_accepted_missing_slices_are_interpolated_where_they_were(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[3].unlink()

    hu = read_volume(files[0].parent, accept=["missing_slices"]).hu

    np.testing.assert_array_equal(np.delete(hu, 3, axis=0), np.delete(chest, 3, axis=0))
    np.testing.assert_allclose(hu[3], (chest[2].astype(float) + chest[4]) / 2, atol=0.5)


def test_remarks_beside_an_accepted_problem_do_not_hinder_its_repair(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest, LossyImageCompression="01")
    files[3].unlink()

    volume = read_volume(files[0].parent, accept=["missing_slices"])

    assert volume.grid.shape[0] == len(volume.hu) == 6
    assert set(problems(volume)) == {"lossy", "missing_slices"}


@pytest.mark.parametrize("implicit_vr", [True, False])
def test_old_files_without_preamble_are_dicom_too(chest: Chest, write_series: WriteSeries, implicit_vr: bool) -> None:
    files = write_series(chest)
    for path in files:
        dataset = pydicom.dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        pydicom.dcmwrite(path.with_suffix(""), dataset, implicit_vr=implicit_vr, little_endian=True)
        path.unlink()

    volume = survey(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert volume.study == "series"


def test_an_uneven_step_is_reported_and_when_accepted_interpolated(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest[:5])
    odd = pydicom.dcmread(files[2])
    odd.ImagePositionPatient = [-10, -20, 105.9]
    odd.save_as(files[2])

    assert set(problems(survey(files[0].parent))) == {"uneven_spacing"}
    hu = read_volume(files[0].parent, accept=["uneven_spacing"]).hu
    share = 2.5 / 3.4
    expected = chest[1] + share * (chest[2].astype(float) - chest[1])
    np.testing.assert_allclose(hu[2], expected, atol=0.6)
    np.testing.assert_array_equal(hu[[0, 1, 3, 4]], chest[[0, 1, 3, 4]])


def test_two_passes_a_hair_apart_are_not_stacked(chest: Chest, write_series: WriteSeries) -> None:
    first = write_series(chest, AcquisitionNumber=1)
    second = write_series(chest[:5] + 3, AcquisitionNumber=2, first_mm=100.005, prefix="again")

    volume = survey(first[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert set(problems(volume)["mixed_acquisitions"]) == {path.name for path in second}
    with pytest.raises(InputError, match="2 acquisitions over the same place"):
        read_volume(first[0].parent)
    np.testing.assert_array_equal(read_volume(first[0].parent, accept=["mixed_acquisitions"]).hu, chest)


@pytest.mark.parametrize("first_mm", [100.005, 99.995])
def test_two_passes_that_only_their_order_tells_apart_are_not_stacked(
    chest: Chest, write_series: WriteSeries, first_mm: float
) -> None:
    first = write_series(chest)
    second = write_series(chest[:5] + 3, first_mm=first_mm, prefix="again", first_instance=7)

    volume = survey(first[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert set(problems(volume)["mixed_acquisitions"]) == {path.name for path in second}


@pytest.mark.parametrize("is_back", [False, True])
def test_two_passes_between_each_others_slices_are_told_by_their_numbers(
    chest: Chest, write_series: WriteSeries, is_back: bool
) -> None:
    first = write_series(chest)
    for k, values in enumerate(chest[:5] + 3):
        number = 12 - k if is_back else 7 + k
        write_series(values[None], first_mm=101.25 + 2.5 * k, prefix=f"again{k}", first_instance=number)

    volume = survey(first[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert len(problems(volume)["mixed_acquisitions"]) == 5


@pytest.mark.parametrize("numbers", [(3, 1, 5, 2, 6, 4), (6, 5, 4, 3, 2, 1), (1, 1, 1, 1, 1, 1), (3, 2, 1, 6, 5, 4)])
def test_numbers_in_any_other_order_make_no_second_pass(
    chest: Chest, write_series: WriteSeries, numbers: tuple[int, ...]
) -> None:
    for k, number in enumerate(numbers):
        made = {"first_mm": 100 + 2.5 * k, "first_instance": number, "prefix": f"s{k}"}
        folder = write_series(chest[k : k + 1], **made)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, chest)


def test_two_kernels_of_one_scan_are_not_stacked(chest: Chest, write_series: WriteSeries) -> None:
    soft = write_series(chest, ConvolutionKernel="B30f")
    write_series(chest[:5], ConvolutionKernel="B70f", first_mm=101.25, prefix="sharp")

    volume = survey(soft[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert len(problems(volume)["mixed_acquisitions"]) == 5


def test_parts_of_a_scan_that_follow_each_other_are_one_volume(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest[:3], AcquisitionNumber=1)
    write_series(chest[3:], AcquisitionNumber=2, first_mm=107.5, prefix="next")

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert volume.problems == ()


def test_a_scout_is_set_aside_and_named(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    scout = slice_dataset(np.zeros((30, 10)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save(scout, files[0].with_name("scout.dcm"))

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert problems(volume) == {"scout": ("scout.dcm",)}


def test_slices_of_another_size_are_named(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    write_series(chest[:2, :8, :8], prefix="small")

    volume = survey(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert set(problems(volume)["mixed_acquisitions"]) == {"small001.dcm", "small002.dcm"}


def test_one_of_several_series_must_be_named(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest, SeriesNumber=2)
    write_series(chest[:3] + 7, SeriesNumber=5, series_uid="1.2.3.5", prefix="other")

    with pytest.raises(InputError, match=r"2 series in one place, numbers 2 \(6 images\), 5 \(3 images\)"):
        read_volume(files[0].parent)
    np.testing.assert_array_equal(read_volume(files[0].parent, series=5).hu, chest[:3] + 7)
    write_series(chest[:1], SeriesNumber=7, series_uid="1.2.3.7", prefix="single")
    with pytest.raises(InputError, match=r"no series number 9 here; there are \[2, 5, 7\]"):
        read_volume(files[0].parent, series=9)


def test_a_tilted_gantry_is_reported_and_when_accepted_undone(write_series: WriteSeries) -> None:
    rod = np.full((6, 16, 20), -1000, np.int16)
    for k in range(6):
        rod[k, 4 + k : 7 + k, 8:11] = 500  # stands upright in the room, so it wanders through tilted slices
    directory = Path()
    for k in range(6):
        position = (-10.0, -20.0 - k * 0.7, 100.0 + k * 2.5)
        directory = write_series(rod[k : k + 1], position=position, prefix=f"t{k}", InstanceNumber=k)[0].parent

    assert set(problems(survey(directory))) == {"tilt"}
    assert "tilted by 15.6°" in str(survey(directory).problems[0])
    hu = read_volume(directory, accept=["tilt"]).hu
    for k in range(1, 6):
        np.testing.assert_array_equal(hu[k, 4:7, 8:11], 500)


def test_a_slice_that_cannot_be_read_is_named_and_leaves_a_gap(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[2].write_bytes(files[2].read_bytes()[:-100])

    volume = survey(files[0].parent)

    assert problems(volume)["unreadable"] == (files[2].name,)
    assert problems(volume)["missing_slices"] == (files[1].name, files[3].name)
    with pytest.raises(InputError, match=f"{files[2].name} is cut short: 540 of 640 bytes of pixels"):
        read_volume(files[0].parent)


def test_text_among_slices_is_named(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[0].with_name("readme.txt").write_text("scanner manual")
    files[0].with_name("note.dcm").write_text("scanner manual")

    found = problems(survey(files[0].parent))

    assert found == {"unreadable": ("note.dcm",), "not_an_image": ("readme.txt",)}


def test_values_of_another_modality_are_no_hu(chest: Chest, write_series: WriteSeries) -> None:
    with pytest.raises(InputError, match="not a CT image, so its values are no HU"):
        read_volume(write_series(chest, Modality="MR")[0].parent)


def test_values_without_rescale_are_no_hu(chest: Chest, write_series: WriteSeries) -> None:
    with pytest.raises(InputError, match="no RescaleIntercept"):
        read_volume(write_series(chest, RescaleIntercept=None)[0].parent)


def test_slices_without_a_position_cannot_be_stacked(chest: Chest, write_series: WriteSeries) -> None:
    with pytest.raises(InputError, match="no slice says where it lies"):
        read_volume(write_series(chest, ImagePositionPatient=None)[0].parent)


@pytest.mark.parametrize(
    "orientation",
    [(1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), (0, 1, 0, 1, 0, 0)],
)
def test_any_orientation_comes_out_running_to_head_back_and_left(
    chest: Chest, write_series: WriteSeries, orientation: tuple[int, ...]
) -> None:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    marked = (3, 5, 7)
    place = np.array([-10, -20, 100]) + 2.5 * 3 * normal + 0.7 * (5 * column + 7 * row)
    directory = Path()
    for k in range(6):
        position = tuple(np.array([-10.0, -20.0, 100.0]) + 2.5 * k * normal)
        files = write_series(chest[k : k + 1], position=position, orientation=orientation, prefix=f"o{k}")
        directory = files[0].parent

    volume = read_volume(directory)

    np.testing.assert_allclose(volume.grid.direction, ((0, 0, 1), (0, 1, 0), (1, 0, 0)))
    at = np.linalg.solve((np.array(volume.grid.direction) * np.array(volume.grid.spacing_mm)[:, None]).T,
                         place - np.array(volume.grid.origin_mm))  # fmt: skip
    z, y, x = np.rint(at).astype(int)
    assert volume.hu[z, y, x] == chest[marked]


def test_missing_slices_of_a_coronal_scan_are_interpolated_along_the_body(
    chest: Chest, write_series: WriteSeries
) -> None:
    directory = Path()
    for k in (0, 1, 3, 4, 5):
        position = (-10.0, 50.0 + 2.5 * k, 100.0)
        orientation = (1, 0, 0, 0, 0, -1)
        files = write_series(chest[k : k + 1], position=position, orientation=orientation, prefix=f"c{k}")
        directory = files[0].parent

    hu = read_volume(directory, accept=["missing_slices"]).hu

    assert hu.shape == (16, 6, 20)
    np.testing.assert_allclose(hu[::-1, 2], (chest[1].astype(float) + chest[3]) / 2, atol=0.5)


def test_an_enhanced_multi_frame_object_reads_like_its_slices(chest: Chest, tmp_path: Path) -> None:
    order = [3, 0, 5, 1, 4, 2]
    enhanced = slice_dataset(chest[0], RescaleSlope=None, RescaleIntercept=None, ImagePositionPatient=None)
    del enhanced.ImageOrientationPatient, enhanced.PixelSpacing
    enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    enhanced.NumberOfFrames = 6
    shared = Dataset()
    for name, values in (
        ("PlaneOrientationSequence", {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}),
        ("PixelMeasuresSequence", {"PixelSpacing": [0.7, 0.7], "SliceThickness": 2.5}),
        ("PixelValueTransformationSequence", {"RescaleSlope": 1, "RescaleIntercept": -1024}),
    ):
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        setattr(shared, name, Sequence([item]))
    enhanced.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in order:
        plane, frame = Dataset(), Dataset()
        plane.ImagePositionPatient = [-10, -20, 100 + 2.5 * k]
        frame.PlanePositionSequence = Sequence([plane])
        frames.append(frame)
    enhanced.PerFrameFunctionalGroupsSequence = Sequence(frames)
    enhanced.PixelData = (chest[order].astype(np.int32) + 1024).astype("<u2").tobytes()

    volume = read_volume(save(enhanced, tmp_path / "enhanced.dcm"))

    np.testing.assert_array_equal(volume.hu, chest)
    assert volume.grid.spacing_mm == (2.5, 0.7, 0.7)
    assert volume.problems == ()


def test_nothing_of_the_patient_enters_a_volume_or_a_log(
    chest: Chest, write_series: WriteSeries, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    caplog.set_level(logging.DEBUG)
    files = write_series(
        chest, StudyDate="not a date", PatientAge="bad", AccessionNumber="A" * 99, PatientBirthDate="1970-Planted"
    )
    (files[0].parent / "broken.dcm").write_bytes(files[0].read_bytes()[:400])
    caplog.clear()  # of what writing such files complains about
    recwarn.clear()

    volume = survey(files[0].parent)

    spoken = repr(dataclasses.asdict(volume.source)) + repr(volume) + caplog.text + "".join(map(str, recwarn))
    for secret in ("Doe", "Jane", PATIENT, PATIENT_ID, "QZXWJV", "1970-Planted", "not a date", "AAAA"):
        assert secret not in spoken


def test_patients_are_told_apart_only_by_a_keyed_hash(chest: Chest, write_series: WriteSeries) -> None:
    one = write_series(chest, folder="one")[0].parent
    two = write_series(chest, folder="two", PatientID="MRN-0815")[0].parent

    def patient(directory: Path, key: bytes) -> str:
        return read_volume(directory, pseudonym_key=key).source.patient

    assert patient(one, b"") == patient(two, b"") == ""
    assert patient(one, b"k") == patient(one, b"k") != patient(two, b"k")
    assert patient(one, b"k") != patient(one, b"another")


def test_identifiers_for_references_stay_out_of_logs(chest: Chest, write_series: WriteSeries) -> None:
    volume = read_volume(write_series(chest, series_uid=(uid := generate_uid()))[0].parent)

    assert volume.source.series_uid == uid
    assert uid not in repr(volume)


def test_an_unknown_problem_cannot_be_accepted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot accept gaps; known: .*missing_slices"):
        read_volume(tmp_path, accept=["gaps"])
