"""Slices of one constant spacing whose positions were written in whole units: steps of 3, 2, 3, 2 mm for 2.5 mm.

A position that was rounded says that the slice lies within half a unit of it, one that was cut off that it lies within
a unit on the far side from zero. Constant spacing means a straight line of position over index, so the spacings that
can have led to the positions are those of the lines through all these intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNITS_MM: Final = (1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.02, 0.01)
WHOLE_UNITS: Final = 1e-3  # of a unit, by which a whole number of them may be off
NOISE_MM: Final = 1e-6  # of numbers that were written in decimals
ALIGNED: Final = 0.99999  # of the largest component of a normal: an axis of the patient
MIN_RARER: Final = 2  # steps of the rarer length: fewer are a single odd place among even steps
MIN_RARER_FINE: Final = 3  # the same where a missing slice gives such a step as well

Steps = NDArray[np.float64]  # (N,) mm, of steps or positions


@dataclass(frozen=True)
class RoundedPositions:
    """A constant spacing behind positions that were written in whole units."""

    unit_mm: float
    spacing_mm: float
    counts: NDArray[np.int64]  # spacings from each slice to the next: 1 but where slices are missing

    @property
    def index(self) -> NDArray[np.int64]:
        """Of each slice on the even grid, the first at 0."""
        return np.concatenate(([0], np.cumsum(self.counts)))


def rounded_positions(
    places_mm: NDArray[np.float64],
    normal: NDArray[np.float64],
    *,
    said_mm: Sequence[float] = (),
    numbers: Sequence[int] = (),
) -> RoundedPositions | None:
    """The constant spacing of which `places_mm` are the rounded positions; None where no spacing leads to them.

    Where the spacing is less than two units, a missing slice gives a step that rounding gives as well: then the headers
    must speak for it, by a spacing or thickness that fits, or by slice numbers without a gap and a regular alternation.

    Args:
        places_mm: (N, 3) LPS positions as written, in the order of the slices.
        normal: (3,) unit normal of the slices, along which positions grow.
        said_mm: spacings that the headers name; one that can have led to the positions is taken.
        numbers: of the slices, as their headers count them; empty where they do not.
    """
    positions = places_mm @ normal
    steps = np.diff(positions)
    is_changing = np.ptp(places_mm, axis=0) > NOISE_MM
    unit = _unit(places_mm[:, is_changing])
    if unit is None or len(steps) < 2 or steps.min() <= 0:
        return None
    reach = unit if is_aligned(normal) else unit * float(np.abs(normal[is_changing]).sum())
    apart = np.abs(np.diff(numbers)) if len(numbers) == len(positions) else np.zeros(0, np.int64)
    if len(apart) and apart.min() == 1 and apart.max() > 1:
        # Where numbers leave some out, they say how many are missing, of which fine steps cannot tell.
        found = _nearest(positions, np.asarray(apart, np.int64), unit, reach, said_mm)
        if found is not None and found.spacing_mm in said_mm and np.ptp(steps / apart) > NOISE_MM:
            return found
    counts = _counts(steps, reach)
    found = _nearest(positions, counts, unit, reach, said_mm)
    if found is None and is_aligned(normal) and positions[0] < NOISE_MM and positions[-1] > -NOISE_MM:
        found = _cut_off(positions, counts, unit, said_mm)
    if found is None:
        return None
    is_single = counts == 1
    own = apart[is_single] if len(apart) else apart
    return found if _is_believed(found.spacing_mm, steps[is_single], own, reach, said_mm) else None


def is_aligned(normal: NDArray[np.float64]) -> bool:
    """True for slices across an axis of the patient."""
    return bool(np.abs(normal).max() >= ALIGNED)


def _counts(steps: Steps, reach: float) -> NDArray[np.int64]:
    """Spacings in each step, where the longest step of one spacing is shorter than the shortest of two."""
    if steps.min() < 2 * reach - NOISE_MM:
        return np.ones(len(steps), np.int64)
    is_single = steps <= steps.min() + reach + NOISE_MM
    counts = np.where(is_single, 1, np.maximum(np.rint(steps / steps[is_single].mean()), 1))
    return np.asarray(counts, np.int64)


def _nearest(
    positions: Steps, counts: NDArray[np.int64], unit: float, reach: float, said_mm: Sequence[float]
) -> RoundedPositions | None:
    """Positions that were rounded to the nearest unit, or all up, or all down."""
    low, high = positions - reach / 2, positions + reach / 2
    found = _straight(low, high, counts, unit, said_mm)
    if found is None:
        return None
    off = np.diff(positions) - counts * found.spacing_mm
    if bool((np.abs(off) < reach - NOISE_MM).all()):
        return found
    # A slice in a wrong place leads there and back in steps of a whole unit too much and too little. So do halves that
    # are rounded to even, but then to just these positions.
    grid = found.spacing_mm * found.index
    begin = (float((low - grid).max()) + float((high - grid).min())) / 2
    again = unit * np.rint(np.round((begin + grid) / unit, 6))
    return found if reach == unit and np.abs(again - positions).max() <= unit * WHOLE_UNITS else None


def _cut_off(
    positions: Steps, counts: NDArray[np.int64], unit: float, said_mm: Sequence[float]
) -> RoundedPositions | None:
    """Positions on both sides of zero whose decimals were cut off: each lies nearer to zero than its slice."""
    low, high = positions - unit * (positions < NOISE_MM), positions + unit * (positions > -NOISE_MM)
    found = _straight(low, high, counts, unit, said_mm)
    if found is None:
        return None
    off = np.diff(positions) - counts * found.spacing_mm
    is_at_zero = (positions[:-1] < NOISE_MM) & (positions[1:] > -NOISE_MM)
    is_short = off > NOISE_MM - np.where(is_at_zero, 2 * unit, unit)
    return found if bool((is_short & (off < unit - NOISE_MM)).all()) else None


def _straight(
    low: Steps, high: Steps, counts: NDArray[np.int64], unit: float, said_mm: Sequence[float]
) -> RoundedPositions | None:
    """The slope of a line through all intervals [low, high], a stated one before the middle of the possible ones."""
    index = np.concatenate(([0], np.cumsum(counts)))
    least, most = -np.inf, np.inf
    for lag in range(1, len(index)):
        apart = index[lag:] - index[:-lag]
        least = max(least, float(((low[lag:] - high[:-lag]) / apart).max()))
        most = min(most, float(((high[lag:] - low[:-lag]) / apart).min()))
    if most < least - NOISE_MM or most <= 0:
        return None
    said = [s for s in said_mm if least - NOISE_MM <= s <= most + NOISE_MM and not _is_whole(s / unit)]
    return RoundedPositions(unit, said[0] if said else (max(least, 0.0) + most) / 2, counts)


def _unit(coordinates_mm: Steps) -> float | None:
    """The largest unit of which all are whole multiples."""
    return next((unit for unit in UNITS_MM if bool(_is_whole(coordinates_mm / unit).all())), None)


def _is_whole(numbers: Steps | float) -> NDArray[np.bool_]:
    return np.asarray(np.abs(numbers - np.rint(numbers)) <= WHOLE_UNITS)


def _is_believed(
    spacing: float, steps: Steps, apart: NDArray[np.int64], reach: float, said_mm: Sequence[float]
) -> bool:
    """True where one odd place or missing slice is not the simpler explanation of these steps.

    Args:
        spacing: the constant one [mm], one of `said_mm` where the headers name it.
        steps: those of one spacing [mm].
        apart: by how much the slices' numbers differ at each step; empty where there are none.
        reach: between the nearest and the farthest slice that have one position [mm].
        said_mm: spacings that the headers name.
    """
    is_longer = steps > spacing + NOISE_MM
    rarer = min(int(is_longer.sum()), int((steps < spacing - NOISE_MM).sum()))
    if not rarer:
        return False  # steps of one length were not rounded
    if len(apart) and (apart[is_longer] > apart.min()).any() and (apart[~is_longer] == apart.min()).all():
        return False  # numbers leave some out just where steps are long
    if spacing not in said_mm and any(abs(s - steps.min()) <= NOISE_MM for s in said_mm):
        return False  # most likely it is as the headers say, and the longer steps are odd
    if spacing >= 2 * reach - NOISE_MM:
        return spacing in said_mm or rarer >= MIN_RARER
    is_counted = len(apart) > 0 and apart[0] > 0 and bool((apart == apart[0]).all())
    if spacing in said_mm:
        return is_counted or rarer >= MIN_RARER_FINE
    return is_counted and rarer >= MIN_RARER_FINE
