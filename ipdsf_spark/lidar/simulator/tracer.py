"""A conserved tracer in a column that turbulence mixes: what the mixing layer leaves behind is what is seen.

    dc/dt + w dc/dz = d/dz (K dc/dz),   surface flux at the ground,

with K of the profile form K = K_max 27/4 (z/h) (1 - z/h)² below the mixing height h (O'Brien 1970, J. Atmos. Sci. 27,
1213; Troen & Mahrt 1986, Bound.-Layer Meteorol. 37, 129) and a small value above. Unlike a profile drawn around a
given height, a residual layer here is what a collapsing turbulence leaves, a growing layer has to eat through it, and
nothing says that the edge of the mixing layer is the strongest one.

T times, Z levels; heights above the ground in metres.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import solve_banded

from ipdsf_spark.lidar.profiles import Float64

STEP_M: Final = 25.0
STEP_S: Final = 120.0
K_PER_M: Final = 0.1  # largest K over h [m/s]: 100 m2/s in a layer of 1 km
ENTRAINMENT: Final = 0.06  # K falls off over this share of h around the top
LEAST_ENTRAINMENT_M: Final = 25.0


@dataclass(frozen=True, eq=False)
class Column:
    """The tracer over time.

    Attributes:
        seconds: (T,) times.
        height_m: (Z,) middle of the levels.
        tracer: (T, Z) concentration.
    """

    seconds: Float64
    height_m: Float64
    tracer: Float64


def mixed(
    seconds: Float64,
    mixing_height_m: Float64,
    emission: Float64,
    *,
    top_m: float,
    start: Callable[[Float64], Float64],
    calm_k: float = 0.02,
    night_k: float = 0.1,
    sinking_per_s: float = 0.0,
    loss_per_s: float = 0.0,
) -> Column:
    """Integrate the column, implicitly.

    Args:
        seconds: (T,) equally spaced times, `STEP_S` apart.
        mixing_height_m: (T,) prescribed h.
        emission: (T,) flux at the ground [tracer m/s].
        top_m: of the column.
        start: tracer at the first time, of the height.
        calm_k: K above the mixing layer [m2/s].
        night_k: share of `K_PER_M` that a shallow layer (below 500 m) has: stable air mixes less.
        sinking_per_s: divergence; air at z sinks by z times this.
        loss_per_s: of the tracer everywhere, by settling or by cleaner air from the side.
    """
    height_m = (np.arange(round(top_m / STEP_M), dtype=np.float64) + 0.5) * STEP_M
    face_m = height_m[:-1] + STEP_M / 2
    tracer = np.asarray(start(height_m), np.float64)
    found = np.empty((len(seconds), height_m.size))
    bands = np.zeros((3, height_m.size))
    speed = sinking_per_s * np.minimum(height_m, 1500.0)
    share = STEP_S / STEP_M**2
    for at in range(len(seconds)):
        found[at] = tracer
        h = float(mixing_height_m[at])
        depth = np.minimum(face_m / h, 1.0)
        vigour = K_PER_M * (night_k + (1.0 - night_k) * min(max((h - 400.0) / 400.0, 0.0), 1.0))
        k = vigour * h * 6.75 * depth * (1.0 - depth) ** 2
        width = max(ENTRAINMENT * h, LEAST_ENTRAINMENT_M)
        k += 0.04 * vigour * h * np.exp(-(((face_m - h) / width) ** 2))
        k += calm_k
        flow = k * share
        bands[0, 1:] = bands[2, :-1] = -flow
        bands[1] = 1.0 + loss_per_s * STEP_S
        bands[1, :-1] += flow
        bands[1, 1:] += flow
        right = tracer.copy()
        if sinking_per_s:
            right[:-1] += STEP_S * speed[:-1] * (tracer[1:] - tracer[:-1]) / STEP_M
        right[0] += emission[at] * STEP_S / STEP_M
        tracer = solve_banded((1, 1), bands, right, check_finite=False)
    return Column(seconds, height_m, found)


def local_edge_m(tracer: Float64, height_m: Float64, mixing_height_m: Float64) -> tuple[Float64, Float64]:
    """Where the tracer falls most steeply around the mixing height, and by how much.

    Args:
        tracer: (T, Z) without noise.
        height_m: (Z,) levels, equally spaced.
        mixing_height_m: (T,) prescribed.

    Returns:
        (T,) height of the steepest fall within 60 m + 15 % of the mixing height, and (T,) the fall over 150 m there
        relative to the tracer below; where nothing falls, the mixing height itself and 0.
    """
    step_m = height_m[1] - height_m[0]
    half = max(1, round(75.0 / step_m))
    padded = np.pad(tracer, ((0, 0), (half, half)), mode="edge")
    falls = padded[:, : tracer.shape[1]] - padded[:, 2 * half :]
    near = np.abs(height_m[None, :] - mixing_height_m[:, None]) <= 60.0 + 0.15 * mixing_height_m[:, None]
    falls = np.where(near, falls, -np.inf)
    at = falls.argmax(axis=1)
    line = np.arange(len(tracer))
    below = tracer[line, np.maximum(at - half, 0)]
    fall = np.where(near.any(axis=1), falls[line, at] / np.maximum(below, 1e-12), 0.0)
    has_edge = fall > 0.01
    return np.where(has_edge, height_m[at], mixing_height_m), np.where(has_edge, fall, 0.0)
