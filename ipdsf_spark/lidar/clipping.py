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
_LAST_GATES: Final = 128
_TOGETHER: Final = 64  # profiles that are looked at at once
_ZERO: Final = np.zeros((), np.float32)  # compared with sooner than a number is, which must be made an array first
_ONE_BIT: Final = np.ones((), np.uint32)
_INFINITE_BITS: Final = np.uint32(0x7F80_0000)  # of infinity in four bytes
COUNTS: Final = 2.5  # typical size of what stands between the zeros of a signal in whole counts


def clipped_gates(beta: Float32, range_m: Float64) -> dict[int, int]:
    """The lowest gate from which a profile is clipped.

    Args:
        beta: (T, G) attenuated backscatter or range-corrected signal, NaN where missing.
        range_m: (G,) gate centres [m], equally spaced.

    Returns:
        By the row of each profile that is clipped.
    """
    found: dict[int, int] = {}
    if range_m.size < 2 * MIN_GATES or not range_m[1] > range_m[0]:
        return found
    spacing_m = float(range_m[1] - range_m[0])
    needed = max(MIN_GATES, round(MIN_DEPTH_M / spacing_m))
    # Noise makes neighbours differ: most profiles are known to be whole after one look.
    is_repeated = beta[:, 1:] == beta[:, :-1]
    limit = max(needed, MIN_REPEATED * range_m.size)
    if np.count_nonzero(is_repeated) < limit:
        return found
    window = max(3, round(WINDOW_M / spacing_m))
    edge = max(window, round(EDGE_M / spacing_m))
    rows = [row for row, num in enumerate(map(np.count_nonzero, is_repeated)) if num >= limit]
    for start in range(0, len(rows), _TOGETHER):
        some = rows[start : start + _TOGETHER]
        signals = beta if len(some) == len(beta) else beta[some]
        gates = _first_clipped_gates(signals, needed, window, edge)
        found.update((row, gate) for row, gate in zip(some, gates, strict=True) if gate is not None)
    return found


def _first_clipped_gates(signals: Float32, needed: int, window: int, edge: int) -> list[int | None]:
    """The lowest clipped gate of each profile in which numbers repeat; None where one is not clipped.

    Args:
        signals: (N, G) profiles; what can be is done for all together, which takes little longer than for one.
        needed: gates that must be clipped.
        window: gates of which half stand on the floor where it is clipped.
        edge: gates around the first clipped one in which its counts are looked at.
    """
    num_profiles, num_gates = signals.shape
    gates: list[int | None] = [None] * num_profiles
    is_floor, floors, num_below = _floors(signals, needed)
    fewest = min(needed, num_gates)  # with fewer on its floor a profile is not clipped, wherever they lie
    open_rows = []
    for row, floor in enumerate(floors):
        if floor is None:
            continue
        on_floor = is_floor[row]
        if np.count_nonzero(on_floor) < fewest:
            continue
        if on_floor[0]:  # zeros at the ground are where the beam and the view do not yet overlap
            first_seen = int(on_floor.argmin())
            if on_floor[first_seen]:
                gates[row] = 0  # nothing but floor
                continue
            on_floor[:first_seen] = False
        open_rows.append((row, floor))
    if not open_rows:
        return gates
    count = np.zeros((num_profiles, num_gates + 1), np.int32)  # of gates on the floor below each boundary
    np.add.accumulate(is_floor, axis=1, out=count[:, 1:])
    in_window = count[:, window:] - count[:, :-window]
    is_dense, is_whole = in_window > window // 2, in_window <= int(BEGUN_SHARE * window)
    begun = []
    for row, floor in open_rows:
        first = is_dense[row].tobytes().find(True)
        if first >= 0 and _stays_on(floor, is_floor[row, first:], signals[row, first:], needed, num_below[row]):
            lowest = is_whole[row].tobytes().rfind(True, 0, first) + 1
            begun.append((row, floor, is_floor[row].tobytes().find(True, lowest)))
    if not begun:
        return gates
    signals = signals if len(begun) == num_profiles else signals[[row for row, _, _ in begun]]
    for (row, floor, at), signal, step in zip(begun, signals, _smallest_steps(signals), strict=True):
        if not (_is_counted(signal[max(0, at - edge) : at + edge], floor, step) or _is_noiseless(signal[:at])):
            gates[row] = at
    return gates


