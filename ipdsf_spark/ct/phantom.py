"""A chest that never was: seeded volumes with lungs, vessels and nodules of known size, for demonstrations and tests.

Lengths in mm; the anatomy grows with the field of view, nodules and vessels do not. Surfaces are blurred over one voxel
(partial volume), noise is added last. Attenuations after Hounsfield's scale: air -1000, lung about -860, fat -90,
muscle 50, bone 400 and more (Kalender, Computed Tomography, 3rd ed. 2011, fig. 1.7).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.volume import AIR_HU, Grid, Source, Vector, Volume
from ipdsf_spark.errors import InputError

LUNG_HU, FAT_HU, MUSCLE_HU, BONE_HU, BLOOD_HU = -860, -90, 50, 450, 60
PADDING_HU: Final = -2048
NODULE_DIAMETERS_MM: Final = (4.0, 20.0)
NODULE_HU: Final = ((-650.0, -500.0), (20.0, 80.0))  # ground glass, solid
NODULE_GAP_MM: Final = 6.0
MAX_TRIES: Final = 10_000
NUM_BRANCHINGS: Final = 7
RIB_RADIUS_MM, RIB_SLOPE = 6.0, 0.35
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Nodule:
    """A sphere in a lung."""

    centre_mm: Vector  # LPS
    diameter_mm: float
    hu: float


@dataclass(frozen=True)
class Phantom:
    """A volume and what is in it."""

    volume: Volume
    nodules: tuple[Nodule, ...]


def chest_phantom(
    shape: tuple[int, int, int] = (64, 128, 128),
    *,
    seed: int,
    spacing_mm: Vector = (4.0, 2.8, 2.8),
    num_nodules: int = 4,
    noise_hu: float = 15.0,
    has_padding: bool = False,
) -> Phantom:
    """A chest of (z, y, x) voxels; the same for the same seed.

    Args:
        shape: voxels.
        seed: decides sizes, vessels, nodules and noise.
        spacing_mm: of the voxels (z, y, x).
        num_nodules: spheres in the lungs.
        noise_hu: standard deviation of the noise.
        has_padding: fill what lies outside the circle of reconstruction with -2048, as many scanners do.
    """
    rng = np.random.default_rng(seed)
    extent = np.asarray(shape) * np.asarray(spacing_mm)
    grid = Grid(
        shape=shape,
        spacing_mm=spacing_mm,
        origin_mm=_vector(-(extent / 2 - np.asarray(spacing_mm) / 2)[::-1]),
    )
    canvas = _Canvas.of(grid)
    depth, height, width = extent * rng.uniform(0.95, 1.0, 3)
    _paint_trunk(canvas, depth, height, width)
    lungs, heart = _paint_lungs(canvas, depth, height, width)
    for lung in lungs:
        _paint_vessels(canvas, lung, rng)
    nodules: list[Nodule] = []
    for k in range(num_nodules):
        nodules.append(_draw_nodule(lungs[k % len(lungs)], heart, nodules, rng))
    for nodule in nodules:
        canvas.ball(nodule.centre_mm[::-1], nodule.diameter_mm / 2, nodule.hu)
    hu = canvas.hu + rng.normal(0.0, noise_hu, shape).astype(np.float32)
    if has_padding:
        radius = min(extent[1:]) / 2
        hu[:, np.hypot(canvas.y[0], canvas.x[0]) > radius] = PADDING_HU
    volume = Volume(
        hu=np.rint(np.clip(hu, PADDING_HU, 3071)).astype(np.int16),
        grid=grid,
        study=f"phantom-{seed}",
        padding_hu=PADDING_HU if has_padding else None,
        source=Source(kind="phantom", patient=f"phantom-{seed}"),
    )
    return Phantom(volume, tuple(nodules))


@dataclass(frozen=True)
class _Ellipsoid:
    """Centre and half axes in mm, (z, y, x)."""

    centre: NDArray[np.float64]
    half_axes: NDArray[np.float64]


@dataclass(frozen=True)
class _Canvas:
    """HU that are painted over, and the coordinates of the voxels in mm: z (Z, 1, 1), y (1, Y, 1), x (1, 1, X)."""

    hu: Float32
    z: Float32
    y: Float32
    x: Float32
    voxel_mm: float  # over which a surface is blurred

    @classmethod
    def of(cls, grid: Grid) -> _Canvas:
        z, y, x = (
            (origin + step * np.arange(n)).astype(np.float32)
            for n, step, origin in zip(grid.shape, grid.spacing_mm, grid.origin_mm[::-1], strict=True)
        )
        voxel_mm = float(np.prod(grid.spacing_mm) ** (1 / 3))
        hu = np.full(grid.shape, AIR_HU, np.float32)
        return cls(hu, z[:, None, None], y[None, :, None], x[None, None, :], voxel_mm)

    def ellipsoid(self, shape: _Ellipsoid, hu: float) -> None:
        """Fill an ellipsoid; a half axis may be infinite."""
        (cz, cy, cx), (rz, ry, rx) = shape.centre, shape.half_axes
        radius = np.sqrt(((self.z - cz) / rz) ** 2 + ((self.y - cy) / ry) ** 2 + ((self.x - cx) / rx) ** 2)
        smallest = float(np.min(shape.half_axes))
        self._fill((slice(None),) * 3, (radius - 1) * np.float32(smallest), hu)

    def ball(self, centre: tuple[float, ...], radius_mm: float, hu: float) -> None:
        """Fill a sphere at (z, y, x) mm."""
        self.tube(np.asarray(centre), np.asarray(centre), radius_mm, hu)

    def tube(self, begin: NDArray[np.float64], end: NDArray[np.float64], radius_mm: float, hu: float) -> None:
        """Fill all that is nearer than a radius to the line from begin to end, (z, y, x) mm."""
        reach = radius_mm + 2 * self.voxel_mm
        box = tuple(
            slice(*np.searchsorted(axis.ravel(), (min(a, b) - reach, max(a, b) + reach)))
            for axis, a, b in zip((self.z, self.y, self.x), begin, end, strict=True)
        )
        axis = end - begin
        dz, dy, dx = self.z[box[0]] - begin[0], self.y[:, box[1]] - begin[1], self.x[:, :, box[2]] - begin[2]
        along = (dz * axis[0] + dy * axis[1] + dx * axis[2]) / max(float(axis @ axis), 1e-9)
        along = np.clip(along, 0.0, 1.0)
        distance = np.sqrt((dz - along * axis[0]) ** 2 + (dy - along * axis[1]) ** 2 + (dx - along * axis[2]) ** 2)
        self._fill(box, distance - radius_mm, hu)

    def rib(self, z: float, half_y: float, half_x: float) -> None:
        """A ring of bone on an ellipse that falls from the spine to the front, as ribs do."""
        fall = RIB_SLOPE * half_y + RIB_RADIUS_MM + 2 * self.voxel_mm
        box = (slice(*np.searchsorted(self.z.ravel(), (z - fall, z + fall))), slice(None), slice(None))
        from_ring = (np.sqrt((self.y / half_y) ** 2 + (self.x / half_x) ** 2) - 1) * np.float32((half_y + half_x) / 2)
        above = self.z[box[0]] - z - RIB_SLOPE * self.y
        self._fill(box, np.sqrt(from_ring**2 + above**2) - RIB_RADIUS_MM, BONE_HU)

    def _fill(self, box: tuple[slice, ...], outside_mm: Float32, hu: float) -> None:
        share = np.clip(0.5 - outside_mm / self.voxel_mm, 0.0, 1.0).astype(np.float32)
        self.hu[box] += share * (np.float32(hu) - self.hu[box])


def _paint_trunk(canvas: _Canvas, depth: float, height: float, width: float) -> None:
    def column(y: float, x: float, half_y: float, half_x: float, hu: float) -> None:
        half_axes = np.array([1e6, half_y * height, half_x * width])
        canvas.ellipsoid(_Ellipsoid(np.array([0.0, y * height, x * width]), half_axes), hu)

    column(0.0, 0.0, 0.36, 0.46, FAT_HU)
    column(0.0, 0.0, 0.33, 0.43, MUSCLE_HU)
    for k in range(-6, 7):
        canvas.rib(k * depth / 10, 0.305 * height, 0.405 * width)
    column(0.2, 0.0, 0.06, 0.05, BONE_HU)  # spine, with its canal
    column(0.255, 0.0, 0.02, 0.02, MUSCLE_HU)
    column(0.1, 0.05, 0.035, 0.03, BLOOD_HU)  # aorta


def _paint_lungs(canvas: _Canvas, depth: float, height: float, width: float) -> tuple[list[_Ellipsoid], _Ellipsoid]:
    lungs = [
        _Ellipsoid(np.array([0.0, 0.01 * height, side * 0.21 * width]), np.array([0.46, 0.25, 0.16]) * scale)
        for side, scale in ((-1.0, np.array([depth, height, width])), (1.0, 0.97 * np.array([depth, height, width])))
    ]
    for lung in lungs:
        canvas.ellipsoid(lung, LUNG_HU)
    heart = _Ellipsoid(np.array([-0.15 * depth, -0.07 * height, 0.06 * width]), np.array([0.15, 0.14, 0.15]) * width)
    canvas.ellipsoid(heart, MUSCLE_HU)
    top = np.array([depth, 0.02 * height, 0.0])
    canvas.tube(np.array([0.12 * depth, 0.02 * height, 0.0]), top, 9.0, AIR_HU)  # windpipe
    return lungs, heart


def _paint_vessels(canvas: _Canvas, lung: _Ellipsoid, rng: np.random.Generator) -> None:
    """A tree that divides in two again and again; radii follow Murray's law (1926): r³ = r₁³ + r₂³."""
    hilum = lung.centre * np.array([1.0, 1.0, 0.45])
    outward = lung.centre - hilum
    branches = [(hilum, outward / np.linalg.norm(outward) + turn, 5.0) for turn in ((0.7, 0, 0), (-0.7, 0, 0))]
    length = 0.4 * float(np.min(lung.half_axes[1:]))
    for _ in range(NUM_BRANCHINGS):
        tips = []
        for begin, direction, radius_mm in branches:
            end = begin + direction * length * rng.uniform(0.8, 1.3)
            canvas.tube(begin, end, radius_mm, BLOOD_HU)
            for _ in range(2):
                turned = direction + rng.normal(0.0, 0.55, 3)
                tip = (end, turned / np.linalg.norm(turned), radius_mm * 2 ** (-1 / 3))
                if _is_inside(end + tip[1] * length, lung):
                    tips.append(tip)
        branches = tips
        length *= 0.9


