"""Strong returns in one profile: where each begins, peaks and ends; and thin ones where it is cold.

A strong return is a maximum of the backscatter that stands out of what lies below and above it by a factor; ripples on
it are part of it. The factor is read off log β as the prominence of a peak, so that neither the haze that a cloud
stands in nor the calibration moves it. What the beam meets is told by what happens behind the peak: from liquid cloud
next to nothing comes back 250 m higher (Hogan, Illingworth and O'Connor 2003, Q. J. R. Meteorol. Soc. 129, 2089;
Tuononen et al. 2019, Atmos. Chem. Phys. 19, 1985).

G gates along the beam.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from ipdsf_spark.lidar.profiles import Float64

PROMINENCE: Final = 1.8  # a return exceeds the lowest backscatter on either side by this factor
SMOOTHED_M: Final = 15.0  # finer gates are averaged over this length
LEAST_SNR: Final = 6.0
LEAST_BETA: Final = 1.5e-5  # m-1 sr-1; what a strong return reaches at least
CUT_BETA: Final = 2e-6  # m-1 sr-1; likewise if the maker has masked all that follows upon it
CUT_RISE: Final = 3.0  # and so much it has risen by then
LOOK_M: Final = 300.0  # a strong return begins and ends at most this far from its peak
FAR_ABOVE_M: Final = 250.0  # above the peak of liquid cloud next to nothing comes back
BEGUN: Final = 0.2  # share of the rise from the valley below to the peak at which a return begins
FOOT: Final = 0.05  # share at which its sum begins
ENDED: Final = 0.05  # of the peak
TINY: Final = 1e-9  # m-1 sr-1; below any signal
THIN_SNR: Final = 3.0  # of every gate of a thin layer
THIN_BETA: Final = 1e-6  # m-1 sr-1
THIN_M: Final = 150.0  # a thin layer is at least that deep


@dataclass(frozen=True)
class Return:
    """One return along the beam.

    Attributes:
        foot, peak, top: gates where its sum begins, of the maximum, and the last one.
        bottom_m: where it has risen by `BEGUN` of the way to its peak, between gates.
        beta: backscatter of the peak [m-1 sr-1].
        valley: lowest backscatter below it, within `LOOK_M` [m-1 sr-1].
        drop: peak over the backscatter 250 m above it; infinite if nothing is left there.
        begins_below: it is there in the lowest gate already.
    """

    foot: int
    peak: int
    top: int
    bottom_m: float
    beta: float
    valley: float
    drop: float
    begins_below: bool


def moving_mean(values: Float64, gates: int) -> Float64:
    """(…, G) mean over `gates` gates around each, of those that hold a value; NaN where none does."""
    if gates <= 1:
        return values
    half, num = gates // 2, values.shape[-1]
    at = np.arange(num)
    stop, start = np.minimum(at + half + 1, num), np.maximum(at - half, 0)
    is_there = np.isfinite(values)
    total = _running(np.where(is_there, values, 0.0))
    if is_there.all():
        return np.asarray((total[..., stop] - total[..., start]) / (stop - start))
    count = _running(is_there.astype(np.float64))
    count = count[..., stop] - count[..., start]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(count > 0, (total[..., stop] - total[..., start]) / count, np.nan))


def _running(values: Float64) -> Float64:
    total = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=total[..., 1:])
    return total


def gates_in(length_m: float, spacing_m: float) -> int:
    """The odd number of gates that comes nearest to a length, at least one."""
    return max(1, 2 * round((length_m / spacing_m - 1.0) / 2.0) + 1)


def runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First gate, and the one behind the last, of every stretch of true."""
    padded = np.zeros(mask.size + 2, bool)
    padded[1:-1] = mask
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]


