"""The arithmetic between what was measured and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

FILE_EVERY_S: Final = 60.0  # the presentation: files go out every 1 to 5 minutes; the harder end


@dataclass(frozen=True)
class Spread:
    """Percentiles of seconds; NaN where there is no value."""

    p50_s: float
    p90_s: float
    p99_s: float


def spread_of(seconds: Sequence[float]) -> Spread:
    """Percentiles by linear interpolation between neighbours.

    Args:
        seconds: one per file; NaN is left out.
    """
    values = np.asarray(seconds, np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return Spread(float("nan"), float("nan"), float("nan"))
    p50, p90, p99 = np.percentile(values, [50, 90, 99])
    return Spread(float(p50), float(p90), float(p99))


def floor_s(files: int, files_per_s: float) -> float:
    """The time that sending alone takes [s]: nothing can be done before it is over."""
    return files / files_per_s


def excess_s(total_s: float, files: int, files_per_s: float) -> float:
    """What the processing of all files took beyond the sending of them [s]."""
    return total_s - floor_s(files, files_per_s)


@dataclass(frozen=True)
class Projection:
    """Sites that a measured throughput carries, and cores that a number of sites needs.

    Attributes:
        files_per_s: measured, draining a backlog.
        cpu_s_per_file: measured, all processes of the consumer side.
        file_every_s: of a site.
        utilisation: share of the throughput that is planned with, so that peaks and restarts are caught up.
    """

    files_per_s: float
    cpu_s_per_file: float
    file_every_s: float = FILE_EVERY_S
    utilisation: float = 0.7

    @property
    def sites(self) -> int:
        """Sites on this machine: throughput x utilisation x seconds between two files of a site."""
        return int(self.files_per_s * self.utilisation * self.file_every_s)

    def cores(self, sites: int) -> float:
        """Cores for so many sites: files per second x CPU seconds per file / utilisation."""
        return sites / self.file_every_s * self.cpu_s_per_file / self.utilisation

    def said(self, sites: int) -> str:
        """The arithmetic in one line."""
        return (
            f"{self.files_per_s:.0f} files/s x {self.utilisation:g} x {self.file_every_s:g} s = {self.sites:,} sites; "
            f"{sites:,} sites / {self.file_every_s:g} s x {1000 * self.cpu_s_per_file:.2f} ms / {self.utilisation:g} "
            f"= {self.cores(sites):.1f} cores"
        )


def speed_up(alone_s: float, together_s: float) -> float:
    """How many times shorter."""
    return alone_s / together_s


def efficiency(alone_s: float, together_s: float, workers: int) -> float:
    """Speed-up per worker: 1 is linear."""
    return speed_up(alone_s, together_s) / workers
