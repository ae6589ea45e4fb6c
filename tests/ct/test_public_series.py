"""Kinds that public series have: what is good among them is read, what is not is named as what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_dicom import WriteSeries

from ipdsf_spark.ct.reading import read_volume, survey
from ipdsf_spark.errors import InputError

Chest = NDArray[np.int16]


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
