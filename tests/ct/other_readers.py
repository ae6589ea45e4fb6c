"""A volume beside what SimpleITK and nibabel make of the same files: voxels, origin, spacing, direction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from ipdsf_spark.ct.volume import Volume

SAME = "same"


def by_itk(names: Sequence[str]) -> sitk.Image:
    """Files of one volume as ITK reads them, turned to LPS by permuting and flipping axes alone."""
    return sitk.DICOMOrient(sitk.ReadImage(list(names) if len(names) > 1 else names[0]), "LPS")


def differences(volume: Volume, image: sitk.Image) -> str:
    """What differs from ITK's image in LPS."""
    values, found = sitk.GetArrayFromImage(image), []
    if values.shape != volume.hu.shape:
        found.append(f"{values.shape} voxels, {volume.hu.shape} ours")
    elif differing := int((values.astype(volume.hu.dtype) != volume.hu).sum()):
        found.append(f"{differing} of {values.size} voxels differ")
    if np.abs(np.subtract(volume.grid.origin_mm, image.GetOrigin())).max() > 1e-3:
        found.append(f"origin {image.GetOrigin()}, {volume.grid.origin_mm} ours")
    if not np.allclose(volume.grid.spacing_mm, image.GetSpacing()[::-1], rtol=1e-5):
        found.append(f"spacing {image.GetSpacing()[::-1]}, {volume.grid.spacing_mm} ours")
    if not np.allclose(np.array(volume.grid.direction)[::-1].T.ravel(), image.GetDirection(), atol=1e-5):
        found.append("direction differs")
    return "; ".join(found) or SAME


def differences_from_nibabel(volume: Volume, path: Path) -> str:
    """What differs from nibabel's image in RAS."""
    image = nib.as_closest_canonical(nib.load(path))  # RAS, (x, y, z)
    values = np.squeeze(np.asanyarray(image.dataobj))
    if values.ndim != 3:
        return f"{values.ndim} axes"
    values = values[::-1, ::-1].T
    if values.shape != volume.hu.shape or (values.astype(volume.hu.dtype) != volume.hu).any():
        return "voxels differ"
    depth, rows, columns = values.shape
    for z, y, x in ((0, 0, 0), (depth - 1, 3, 5)):
        right, front, up = nib.affines.apply_affine(image.affine, (columns - 1 - x, rows - 1 - y, z))
        if np.abs(np.subtract(volume.grid.world_mm((z, y, x)), (-right, -front, up))).max() > 1e-3:
            return "places differ"
    return SAME
