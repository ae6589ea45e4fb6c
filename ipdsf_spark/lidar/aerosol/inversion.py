"""Extinction of particles from calibrated attenuated backscatter, gate by gate from the ground up.

Lidar equation of two components (Fernald 1984, Appl. Opt. 23, 652), solved forward from a calibrated signal:

    β_att,i = (β_m,i + α_i / S) T_m,i² exp(-2 Σ_{j<i} α_j Δz - α_i Δz)

With x = α_i Δz and A = β_att,i / (T_m,i² exp(-2 Σ_{j<i} α_j Δz)) each gate is x = S Δz (A e^x - β_m,i), whose solution
in closed form is x = -W₀(-S Δz A e^-c) - c with c = S Δz β_m,i and W₀ the principal branch of Lambert's function,
and where no solution exists (-S Δz A e^-c below -1/e) the assumed lidar ratio cannot explain the signal.

The forward solution needs no clear air aloft, which a ceilometer rarely sees by day; its errors grow with optical depth
instead of shrinking, which is why it ends where the signal does.

G gates; heights in metres above the instrument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import lambertw

from ipdsf_spark.lidar.profiles import Float64

BRANCH_POINT: Final = -math.exp(-1.0)
NEAR_BRANCH_POINT: Final = -0.3  # beyond, Newton's steps grow unreliable and W₀ itself is evaluated
MOST_DEPTH: Final = 3.0  # optical depth beyond which a forward solution is only error, and the profile ends


@dataclass(frozen=True, eq=False)
class Extinction:
    """Extinction of particles in the gates of one profile.

    Attributes:
        range_m: (G,) centres of the gates.
        extinction: (G,) of particles [m-1]; NaN from the first gate that is missing or that no extinction explains, and
            behind `MOST_DEPTH`.
        depth: (G,) optical depth of particles from the ground to the upper edge of each gate.
        diverged: the signal is too strong for this lidar ratio and calibration: a gate had no solution.
    """

    range_m: Float64
    extinction: Float64
    depth: Float64
    diverged: bool


def transmission_squared(extinction: Float64, range_m: Float64) -> Float64:
    """(G,) two-way transmission from the instrument to the middle of each gate; below the lowest gate as in it.

    Args:
        extinction: (G,) [m-1].
        range_m: (G,) centres, equally spaced.
    """
    step_m = gate_length_m(range_m)
    below = extinction[0] * (range_m[0] - step_m / 2)
    before = np.concatenate([[0.0], np.cumsum(extinction[:-1])]) * step_m
    return np.asarray(np.exp(-2.0 * (below + before) - extinction * step_m))


def gate_length_m(range_m: Float64) -> float:
    """Spacing of equally spaced gates; of a single one the whole way to its middle, twice."""
    return float(range_m[1] - range_m[0]) if range_m.size > 1 else float(2.0 * range_m[0])


def attenuated_backscatter(
    extinction: Float64, lidar_ratio_sr: float, molecular_backscatter: Float64, molecular: Float64, range_m: Float64
) -> Float64:
    """(G,) what a calibrated lidar sees: the forward model that `invert` undoes."""
    both = molecular_backscatter + extinction / lidar_ratio_sr
    return both * transmission_squared(extinction, range_m) * transmission_squared(molecular, range_m)


def invert(
    beta: Float64, range_m: Float64, lidar_ratio_sr: float, molecular_backscatter: Float64, molecular: Float64
) -> Extinction:
    """Extinction of particles from one calibrated profile.

    Below the lowest gate, where overlap hides the signal, extinction is taken as in that gate. Negative values of noise
    are kept: they make means unbiased.

    Args:
        beta: (G,) attenuated backscatter [m-1 sr-1] from the lowest trustworthy gate up; NaN ends the profile.
        range_m: (G,) centres of these gates, equally spaced.
        lidar_ratio_sr: extinction over backscatter of particles.
        molecular_backscatter: (G,) of air [m-1 sr-1].
        molecular: (G,) extinction of air [m-1].
    """
    step_m = gate_length_m(range_m)
    blind_m = max(float(range_m[0]) - step_m / 2, 0.0)
    # Plain floats: gate follows gate, and a number costs Python less than an array of one.
    clear = (np.asarray(beta, np.float64) / transmission_squared(molecular, range_m)).tolist()
    air = molecular_backscatter.tolist()
    extinction, depth = np.full(range_m.size, np.nan), np.full(range_m.size, np.nan)
    total, diverged = 0.0, False
    for gate, signal in enumerate(clear):
        if not math.isfinite(signal):
            break
        # The lowest gate also attenuates in the blind zone below it, both ways.
        length_m = step_m + 2.0 * blind_m if gate == 0 else step_m
        own = _solve(signal * math.exp(2.0 * total), lidar_ratio_sr, air[gate], length_m)
        if own is None:
            diverged = True
            break
        extinction[gate] = own
        total += own * (step_m + blind_m if gate == 0 else step_m)
        depth[gate] = total
        if total > MOST_DEPTH:
            break
    return Extinction(range_m, extinction, depth, diverged)


def _solve(signal: float, lidar_ratio_sr: float, molecular_backscatter: float, length_m: float) -> float | None:
    """α of α = S (A exp(α L) - β_m), or None where there is none."""
    shift = lidar_ratio_sr * length_m * molecular_backscatter
    argument = -lidar_ratio_sr * length_m * signal * math.exp(-shift)
    if argument < BRANCH_POINT:
        return None
    if not NEAR_BRANCH_POINT < argument < -NEAR_BRANCH_POINT:
        return float((-lambertw(argument).real - shift) / length_m)
    y = -argument  # of y exp(-y) = -argument; Newton on y - k exp(y), a few steps to the last digit
    for _ in range(8):
        grown = -argument * math.exp(y)
        step = (y - grown) / (1.0 - grown)
        y -= step
        if abs(step) <= 1e-16 + 1e-15 * abs(y):
            break
    return (y - shift) / length_m


@dataclass(frozen=True)
class LayerExtinction:
    """Mean extinction of particles in a layer, with the parts of its uncertainty (each one standard deviation, m-1).

    Attributes:
        mean: [m-1]; NaN where the layer could not be inverted.
        noise: from the noise of the signal.
        lidar_ratio: from the spread of the lidar ratio.
        calibration: from the uncertainty of the calibration.
    """

    mean: float
    noise: float
    lidar_ratio: float
    calibration: float

    @property
    def sigma(self) -> float:
        """All parts together; they are independent of each other."""
        return float(np.sqrt(self.noise**2 + self.lidar_ratio**2 + self.calibration**2))


def layer_mean(
    beta: Float64,
    variance: Float64,
    range_m: Float64,
    top_m: float,
    lidar_ratio_sr: float,
    lidar_ratio_sigma_sr: float,
    calibration_sigma: float,
    molecular_backscatter: Float64,
    molecular: Float64,
) -> LayerExtinction | None:
    """Mean extinction from the lowest gate to `top_m`, with its uncertainty by propagation.

    Noise runs through the gates with its covariance: a high value in one gate attenuates, and so raises, all above.
    Lidar ratio and calibration are the same in all gates.

    Args:
        beta: (G,) as in `invert`.
        variance: (G,) of the noise of `beta`.
        range_m: (G,) as in `invert`.
        top_m: upper end of the layer; gates whose middle lies below it belong to it.
        lidar_ratio_sr: extinction over backscatter of particles.
        lidar_ratio_sigma_sr: its standard deviation.
        calibration_sigma: relative standard deviation of the calibration.
        molecular_backscatter: (G,) as in `invert`.
        molecular: (G,) as in `invert`.

    Returns:
        None where a gate of the layer is missing or cannot be inverted.
    """
    gates = slice(0, int(np.searchsorted(range_m, top_m, side="right")))
    air = molecular_backscatter[gates]
    if not air.size:
        return None
    found = invert(beta[gates], range_m[gates], lidar_ratio_sr, air, molecular[gates])
    if not np.isfinite(found.extinction).all():
        return None
    noise, by_ratio, by_calibration = _derivatives(
        found, beta[gates], variance[gates], lidar_ratio_sr, air, molecular[gates]
    )
    return LayerExtinction(
        mean=float(np.mean(found.extinction)),
        noise=noise,
        lidar_ratio=abs(by_ratio) * lidar_ratio_sigma_sr,
        calibration=abs(by_calibration) * calibration_sigma,
    )


def _derivatives(
    found: Extinction,
    beta: Float64,
    variance: Float64,
    lidar_ratio_sr: float,
    molecular_backscatter: Float64,
    molecular: Float64,
) -> tuple[float, float, float]:
    """Of the mean extinction: standard deviation by noise, derivative by S, derivative by the logarithm of the factor.

    From α = S (A e^{αL} - β_m) follows, with b = α + S β_m and p = b / (1 - L b),

        dα = p (dβ / β + 2 dτ)          noise, and calibration with dβ / β = d ln C in all gates
        dα = p (α / (S b) dS + 2 dτ)    lidar ratio

    where dτ is the change of the optical depth below. Of the noise the variances of τ and of M = Σ α are followed, and
    their covariance.
    """
    step_m = gate_length_m(found.range_m)
    blind_m = max(float(found.range_m[0]) - step_m / 2, 0.0)
    var_depth = covariance = var_sum = 0.0
    depth_ratio = sum_ratio = depth_factor = sum_factor = 0.0
    gates = zip(
        found.extinction.tolist(), molecular_backscatter.tolist(), beta.tolist(), variance.tolist(), strict=True
    )
    length_m, adds_m = step_m + 2.0 * blind_m, step_m + blind_m
    for gate, (alpha, air, signal, noise) in enumerate(gates):
        both = alpha + lidar_ratio_sr * air
        attenuated = max(1.0 - length_m * both, 1e-3)
        gain = both / attenuated
        per_signal = gain / signal if signal else 0.0
        if not signal:  # b / β is S over the transmission, which has no zero: the signal itself may have one
            below = float(found.depth[gate - 1]) if gate else 0.0
            air_squared = float(transmission_squared(molecular, found.range_m)[gate])
            per_signal = lidar_ratio_sr * math.exp(alpha * length_m + 2.0 * below) / air_squared / attenuated
        own = noise * per_signal**2
        twice = 2.0 * gain
        var_sum += own + twice**2 * var_depth + 2.0 * twice * covariance
        covariance = (1.0 + adds_m * twice) * (covariance + twice * var_depth) + adds_m * own
        var_depth = (1.0 + adds_m * twice) ** 2 * var_depth + adds_m**2 * own
        by_ratio = alpha / lidar_ratio_sr / attenuated + twice * depth_ratio
        by_factor = gain + twice * depth_factor
        sum_ratio, depth_ratio = sum_ratio + by_ratio, depth_ratio + adds_m * by_ratio
        sum_factor, depth_factor = sum_factor + by_factor, depth_factor + adds_m * by_factor
        length_m = adds_m = step_m
    count = found.range_m.size
    return math.sqrt(max(var_sum, 0.0)) / count, sum_ratio / count, sum_factor / count
