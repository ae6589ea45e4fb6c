"""Inputs as other people's scanners, archives, anonymisers and scripts leave them: read rightly, or refused by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from asked import kinds_at
from numpy.typing import NDArray
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, SecondaryCaptureImageStorage
from synthetic_dicom import WriteSeries, item, save, slice_dataset

from ipdsf_spark.cli.main import main, parser_for
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.pictures import PictureScale
from ipdsf_spark.ct.plausibility import value_problems
from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


def element(path: Path, keyword: str, vr: bytes, value: bytes) -> None:
    """Write an element as bytes, past what pydicom would let through."""
    raw, tag = path.read_bytes(), pydicom.tag.Tag(keyword)
    mark = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little")
    value += b" " * (len(value) % 2)
    at = raw.index(mark)
    end = at + 8 + int.from_bytes(raw[at + 6 : at + 8], "little")
    path.write_bytes(raw[:at] + mark + vr + len(value).to_bytes(2, "little") + value + raw[end:])


# Headers


@pytest.mark.parametrize("modality", ["ct", "Ct "])
def test_a_modality_in_small_letters_is_the_same_modality(
    body: Chest, write_series: WriteSeries, modality: str
) -> None:
    folder = write_series(body, Modality=modality)[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, body)


@pytest.mark.parametrize(
    ("keyword", "value"), [("PixelSpacing", b"0,7\\0,7"), ("RescaleIntercept", b"-1024,0"), ("RescaleSlope", b"1,0")]
)
def test_a_decimal_comma_is_read_and_told(body: Chest, write_series: WriteSeries, keyword: str, value: bytes) -> None:
    files = write_series(body)
    for path in files:
        element(path, keyword, b"DS", value)

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, body)
    assert volume.grid.spacing_mm == (2.5, 0.7, 0.7)
    assert [(p.kind, keyword in p.text, "comma" in p.text) for p in volume.problems] == [("header_field", True, True)]


def test_a_position_under_a_text_that_is_not_split_is_a_position(body: Chest, write_series: WriteSeries) -> None:
    files = write_series(body)
    for k, path in enumerate(files):
        element(path, "ImagePositionPatient", b"LT", f"-10\\-20\\{100 + 2.5 * k}".encode())

    np.testing.assert_array_equal(read_volume(files[0].parent).hu, body)


def test_a_series_whose_slices_have_no_spacing_is_refused_with_the_name_of_the_field(
    body: Chest, write_series: WriteSeries
) -> None:
    folder = write_series(body, PixelSpacing=None)[0].parent

    with pytest.raises(InputError, match=r"PixelSpacing absent or no value"):
        survey(folder)


def test_a_series_that_an_anonymiser_tore_into_one_series_per_slice_is_one(
    body: Chest, write_series: WriteSeries
) -> None:
    files = [
        write_series(body[k : k + 1], first_mm=2.5 * k, prefix=f"s{k}", series_uid=f"1.2.{k}")[0] for k in range(8)
    ]

    volume = read_volume(files[0].parent)

    np.testing.assert_array_equal(volume.hu, body)
    assert "SeriesInstanceUID" in volume.problems[0].text


def test_real_series_of_one_slice_each_are_not_joined(body: Chest, write_series: WriteSeries) -> None:
    """The same place three times: monitoring of contrast medium."""
    for k in range(3):
        folder = write_series(body[k : k + 1], first_mm=10.0, prefix=f"s{k}", series_uid=f"1.2.{k}")[0].parent

    assert kinds_at(folder)["several_series"]


def test_a_stated_tilt_of_slices_that_stand_straight_is_told(body: Chest, write_series: WriteSeries) -> None:
    folder = write_series(body, GantryDetectorTilt="15")[0].parent

    assert kinds_at(folder) == {"geometry_conflict": False}


def test_a_single_slice_is_as_thick_as_it_says(body: Chest, write_series: WriteSeries) -> None:
    path = write_series(body[:1], SliceThickness=5)[0]

    assert read_volume(path).grid.spacing_mm == (5.0, 0.7, 0.7)


# What lies beside the slices


def test_a_page_of_text_that_calls_itself_a_ct_slice_is_set_aside(body: Chest, write_series: WriteSeries) -> None:
    """Siemens writes the patient protocol as CT Image Storage, without a position."""
    folder = write_series(body)[0].parent
    absent = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    page = slice_dataset(np.zeros((64, 64)), series_uid="1.2.501", SeriesNumber=501)
    for keyword in absent:
        delattr(page, keyword)
    save(page, folder / "protocol.dcm")

    np.testing.assert_array_equal(read_volume(folder).hu, body)
    assert kinds_at(folder) == {"set_aside": False}


@pytest.mark.parametrize("series_uid", ["1.2.3.4", "1.2.77"])
def test_an_overview_that_no_image_type_names_is_known_by_its_plane(
    body: Chest, write_series: WriteSeries, series_uid: str
) -> None:
    folder = write_series(body)[0].parent
    scout = slice_dataset(body[:, 20], orientation=(1, 0, 0, 0, 0, -1), series_uid=series_uid, SeriesNumber=0)
    save(scout, folder / "scout.dcm")

    np.testing.assert_array_equal(read_volume(folder).hu, body)
    assert kinds_at(folder) == {"scout": False}
    assert read_volume(folder, series=0 if series_uid == "1.2.77" else 1).hu.shape[0] > 0


def test_a_second_reconstruction_in_another_plane_is_no_overview(body: Chest, write_series: WriteSeries) -> None:
    folder = write_series(body)[0].parent
    for k in range(6):
        coronal = slice_dataset(
            body[:, k], orientation=(1, 0, 0, 0, 0, -1), position=(0, 2.0 * k, 9), InstanceNumber=50 + k
        )
        save(coronal, folder / f"coronal{k}.dcm")

    assert kinds_at(folder) == {"mixed_acquisitions": True}


def test_a_localizer_among_the_frames_of_one_file_is_set_aside(body: Chest, tmp_path: Path) -> None:
    frames = np.concatenate([body[:1], body])
    dataset = slice_dataset(frames[0], SOPClassUID=EnhancedCTImageStorage, ImageType=["ORIGINAL", "PRIMARY", "MIXED"])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(dataset, keyword)
    dataset.NumberOfFrames = len(frames)
    dataset.PixelData = (frames.astype(np.int32) + 1024).astype("<u2").tobytes()
    measures = item(PixelMeasuresSequence=Sequence([item(PixelSpacing=[0.7, 0.7])]))
    dataset.SharedFunctionalGroupsSequence = Sequence([measures])
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        item(
            PlanePositionSequence=Sequence([item(ImagePositionPatient=[-10, -20, 2.5 * k])]),
            PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
            CTImageFrameTypeSequence=Sequence(
                [item(FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER" if k == 0 else "VOLUME", "NONE"])]
            ),
        )
        for k in range(len(frames))
    )
    path = save(dataset, tmp_path / "enhanced.dcm")

    np.testing.assert_array_equal(read_volume(path).hu, body)
    assert kinds_at(path) == {"scout": False}


def test_a_dose_sheet_in_colour_is_set_aside(body: Chest, write_series: WriteSeries) -> None:
    folder = write_series(body)[0].parent
    sheet = slice_dataset(np.zeros((16, 16)), series_uid="1.2.999", SOPClassUID=SecondaryCaptureImageStorage)
    sheet.SamplesPerPixel, sheet.PhotometricInterpretation, sheet.PlanarConfiguration = 3, "RGB", 0
    sheet.BitsAllocated, sheet.BitsStored, sheet.HighBit, sheet.PixelData = 8, 8, 7, bytes(16 * 16 * 3)
    save(sheet, folder / "dose.dcm")

    np.testing.assert_array_equal(read_volume(folder).hu, body)


def test_slices_behind_a_link_to_a_folder_are_found_and_a_circle_ends(
    body: Chest, write_series: WriteSeries, tmp_path: Path
) -> None:
    elsewhere = write_series(body)[0].parent
    (elsewhere / "back").symlink_to(tmp_path)
    study = tmp_path / "study"
    study.mkdir()
    (study / "series").symlink_to(elsewhere)

    np.testing.assert_array_equal(read_volume(study).hu, body)


# Mixtures


def test_two_energies_in_one_series_are_never_mixed(body: Chest, write_series: WriteSeries) -> None:
    for k, values in enumerate(body):
        names = ("a", "b") if k % 2 else ("b", "a")
        for number, (name, kvp) in enumerate(zip(names, (80, 140), strict=True)):
            made = {"first_mm": 2.5 * k, "first_instance": 2 * k + number, "KVP": kvp, "prefix": f"{k}{name}"}
            folder = write_series(values[None] + number * 30, **made)[0].parent

    assert kinds_at(folder)["mixed_acquisitions"]
    difference = read_volume(folder, accept=["mixed_acquisitions"]).hu - body
    assert len(np.unique(difference)) == 1


def test_values_that_jump_where_the_rescale_changes_are_refused(body: Chest, write_series: WriteSeries) -> None:
    files = write_series(body)
    dataset = pydicom.dcmread(files[4])
    dataset.RescaleIntercept = "0"
    dataset.save_as(files[4])

    with pytest.raises(InputError, match="values jump by more than 400 HU where RescaleSlope or RescaleIntercept"):
        read_volume(files[0].parent)


def test_a_rescale_of_each_slices_own_is_a_remark(body: Chest, write_series: WriteSeries) -> None:
    for k, values in enumerate(body):
        folder = write_series(values[None], first_mm=2.5 * k, intercept=-1024 - k, prefix=f"s{k}")[0].parent

    np.testing.assert_array_equal(read_volume(folder).hu, body)
    assert kinds_at(folder) == {"header_field": False}


def test_colours_of_a_palette_are_no_hu(body: Chest, write_series: WriteSeries) -> None:
    folder = write_series(body, PhotometricInterpretation="PALETTE COLOR")[0].parent

    assert kinds_at(folder)["not_ct"]


# Rounding


@pytest.mark.parametrize("step", [0.333, 0.45, 0.7])
def test_fine_slices_whose_positions_were_rounded_to_a_tenth_are_even(
    body: Chest, write_series: WriteSeries, step: float
) -> None:
    for k, values in enumerate(body):
        folder = write_series(values[None], first_mm=round(step * k, 1), prefix=f"s{k}")[0].parent

    volume = read_volume(folder)

    np.testing.assert_array_equal(volume.hu, body)
    assert volume.grid.spacing_mm[0] == pytest.approx(step, abs=0.02)


@pytest.mark.parametrize("step", [0.333, 0.45, 0.7])
def test_a_slice_missing_among_fine_ones_is_missed(body: Chest, write_series: WriteSeries, step: float) -> None:
    for k in (0, 1, 2, 4, 5, 6, 7):
        folder = write_series(body[k : k + 1], first_mm=round(step * k, 1), prefix=f"s{k}")[0].parent

    assert any(kinds_at(folder).values())


def test_direction_cosines_rounded_to_two_digits_are_no_tilt(body: Chest, write_series: WriteSeries) -> None:
    angle = np.radians(35)
    normal = np.cross([1, 0, 0], [0, np.cos(angle), np.sin(angle)])
    for k, values in enumerate(body):
        made = {"position": tuple(np.round(2.5 * k * normal, 3)), "orientation": (1, 0, 0, 0, 0.82, 0.57)}
        folder = write_series(values[None], prefix=f"s{k}", **made)[0].parent

    assert not kinds_at(folder)


# Values


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda hu: hu - 1024, "RescaleIntercept was applied twice"),
        (lambda hu: np.pad(hu[:, 5:-5] + 1024, ((0, 0), (5, 5), (0, 0)), constant_values=-1024), r"HU \+ 1024"),
        (lambda hu: np.clip((hu + 1000) / 1400, 0, 1) * 4095, "air was set to 0"),
        (lambda hu: np.clip((hu + 1000) / 1400, 0, 1) * 1000, "air was set to 0"),
        (lambda hu: np.where(hu > -500, 1, -1000), "a mask"),
    ],
)
def test_more_values_that_are_no_hu_are_known_by_their_histogram(body: Chest, made: Any, words: str) -> None:
    problems = value_problems(np.rint(made(body.astype(np.int32))).astype(np.int16))

    assert [p.is_serious for p in problems] == [True]
    assert re.search(words, problems[0].text)


def test_a_stretched_window_is_remarked_and_not_refused_for_a_thing_without_tissue_looks_the_same(body: Chest) -> None:
    (problem,) = value_problems(np.rint((2 * np.clip((body + 1000) / 1400, 0, 1) - 1) * 1000).astype(np.int16))

    assert "stretched" in problem.text
    assert not problem.is_serious


@pytest.mark.parametrize(
    "made",
    [
        lambda hu: np.where(hu < -900, -2048, hu),
        lambda hu: np.pad(hu[:, 5:-5], ((0, 0), (5, 5), (0, 0)), constant_values=(-3024, -2000)),
        lambda hu: hu + np.random.default_rng(0).normal(0, 120, hu.shape),
        lambda hu: np.minimum(hu, 100),
        lambda hu: np.where(hu < -500, -1000, hu),
    ],
)
def test_hu_with_padding_noise_or_a_narrow_window_are_hu(body: Chest, made: Any) -> None:
    hu = np.rint(made(body)).astype(np.int16)

    assert not value_problems(hu)


def test_archives_are_called_archives(body: Chest, write_series: WriteSeries, tmp_path: Path) -> None:
    files = write_series(body)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w") as archive:
        archive.write(files[0])
    shutil.make_archive(str(tmp_path / "scan"), "gztar", files[0].parent)

    for name in ("scan.zip", "scan.tar.gz"):
        with pytest.raises(InputError, match=f"{name} is a packed archive or file: unpack it"):
            survey(tmp_path / name)


def test_a_name_that_is_no_utf8_ends_no_process(body: Chest, write_series: WriteSeries, tmp_path: Path) -> None:
    files = write_series(body)
    for path in files:
        os.rename(path, os.fsencode(path.parent) + b"/M\xfcller" + path.name.encode())
    np.testing.assert_array_equal(read_volume(files[0].parent).hu, body)
    sitk.WriteImage(sitk.GetImageFromArray(body), str(tmp_path / "v.nrrd"))
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.nrrd")
    os.rename(tmp_path / "v.nrrd", odd)

    with pytest.raises(InputError, match=r"M\\xfcller\.nrrd: its path holds bytes that are no UTF-8"):
        read_volume(odd)


# The command


@pytest.mark.parametrize(
    "words", [["info"], ["pack", "--name", "x"], ["generate", "--model", "m", "-o", "o"], ["evaluate"]]
)
def test_every_verb_takes_the_choices_of_reading_in_one_form(words: list[str]) -> None:
    args = parser_for("ct").parse_args(
        ["ct", *words, "PATH", "--accept", "tilt,missing_slices", "--accept", "unreadable", "--series", "1.2.3"]
    )

    from ipdsf_spark.cli.ct_reading import reading_choices

    assert reading_choices(args) == {"accept": ("tilt", "missing_slices", "unreadable"), "series": "1.2.3"}


def test_the_report_of_odd_names_is_printed(
    body: Chest, write_series: WriteSeries, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_series(body)
    files[3].unlink()
    for path in files[:3]:
        os.rename(path, os.fsencode(path.parent) + b"/M\xfcller" + path.name.encode())

    assert main(["ct", "info", str(files[0].parent)]) == 0
    assert main(["ct", "info", "--json", str(files[0].parent)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["is_usable"] is False


def test_hu_with_their_sign_turned_round_are_no_hu() -> None:
    hu = chest_phantom((24, 64, 64), seed=3, spacing_mm=(10.0, 5.6, 5.6)).volume.hu

    assert "wrong end" in "; ".join(map(str, value_problems(-hu)))
    assert value_problems(hu) == []


def test_pictures_whose_numbers_leave_one_out_are_missing_a_slice(tmp_path: Path) -> None:
    scale = PictureScale((2.5, 0.7, 0.7), -1000, 400)
    for number in range(0, 60, 5):
        picture = np.full((8, 8), number, np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(picture), str(tmp_path / f"slice-{number}.png"))
    assert not any(p.is_serious for p in survey(tmp_path, pictures=scale).problems if p.kind != "not_hu")

    (tmp_path / "slice-25.png").unlink()
    found = [p for p in survey(tmp_path, pictures=scale).problems if p.kind == "missing_slices"]
    assert "rise by 5, but not between slice-20.png and slice-30.png" in str(found[0])