def _draw_nodule(lung: _Ellipsoid, heart: _Ellipsoid, others: Sequence[Nodule], rng: np.random.Generator) -> Nodule:
    """A sphere that stands alone in a lung."""
    diameter_mm = float(rng.uniform(*NODULE_DIAMETERS_MM))
    for _ in range(MAX_TRIES):
        centre = lung.centre + lung.half_axes * rng.uniform(-0.7, 0.7, 3)
        gaps = (math.dist(centre[::-1], n.centre_mm) - (n.diameter_mm + diameter_mm) / 2 for n in others)
        is_alone = all(gap > NODULE_GAP_MM for gap in gaps)
        if is_alone and _is_inside(centre, lung, share=0.75) and not _is_inside(centre, heart, share=1.3):
            break
    else:
        raise InputError(f"no room for nodule {len(others) + 1} in the lungs")
    hu = float(rng.uniform(*NODULE_HU[int(rng.integers(2))]))
    return Nodule(_vector(centre[::-1]), diameter_mm, hu)


def _is_inside(point: NDArray[np.float64], shape: _Ellipsoid, share: float = 0.95) -> bool:
    return float(np.sum(((point - shape.centre) / shape.half_axes) ** 2)) < share**2


def _vector(values: NDArray[np.float64]) -> Vector:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
