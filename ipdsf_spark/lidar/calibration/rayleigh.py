"""The factor from the return of air on a clear night.

Where the air holds no particles the return is that of its molecules, which is known (Wiegner and Geiß 2012, Atmos.
Meas. Tech. 5, 1953):

    factor · β_seen = β_m T_m² T_a²        in a stretch where the ratio of both does not change with height

T_a is what aerosol below takes away. It follows from the same profile by the forward inversion, whose calibration is
the factor that is looked for: a few repetitions settle both.

Particles in the stretch itself would make the factor too small. Theirs is a share of the return that falls with height,
as they thin out faster than air; what fall the noise leaves possible bounds that share, and it is in the uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.inversion import invert, transmission_squared
from ipdsf_spark.lidar.profiles import Float64

LOOK_M: Final = (2500.0, 7000.0)
DEPTHS_M: Final = (3000.0, 2000.0, 1500.0)  # of the stretch; the deepest that fits is used
STEP_M: Final = 250.0
LEAST_SNR: Final = 8.0  # of the mean ratio
MOST_TREND: Final = 2.5  # standard deviations of the trend of the ratio over the stretch
MOST_SLOPE: Final = 0.2  # relative change of the ratio over the stretch
LIDAR_RATIO_SR: Final = 50.0
LIDAR_RATIO_SIGMA: Final = 0.4
MOST_DEPTH: Final = 0.4  # optical depth of aerosol beyond which a night is not clear
REPETITIONS: Final = 12
THINNING_M: Final = 4800.0  # particles to 1/e in 3 km, air in 8 km: the share of particles in the return to 1/e in this
MOST_PARTICLES: Final = 0.3  # assumed: more than this share of the return of air is rare in the cleanest air of a night


@dataclass(frozen=True)
class RayleighSample:
    """What a clear night says.

    Attributes:
        factor: from the file's unit to m-1 sr-1.
        sigma: relative standard deviation: noise, aerosol below, and particles in the stretch that noise may hide.
        bottom_m, top_m: of the stretch of clean air.
        aerosol_depth: optical depth of aerosol below it.
        particles: share of the return there that particles may have; it is in `sigma`.
    """

    factor: float
    sigma: float
    bottom_m: float
    top_m: float
    aerosol_depth: float
    particles: float


def rayleigh_sample(
    beta: Float64,
    sigma: Float64,
    height_m: Float64,
    molecular_backscatter: Float64,
    molecular: Float64,
    *,
    lowest_m: float,
) -> RayleighSample | None:
    """The factor from a mean profile, or None if no clean air is seen.

    Args:
        beta: (G,) mean attenuated backscatter in any unit.
        sigma: (G,) its standard deviation.
        height_m: (G,) above the instrument, equally spaced.
        molecular_backscatter: (G,) of air [m-1 sr-1].
        molecular: (G,) extinction of air [m-1].
        lowest_m: lowest trustworthy height.
    """
    expected = molecular_backscatter * transmission_squared(molecular, height_m)
    found = _clean(beta / expected, sigma / expected, height_m)
    if found is None:
        return None
    bottom, top, ratio, ratio_sigma, particles = found
    first = int(np.searchsorted(height_m, lowest_m))
    gates = slice(first, bottom)
    factor, depth = 1.0 / ratio, 0.0
    for _ in range(REPETITIONS):
        below = invert(
            beta[gates] * factor, height_m[gates], LIDAR_RATIO_SR, molecular_backscatter[gates], molecular[gates]
        )
        depth = float(below.depth[-1]) if below.depth.size else 0.0
        if not np.isfinite(depth) or depth > MOST_DEPTH:
            return None
        factor = float(np.exp(-2.0 * depth)) / ratio
    parts = ratio_sigma / ratio, 2.0 * max(depth, 0.0) * LIDAR_RATIO_SIGMA, particles
    relative = float(np.linalg.norm(parts))
    return RayleighSample(factor, relative, float(height_m[bottom]), float(height_m[top - 1]), depth, particles)


def _clean(ratio: Float64, sigma: Float64, height_m: Float64) -> tuple[int, int, float, float, float] | None:
    """The stretch with the smallest ratio that does not change.

    Returns:
        its first gate, its end, the mean ratio and its deviation, and the share of the return that particles may have.
    """
    spacing_m = float(height_m[1] - height_m[0]) if height_m.size > 1 else float("inf")
    best: tuple[int, int, float, float, float] | None = None
    for depth_m in DEPTHS_M:
        gates = round(depth_m / spacing_m) if np.isfinite(spacing_m) else 0
        if gates < 8:
            continue
        for bottom_m in np.arange(LOOK_M[0], LOOK_M[1] - depth_m + 1.0, STEP_M):
            first = int(np.searchsorted(height_m, bottom_m))
            part, weight = ratio[first : first + gates], 1.0 / np.square(sigma[first : first + gates])
            if part.size < gates or not np.isfinite(part).all() or not np.isfinite(weight).all():
                continue
            mean = float(np.average(part, weights=weight))
            mean_sigma = float(1.0 / np.sqrt(weight.sum()))
            at = height_m[first : first + gates]
            centred = at - np.average(at, weights=weight)
            spread = float((weight * centred**2).sum())
            slope = float((weight * centred * part).sum()) / spread
            change = slope * depth_m
            is_flat = abs(slope) < MOST_TREND / np.sqrt(spread) and abs(change) < MOST_SLOPE * mean
            is_seen = mean > LEAST_SNR * mean_sigma
            if is_flat and is_seen and (best is None or mean + mean_sigma < best[2] + best[3]):
                fall = float(np.hypot(max(-change, 0.0), depth_m / np.sqrt(spread))) / mean
                best = first, first + gates, mean, mean_sigma, min(THINNING_M / depth_m * fall, MOST_PARTICLES)
        if best is not None:
            return best
    return None
