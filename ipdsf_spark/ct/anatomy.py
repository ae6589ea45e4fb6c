"""What shares of tissues and quantiles of HU do not see in a chest: whether it is made of whole organs.

A volume may have as much lung, bone and fat as a patient and still be a heap of crumbs. What tells is how rough the
lungs' surface is for their volume, into how many pieces the skeleton falls, and how many crumbs and specks lie about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.chests import BODY_HU
from ipdsf_spark.ct.tissues import TISSUES_HU

PIECE_ML: Final = 0.1  # a smaller piece of bone is a crumb
SPECK_ML: Final = 0.05  # as a ball of 4.6 mm across


def measured_anatomy(hu: NDArray[Any], spacing_mm: Sequence[float]) -> dict[str, float]:
    """Surface, pieces and specks of a chest.

    Args:
        hu: [z, y, x].
        spacing_mm: of its voxels (z, y, x).
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    lungs = _enclosed(hu < BODY_HU)
    volume_ml = float(np.count_nonzero(lungs)) * voxel_ml
    bone = _sizes(hu >= TISSUES_HU["bone"][0]) * voxel_ml
    specks = np.count_nonzero(_sizes(hu > BODY_HU) * voxel_ml < SPECK_ML)
    litres = hu.size * voxel_ml / 1000
    roughness = _surface_cm2(lungs, spacing_mm) / volume_ml if volume_ml else 0.0
    return {
        "surface of the lungs for their volume, 1/cm": roughness,
        "pieces of bone": float(np.count_nonzero(bone >= PIECE_ML)),
        "crumbs of bone, 1/l": float(np.count_nonzero(bone < PIECE_ML)) / litres,
        "specks of tissue in air, 1/l": float(specks) / litres,
    }


def _enclosed(airy: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What is airy and not connected with the volume's sides: the first and last slice cut the lungs and are none."""
    labels, number = ndimage.label(airy)
    sides = [labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]]
    is_outside = np.zeros(number + 1, bool)
    is_outside[np.unique(np.concatenate([side.ravel() for side in sides]))] = True
    is_outside[0] = True
    enclosed: NDArray[np.bool_] = ~is_outside[labels]
    return enclosed


def _sizes(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Voxels of each connected piece (by faces)."""
    labels, _ = ndimage.label(mask)
    return np.bincount(labels.ravel())[1:]


def _surface_cm2(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Area of the faces of voxels between what is in the mask and what is not; of a ball 1.5 times its own."""
    areas = np.prod(spacing_mm) / np.asarray(spacing_mm)
    faces = [np.count_nonzero(np.diff(mask, axis=axis)) for axis in range(3)]
    return float(np.dot(areas, faces)) / 100
