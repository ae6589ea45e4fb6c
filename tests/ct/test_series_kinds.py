"""Series as people have them: what is good is read, what is wrong is refused or remarked with the name of the field."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from asked import kinds, rewritten, said
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.sequence import Sequence
from synthetic_dicom import WriteSeries, item, save, slice_dataset

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.dicom_header import read_headers
from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


# What lies beside the slices


def test_the_directory_of_a_cd_is_no_image_and_no_damage(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest)[0].parent
    directory = item(FileSetID="CD", DirectoryRecordSequence=Sequence([]))
    directory.file_meta = slice_dataset(chest[0]).file_meta
    directory.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3.10"
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, chest)
    assert kinds(volume, serious=False) == {"not_an_image"}


def test_an_image_cut_off_before_its_size_is_no_mere_remark(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    raw = files[2].read_bytes()
    files[2].write_bytes(raw[: raw.index(b"\x28\x00\x10\x00")])  # before Rows

    assert "Rows" in said(survey(files[0].parent), "unreadable")


def test_a_slice_cut_off_anywhere_in_its_header_is_unreadable_and_never_taken_for_something_else(
    chest: Chest, write_series: WriteSeries
) -> None:
    file = write_series(chest[:1])[0]
    raw = file.read_bytes()

    for length in range(132, raw.index(b"\x28\x00\x11\x00"), 3):  # up to Columns
        file.write_bytes(raw[:length])
        with pytest.raises(InputError, match=r"cut off within its header|not readable as DICOM"):
            read_headers(file)


def test_files_without_the_preamble_are_read_by_the_group_that_comes_first(
    chest: Chest, write_series: WriteSeries
) -> None:
    files = write_series(chest)
    for file in files:
        file.write_bytes(file.read_bytes()[132:])

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)


def test_a_kernel_that_changes_along_the_volume_is_remarked(chest: Chest, write_series: WriteSeries) -> None:
    write_series(chest[:2], ConvolutionKernel="LUNG")
    folder = write_series(chest[2:], first_mm=105.0, prefix="b", first_instance=3, ConvolutionKernel="SOFT")[0].parent

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, chest)
    assert "ConvolutionKernel changes along the volume" in said(volume, "header_field")
    assert "4 slices have SOFT" in said(volume, "header_field")


@pytest.mark.parametrize("other", [{"Modality": "PT"}, {"Modality": "SEG", "BitsAllocated": 8, "BitsStored": 1}])
def test_a_ct_is_taken_before_other_images_that_have_more_frames(
    chest: Chest, write_series: WriteSeries, other: dict[str, Any]
) -> None:
    folder = write_series(chest[:4])[0].parent
    more = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4",
        "SeriesNumber": 9,
        "HighBit": 0 if "BitsStored" in other else 15,
    }
    write_series(chest, series_uid="1.2.9", prefix="other", **{**more, **other})

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, chest[:4])
    assert other["Modality"] in said(volume, "set_aside")
    assert kinds(volume, serious=True) == set()


def test_a_captured_dose_report_is_set_aside(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest)[0].parent
    capture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}
    write_series(chest[:1], series_uid="1.2.9", prefix="dose", **capture)

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, chest)
    assert kinds(volume, serious=False) == {"set_aside"}


def test_links_that_lead_nowhere_are_missing_slices_and_not_shorter_scans(
    chest: Chest, write_series: WriteSeries
) -> None:
    files = write_series(chest)
    for path in files[-2:]:
        path.unlink()
        path.symlink_to("../.git/annex/objects/gone")

    volume = survey(files[0].parent)

    assert "2 link(s) lead nowhere" in said(volume, "unreadable")
    with pytest.raises(InputError, match="lead nowhere"):
        read_volume(files[0].parent)
    assert len(read_volume(files[0].parent, accept=["unreadable"]).hu) == 4
    with pytest.raises(InputError, match="leads nowhere"):
        survey(files[-1])


@pytest.mark.parametrize(
    "content", [b"/annex/objects/MD5E-s100--abc\n", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b""]
)
def test_pointers_and_empty_files_in_place_of_slices_are_named(
    chest: Chest, write_series: WriteSeries, content: bytes
) -> None:
    files = write_series(chest)
    for path in files:
        path.rename(path.with_suffix(""))
    files[-1].with_suffix("").write_bytes(content)

    volume = survey(files[0].parent)

    assert files[-1].stem in said(volume, "unreadable")


def test_what_macos_leaves_on_foreign_disks_is_no_damage(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    files[0].with_name("._" + files[0].name).write_bytes(b"\x00\x05\x16\x07" + bytes(4000))

    assert read_volume(files[0].parent).problems == ()


# Headers


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "SeriesNumber", "InstanceNumber"])
def test_a_broken_number_that_is_not_needed_counts_as_absent(
    chest: Chest, write_series: WriteSeries, keyword: str
) -> None:
    files = write_series(chest)
    for path in files:
        dataset = pydicom.dcmread(path)
        del dataset[keyword]
        with pydicom.config.disable_value_validation():
            dataset.add_new(keyword, "LO", "n/a")
        dataset[keyword].VR = "LO"
        dataset.save_as(path)
        raw = path.read_bytes()
        tag = pydicom.tag.Tag(keyword)
        mark = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
        path.write_bytes(raw.replace(mark + b"LO", mark + b"IS"))

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert keyword in said(volume, "header_field")


def test_a_position_that_is_no_number_is_no_position(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    for path in files[:1]:
        rewritten(path, ImagePositionPatient=["NaN", "NaN", "NaN"])

    volume = survey(files[0].parent)

    assert "ImagePositionPatient" in said(volume, "unreadable")
    for path in files:
        rewritten(path, ImagePositionPatient=["inf", "0", "0"])
    with pytest.raises(InputError, match=r"no slice says where it lies \(ImagePositionPatient"):
        survey(files[0].parent)


# Tolerances


@given(jitter=st.floats(-4e-5, 4e-5), digits=st.integers(3, 6))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_spacings_that_differ_by_rounding_are_one_spacing(
    chest: Chest, write_series: WriteSeries, jitter: float, digits: int
) -> None:
    files = write_series(chest, spacing=(0.78125, 0.78125))
    for path in files[::2]:
        rewritten(path, PixelSpacing=[round(0.78125 + jitter, digits)] * 2)

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert volume.problems == ()


@pytest.mark.parametrize("step", [0.625, 0.75, 1.25])
def test_positions_rounded_to_a_tenth_are_evenly_spaced(chest: Chest, write_series: WriteSeries, step: float) -> None:
    hu = np.concatenate([chest] * 7)
    folder = Path()
    for k in range(len(hu)):
        folder = write_series(hu[k : k + 1], position=(0, 0, round(k * step, 1)), prefix=f"r{k:02d}")[0].parent

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, hu)
    assert volume.grid.spacing_mm[0] == pytest.approx(step, abs=0.1 / 41)


def test_a_third_of_a_thick_step_is_still_uneven(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    rewritten(files[3], ImagePositionPatient=[-10, -20, 107.7])

    assert "uneven_spacing" in kinds(survey(files[0].parent), serious=True)


@given(shift_mm=st.floats(-0.06, 0.06))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_shift_below_a_tenth_of_a_pixel_is_no_tilt(chest: Chest, write_series: WriteSeries, shift_mm: float) -> None:
    files = write_series(chest[:2], step_mm=0.6)
    rewritten(files[1], ImagePositionPatient=[-10 + shift_mm, -20, 100.6])

    assert read_volume(files[0].parent).problems == ()


def test_slices_that_jump_sideways_in_the_middle_are_told(chest: Chest, write_series: WriteSeries) -> None:
    files = write_series(chest)
    for path in files[2:4]:
        z = float(pydicom.dcmread(path).ImagePositionPatient[2])
        rewritten(path, ImagePositionPatient=[-5.8, -20, z])

    assert "shifted within their plane by up to 4.20 mm, and not evenly" in said(survey(files[0].parent), "tilt")


@pytest.mark.parametrize("keyword", ["ImageType", "AcquisitionNumber", "ConvolutionKernel"])
def test_headers_that_alternate_within_one_pass_do_not_tear_it_apart(
    chest: Chest, write_series: WriteSeries, keyword: str
) -> None:
    other = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5"], "AcquisitionNumber": 2, "ConvolutionKernel": "B"}
    files = write_series(chest)
    for path in files[::2]:
        rewritten(path, **{keyword: other[keyword]})

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, chest)
    assert keyword in said(volume, "alternating_header")


def test_two_passes_that_alternate_unevenly_are_torn_apart(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest)[0].parent
    for k in range(6):
        rewritten(folder / f"im{6 - k:03d}.dcm", InstanceNumber=2 * k + 1)
        position = (-10, -20, 100.8 + 2.5 * k)
        odd = {"AcquisitionNumber": 2, "InstanceNumber": 2 * k + 2}
        write_series(chest[k : k + 1] + 3, position=position, prefix=f"odd{k}", **odd)

    assert "2 acquisitions over the same place" in said(survey(folder), "mixed_acquisitions")


def test_a_tilt_that_is_accepted_brings_a_sloping_field_back(write_series: WriteSeries) -> None:
    """A field that is linear in the room, seen by a gantry tilted by 12°, comes back: interpolation is exact."""
    tilt, step, edge = np.radians(12), 1.5, 24
    column = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
    normal = np.cross([1.0, 0, 0], column)
    folder = Path()
    for k in range(8):
        position = np.array([-8.0, -8.0, k * step])  # the table moves along z, not along the normal
        y, x = np.mgrid[:edge, :edge] * 0.7
        place = position[:, None, None] + np.array([1.0, 0, 0])[:, None, None] * x + column[:, None, None] * y
        hu = np.rint(-700 + 10 * place[0] + 15 * place[1] + 20 * place[2])
        orientation = (1, 0, 0, *column)
        folder = write_series(hu[None], position=tuple(position), orientation=orientation, prefix=f"t{k}")[0].parent

    with pytest.raises(InputError, match=r"tilted by 12\.0°"):
        read_volume(folder)
    volume = read_volume(folder, accept=["tilt"])

    inside = np.s_[1:-1, 4:-4, 4:-4]
    index = np.moveaxis(np.indices(volume.hu.shape), 0, -1)[inside].astype(float)
    x, y, z = np.moveaxis(volume.grid.world_mm(index), -1, 0)
    assert np.abs(volume.hu[inside] - (-700 + 10 * x + 15 * y + 20 * z)).max() <= 1.5
    assert abs(np.dot(volume.grid.direction[0], normal)) == pytest.approx(1.0, abs=1e-3)


# Any value of any attribute

KEYWORDS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "GantryDetectorTilt", "ImageType",
    "ConvolutionKernel", "Modality", "LossyImageCompression", "BurnedInAnnotation", "SyntheticData", "NumberOfFrames",
    "Manufacturer", "SeriesInstanceUID", "SOPClassUID", "FrameOfReferenceUID",
)  # fmt: skip


WHOLE = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
         "PixelPaddingValue", "PixelPaddingRangeLimit")  # fmt: skip


texts = st.one_of(
    st.sampled_from(["", " ", "0", "-1", "1e9", "1e300", "nan", "NaN", "inf", "-inf", "n/a", "1.5", "1\\2", "\\",
                     "\\\\", "1\\0\\0\\0\\1\\0", "0\\0\\0", "65536", "YES", "01", "é", "1,5", "0x10"]),
    st.floats().map(str),
    st.text(max_size=12),
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), changes=st.integers(1, 2), whole=st.booleans())
def test_any_value_of_any_attribute_is_a_volume_or_a_named_refusal(
    tmp_path: Path, data: st.DataObject, changes: int, whole: bool
) -> None:
    dataset = slice_dataset(np.arange(-1000, 600, 5).reshape(16, 20))
    path = save(dataset, tmp_path / "odd.dcm")
    raw = path.read_bytes()
    for _ in range(changes):
        if whole:
            keyword = data.draw(st.sampled_from(WHOLE))
            value = data.draw(st.integers(0, 65535)).to_bytes(2, "little")
        else:
            keyword = data.draw(st.sampled_from(KEYWORDS))
            value = data.draw(texts).encode("utf-8", "replace")
            value += b" " * (len(value) % 2)
        tag = pydicom.tag.Tag(keyword)
        mark = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
        vr = pydicom.datadict.dictionary_VR(tag).split(" ")[0].encode()
        element = mark + vr + len(value).to_bytes(2, "little") + value
        at = raw.find(mark + vr)
        if at >= 0:
            end = at + 8 + int.from_bytes(raw[at + 6 : at + 8], "little")
            raw = raw[:at] + element + raw[end:]
        else:  # in its place before the pixels
            at = raw.index(b"\xe0\x7f\x10\x00")
            raw = raw[:at] + element + raw[at:]
    path.write_bytes(raw)

    try:
        volume = survey(path)
    except InputError as error:
        assert "odd.dcm" in str(error)
    else:
        assert volume.hu.shape == volume.grid.shape
        assert np.isfinite(volume.hu).all()
        assert np.isfinite([*volume.grid.spacing_mm, *volume.grid.origin_mm]).all()


# The command


def test_choices_are_made_on_the_command_line(
    chest: Chest, write_series: WriteSeries, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_series(chest)
    files[3].unlink()
    write_series(chest[:3], SeriesNumber=7, series_uid="1.2.840.7", prefix="other")
    folder = str(files[0].parent)

    def facts(*words: str) -> dict[str, Any]:
        assert main(["ct", "info", "--json", folder, *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert facts()["is_usable"] is False
    assert facts("--series", "7")["shape"][0] == facts("--series", "1.2.840.7")["shape"][0] == 3
    chosen = facts("--series", "1", "--accept", "missing_slices,several_series", "--as", "volunteer 1")
    assert (chosen["shape"][0], chosen["study"], chosen["is_usable"]) == (6, "volunteer 1", True)
    assert [p["kind"] for p in chosen["problems"]] == ["missing_slices"]
    assert main(["ct", "info", folder, "--accept", "missing"]) == 1
    assert "no such remark" in capsys.readouterr().err
    assert main(["ct", "info", folder, folder, "--as", "one"]) == 1
    assert main(["ct", "info", folder, "--as", "a/b"]) == 1


def test_an_enhanced_file_is_read_once_and_not_once_per_frame(tmp_path: Path) -> None:
    frames, edge = 60, 64
    hu = np.random.default_rng(0).integers(-1000, 1000, (frames, edge, edge)).astype(np.int16)
    enhanced = slice_dataset(hu[0], ImagePositionPatient=None, NumberOfFrames=frames)
    enhanced.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    places = [Sequence([item(ImagePositionPatient=[0, 0, 2.5 * k])]) for k in range(frames)]
    enhanced.PerFrameFunctionalGroupsSequence = Sequence([item(PlanePositionSequence=place) for place in places])
    enhanced.PixelData = (hu.astype(np.int32) + 1024).astype("<u2").tobytes()
    path = save(enhanced, tmp_path / "enhanced.dcm")

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    volume = read_volume(path)
    read = bytes_read() - before

    np.testing.assert_array_equal(volume.hu, hu)
    assert read < 3 * os.path.getsize(path)


# Whose slices they are, and whether all are there


def test_slices_of_two_patients_in_one_series_are_refused_whatever_else_agrees(
    chest: Chest, write_series: WriteSeries
) -> None:
    folder = write_series(chest[:4])[0].parent
    write_series(chest[4:], first_mm=110.0, prefix="b", first_instance=5, PatientID="SOMEBODY-ELSE")

    volume = survey(folder)

    assert "PatientID is 2 different ones" in said(volume, "several_patients")
    assert volume.source.patient == ""  # without a key nothing of an identifier is kept
    with pytest.raises(InputError, match="PatientID"):
        read_volume(folder)


def test_slices_that_are_packed_or_whose_copying_was_broken_off_are_missing_and_not_foreign(
    chest: Chest, write_series: WriteSeries
) -> None:
    files = write_series(chest)
    for file, name in ((files[-1], "im001.dcm.gz"), (files[-2], "im002.dcm.crdownload")):
        file.with_name(name).write_bytes(gzip.compress(file.read_bytes())[:100])
        file.unlink()

    found = said(survey(files[0].parent), "unreadable")

    assert "packed: unpack it: im001.dcm.gz" in found
    assert "broken off: im002.dcm.crdownload" in found


def test_pixels_that_are_no_whole_numbers_or_more_than_the_frames_said_are_named(
    chest: Chest, write_series: WriteSeries
) -> None:
    file = write_series(chest[:1])[0]
    dataset = pydicom.dcmread(file)
    dataset.PixelData = dataset.PixelData * 3
    dataset.save_as(file)
    with pytest.raises(InputError, match="holds 3 slices of pixels, but NumberOfFrames says 1"):
        survey(file)

    del dataset.PixelData
    dataset.FloatPixelData = chest[0].astype("<f4").tobytes()
    dataset.save_as(file)
    with pytest.raises(InputError, match="its pixels are FloatPixelData"):
        survey(file)


def test_a_slice_far_from_the_others_asks_for_no_memory_when_gaps_are_accepted(
    chest: Chest, write_series: WriteSeries
) -> None:
    folder = write_series(chest[:5])[0].parent
    write_series(chest[5:], first_mm=2e6, prefix="far", first_instance=6)

    with pytest.raises(InputError, match="one lies far from the others"):
        read_volume(folder, accept=("missing_slices", "uneven_spacing"))
