"""Signal that an instrument has clipped: zeros, or another floor, written where the signal was weak.

Firmware of the CS135 writes zeros where the signal is below its noise, and archives cut profiles off in the same way.
The edge of the zeros is no layer. Real weak signal differs from it: its noise lies on both sides of zero, and where it
is written in whole counts, the numbers between its zeros are the smallest there are.

beta[time, gate], range_m[gate].
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64

MIN_GATES: Final = 8  # fewer equal neighbours come by chance where signal is written in whole counts
MIN_DEPTH_M: Final = 150.0
WINDOW_M: Final = 120.0  # half of the gates of such a stretch on the floor: from there on nothing can be trusted
BEGUN_SHARE: Final = 0.15  # of the gates on the floor: what is left between them is the larger half of the noise
EDGE_M: Final = 300.0  # around the first clipped gate, where the size of what is left tells counts from clipping
MIN_SHARE: Final = 0.5  # of the gates above it are on the floor; a cloud above clipped air is seen again
MAX_NEGATIVE: Final = 0.1  # of all gates; 0.01 in clipped profiles, 0.2 in those of whole counts
MAX_BELOW: Final = 0.05  # of them lie below the floor; 0.01 in clipped profiles, 0.2 in those of whole counts
MIN_TURNS: Final = 0.03  # of the steps below it change direction; fewer where a profile knows no noise at all
MIN_REPEATED: Final = 0.1  # of the gates repeat their neighbour; a profile clipped further up than that loses nothing
COUNTS: Final = 2.5  # typical size of what stands between the zeros of a signal in whole counts


def clipped_from(beta: Float32, range_m: Float64) -> Float32:
    """The lowest range from which each profile is clipped.

    Args:
        beta: (T, G) attenuated backscatter or range-corrected signal, NaN where missing.
        range_m: (G,) gate centres, equally spaced.

    Returns:
        (T,) range of the lowest clipped gate [m]; NaN where a profile is not clipped.
    """
    found = np.full(len(beta), np.nan, np.float32)
    if range_m.size < 2 * MIN_GATES or not range_m[1] > range_m[0]:
        return found
    spacing_m = float(range_m[1] - range_m[0])
    needed = max(MIN_GATES, round(MIN_DEPTH_M / spacing_m))
    # Noise makes neighbours differ: most profiles are known to be whole after one look.
    is_repeated = beta[:, 1:] == beta[:, :-1]
    limit = max(needed, MIN_REPEATED * range_m.size)
    if np.count_nonzero(is_repeated) < limit:
        return found
    rows = np.flatnonzero(np.count_nonzero(is_repeated, axis=1) >= limit)
    rows = rows[_may_stand_on_a_floor(beta[rows], needed)]
    if rows.size:
        found[rows] = _of_repeating(beta[rows], range_m, needed, max(3, round(WINDOW_M / spacing_m)))
    return found


def _may_stand_on_a_floor(beta: Float32, needed: int) -> NDArray[np.bool_]:
    """(T,) whether there is little below zero, or the lowest number of all is met again and again."""
    is_likely = np.array([np.count_nonzero(row < 0.0) <= MAX_NEGATIVE * row.size for row in beta], bool)
    for row in np.flatnonzero(~is_likely):
        is_likely[row] = np.count_nonzero(beta[row] == np.fmin.reduce(beta[row])) >= needed
    return is_likely


def _of_repeating(beta: Float32, range_m: Float64, needed: int, window: int) -> Float32:
    """`clipped_from` of profiles in which numbers repeat."""
    found = np.full(len(beta), np.nan, np.float32)
    is_floor, floor = _floor(beta)
    found[is_floor.all(axis=1)] = range_m[0]
    # Zeros at the ground are where the beam and the view do not yet overlap.
    for row in np.flatnonzero(is_floor[:, 0] & np.isnan(found)):
        is_floor[row, : int(np.argmin(is_floor[row]))] = False
    count = _counted(is_floor)
    is_dense = 2 * (count[:, window:] - count[:, :-window]) > window
    first = np.argmax(is_dense, axis=1)
    every = np.arange(len(beta))
    above = count[:, -1] - count[every, first]
    num_below = _from(beta < floor[:, None], first)
    num_seen = _from(beta == beta, first)
    is_likely = is_dense.any(axis=1) & (above >= needed) & (above >= MIN_SHARE * num_seen)
    is_likely &= np.isnan(found) & (num_below <= MAX_BELOW * num_seen)
    edge = max(window, round(EDGE_M / float(range_m[1] - range_m[0])))
    for row in np.flatnonzero(is_likely):
        begun = count[row, window:] - count[row, :-window] > BEGUN_SHARE * window
        whole = np.flatnonzero(~begun[: first[row]])
        lowest = int(whole[-1]) + 1 if whole.size else 0
        at = lowest + int(np.argmax(is_floor[row, lowest:]))
        if not _is_noiseless(beta[row, :at]) and not _is_counted(beta[row], float(floor[row]), at, edge):
            found[row] = range_m[at]
    return found


def _floor(beta: Float32) -> tuple[NDArray[np.bool_], Float32]:
    """Which gates stand on the floor of their profile, and the floor: zero, or the lowest number if it is met more."""
    floor = np.zeros(len(beta), np.float32)
    is_floor = beta == 0.0
    lowest = np.fmin.reduce(beta, axis=1)
    other = np.flatnonzero((lowest != 0.0) & (lowest == lowest))
    if other.size:
        is_other = beta[other] == lowest[other, None]
        is_more = np.count_nonzero(is_other, axis=1) > np.count_nonzero(is_floor[other], axis=1)
        is_floor[other[is_more]] = is_other[is_more]
        floor[other[is_more]] = lowest[other[is_more]]
    return is_floor, floor


def _counted(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(T, G + 1) how many gates below each boundary are true."""
    count = np.zeros((len(mask), mask.shape[1] + 1), np.int32)
    np.cumsum(mask, axis=1, out=count[:, 1:])
    return count


def _from(mask: NDArray[np.bool_], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T,) how many gates from `first` on are true."""
    return np.array([np.count_nonzero(row[at:]) for row, at in zip(mask, first, strict=True)])


def _is_noiseless(below: Float32) -> bool:
    """Whether the signal below the first zeros is as smooth as a formula: then the floor is part of the formula."""
    steps = np.diff(below)
    rises = steps[(steps != 0.0) & (steps == steps)] > 0.0
    return below.size > 1 and np.count_nonzero(rises[1:] != rises[:-1]) < MIN_TURNS * max(1, rises.size - 1)


def _is_counted(beta: Float32, floor: float, at: int, edge: int) -> bool:
    """Whether what is left around the first zeros is as small as the steps in which the profile is written."""
    left = np.abs(beta[max(0, at - edge) : at + edge] - floor)
    left = left[left > 0.0]
    if not left.size:
        return False
    steps = np.abs(beta[1:] - beta[:-1])
    step = float(steps.min(where=steps > 0.0, initial=np.inf))
    return bool(2 * np.count_nonzero(left <= COUNTS * step) >= left.size)
