"""Records as the stream publishes them."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from ipdsf_spark.archive import averages
from ipdsf_spark.archive.tables import Record

NOON_MS = 1_782_043_200_000  # 2026-06-21 12:00 UTC
DAY = date(2026, 6, 21)


def product(site: str, minute: int, height_m: float | None, *, kind: str = "layers", **more: Any) -> tuple[str, bytes]:
    """Key and value of a height `minute` minutes after noon."""
    moment = np.datetime64("2026-06-21T12:00:00") + np.timedelta64(minute, "m")
    values = {
        "kind": kind, "site": site, "time": f"{moment}Z", "mixing_height_m": height_m, "uncertainty_m": 30.0,
        "provisional": False, "quality": ["cloud_capped"] if height_m is None else [], "candidates_m": [900.0, 400.0],
        "candidate_strength": [0.5, 0.25], "cloud_base_m": None, "num_profiles": 20, "sent_ms": NOON_MS,
    }  # fmt: skip
    return f"{site}|{kind}|{moment}Z", json.dumps(values | more).encode()


def average(site: str, minute: int, *, num_gates: int = 20) -> tuple[str, bytes]:
    """Key and value of an average of the interval that begins `minute` minutes after noon."""
    start = np.datetime64("2026-06-21T12:00:00", "us") + np.timedelta64(minute, "m")
    micros = int(start.astype(np.int64))
    known: dict[str, Any] = {
        "site": site, "start": micros, "interval_s": 300, "instrument": "Vaisala CL51", "identity": "K1",
        "num_profiles": 20, "first_time": micros, "last_time": micros + 1, "beta": np.linspace(0, 1, num_gates),
        "health": [("laser_temperature_K", 300.0)], "alarms": ["window"],
    }  # fmt: skip
    columns = [pa.array([known.get(field.name)], field.type) for field in averages.SCHEMA]
    value = bytes(pa.RecordBatch.from_arrays(columns, schema=averages.SCHEMA).serialize())
    return f"{site}|{start}", value


def record(pair: tuple[str, bytes], *, offset: int, partition: int = 0, published_ms: int = NOON_MS) -> Record:
    """As it comes from Kafka."""
    return Record(pair[0].encode(), pair[1], published_ms, partition, offset)
