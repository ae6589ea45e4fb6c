"""What holds for profiles of every instrument, looked at in one place after any reader: angles, and clipped signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ipdsf_spark.lidar.clipping import clipped_from
from ipdsf_spark.lidar.instruments import units
from ipdsf_spark.lidar.profiles import Decoded, Profiles


def checked(decoded: Decoded) -> Decoded:
    """The same profiles, without angles that no instrument has, and without signal that the instrument has clipped."""
    if not decoded.blocks:
        return decoded
    return replace(decoded, blocks=tuple(map(checked_block, decoded.blocks)))


def checked_block(profiles: Profiles) -> Profiles:
    """Like `checked`, of one block; `clipped_from_m` is set."""
    clipped_m = clipped_from(profiles.beta, profiles.range_m)
    is_clipped = ~np.isnan(clipped_m)
    beta = profiles.beta
    if is_clipped.any():
        beta = beta.copy()
        rows = np.flatnonzero(is_clipped)
        beta[rows] = np.where(profiles.range_m >= clipped_m[rows, None], np.float32(np.nan), beta[rows])
    return replace(profiles, beta=beta, tilt_deg=units.tilt(profiles.tilt_deg), clipped_from_m=clipped_m)
