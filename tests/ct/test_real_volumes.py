"""Real volumes, against what was written down about them and against a second reader."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from other_readers import SAME, by_itk, differences, differences_from_nibabel

from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.stitching import SEAM_LIMIT, seam_ratio, stitched_volume
from ipdsf_spark.ct.volume import Volume

# shared/docs CT.md: slices, spacing (z, x) in mm, HU range, padding and its share
CASES = {
    "train/LIDC-IDRI-0001.nii.gz": (133, 2.5, 0.703, (-2048, 3071), -2048, 0.21),
    "train/CMB-CRC-MSB-01068.nii.gz": (100, 2.5, 0.898, (-3024, 3071), -3024, None),
    "train/LungFCP-01-0001.nii.gz": (98, 1.0, 0.760, (-1024, 3071), None, None),
    "test/Lung_Dx-A0002": (30, 8.0, 0.646, (-1024, 1548), None, None),
}


@pytest.fixture(scope="module")
def ct(real_data: Path) -> Path:
    return real_data / "ct"


@pytest.fixture(scope="module")
def read(ct: Path) -> Callable[[str], Volume]:
    """Reads each volume once for the tests that look at it one after the other."""
    return functools.lru_cache(maxsize=1)(lambda name: read_volume(ct / name))


@pytest.mark.parametrize("name", CASES)
def test_a_real_volume_reads_as_it_was_described_and_as_other_readers_read_it(
    ct: Path, read: Callable[[str], Volume], name: str
) -> None:
    depth, spacing_z, spacing_x, hu_range, padding_hu, share = CASES[name]

    volume = read(name)

    assert volume.grid.shape == (depth, 512, 512)
    assert volume.hu.dtype == np.int16
    assert volume.grid.spacing_mm == pytest.approx((spacing_z, spacing_x, spacing_x), abs=5e-4)
    assert (volume.hu.min(), volume.hu.max()) == hu_range
    assert volume.padding_hu == padding_hu
    assert [p for p in volume.problems if p.kind != "burned_in"] == []
    if share:
        assert (volume.hu == padding_hu).mean() == pytest.approx(share, abs=0.005)
    path = ct / name
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)) if path.is_dir() else [str(path)]
    assert differences(volume, by_itk(names)) == SAME
    if name.endswith(".nii.gz"):
        assert differences_from_nibabel(volume, path) == SAME


def test_a_small_chest_in_nrrd_is_read(ct: Path) -> None:
    volume = read_volume(ct / "smoke/ct-64.nrrd")

    assert volume.grid.shape == (79, 64, 64)
    assert volume.problems == ()
    assert differences(volume, by_itk([str(ct / "smoke/ct-64.nrrd")])) == SAME


def test_real_cubes_stitch_back_without_a_seam(read: Callable[[str], Volume]) -> None:
    hu = read("test/Lung_Dx-A0002").hu
    plan = CubePlan(hu.shape)  # type: ignore[arg-type]

    restored = stitched_volume(plan, cubes_of(hu, plan))

    np.testing.assert_array_equal(np.rint(restored), hu)
    assert seam_ratio(restored, plan, hu) == pytest.approx(1.0, abs=1e-4)
    assert seam_ratio(restored, plan) <= SEAM_LIMIT


def test_real_hu_survive_enhancement_exactly(ct: Path) -> None:
    training = read_volume(ct / "train/LIDC-IDRI-0001.nii.gz").hu
    hu = read_volume(ct / "test/Lung_Dx-A0002").hu
    enhancement = Enhancement.fit({"LIDC-IDRI-0001": HuHistogram.of(training)})

    restored = enhancement.restored(enhancement.enhanced(hu))

    np.testing.assert_array_equal(np.rint(restored), np.clip(hu, -1000, 400))
    assert np.abs(restored - np.clip(hu, -1000, 400)).max() <= enhancement.round_trip_bound_hu
