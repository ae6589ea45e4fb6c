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
    columns = {"clipped_from_m": clipped_from(profiles.beta, profiles.range_m)}
    rows = np.flatnonzero(columns["clipped_from_m"] == columns["clipped_from_m"])
    if rows.size:
        beta = columns["beta"] = profiles.beta.copy()
        is_cut = profiles.range_m >= columns["clipped_from_m"][rows, None]
        beta[rows] = np.where(is_cut, np.float32(np.nan), beta[rows])
    tilt = profiles.tilt_deg
    if tilt.size and not (tilt.min() >= -units.STEEPEST_DEG and tilt.max() <= units.STEEPEST_DEG):
        columns["tilt_deg"] = units.tilt(tilt)
    return profiles.with_columns(**columns)
