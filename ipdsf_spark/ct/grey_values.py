"""How often each HU occurs in a chest, and a volume brought to the grey values of another distribution.

A network that learns to sharpen tends to the mean: it makes bone too soft and everything else too smooth, and so the
shares of the tissues in what it makes drift. What is asked for is known beforehand, and one rising curve of HU to HU
gives it: histogram specification (Gonzalez & Woods 2018, Digital Image Processing, 4th ed., §3.3).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.slices import for_each_slice
from ipdsf_spark.ct.window import HU_WINDOW

STEPS: Final = 4_096  # at which the curve is known
PER_HU: Final = 256  # values of the curve
MOST_VOXELS: Final = 4_000_000  # from which it is made
Box = tuple[tuple[int, int], tuple[int, int]]


def hu_shares(hu: NDArray[Any], window_hu: tuple[int, int] = HU_WINDOW) -> NDArray[np.float64]:
    """Share of each whole HU of a window, both ends included; what lies outside counts to the ends."""
    low, high = window_hu
    steps = np.rint(np.clip(hu, low, high)).astype(np.int32).ravel() - low
    counts: NDArray[np.float64] = np.bincount(steps, minlength=high - low + 1) / max(1, steps.size)
    return counts


def give_hu_shares(
    hu: NDArray[np.float32],
    box: Box,
    shares: NDArray[np.float64],
    window_hu: tuple[int, int] = HU_WINDOW,
    *,
    seed: tuple[int, ...] = (0,),
) -> None:
    """Change a volume in place so that its voxels within a box have given shares of whole HU; their order stays.

    Args:
        hu: [z, y, x].
        box: first and last+1 row and column.
        shares: of each whole HU of the window, at least one above 0.
        window_hu: low and high.
        seed: of the order among equal voxels, which no curve tells apart.

    Raises:
        ValueError: the shares are not those of the window, or none is above 0.
    """
    low, high = window_hu
    if len(shares) != high - low + 1 or not np.asarray(shares).max() > 0:
        raise ValueError(f"a window of {window_hu} HU needs {high - low + 1} shares, not all 0; got {len(shares)}")

    def disturb(z: int) -> None:
        hu[z] += np.random.default_rng((*seed, z)).random(hu[z].shape, np.float32) - np.float32(0.5)

    for_each_slice(disturb, range(len(hu)))
    inside = hu[:, slice(*box[0]), slice(*box[1])]
    step = max(1, round((inside.size / MOST_VOXELS) ** (1 / 3)))
    known = np.sort(inside[::step, ::step, ::step], axis=None)
    reached = (np.arange(STEPS) + 0.5) / STEPS
    given = known[(reached * known.size).astype(np.int64)]
    wanted = _quantiles(np.asarray(shares, np.float64), low, reached)
    table = np.interp(np.arange((high - low + 2) * PER_HU + 1) / PER_HU + low - 1, given, wanted)
    table = np.clip(table, low, high).astype(np.float32)

    def lift(z: int) -> None:
        hu[z] = table[np.rint((np.clip(hu[z], low - 1, high + 1) - (low - 1)) * PER_HU).astype(np.int32)]

    for_each_slice(lift, range(len(hu)))


def _quantiles(shares: NDArray[np.float64], low: int, reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """HU below which a share of the voxels lies; a whole HU stands for the half unit on either side of it."""
    below = np.concatenate(([0.0], np.cumsum(shares)))
    edges = low - 0.5 + np.arange(len(below))
    rising = np.concatenate(([True], np.diff(below) > 0))
    # Where nothing lies between two HU, the lower edge of the gap is the upper one of what lies below it.
    last = np.concatenate((rising[1:], [True]))
    kept = rising | last
    quantiles: NDArray[np.float64] = np.interp(reached, below[kept] / below[-1], edges[kept])
    return quantiles
