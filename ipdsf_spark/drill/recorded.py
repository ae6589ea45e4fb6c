"""The files that drills send: a morning of a simulated instrument, in genuine five-minute files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.simulator.bank import FileBank
from ipdsf_spark.lidar.site import Site

DAY: Final = date(2021, 6, 21)
BEGIN: Final = np.datetime64("2021-06-21T08:00", "us")
MINUTES: Final = 5
INTERVAL_US: Final = MINUTES * 60_000_000  # files and products have the same length: a file is an interval
GARBAGE: Final = b"-Ceilometer Logfile\r\n-power failure, restarting\r\n" + bytes(range(256)) * 4


@dataclass(frozen=True)
class Recorded:
    """Files of one site that all sites of a drill send under names of their own.

    Attributes:
        paths: in the order of their times.
        profiles: by file name, the profiles it holds in each interval (number since 1970); empty for a broken file.
    """

    paths: tuple[Path, ...]
    profiles: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


def write_recorded(folder: Path, *, count: int, every_broken: int = 0) -> Recorded:
    """Write a morning of a CL51.

    Args:
        folder: to write to; made.
        count: files, from 08:00 UTC.
        every_broken: of so many files one holds nothing that an instrument would say; 0 = none, 1 = all.
    """
    site = Site("recorded", 59.94, 10.72, instrument="Vaisala CL51")
    day = simulate_day(site, DAY, rng=np.random.default_rng(5), instrument="cl51", scenario="clear")
    bank = FileBank([day], minutes=MINUTES)
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    profiles: dict[str, Mapping[int, int]] = {}
    for number in range(count):
        raw = bank.file(site.id, 0, BEGIN + number * np.timedelta64(MINUTES, "m")).raw
        if every_broken and number % every_broken == every_broken - 1:
            raw = GARBAGE + str(number).encode()
        path = folder / f"{number:03d}.dat"
        path.write_bytes(raw)
        paths.append(path)
        profiles[path.name] = profiles_of(raw)
    return Recorded(tuple(paths), profiles)


def profiles_of(raw: bytes) -> dict[int, int]:
    """Profiles of a file by their interval (number since 1970)."""
    found: Counter[int] = Counter()
    for block in decode(raw).blocks:
        found.update((block.time.astype("datetime64[us]").astype(np.int64) // INTERVAL_US).tolist())
    return dict(found)
