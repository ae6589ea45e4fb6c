"""What holds for profiles of every instrument, looked at in one place after any reader: angles, and clipped signal."""

from __future__ import annotations

import numpy as np

from ipdsf_spark.lidar.clipping import clipped_gates
from ipdsf_spark.lidar.instruments import units
from ipdsf_spark.lidar.profiles import Decoded, Profiles


def checked(decoded: Decoded) -> Decoded:
    """The same profiles, without angles that no instrument has, and without signal that the instrument has clipped."""
    if not decoded.blocks:
        return decoded
    return decoded.with_blocks(tuple(map(checked_block, decoded.blocks)))


def checked_block(profiles: Profiles) -> Profiles:
    """Like `checked`, of one block; `clipped_from_m` is set."""
    columns = {"clipped_from_m": np.empty(len(profiles), np.float32)}
    columns["clipped_from_m"].fill(np.nan)
    gates = clipped_gates(profiles.beta, profiles.range_m)
    if gates:
        columns["beta"] = profiles.beta.copy()
        for row, gate in gates.items():
            columns["clipped_from_m"][row] = profiles.range_m[gate]
            columns["beta"][row, gate:] = np.nan
    if not all(-units.STEEPEST_DEG <= angle <= units.STEEPEST_DEG for angle in profiles.tilt_deg.tolist()):
        columns["tilt_deg"] = units.tilt(profiles.tilt_deg)
    return profiles.with_columns(**columns)
