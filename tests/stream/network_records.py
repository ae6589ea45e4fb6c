"""Averages of a network with known components, as records of the averages topic."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from ipdsf_spark.archive.averages import SCHEMA

INTERVAL_S = 300
FIRST = 5_500_000  # slice number; April 2022
NUM_GATES = 60
GATE_M = 30.0


def message(site: str, index: int, beta: np.ndarray, *, interval_s: int = INTERVAL_S, identity: str = "1") -> bytes:
    """One average as an Arrow record: gates of 30 m from 15 m on, already calibrated."""
    start = datetime.fromtimestamp(index * interval_s, UTC)
    known = {
        "site": site,
        "start": start,
        "interval_s": interval_s,
        "instrument": "Vaisala CL51",
        "identity": identity,
        "is_calibrated": True,
        "tilt_deg": 0.0,
        "num_profiles": 20,
        "first_time": start,
        "last_time": start,
        "gate_first_m": GATE_M / 2,
        "gate_length_m": GATE_M,
        "beta_clear": beta.astype(np.float32),
        "noise_at_unit_range": 0.0,
        "num_fog": 0,
        "num_precipitation": 0,
    }
    columns = [pa.array([known.get(field.name)], field.type) for field in SCHEMA]
    return bytes(pa.RecordBatch.from_arrays(columns, schema=SCHEMA).serialize())


def network_beta(num_slices: int, sites: list[str], rng: np.random.Generator) -> np.ndarray:
    """(T, I, G) backscatter: an exponential profile and a layer that comes and goes with the hour, both by site."""
    height_m = GATE_M * (np.arange(NUM_GATES) + 0.5)
    hours = np.arange(num_slices) / 12.0
    layer = 0.4 * np.sin(2 * np.pi * hours / 24.0)[:, None, None] * np.exp(-(((height_m - 700.0) / 250.0) ** 2))
    weight = rng.uniform(0.7, 1.3, (1, len(sites), 1))
    offset = rng.normal(0.0, 0.1, (1, len(sites), 1))
    noise = rng.normal(0.0, 0.02, (num_slices, len(sites), NUM_GATES))
    return np.asarray(10.0 ** (-6.0 - height_m / 3000.0 + offset + weight * layer + noise))
