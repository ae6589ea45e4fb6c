"""Whether values can be Hounsfield units: told by their histogram, because files often say nothing; and voxel sizes.

On Hounsfield's scale a patient's scan has air near -1000, lung near -850, fat near -100 and soft tissue near 50. Masks,
volumes scaled to 0 … 1 or 0 … 255, and raw values (HU + 1024 or + 1000) have none of these where they belong.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.volume import AIR_HU, Grid, Problem

HIGHEST_HU: Final = 31_000  # of the extended scale, on which metal has up to 30,710 HU
METAL_HU: Final = 4095
MAX_METAL_SHARE: Final = 0.05
NARROW_HU: Final = (-200.0, 300.0)  # all values within: a mask, grey levels, or values scaled to a unit range
AIR_BELOW_HU: Final = -200.0  # every scan with air or lung has values below
RAW_TISSUE: Final = (874.0, 1174.0)  # soft tissue in HU + 1000 and HU + 1024
MIN_RAW_TISSUE_SHARE: Final = 0.05
MAX_LABELS: Final = 16  # different values, none of them air: labels
MAX_MASK: Final = 2  # different values, also where one of them is that of air
HIGHEST_LABEL: Final = 255.0
BELOW_AIR_HU: Final = -1300.0  # padding apart: noise of air does not come here
MAX_BELOW_AIR: Final = 0.05
GAP_HU: Final = -1100.0  # up to it from below air there is nothing beside padding that loss has blurred
MAX_IN_GAP: Final = 0.002
LUNG_BELOW_HU: Final = -500.0
MIN_AIR_OR_LUNG: Final = 0.01
ALONE_HU: Final = 100.0  # around a value: nothing else is there
MAX_CONSTANT: Final = 0.05  # of the voxels at one value that is not that of air
CLIPPED_ABOVE_AIR: Final = 100.0
TISSUE_HU: Final = (-150.0, 150.0)
MIRRORED_AIR: Final = 600.0  # lung and air, with their sign turned round, lie above
MIN_MIRRORED_SHARE: Final = 0.2  # no scan is to so great a part of bone and metal
MAX_MIRRORED_BONE: Final = 0.1  # of what lies at the wrong end: bone, whose sign is turned round too
MIN_SOLID_SHARE: Final = 0.05
MIN_TISSUE_OF_SOLID: Final = 0.2
LEAST_MM: Final = 0.05  # of a voxel's side
MOST_MM: Final = (50.0, 20.0, 20.0)  # (z, y, x)
MIN_VOXELS: Final = 512  # fewer have no histogram
IGNORED_SHARE: Final = 1e-4  # of the voxels at each end: streaks and noise
LEAST_WHITE: Final = 1000.0  # HU that no corner of a scan has
MIN_PADDED: Final = 0.005  # of the voxels
MIN_PADDED_SLICES: Final = 0.5
MIN_NEIGHBOURS: Final = 3  # slices
MIN_TAIL: Final = 0.125  # of the rows: so many more than the neighbours
MAX_NAMED: Final = 5
VOXELS_AT_ONCE: Final = 2**22


def size_problems(grid: Grid) -> list[Problem]:
    """What is odd about the size of the voxels: metres or micrometres that were taken for millimetres, mostly."""
    if all(LEAST_MM <= step <= most for step, most in zip(grid.spacing_mm, MOST_MM, strict=True)):
        return []
    said = " × ".join(f"{step:.3g}" for step in grid.spacing_mm)
    return [
        Problem("unusual_geometry", f"voxels of {said} mm (z, y, x): no scanner of patients makes such; other units?")
    ]


def slice_problems(hu: NDArray[Any]) -> list[Problem]:
    """Slices of hu[z, y, x] that end in rows of one value where neither neighbour does: their bytes may be gone.

    A download that was broken off leaves files of full length whose ends are zeros.
    """
    if len(hu) < MIN_NEIGHBOURS:
        return []
    tails = np.array([_num_constant_rows(plane) for plane in hu])
    beside = np.maximum(tails[:-2], tails[2:])
    odd = (np.flatnonzero(tails[1:-1] - beside >= MIN_TAIL * hu.shape[1]) + 1).tolist()
    if not odd:
        return []
    named = ", ".join(f"{k + 1} ({tails[k]} rows of {float(hu[k, -1, -1]):g})" for k in odd[:MAX_NAMED])
    more = " …" if len(odd) > MAX_NAMED else ""
    text = f"slice {named}{more} of {len(hu)} ends in one value where its neighbours do not: are its bytes gone?"
    return [Problem("unusual_values", text)]


def padding_problems(hu: NDArray[Any]) -> list[Problem]:
    """Padding at the white end: all four corners of most slices of hu[z, y, x] hold one value of bone or metal.

    Some software pads with the largest stored value. Between padding and saturated metal nothing tells, so it stays.
    """
    corners = hu[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    value = float(np.median(corners))
    is_padded = (corners == value).all(axis=1)
    if (
        value < LEAST_WHITE
        or is_padded.mean() < MIN_PADDED_SLICES
        or (share := float(np.mean(hu == value))) < MIN_PADDED
    ):
        return []
    text = f"all corners of the slices are {value:g}, {share:.0%} of the values: padding at the white end of any window"
    return [Problem("not_hu", f"{text}, not HU")]


def _num_constant_rows(plane: NDArray[Any]) -> int:
    """How many rows at the end of hu[y, x] hold the last value and no other."""
    if plane[-1, 0] != plane[-1, -1]:
        return 0
    other = (plane != plane[-1, -1]).any(axis=1)
    return len(plane) if not other.any() else int(np.argmax(other[::-1]))


def value_problems(hu: NDArray[Any], padding_hu: float | None = None, *, is_lossy: bool = False) -> list[Problem]:
    """What the histogram says against `hu` being Hounsfield units; padding does not count.

    Args:
        hu: values of any shape.
        padding_hu: the value that says that nothing was measured.
        is_lossy: whether they were compressed with loss, which leaves noise where the padding was.
    """
    if padding_hu is not None:
        measured = hu[hu != padding_hu]
        hu = measured if measured.size else hu
    if hu.size < MIN_VOXELS:
        return []
    lowest, highest = float(hu.min()), float(hu.max())
    said = f"values from {lowest:g} to {highest:g}"
    if max(abs(lowest), abs(highest)) > HIGHEST_HU:
        text = f"{said} are beyond any scanner (PixelRepresentation, RescaleSlope or RescaleIntercept wrong?)"
        return [Problem("not_hu", text)]
    if _share(hu, METAL_HU, np.inf) > MAX_METAL_SHARE:
        return [Problem("not_hu", f"{said}, more than {MAX_METAL_SHARE:.0%} of them above {METAL_HU}: not HU")]
    if lowest == highest:
        return [] if lowest < AIR_BELOW_HU else [Problem("not_hu", f"all values are {lowest:g}: nothing was measured")]
    if lowest > NARROW_HU[0] and highest < NARROW_HU[1]:
        return [Problem("not_hu", f"{said}: {_narrow(hu, lowest, highest)}, not HU")]
    if _share(hu, -np.inf, BELOW_AIR_HU) > MAX_BELOW_AIR and _num_distinct(hu[hu < BELOW_AIR_HU]) > MAX_LABELS:
        text = f"{said}, more than {MAX_BELOW_AIR:.0%} of them below {BELOW_AIR_HU:g}"
        if is_lossy and _is_apart(hu) and not _lacks_tissue(hu):
            remark = Problem("unusual_values", f"{text}: padding that compression with loss has blurred")
            return [remark, *value_problems(hu[hu >= BELOW_AIR_HU])]
        return [Problem("not_hu", f"{text}, where nothing is: not HU (RescaleIntercept was applied twice?)")]
    num_distinct = _num_distinct(hu)
    if num_distinct <= MAX_MASK and highest <= HIGHEST_LABEL:
        return [Problem("not_hu", f"{said}, {num_distinct} of them different: a mask, not HU")]
    without_outside = _without_constant(hu, lowest)
    if highest <= AIR_BELOW_HU:
        text = f"{said}: nothing but air and lung (RescaleSlope wrong, or a lung without its patient?)"
        return [Problem("unusual_values", text)]
    if _share(without_outside, -np.inf, AIR_BELOW_HU) > IGNORED_SHARE:
        return _tissue_problems(hu, said) or _constant_problems(hu, lowest, said)
    hu = without_outside
    if num_distinct <= MAX_LABELS:
        return [Problem("not_hu", f"{said}, few of them different: a mask, not HU")]
    if _share(hu, *RAW_TISSUE) >= MIN_RAW_TISSUE_SHARE:
        text = f"{said}, soft tissue near 1050: HU + 1024 or the like, not HU (RescaleIntercept was not applied)"
        return [Problem("not_hu", text)]
    if lowest >= 0 and float(np.mean(hu == lowest)) > MAX_CONSTANT:
        text = f"{said}, more than {MAX_CONSTANT:.0%} of them {lowest:g}: scaled, or air was set to {lowest:g}"
        return [Problem("not_hu", f"{text}, not HU")]
    return [Problem("unusual_values", f"{said}: no air and no lung; a part of a body, or not HU")]


def _is_apart(hu: NDArray[Any]) -> bool:
    """Whether a gap parts what lies far below air from what is above, and air or lung is among the latter.

    Values that were stretched have no gap, or their air lies below it.
    """
    return _share(hu, BELOW_AIR_HU, GAP_HU) <= MAX_IN_GAP and _share(hu, GAP_HU, LUNG_BELOW_HU) >= MIN_AIR_OR_LUNG


def _without_constant(hu: NDArray[Any], lowest: float) -> NDArray[Any]:
    """Without a lowest value that stands alone, as what lies outside a reconstruction or a mask does."""
    if _share(hu, lowest, lowest + ALONE_HU) > IGNORED_SHARE or lowest > AIR_BELOW_HU:
        return hu
    rest = hu[hu != lowest]
    return rest if rest.size >= MIN_VOXELS else hu


def _tissue_problems(hu: NDArray[Any], said: str) -> list[Problem]:
    """Against values without tissue or without air where these are: turned round, or stretched to another range."""
    high, low_end = _share(hu, MIRRORED_AIR, np.inf), _share(hu, -np.inf, -MIRRORED_AIR)
    if high >= MIN_MIRRORED_SHARE and low_end < MAX_MIRRORED_BONE * high:
        text = f"{said}, {MIN_MIRRORED_SHARE:.0%} above {MIRRORED_AIR:g} and hardly any below {-MIRRORED_AIR:g}"
        return [Problem("not_hu", f"{text}: air lies at the wrong end, the sign is turned round, not HU")]
    if _share(hu, AIR_BELOW_HU, np.inf) < MIN_SOLID_SHARE or not _lacks_tissue(hu):
        return []
    low, high = TISSUE_HU
    text = (
        f"{said}, of the values above {AIR_BELOW_HU:g} less than {MIN_TISSUE_OF_SOLID:.0%} between {low:g} and {high:g}"
    )
    return [Problem("unusual_values", f"{text}, where fat, water and soft tissue are: stretched, or no patient")]


def _lacks_tissue(hu: NDArray[Any]) -> bool:
    """True where hardly anything that is no air is tissue."""
    solid = _share(hu, AIR_BELOW_HU, np.inf)
    return solid < MIN_SOLID_SHARE or _share(hu, *TISSUE_HU) < MIN_TISSUE_OF_SOLID * solid


def _constant_problems(hu: NDArray[Any], lowest: float, said: str) -> list[Problem]:
    """Against one value in too many places, where noise lets none stand: a window's lower end, or a mask's outside."""
    for value, why in ((lowest, "clipped to a window"), (0.0, "what lies outside a mask set to 0")):
        if value > AIR_HU + CLIPPED_ABOVE_AIR and (share := float(np.mean(hu == value))) > MAX_CONSTANT:
            return [Problem("unusual_values", f"{said}, {share:.0%} of them {value:g}: {why}?")]
    return []


def _narrow(hu: NDArray[Any], lowest: float, highest: float) -> str:
    if lowest >= -1.001 and highest <= 1.001:
        return "a mask" if _num_distinct(hu) <= 2 else f"scaled to {'0 … 1' if lowest >= 0 else '-1 … 1'}"
    if lowest >= 0 and highest <= 255:
        return "a mask or grey levels"
    return "scaled, or without air, lung and bone"


def _num_distinct(hu: NDArray[Any]) -> int:
    """Number of different values, as far as it matters."""
    seen: NDArray[Any] = np.empty(0, hu.dtype)
    for part in np.array_split(hu.reshape(-1), max(1, hu.size // VOXELS_AT_ONCE)):
        seen = np.union1d(seen, np.unique(part))
        if len(seen) > MAX_LABELS:
            break
    return len(seen)


def _share(hu: NDArray[Any], low: float, high: float) -> float:
    """Share of values in (low, high)."""
    flat = hu.reshape(-1)
    inside = sum(
        int(np.count_nonzero((part > low) & (part < high)))
        for part in np.array_split(flat, max(1, flat.size // VOXELS_AT_ONCE))
    )
    return inside / flat.size
