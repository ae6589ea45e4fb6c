"""Hourly heights by the rules of a network plan, beside those of five minutes.

After the plan of the EPA's Unified Ceilometer Network 2025-29: ten-minute heights are the means of the retrievals in
them; one is dropped when its standard deviation exceeds 200 m, or when precipitation or cloud contaminates it; half of
the retrievals must be there for ten minutes, and half of the ten-minute heights for an hour. So must half of them be
for the nocturnal and the residual layer. Only final heights count.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.product import Layers
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.lidar.products.quality import Quality

KIND: Final = "layers_hourly"
RULES: Final = "EPA UCN 2025-29"
MOST_SIGMA_M: Final = 200.0
COMPLETENESS: Final = 0.5
PART_S: Final = 600
HOUR_S: Final = 3600
VERSION: Final = 1
_HEAD: Final = struct.Struct("<BqH")
_TOLD: Final = 0x8000  # in the number of rows: the hour has been told as far as it goes
_WET: Final = int(Quality.PRECIPITATION | Quality.FOG)
_CLOUDY: Final = int(Quality.CLOUD_CAPPED)
_ROW: Final = np.dtype(
    [("second", "<i8"), ("height", "<f4"), ("sigma", "<f4"), ("residual", "<f4"), ("nocturnal", "<f4"), ("bits", "<u2")]
)
NOTHING: Final = -(2**40)


@dataclass(frozen=True)
class Hour:
    """One hour.

    Attributes:
        start_s: its begin [s since 1970].
        values: plain values of its record.
    """

    start_s: int
    values: dict[str, Any]


class Hourly:
    """The final heights of the open hour of one site.

    Args:
        interval_s: of a height.
    """

    def __init__(self, interval_s: int) -> None:
        self.interval_s = interval_s
        self.hour, self.rows, self.is_told = NOTHING, np.empty(0, _ROW), False

    def step(self, layers: Layers) -> list[Hour]:
        """Hours that these rows end; provisional rows are passed over.

        Args:
            layers: rows in time order; final ones come once.
        """
        final = np.flatnonzero(~layers.provisional)
        if not final.size:
            return []
        rows = np.empty(final.size, _ROW)
        rows["second"] = layers.time[final].astype("datetime64[s]").astype(np.int64)
        for name, values in (
            ("height", layers.mixing_height_m),
            ("sigma", layers.uncertainty_m),
            ("residual", layers.residual_height_m),
            ("nocturnal", layers.nocturnal_height_m),
            ("bits", layers.quality),
        ):
            rows[name] = values[final]
        ended = []
        hours = rows["second"] // HOUR_S
        for hour in np.unique(hours):
            if hour < self.hour:
                continue  # the hour has been said
            if hour != self.hour:
                ended += self.close()
                self.hour = int(hour)
            self.rows, self.is_told = np.concatenate([self.rows, rows[hours == hour]]), False
            if (self.hour + 1) * HOUR_S - self.rows["second"][-1] <= self.interval_s:
                ended += self.close()
        return ended

    def close(self) -> list[Hour]:
        """The open hour, which is over, if it has a row that was not told."""
        found = self.told()
        if len(self.rows):
            self.hour, self.rows, self.is_told = self.hour + 1, np.empty(0, _ROW), False
        return found

    def told(self) -> list[Hour]:
        """The open hour as far as it goes: the site has fallen silent, and may yet go on within it."""
        if self.is_told or not len(self.rows):
            return []
        self.is_told = True
        return [Hour(self.hour * HOUR_S, hour_values(self.rows, self.interval_s))]

    def to_bytes(self) -> bytes:
        """The state: a dozen bytes, and 26 for every height of the open hour."""
        num = len(self.rows) | (_TOLD if self.is_told else 0)
        return _HEAD.pack(VERSION, self.hour, num) + self.rows.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes, interval_s: int) -> tuple[Hourly, bytes]:
        """The inverse of `to_bytes`, and what stands behind it.

        Raises:
            ValueError: the bytes end early or are of another version.
        """
        made = cls(interval_s)
        if len(raw) < _HEAD.size or raw[0] != VERSION:
            raise ValueError(f"{len(raw)} bytes are no state of hourly heights of version {VERSION}")
        _, made.hour, num = _HEAD.unpack_from(raw)
        made.is_told, num = bool(num & _TOLD), num & ~_TOLD
        end = _HEAD.size + num * _ROW.itemsize
        if len(raw) < end:
            raise ValueError(f"state of hourly heights ends after {len(raw)} bytes, should have {end}")
        made.rows = np.frombuffer(raw, _ROW, num, _HEAD.size).copy()
        return made, raw[end:]


def hours_of(layers: Layers, interval_s: int) -> list[Hour]:
    """All hours of a series, the last one as far as it goes."""
    hourly = Hourly(interval_s)
    return [*hourly.step(layers), *hourly.close()]


def hour_values(rows: NDArray[Any], interval_s: int) -> dict[str, Any]:
    """Plain values of an hour.

    Args:
        rows: its final heights.
        interval_s: of each.
    """
    part_s = max(PART_S, interval_s)
    num_parts, expected = HOUR_S // part_s, max(1, part_s // interval_s)
    number = rows["second"] % HOUR_S // part_s
    parts, dropped = [], {"precipitation": 0, "cloud": 0, "uncertain": 0, "missing": 0}
    residual, nocturnal = [], []
    for part in range(num_parts):
        here = rows[number == part]
        if (here["bits"] & _WET).any():
            dropped["precipitation"] += 1
            continue
        if (here["bits"] & _CLOUDY).any():
            dropped["cloud"] += 1
            continue
        residual += _mean_of(here["residual"], expected)
        height = here[np.isfinite(here["height"])]
        if len(height) < COMPLETENESS * expected:
            dropped["missing"] += 1
            continue
        sigma = float(np.sqrt(np.mean(height["sigma"].astype(float) ** 2) + np.var(height["height"].astype(float))))
        if not sigma <= MOST_SIGMA_M:
            dropped["uncertain"] += 1
            continue
        parts.append((float(np.mean(height["height"].astype(float))), sigma))
        nocturnal += _mean_of(here["nocturnal"], expected)
    needed = COMPLETENESS * num_parts
    is_complete = len(parts) >= needed
    heights = np.array([height for height, _ in parts])
    sigmas = np.array([sigma for _, sigma in parts])
    return {
        "mixing_height_m": rounded(heights.mean(), 1) if is_complete else None,
        # Errors of neighbouring heights have the same causes: the mean is no more certain than its parts.
        "uncertainty_m": rounded(np.sqrt(np.mean(sigmas**2)), 1) if is_complete else None,
        "spread_m": rounded(heights.std(), 1) if is_complete else None,
        "residual_height_m": rounded(np.mean(residual), 1) if len(residual) >= needed else None,
        "nocturnal_height_m": rounded(np.mean(nocturnal), 1) if len(nocturnal) >= needed else None,
        "num_parts": len(parts),
        "completeness": round(len(parts) / num_parts, 3),
        "dropped": dropped,
        "provisional": False,
        "quality": [] if is_complete else ["incomplete"],
        "rules": RULES,
    }


def _mean_of(values: NDArray[np.float32], expected: int) -> list[float]:
    known = values[np.isfinite(values)].astype(float)
    return [float(known.mean())] if known.size and known.size >= COMPLETENESS * expected else []
