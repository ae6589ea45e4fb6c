"""Kinds that public series have: what is good among them is read, what is not is named as what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import UID
from synthetic_dicom import WriteSeries, save, slice_dataset, with_frames

from ipdsf_spark.ct.dicom_header import read_headers
from ipdsf_spark.ct.plausibility import value_problems
from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]
PADDING_HU = -3024


def said(folder: Path, kind: str) -> list[str]:
    return [str(p) for p in survey(folder).problems if p.kind == kind]


# Fields


@pytest.mark.parametrize("unit", ["Houndsfield Unit", "HOUNDSFIELD", "Hounsfeld Units"])
def test_hounsfield_misspelt_is_hounsfield_and_a_remark(chest: Chest, write_series: WriteSeries, unit: str) -> None:
    folder = write_series(chest, RescaleType=unit)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, chest)
    assert f"RescaleType is {unit.upper()}, taken for HU" in said(folder, "header_field")[0]


@pytest.mark.parametrize("unit", ["HOUNDS", "Field", "HOURS", "MGML"])
def test_a_unit_that_is_nearly_none_of_hounsfields_letters_is_no_hu(
    chest: Chest, write_series: WriteSeries, unit: str
) -> None:
    with pytest.raises(InputError, match=rf"RescaleType is {unit.upper()}, so its values are no HU"):
        read_volume(write_series(chest, RescaleType=unit)[0].parent)


@pytest.mark.parametrize("name", ["RCBF", "RCBV", "CBF", "CBV", "MTT", "TTP", "TMAX"])
def test_a_map_of_perfusion_is_no_hu(chest: Chest, write_series: WriteSeries, name: str) -> None:
    folder = write_series(chest, ImageType=["DERIVED", "PRIMARY", "PERFUSION", name], RescaleType="US")[0].parent

    with pytest.raises(InputError, match=f"ImageType says {name}: its values are no HU"):
        read_volume(folder)


def test_a_map_of_perfusion_is_none_also_behind_a_word_of_its_maker(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest, ImageType=["DERIVED", "SECONDARY", "AXIAL", "CT_SOM5 CBF"])[0].parent

    with pytest.raises(InputError, match="ImageType says CBF: its values are no HU"):
        read_volume(folder)


def test_hounsfield_written_out_says_that_a_material_is_in_hu(chest: Chest, write_series: WriteSeries) -> None:
    made = {"ImageType": ["DERIVED", "PRIMARY", "AXIAL", "MAT_SPECIFIC"], "RescaleType": "Hounsfield"}
    folder = write_series(chest, **made)[0].parent

    assert read_volume(folder).hu.shape == chest.shape


# Overviews and pages


def test_an_overview_that_philips_calls_surview_is_no_slice(chest: Chest, write_series: WriteSeries) -> None:
    folder = write_series(chest[:1], ImageType=["DERIVED", "SECONDARY", "REF_SURVIEW"])[0].parent

    with pytest.raises(InputError, match="only overview images"):
        read_volume(folder)


def test_pages_that_a_scanner_wrote_about_an_examination_are_named_as_what_they_are(
    chest: Chest, write_series: WriteSeries
) -> None:
    page = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImageType": ["DERIVED", "SECONDARY", "RESULTS"]}
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    folder = write_series(chest[:2], **page, **nowhere)[0].parent

    with pytest.raises(InputError, match=r"no slice says where it lies .*; by SOPClassUID .* captured screens"):
        read_volume(folder)


def test_several_series_whose_slices_are_counted_anew_in_every_folder_are_told_apart_by_these(
    chest: Chest, write_series: WriteSeries
) -> None:
    for patient in "ab":
        write_series(chest, folder=f"cd/PT{patient}/SE0", series_uid=f"1.2.3.{ord(patient)}")
    folder = write_series(chest, folder="cd/PTc/SE0", series_uid="1.2.3.3")[0].parents[2]

    told = str(next(p for p in survey(folder).problems if p.kind == "several_series"))
    assert all(f"(6 images, from PT{patient}/SE0/im001.dcm)" in told for patient in "abc")


def test_several_series_of_one_number_are_told_apart_by_their_files(chest: Chest, write_series: WriteSeries) -> None:
    write_series(chest, prefix="a")
    folder = write_series(chest[:4], prefix="b", series_uid="1.2.9")[0].parent

    (text,) = said(folder, "several_series")

    assert "2 (6 images" not in text
    assert "1 (6 images, from a001.dcm), 1 (4 images, from b001.dcm)" in text
    assert "numbers repeat: name one by its SeriesInstanceUID" in text


def test_several_series_of_different_numbers_are_named_by_them(chest: Chest, write_series: WriteSeries) -> None:
    write_series(chest, prefix="a")
    folder = write_series(chest[:4], prefix="b", series_uid="1.2.9", SeriesNumber=7)[0].parent

    assert "numbers 1 (6 images), 7 (4 images); name one with its series number" in said(folder, "several_series")[0]


# Places


@pytest.mark.parametrize("thickness", [5.0, 7.5])
def test_two_slices_of_a_series_that_lie_far_apart_are_no_volume(
    chest: Chest, write_series: WriteSeries, thickness: float
) -> None:
    write_series(chest[:1], prefix="a", first_instance=17, SliceThickness=thickness)
    folder = write_series(chest[1:2], prefix="b", first_instance=26, first_mm=145.0, SliceThickness=thickness)[0].parent

    (text,) = said(folder, "missing_slices")

    assert "InstanceNumber grows by 9" in text
    assert "slices lie 45 mm apart: of each 9 slices one is there" in text


def test_two_slices_that_touch_are_a_volume_whatever_their_numbers(chest: Chest, write_series: WriteSeries) -> None:
    write_series(chest[:1], prefix="a", first_instance=17, SpacingBetweenSlices=0.5)
    folder = write_series(chest[1:2], prefix="b", first_instance=26, first_mm=102.5, SpacingBetweenSlices=0.5)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, chest[:2])


@pytest.mark.parametrize(
    ("apart", "thickness", "more"),
    [(2, 5.0, {"SpacingBetweenSlices": 10.0}), (2, 1.0, {}), (9, 5.0, {})],
    ids=["said", "HRCT", "renumbered"],
)
def test_two_slices_whose_distance_their_numbers_do_not_contradict_are_a_volume(
    chest: Chest, write_series: WriteSeries, apart: int, thickness: float, more: dict[str, float]
) -> None:
    made = {"SliceThickness": thickness, **more}
    write_series(chest[:1], prefix="a", first_instance=1, **made)
    folder = write_series(chest[1:2], prefix="b", first_instance=1 + apart, first_mm=110.0, **made)[0].parent

    assert read_volume(folder).grid.spacing_mm[0] == pytest.approx(10.0)


@pytest.mark.parametrize(("numbers", "per_number"), [((6, 15, 20, 30), 10.0), ((30, 20, 19, 10), 5.0)])
def test_of_a_few_slices_their_numbers_say_how_many_are_missing_between_them(
    chest: Chest, write_series: WriteSeries, numbers: tuple[int, ...], per_number: float
) -> None:
    along = np.abs(np.subtract(numbers, numbers[0]))
    for k, number in enumerate(numbers):
        made = {"first_mm": per_number * along[k], "first_instance": number, "SliceThickness": 7.5}
        folder = write_series(chest[k : k + 1], prefix=f"s{k}", **made)[0].parent

    assert said(folder, "uneven_spacing") == []
    missing = [int(text.split()[0]) for text in said(folder, "missing_slices")]
    assert missing == [apart - 1 for apart in np.diff(along) if apart > 1]
    whole = read_volume(folder, accept=["missing_slices"])
    assert whole.grid.spacing_mm[0] == pytest.approx(per_number)
    np.testing.assert_array_equal(whole.hu[along], chest[:4])


def test_slices_at_a_distance_that_changes_along_the_body_are_named_once(
    chest: Chest, write_series: WriteSeries, rng: np.random.Generator
) -> None:
    hu = rng.integers(-1000, 400, (16, 16, 20)).astype(np.int16)
    write_series(hu[:9], prefix="a", step_mm=4.0)
    folder = write_series(hu[9:], prefix="b", first_mm=139.0, step_mm=7.0, first_instance=10)[0].parent

    (text,) = said(folder, "uneven_spacing")

    assert "7 steps of 7.000 mm among steps of 4.000 mm" in text


# Compression and values


def blurred(chest: Chest, rng: np.random.Generator) -> NDArray[np.int16]:
    """A patient in a padding that compression with loss has made noisy."""
    hu = np.tile(np.clip(rng.normal(40, 20, (6, 16, 20)), -150, 150), (1, 3, 3)).astype(np.int16)
    hu[:, :, :20] = np.rint(rng.normal(-850, 40, hu[:, :, :20].shape))
    hu[:, :16] = np.rint(rng.normal(PADDING_HU, 30, hu[:, :16].shape))
    return hu


def test_padding_that_compression_with_loss_has_blurred_is_a_remark(
    chest: Chest, write_series: WriteSeries, rng: np.random.Generator
) -> None:
    hu = blurred(chest, rng)
    made = {"is_signed": True, "LossyImageCompression": "01"}
    folder = write_series(hu, **made)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, hu)
    (text,) = said(folder, "unusual_values")
    assert "below -1300: padding that compression with loss has blurred" in text


def test_noise_where_nothing_is_is_refused_of_a_volume_without_loss(
    chest: Chest, write_series: WriteSeries, rng: np.random.Generator
) -> None:
    folder = write_series(blurred(chest, rng), is_signed=True)[0].parent

    assert "below -1300, where nothing is: not HU" in said(folder, "not_hu")[0]


def test_values_that_were_rescaled_twice_are_refused_also_after_compression_with_loss(rng: np.random.Generator) -> None:
    hu = np.concatenate([rng.normal(-850, 40, 20_000), rng.normal(40, 20, 20_000), rng.uniform(300, 1200, 1500)])

    (problem,) = value_problems(np.rint(hu - 1024).astype(np.int16), is_lossy=True)

    assert (problem.kind, "applied twice" in problem.text) == ("not_hu", True)


@pytest.mark.parametrize("factor", [1.4, 2.0, 3.0])
def test_values_that_were_stretched_are_refused_also_after_compression_with_loss(
    rng: np.random.Generator, factor: float
) -> None:
    air, lung = rng.normal(-1000, 10, 20_000), rng.normal(-850, 40, 20_000)
    hu = np.concatenate([air, lung, rng.normal(40, 20, 20_000), rng.uniform(300, 1000, 1500)])

    (problem,) = value_problems(np.rint(factor * hu).astype(np.int16), is_lossy=True)

    assert problem.kind == "not_hu"


@pytest.mark.parametrize("process", [52, 53, 54, 55, 56, 59, 60, 61, 62, 63, 64])
def test_retired_syntaxes_of_jpeg_are_compression_with_loss(chest: Chest, tmp_path: Path, process: int) -> None:
    dataset = with_frames(slice_dataset(chest[0]), [b"\xff\xd8\xff\xd9"], UID(f"1.2.840.10008.1.2.4.{process}"))

    (header,) = read_headers(save(dataset, tmp_path / "a.dcm"))

    assert header.is_lossy


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize("is_signed", [False, True])
def test_pixels_that_ge_wrote_big_endian_behind_a_little_endian_header_are_read(
    chest: Chest, write_series: WriteSeries, is_signed: bool, is_implicit: bool
) -> None:
    files = write_series(chest, is_signed=is_signed)
    for file in files:
        dataset = pydicom.dcmread(file)
        words = np.frombuffer(dataset.PixelData, "<u2").byteswap()
        dataset["PixelData"].value = words.tobytes()
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.113619.5.2")
        with file.open("wb") as out:
            out.write(b"\0" * 128 + b"DICM")
            pydicom.filewriter.write_file_meta_info(out, dataset.file_meta)
            body = pydicom.filebase.DicomBytesIO()
            body.is_little_endian, body.is_implicit_VR = True, is_implicit
            del dataset.file_meta
            pydicom.filewriter.write_dataset(body, dataset)
            out.write(body.getvalue())

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, chest)


def test_pixels_in_a_private_element_are_named(chest: Chest, write_series: WriteSeries) -> None:
    (file,) = write_series(chest[:1])
    dataset = pydicom.dcmread(file)
    block = dataset.private_block(0x07A1, "ELSCINT1", create=True)
    block.add_new(0x0A, "OB", dataset.PixelData)
    del dataset.PixelData
    dataset.save_as(file)

    with pytest.raises(InputError, match=r"its pixels are in the private element \(07A1,100A\) of ELSCINT1"):
        read_volume(file)