def strong_returns(beta: Float64, noise: Float64, range_m: Float64) -> list[Return]:
    """Strong returns of one profile, lowest first; they do not overlap.

    Args:
        beta: (G,) attenuated backscatter [m-1 sr-1]; NaN where missing.
        noise: (G,) its standard deviation; NaN or 0 where unknown.
        range_m: (G,) gate centres, equally spaced.
    """
    if beta.size < 3:
        return []
    spacing_m = float(range_m[1] - range_m[0])
    gates = gates_in(SMOOTHED_M, spacing_m)
    mean = moving_mean(beta, gates)
    is_missing = np.isnan(beta)
    known = np.where(noise > 0.0, noise, 0.0) / np.sqrt(gates)
    floor = np.maximum(known, TINY)
    filled = np.where((mean > floor) & ~is_missing, mean, floor)
    padded = np.concatenate([[TINY], filled, [TINY]])
    peaks, _ = find_peaks(np.log(padded), prominence=float(np.log(PROMINENCE)))
    found: list[Return] = []
    lowest = 0
    for peak in (peaks - 1).tolist():
        if peak < lowest or filled[peak] < max(LEAST_SNR * known[peak], CUT_BETA):
            continue
        each = _measured(filled, peak, range_m, lowest)
        if _is_cut(is_missing, peak, spacing_m) and each.beta > CUT_RISE * each.valley:
            each = replace(each, bottom_m=float(range_m[peak]), drop=float("inf"))
        elif each.beta < LEAST_BETA:
            continue
        found.append(each)
        lowest = each.top + 1
    return found


def _is_cut(is_missing: NDArray[np.bool_], peak: int, spacing_m: float) -> bool:
    above = is_missing[peak + 1 : peak + 1 + round(LOOK_M / spacing_m)]
    return bool(above.size) and bool(above.all())


def _measured(mean: Float64, peak: int, range_m: Float64, lowest: int) -> Return:
    """The extent of the return around a peak; it begins at `lowest` or above."""
    spacing_m = float(range_m[1] - range_m[0])
    first = max(lowest, peak - round(LOOK_M / spacing_m))
    valley_at = first + int(np.argmin(mean[first : peak + 1]))
    beta = float(mean[peak])
    begins_below = valley_at == 0 and float(mean[0]) > BEGUN * beta
    valley = 0.0 if begins_below or valley_at == peak else float(mean[valley_at])
    foot_m = _crossing(mean, peak, valley_at, valley + FOOT * (beta - valley), range_m)
    above = mean[peak : peak + 1 + round(LOOK_M / spacing_m)]
    is_over = above < ENDED * beta
    top = peak + (int(np.argmax(is_over)) - 1 if is_over.any() else int(np.argmin(above)))
    far = peak + round(FAR_ABOVE_M / spacing_m)
    return Return(
        foot=min(int(np.searchsorted(range_m, foot_m)), peak),
        peak=peak,
        top=max(top, peak),
        bottom_m=_crossing(mean, peak, valley_at, valley + BEGUN * (beta - valley), range_m),
        beta=beta,
        valley=valley,
        drop=beta / float(mean[far]) if far < mean.size else float("inf"),
        begins_below=begins_below,
    )


def _crossing(mean: Float64, peak: int, valley_at: int, level: float, range_m: Float64) -> float:
    """The highest range below the peak where the mean rises through `level` [m]; the valley's lower edge if none."""
    spacing_m = float(range_m[1] - range_m[0])
    below = np.flatnonzero(mean[valley_at:peak] < level)
    if not below.size:
        return float(range_m[valley_at] - spacing_m / 2)
    at = valley_at + int(below[-1])
    return float(range_m[at] + spacing_m * (level - mean[at]) / (mean[at + 1] - mean[at]))


def thin_layers(beta: Float64, noise: Float64, range_m: Float64, is_cold: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last gate of the stretches of `is_cold` that hold signal in every gate.

    Args:
        beta: (G,) attenuated backscatter [m-1 sr-1], fine gates already averaged.
        noise: (G,) its standard deviation; where unknown nothing is found.
        range_m: (G,) gate centres, equally spaced.
        is_cold: (G,) where ice may be.
    """
    if beta.size < 3:
        return []
    is_there = (beta > THIN_SNR * noise) & (beta > THIN_BETA) & is_cold & (noise > 0.0)
    if not is_there.any():
        return []
    first, stop = runs(is_there)
    last = stop - 1
    deep = (last - first + 1) * float(range_m[1] - range_m[0]) >= THIN_M
    return list(zip(first[deep].tolist(), last[deep].tolist(), strict=True))
