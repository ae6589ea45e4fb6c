"""Cloud layers of one profile: which of its returns are clouds, and of what.

Liquid is what the beam does not come through: its return falls to a fifth or less within 250 m of its peak. Other cold
returns are ice. In the first gates, where overlap and the receiver's recovery distort the signal, a return counts only
if it is very strong, or if nothing comes back from above it: fog and low stratus do that, a distortion does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.targets.bases import base_of
from ipdsf_spark.lidar.targets.returns import Return, gates_in, moving_mean, strong_returns, thin_layers

LIQUID_DROP: Final = 5.0  # peak over the backscatter 250 m above it
LIQUID_RISE: Final = 2.0  # peak over the lowest backscatter within 300 m below it: the end of a deep layer is no cloud
ICE_DEPOLARISATION: Final = 0.15  # of the lower half of a return, before scattering more than once depolarises it
CERTAIN_BETA: Final = 3e-5  # m-1 sr-1; no distortion that begins above `DISTORTED_M` has been seen as strong
DISTORTED_M: Final = 20.0
FOG_DEPTH_M: Final = 40.0  # what fills the first gates and ends lower is a distortion, or something on the window
LOST_BETA: Final = 2e-7  # m-1 sr-1; the largest mean behind a return that hides all, clean air aside
LOST: Final = 1e-3  # of the peak: what a receiver still recovers from
BEHIND_M: Final = (300.0, 900.0)  # above the peak, where that mean is taken
THIN_GATE_M: Final = 30.0  # thin layers are looked for in gates of about this length


@dataclass(frozen=True)
class CloudLayer:
    """One cloud along the beam.

    Attributes:
        first, peak, last: its gates.
        bottom_m: where its return begins to rise.
        base_m: its base as the instrument's maker would see it.
        top_m: upper edge of its last gate; of liquid cloud how far the beam came.
        beta: backscatter of its peak [m-1 sr-1].
        is_liquid: it ends the beam within 250 m, and does not depolarise like ice.
        begins_below: its return fills the lowest gates: `bottom_m` and `base_m` are upper bounds.
    """

    first: int
    peak: int
    last: int
    bottom_m: float
    base_m: float
    top_m: float
    beta: float
    is_liquid: bool
    begins_below: bool


def clouds_of(
    beta: Float64,
    noise: Float64,
    range_m: Float64,
    *,
    is_cold: NDArray[np.bool_],
    is_freezing: NDArray[np.bool_] | None = None,
    may_be_liquid: NDArray[np.bool_] | None = None,
    depolarisation: Float64 | None = None,
    lowest_m: float = 0.0,
    instrument: str = "",
) -> list[CloudLayer]:
    """Cloud layers of one profile, lowest first.

    Args:
        beta: (G,) attenuated backscatter [m-1 sr-1]; NaN where missing.
        noise: (G,) its standard deviation; NaN or 0 where unknown.
        range_m: (G,) gate centres, equally spaced.
        is_cold: (G,) where what is not liquid is ice.
        is_freezing: (G,) where depolarisation may tell ice; None: anywhere.
        may_be_liquid: (G,) where droplets can exist; None: anywhere.
        depolarisation: (G,) linear depolarisation ratio, or None.
        lowest_m: lowest trustworthy range.
        instrument: maker and model, whose definition of a base is used.
    """
    if beta.size < 3:
        return []
    strong = strong_returns(beta, noise, range_m)
    thin = _thin(beta, noise, range_m, is_cold)
    spacing_m = float(range_m[1] - range_m[0])
    found: list[CloudLayer] = []
    for number, each in enumerate(strong):
        if range_m[each.peak] < lowest_m and not (
            (each.beta > CERTAIN_BETA and each.bottom_m > DISTORTED_M)
            or _hides_all(each, beta, spacing_m, strong[number + 1 :], thin)
        ):
            continue
        may_be_ice = depolarisation is not None and (is_freezing is None or bool(is_freezing[each.peak]))
        is_icy = may_be_ice and _lower_half(each, beta, depolarisation) > ICE_DEPOLARISATION
        has_risen = each.begins_below or each.beta >= LIQUID_RISE * each.valley
        is_liquid = each.drop >= LIQUID_DROP and has_risen and not is_icy
        is_liquid &= may_be_liquid is None or bool(may_be_liquid[each.peak])
        if not is_liquid and (is_cold[each.peak] or not is_icy):
            continue  # ice that is deep enough is found as such; warm and not liquid: haze, or rain
        if not is_liquid and any(first <= each.peak <= last for first, last in thin):
            continue
        found.append(
            CloudLayer(
                first=int(np.searchsorted(range_m, each.bottom_m)) if each.bottom_m > range_m[0] else 0,
                peak=each.peak,
                last=each.top,
                bottom_m=max(each.bottom_m, 0.0),
                base_m=max(base_of(each, beta, range_m, instrument), 0.0),
                top_m=float(range_m[each.top] + spacing_m / 2),
                beta=each.beta,
                is_liquid=is_liquid,
                begins_below=each.begins_below,
            )
        )
    for first, last in thin:
        if any(layer.is_liquid and layer.first <= last and first <= layer.last for layer in found):
            first, last = _beside(first, last, [layer for layer in found if layer.is_liquid])
            if last < first:
                continue
        peak = first + int(np.nanargmax(beta[first : last + 1]))
        bottom_m = float(range_m[first] - spacing_m / 2)
        top_m = float(range_m[last] + spacing_m / 2)
        found.append(CloudLayer(first, peak, last, bottom_m, bottom_m, top_m, float(beta[peak]), False, False))
    return sorted(found, key=lambda layer: layer.first)


def _beside(first: int, last: int, liquid: list[CloudLayer]) -> tuple[int, int]:
    """The part of a thin layer below the lowest liquid cloud in it: what falls out of that; or above the highest."""
    inside = [layer for layer in liquid if layer.first <= last and first <= layer.last]
    below = (first, min(layer.first for layer in inside) - 1)
    above = (max(layer.last for layer in inside) + 1, last)
    return below if below[1] - below[0] >= above[1] - above[0] else above


def _thin(beta: Float64, noise: Float64, range_m: Float64, is_cold: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Thin cold layers, found in means over `THIN_GATE_M`, as gates of the profile."""
    if not is_cold.any():
        return []
    gates = gates_in(THIN_GATE_M, float(range_m[1] - range_m[0]))
    mean = moving_mean(beta, gates)
    mean[np.isnan(beta)] = np.nan
    return thin_layers(mean, noise / np.sqrt(gates), range_m, is_cold)


def _hides_all(low: Return, beta: Float64, spacing_m: float, others: list[Return], thin: list[tuple[int, int]]) -> bool:
    if thin or any(other.drop >= LIQUID_DROP for other in others) or (low.top + 1) * spacing_m < FOG_DEPTH_M:
        return False
    behind = beta[low.peak + round(BEHIND_M[0] / spacing_m) : low.peak + round(BEHIND_M[1] / spacing_m)]
    return bool(np.mean(np.nan_to_num(behind)) < max(LOST_BETA, LOST * low.beta)) if behind.size else False


def _lower_half(found: Return, beta: Float64, depolarisation: Float64 | None) -> float:
    """Depolarisation of the return up to its peak, weighted with beta; NaN where it is not known."""
    if depolarisation is None:
        return float("nan")
    gates = slice(found.foot, found.peak + 1)
    weight = np.where(np.isfinite(depolarisation[gates]) & (beta[gates] > 0), beta[gates], 0.0)
    total = float(weight.sum())
    return float((weight * np.nan_to_num(depolarisation[gates])).sum()) / total if total > 0 else float("nan")
