"""What a site remembers between batches for its hourly means and NowCast: sums of the open hour and twelve hours."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from ipdsf_spark.lidar.air_quality.nowcast import HOURS

VERSION: Final = 1
NOTHING: Final = -(2**62)
_STATE: Final = struct.Struct(f"<BqqqHHHII5d{HOURS}d")


@dataclass
class OpenHour:
    """Sums over the intervals of the hour that is not over.

    Attributes:
        hour: hours since 1970.
        num_seen, num_valid, num_humidity: intervals, those with a value, and those with a humidity.
        notes: flags of the intervals with a value.
        reasons: flags of those without.
        mass, noise_variance, systematic, extinction, humidity: sums over the intervals with a value.
    """

    hour: int = NOTHING
    num_seen: int = 0
    num_valid: int = 0
    num_humidity: int = 0
    notes: int = 0
    reasons: int = 0
    mass: float = 0.0
    noise_variance: float = 0.0
    systematic: float = 0.0
    extinction: float = 0.0
    humidity: float = 0.0


@dataclass
class AirState:
    """Mutable state of one site.

    Attributes:
        last_index: newest interval that was counted; what is not newer came twice.
        open: the hour that is not over.
        newest: the newest closed hour, hours since 1970.
        means: its mean and those of the eleven hours before it [µg/m3], newest first; NaN where an hour has none.
    """

    last_index: int = NOTHING
    open: OpenHour = field(default_factory=OpenHour)
    newest: int = NOTHING
    means: list[float] = field(default_factory=lambda: [float("nan")] * HOURS)

    def means_at(self, hour: int, mean: float) -> list[float]:
        """Means of `hour` and the eleven before it, newest first, with `mean` as that of `hour`."""
        gap = min(hour - self.newest, HOURS) if self.newest != NOTHING else HOURS
        return [mean, *[float("nan")] * (gap - 1), *self.means][:HOURS]

    def close(self, mean: float) -> None:
        """Store the mean of the open hour and begin none."""
        self.tell(mean)
        self.open = OpenHour()

    def tell(self, mean: float) -> None:
        """Store the mean of the open hour, which stays open: a site that fell silent may go on within it."""
        self.means, self.newest = self.means_at(self.open.hour, mean), self.open.hour

    @property
    def is_told(self) -> bool:
        """Whether the open hour was told as final and nothing has come since."""
        return self.open.hour != NOTHING and self.open.hour == self.newest

    def take_back(self) -> None:
        """Forget the mean of the open hour, which goes on."""
        self.means, self.newest = [*self.means[1:], float("nan")], self.newest - 1


def pack(state: AirState) -> bytes:
    """The state as versioned bytes, fewer than 200."""
    o = state.open
    counts = (o.num_seen, o.num_valid, o.num_humidity, o.notes, o.reasons)
    sums = (o.mass, o.noise_variance, o.systematic, o.extinction, o.humidity)
    return _STATE.pack(VERSION, state.last_index, o.hour, state.newest, *counts, *sums, *state.means)


def unpack(raw: bytes) -> AirState:
    """The inverse of `pack`; no bytes are an empty state.

    Raises:
        ValueError: the bytes were written by another version, or end early.
    """
    if not raw:
        return AirState()
    if raw[0] != VERSION or len(raw) != _STATE.size:
        raise ValueError(
            f"air state of {len(raw)} bytes and version {raw[0]}; version {VERSION} has {_STATE.size} bytes"
        )
    _, last_index, hour, newest, *rest = _STATE.unpack(raw)
    return AirState(last_index, OpenHour(hour, *rest[:10]), newest, list(rest[10:]))
