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
