"""Planted nodules: spheres of known size and contrast in a lung, and what of them a method brings back.

A method may have high PSNR and lose what a radiologist looks for. Spheres are added to a true volume, it is degraded
and restored, and the difference to the volume without them is averaged over shells around each centre. From that
profile: the contrast in the middle, the diameter at half contrast, and the width over which the edge rises from 10 to
90 %, the edge response of TG-233 (Samei et al. 2019, Med. Phys. 46, e735; Richard et al. 2012, Med. Phys. 39, 4115).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.volume import Vector

LUNG_HU: Final = (-950.0, -700.0)
SUBDIVISIONS: Final = 4  # of a voxel's edge, to find which part of it lies inside a sphere
MAX_TRIES: Final = 400
MIN_LUNG_SHARE: Final = 0.6  # of the box around a place


@dataclass(frozen=True)
class Planted:
    """A sphere: centre as an index (z, y, x), diameter in mm, contrast to its surroundings in HU."""

    centre: Vector
    diameter_mm: float
    contrast_hu: float


@dataclass(frozen=True)
class Recovered:
    """What is left of a sphere."""

    contrast: float  # share of the planted contrast
    diameter: float  # share of the planted diameter, at half of the contrast that is left; nan if nothing is left
    edge_mm: float  # from 10 to 90 % of that contrast; nan if it does not rise so far


def places_in_lung(
    hu: NDArray[Any], spacing_mm: Vector, *, count: int, diameter_mm: float, rng: np.random.Generator
) -> list[Vector]:
    """Up to `count` places in the lung where a sphere has room all around, apart from each other."""
    low, high = LUNG_HU
    smooth = ndimage.uniform_filter(hu.astype(np.float32), 3)
    is_lung = (smooth > low) & (smooth < high)
    reach = [max(1, int(np.ceil(diameter_mm / s))) for s in spacing_mm]
    share = ndimage.uniform_filter(is_lung.astype(np.float32), [2 * r + 1 for r in reach])
    for axis, r in enumerate(reach):
        edge = [slice(None)] * 3
        for side in (slice(0, r), slice(-r, None)):
            edge[axis] = side
            share[tuple(edge)] = 0.0
    highest = float(share.max(initial=0.0))
    candidates = np.argwhere(share >= max(MIN_LUNG_SHARE, min(0.9, highest)))
    found: list[Vector] = []
    for k in rng.permutation(len(candidates))[:MAX_TRIES]:
        z, y, x = (float(v) for v in candidates[k])
        gaps = [np.linalg.norm((np.array([z, y, x]) - other) * spacing_mm) for other in found]
        if len(found) < count and all(gap > 3 * diameter_mm for gap in gaps):
            found.append((z, y, x))
    return found


def with_planted(hu: NDArray[Any], spacing_mm: Vector, planted: Planted) -> NDArray[np.float32]:
    """A copy of `hu` [z, y, x] with a sphere added, voxels on its surface in part."""
    result: NDArray[np.float32] = hu.astype(np.float32)
    reach = [int(np.ceil(planted.diameter_mm / 2 / s)) + 1 for s in spacing_mm]
    box = tuple(
        slice(max(0, int(c) - r), min(n, int(c) + r + 2))
        for c, r, n in zip(planted.centre, reach, hu.shape, strict=True)
    )
    fine = (np.arange(SUBDIVISIONS) + 0.5) / SUBDIVISIONS - 0.5
    axes = [
        ((np.arange(b.start, b.stop)[:, None] + fine) - c).ravel() * s
        for b, c, s in zip(box, planted.centre, spacing_mm, strict=True)
    ]
    squares = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
    inside = squares <= (planted.diameter_mm / 2) ** 2
    sizes = [b.stop - b.start for b in box]
    shape = [n for size in sizes for n in (size, SUBDIVISIONS)]
    result[box] += np.float32(planted.contrast_hu) * inside.reshape(shape).mean(axis=(1, 3, 5)).astype(np.float32)
    return result


def recovered(hu: NDArray[Any], hu_without: NDArray[Any], spacing_mm: Vector, planted: Planted) -> Recovered:
    """What of a sphere is left in `hu`, given the true volume without it."""
    radius_mm = planted.diameter_mm / 2
    index = np.indices(hu.shape, np.float32)
    distance = np.sqrt(sum(((index[k] - planted.centre[k]) * spacing_mm[k]) ** 2 for k in range(3)))
    signal = hu.astype(np.float64) - hu_without
    step = max(0.25 * min(spacing_mm), 0.1 * radius_mm)
    near = distance <= 2.5 * radius_mm
    background = signal[near & (distance > 1.8 * radius_mm)]
    signal = signal - (background.mean() if background.size else 0.0)
    ring = (distance[near] / step).astype(int)
    counts = np.bincount(ring)
    profile = np.bincount(ring, signal[near])[counts > 0] / counts[counts > 0]
    radii = np.bincount(ring, distance[near])[counts > 0] / counts[counts > 0]
    contrast = float(signal[distance <= max(0.5 * radius_mm, 0.6 * min(spacing_mm))].mean())
    share = profile / contrast if abs(contrast) > 1e-6 else np.zeros_like(profile)
    at_half, at_10, at_90 = (_falls_below(radii, share, level) for level in (0.5, 0.1, 0.9))
    return Recovered(contrast / planted.contrast_hu, 2 * at_half / planted.diameter_mm, at_10 - at_90)


def _falls_below(radii: NDArray[np.float64], share: NDArray[np.float64], level: float) -> float:
    """Radius at which a profile first falls below a level, linearly between its points; nan if it never does."""
    below = np.flatnonzero(share < level)
    if not len(below) or below[0] == 0:
        return float("nan")
    k = int(below[0])
    weight = (share[k - 1] - level) / (share[k - 1] - share[k])
    return float(radii[k - 1] + weight * (radii[k] - radii[k - 1]))
