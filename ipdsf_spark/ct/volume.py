"""A CT volume: Hounsfield units on a grid that knows where it lies in the patient.

Arrays are hu[z, y, x]. World coordinates are DICOM's LPS in mm (x to the patient's left, y to the back, z to the head;
PS3.3 C.7.6.2.1.1). `direction[k]` is the unit vector of array axis k, so that

    world = origin + Σ_k index[k] · spacing_mm[k] · direction[k]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

Hu = NDArray[np.int16] | NDArray[np.float32]
Vector = tuple[float, float, float]

AXIAL: Final[tuple[Vector, Vector, Vector]] = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
AIR_HU: Final = -1000
LOWEST_MEASURED_HU: Final = -1024  # what lies below was written by a reconstruction, not measured
MIN_PADDING_SHARE: Final = 1e-3  # of the voxels; fewer at one low value are streaks, not padding

ProblemKind = Literal[
    "several_series",
    "several_patients",
    "mixed_acquisitions",
    "missing_slices",
    "uneven_spacing",
    "tilt",
    "unreadable",
    "not_ct",
    "no_rescale",
    "not_hu",
    "bits_stored",
    "duplicates",
    "scout",
    "set_aside",
    "not_an_image",
    "single_slice",
    "lossy",
    "generated",
    "burned_in",
    "no_geometry",
    "geometry_conflict",
    "unusual_geometry",
    "wrapped_padding",
    "header_field",
    "alternating_header",
    "unusual_values",
    "library_warning",
]
# Stacking in spite of these would give a wrong volume; the others are remarks.
SERIOUS: Final[frozenset[str]] = frozenset(
    {
        "several_series",
        "several_patients",
        "mixed_acquisitions",
        "missing_slices",
        "uneven_spacing",
        "tilt",
        "unreadable",
        "not_ct",
        "no_rescale",
        "not_hu",
        "bits_stored",
    }
)


@dataclass(frozen=True)
class Problem:
    """Something a reader should know about the files of a volume."""

    kind: ProblemKind
    text: str
    files: tuple[str, ...] = ()  # names only

    @property
    def is_serious(self) -> bool:
        """True where stacking in spite of it would give a wrong volume."""
        return self.kind in SERIOUS

    def __str__(self) -> str:
        unsaid = [name for name in self.files if name not in self.text]
        shown = ", ".join(unsaid[:5]) + (f" and {len(unsaid) - 5} more" if len(unsaid) > 5 else "")
        return f"{self.text}: {shown}" if shown else self.text


@dataclass(frozen=True)
class Grid:
    """Where the voxels lie. Sizes and spacings in array order (z, y, x), origin and directions in LPS."""

    shape: tuple[int, int, int]
    spacing_mm: Vector
    origin_mm: Vector = (0.0, 0.0, 0.0)  # centre of voxel [0, 0, 0]
    direction: tuple[Vector, Vector, Vector] = AXIAL

    def world_mm(self, index: NDArray[np.float64] | tuple[float, float, float]) -> NDArray[np.float64]:
        """LPS position of array index [..., 3] in (z, y, x) order."""
        steps = np.asarray(self.direction) * np.asarray(self.spacing_mm)[:, None]
        world: NDArray[np.float64] = np.asarray(index, dtype=np.float64) @ steps + np.asarray(self.origin_mm)
        return world


@dataclass(frozen=True)
class Source:
    """Where a volume came from: what a derived image must refer to, and nothing that says who it shows.

    Unique identifiers stay out of `repr`, hence out of logs.
    """

    kind: str = "array"
    num_files: int = 0
    patient: str = field(default="", repr=False)  # keyed hash of the patient's identifier in one form, or empty
    patient_as_written: str = field(default="", repr=False)  # of the identifier letter by letter
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    frame_of_reference_uid: str = field(default="", repr=False)
    sop_class_uid: str = ""
    sop_instance_uids: tuple[str, ...] = field(default=(), repr=False)
    manufacturer: str = ""  # of the scanner
    model_name: str = ""
    burned_in: str = ""  # BurnedInAnnotation: YES if any slice says so, NO if all do, else empty
    recognizable: str = ""  # RecognizableVisualFeatures, likewise
    lossy: str = ""  # LossyImageCompression: 01 if any slice was ever compressed with loss, 00 if none, else empty
    lossy_ratios: tuple[str, ...] = ()
    lossy_methods: tuple[str, ...] = ()
    # LPS of each slice's first voxel; empty unless the array's slices are those of the files, one identifier for each
    slice_positions_mm: tuple[Vector, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Volume:
    """hu[z, y, x] on a grid."""

    hu: Hu
    grid: Grid
    study: str = ""  # the name under which its cubes are known
    padding_hu: float | None = None  # the value that says "nothing was measured here"
    problems: tuple[Problem, ...] = ()
    source: Source = Source()

    def __post_init__(self) -> None:
        """Hold the array to the grid and to the two types a volume may have."""
        if self.hu.shape != self.grid.shape:
            raise ValueError(f"hu has shape {self.hu.shape}, its grid {self.grid.shape}")
        if self.hu.dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
            raise ValueError(f"hu must be int16 or float32, got {self.hu.dtype}")


def canonical(volume: Volume) -> Volume:
    """The same volume with array axes that run to the head, to the back and to the left, as nearly as they can.

    Axes are exchanged and reversed, nothing is interpolated: every voxel keeps its world position.
    """
    components = np.asarray(volume.grid.direction)[:, ::-1]  # [array axis, (S, P, L)]
    order = _nearest_axes(np.abs(components))
    hu: NDArray[Any] = volume.hu.transpose(order)
    first, direction, flipped = np.zeros(3), [], [False] * 3
    for target, axis in enumerate(order):
        vector = np.asarray(volume.grid.direction[axis])
        if components[axis, target] < 0:
            first[axis] = volume.grid.shape[axis] - 1
            hu, vector, flipped[target] = np.flip(hu, target), -vector, True
        direction.append((float(vector[0]), float(vector[1]), float(vector[2])))
    if order == (0, 1, 2) and not any(flipped):
        return volume
    left, back, head = volume.grid.world_mm(first)  # LPS
    grid = Grid(
        shape=(hu.shape[0], hu.shape[1], hu.shape[2]),
        spacing_mm=(
            volume.grid.spacing_mm[order[0]],
            volume.grid.spacing_mm[order[1]],
            volume.grid.spacing_mm[order[2]],
        ),
        origin_mm=(float(left), float(back), float(head)),
        direction=(direction[0], direction[1], direction[2]),
    )
    source = volume.source
    if order[0] != 0 or flipped[0]:  # the slices of the files are no longer those of the array
        source = dataclasses.replace(source, slice_positions_mm=())
    return dataclasses.replace(volume, hu=np.ascontiguousarray(hu), grid=grid, source=source)


def _nearest_axes(alignment: NDArray[np.float64]) -> tuple[int, int, int]:
    """For (S, P, L) the array axis nearest to it, each used once: alignment[array axis, (S, P, L)]."""
    free, order = set(range(3)), [0, 0, 0]
    for target in np.argsort(-alignment.max(axis=0)):
        axis = max(free, key=lambda a: float(alignment[a, target]))
        order[int(target)] = axis
        free.remove(axis)
    return (order[0], order[1], order[2])


def joined(problems: Iterable[Problem]) -> list[Problem]:
    """Problems of one kind and text as one, with the files of all."""
    files: dict[tuple[ProblemKind, str], list[str]] = {}
    for problem in problems:
        files.setdefault((problem.kind, problem.text), []).extend(problem.files)
    return [Problem(kind, text, tuple(dict.fromkeys(names))) for (kind, text), names in files.items()]


def padding_in(hu: Hu, stated: float | None = None) -> float | None:
    """The padding value of a volume: the stated one if it occurs, else a lowest value that was never measured.

    Scanners fill what lies outside the circle of reconstruction with -2048, -3024 or the like, often without saying so.

    Args:
        hu: (Z, Y, X).
        stated: PixelPaddingValue in HU, or None.
    """
    if stated is not None and bool((hu == stated).any()):
        return stated
    lowest = float(hu.min())
    if lowest < LOWEST_MEASURED_HU and float(np.count_nonzero(hu == lowest)) >= MIN_PADDING_SHARE * hu.size:
        return lowest
    return None


def hu_array(values: NDArray[np.generic]) -> Hu:
    """`values` as int16 if that loses nothing, else as float32."""
    if values.dtype == np.int16:
        return np.asarray(values, dtype=np.int16)
    if np.issubdtype(values.dtype, np.integer):
        limits = np.iinfo(np.int16)
        is_short = values.size == 0 or (int(values.min()) >= limits.min and int(values.max()) <= limits.max)
        return values.astype(np.int16) if is_short else values.astype(np.float32)
    with np.errstate(invalid="ignore"):  # a NaN or a huge value is not equal to what int16 makes of it
        short = values.astype(np.int16)
    return short if bool((short == values).all()) else values.astype(np.float32)