def _floors(signals: Float32, needed: int) -> tuple[NDArray[np.bool_], list[Float32 | None], list[int]]:
    """Which gates stand on the floor of each profile, the floor (one number, as an array), and how many are below zero.

    The floor is zero, or the lowest number if it is met more. None if there is much below zero, and the lowest number
    of all is not met again and again.
    """
    is_floor, is_below = signals == _ZERO, signals < _ZERO
    num_below = [int(np.count_nonzero(each)) for each in is_below]
    most_below = MAX_NEGATIVE * signals.shape[1]
    floors: list[Float32 | None] = [_ZERO] * len(signals)
    if max(num_below) <= most_below and all(
        0 < np.count_nonzero(at_zero) >= below for at_zero, below in zip(is_floor, num_below, strict=True)
    ):
        return is_floor, floors, num_below  # the lowest number is not met more
    lowest = np.fmin.reduce(signals, axis=1, keepdims=True)
    for row, at_lowest in enumerate(signals == lowest):
        num_lowest = np.count_nonzero(at_lowest)
        if num_lowest < needed and num_below[row] > most_below:
            floors[row] = None
        elif num_lowest > np.count_nonzero(is_floor[row]):
            is_floor[row], floors[row] = at_lowest, lowest[row]
    return is_floor, floors, num_below


def _stays_on(floor: Float32, on_floor: NDArray[np.bool_], above: Float32, needed: int, most_below: int) -> bool:
    """Whether most of the signal above the first dense window stands on the floor, and hardly any below it."""
    num_floor = np.count_nonzero(on_floor)
    if num_floor < needed:
        return False
    if num_floor >= MIN_SHARE * above.size and most_below <= MAX_BELOW * num_floor:
        return True  # of as many as are seen at most, and of fewer than are seen
    num_seen = np.count_nonzero(above == above)
    return bool(num_floor >= MIN_SHARE * num_seen and np.count_nonzero(above < floor) <= MAX_BELOW * num_seen)


def _is_noiseless(below: Float32) -> bool:
    """Whether the signal below the first zeros is as smooth as a formula: then the floor is part of the formula."""
    if below.size < 2:
        return False
    # Nearly all noise is told from the peaks of its last gates, which are turns; a formula is looked at whole.
    last = below[-_LAST_GATES:]
    rises, falls = last[1:] > last[:-1], last[1:] < last[:-1]
    if np.count_nonzero(rises[:-1] & falls[1:]) >= MIN_TURNS * below.size:
        return False
    num_turns, num_steps = _num_turns(below)
    return num_turns < MIN_TURNS * max(1, num_steps - 1)


def _num_turns(signal: Float32) -> tuple[int, int]:
    """How often the signal changes direction, and in how many steps."""
    steps = signal[1:] - signal[:-1]
    rises = steps[(steps != _ZERO) & (steps == steps)] > _ZERO
    return int(np.count_nonzero(rises[1:] != rises[:-1])), rises.size


def _is_counted(around: Float32, floor: Float32, step: float) -> bool:
    """Whether what is left around the first zeros is as small as the steps in which the profile is written."""
    left = np.abs(around - floor)
    left = left[left > _ZERO]
    return left.size > 0 and bool(2 * np.count_nonzero(left <= COUNTS * step) >= left.size)


def _smallest_steps(signals: Float32) -> list[float]:
    """The smallest step from gate to gate of each profile that is one; infinite where there is none."""
    steps = signals[:, 1:] - signals[:, :-1]
    np.abs(steps, out=steps)
    # The bits of positive floats rise as they do: less one, those of zero are the highest of all, and NaN above others.
    bits = steps.view(np.uint32)
    bits -= _ONE_BIT
    lowest = np.minimum.reduce(bits, axis=1, initial=_INFINITE_BITS - _ONE_BIT) + _ONE_BIT
    found: list[float] = lowest.view(np.float32).tolist()
    return found
