"""Averages over fixed UTC intervals that can be built from any pieces: of / merge / result.

A file's profiles become one small `Average` per interval; averages of the same interval merge, in any order, into the
same sums. They travel as versioned bytes, so that a stream can build them in one task and merge them in another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles
from ipdsf_spark.lidar.signal import noise_at_unit_range

VERSION: Final = 1
TOP_M: Final = 4600.0  # gates above are not carried: no mixing height is looked for there
_HEAD: Final = struct.Struct("<BBqHHddfffffffff")
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Average:
    """Sums over the profiles of one interval; all of one gate geometry.

    Attributes:
        index: interval number since 1970, time // interval.
        times: (n,) sorted profile times [µs since 1970].
        first_m, resolution_m: centre of the first gate and gate length along the beam.
        total: (G,) sum of beta over the profiles that have the gate.
        missing: (G,) profiles that lack the gate, or None if none does.
        variance: sum over profiles of the noise variance at unit range.
        num_noise: profiles with a noise estimate.
        num_fog, num_precipitation, num_visibility: profiles flagged by the instrument.
        num_cloud: profiles with a cloud base; cloud_base_m the lowest, cloud_sum_m their sum of lowest bases.
        tilt_sum_deg: sum of beam tilts.
        is_calibrated: beta is in m-1 sr-1.
        instrument: maker and model.
    """

    index: int
    times: NDArray[np.int64]
    first_m: float
    resolution_m: float
    total: Float32
    missing: NDArray[np.uint16] | None
    variance: float
    num_noise: int
    num_fog: int
    num_precipitation: int
    num_visibility: int
    num_cloud: int
    cloud_base_m: float
    cloud_sum_m: float
    tilt_sum_deg: float
    is_calibrated: bool
    instrument: str

    @property
    def num_profiles(self) -> int:
        """Profiles summed."""
        return len(self.times)

    @property
    def geometry(self) -> tuple[float, float, int]:
        """What must agree for two averages to merge."""
        return (round(self.first_m, 3), round(self.resolution_m, 3), self.total.size)

    def mean(self) -> Float64:
        """(G,) mean beta, NaN where fewer than half of the profiles have the gate."""
        if self.missing is None:
            return self.total.astype(np.float64) / self.num_profiles
        have = self.num_profiles - self.missing.astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(2 * have >= self.num_profiles, self.total.astype(np.float64) / have, np.nan)

    @property
    def sigma_unit(self) -> float:
        """Noise of the mean at unit range; NaN if no profile gave an estimate."""
        if not self.num_noise:
            return float("nan")
        return float(np.sqrt(self.variance / self.num_noise / self.num_profiles))

    def merge(self, other: Average) -> Average:
        """The average of both sets of profiles.

        A profile counts once: if the two share a profile time, the larger set is kept and the other dropped, because
        shared profiles mean that a file came twice or came again after it had grown. Another geometry or instrument in
        the same interval is treated likewise.
        """
        if self.geometry != other.geometry or self.instrument != other.instrument or self._shares_times(other):
            return max(self, other, key=lambda average: (average.num_profiles, average.times.tobytes()))
        missing = _missing_sum(self, other)
        return Average(
            index=self.index,
            times=np.sort(np.concatenate([self.times, other.times])),
            first_m=self.first_m,
            resolution_m=self.resolution_m,
            total=self.total + other.total,
            missing=missing,
            variance=self.variance + other.variance,
            num_noise=self.num_noise + other.num_noise,
            num_fog=self.num_fog + other.num_fog,
            num_precipitation=self.num_precipitation + other.num_precipitation,
            num_visibility=self.num_visibility + other.num_visibility,
            num_cloud=self.num_cloud + other.num_cloud,
            cloud_base_m=min(self.cloud_base_m, other.cloud_base_m),
            cloud_sum_m=self.cloud_sum_m + other.cloud_sum_m,
            tilt_sum_deg=self.tilt_sum_deg + other.tilt_sum_deg,
            is_calibrated=self.is_calibrated,
            instrument=self.instrument,
        )

    def to_bytes(self) -> bytes:
        """The average as versioned bytes."""
        name = self.instrument.encode()
        head = _HEAD.pack(
            VERSION,
            (1 if self.is_calibrated else 0) | (0 if self.missing is None else 2),
            self.index,
            len(self.times),
            self.total.size,
            self.first_m,
            self.resolution_m,
            self.num_noise,
            self.num_fog,
            self.num_precipitation,
            self.num_visibility,
            self.num_cloud,
            self.cloud_base_m,
            self.cloud_sum_m,
            self.tilt_sum_deg,
            len(name),
        )
        missing = b"" if self.missing is None else self.missing.tobytes()
        body = b"".join([struct.pack("<d", self.variance), self.times.tobytes(), self.total.tobytes(), missing, name])
        return struct.pack("<I", len(head) + len(body)) + head + body

    def _shares_times(self, other: Average) -> bool:
        if self.times[-1] < other.times[0] or other.times[-1] < self.times[0]:
            return False
        return bool(np.isin(self.times, other.times).any())


def averages_of(profiles: Profiles, interval_s: int) -> list[Average]:
    """One average per UTC interval the profiles touch, in time order; profiles without a time are left out."""
    keep = ~np.isnat(profiles.time)
    if not keep.any():
        return []
    micros = profiles.time.astype("datetime64[us]").astype(np.int64)
    micros, first = np.unique(np.where(keep, micros, np.iinfo(np.int64).min), return_index=True)
    if not keep.all():
        micros, first = micros[1:], first[1:]
    index = micros // (interval_s * MICROSECONDS)
    num_gates = max(1, int(np.searchsorted(profiles.range_m, TOP_M)))
    sigma = noise_at_unit_range(profiles.beta[first], profiles.range_m)
    beta = profiles.beta[first, :num_gates]
    lowest = _lowest(profiles.cloud_base_m[first])
    edges = np.flatnonzero(np.diff(index)) + 1
    starts, stops = [0, *edges.tolist()], [*edges.tolist(), len(index)]
    return [
        _average(profiles, int(index[a]), micros[a:b], first[a:b], beta[a:b], sigma[a:b], lowest[a:b])
        for a, b in zip(starts, stops, strict=True)
    ]


def pack(averages: Iterable[Average]) -> bytes:
    """Several averages as one string of bytes."""
    return b"".join(average.to_bytes() for average in averages)


def unpack(raw: bytes) -> list[Average]:
    """The inverse of `pack`.

    Raises:
        ValueError: the bytes were written by another version.
    """
    found = []
    view = memoryview(raw)
    position = 0
    while position < len(view):
        (size,) = struct.unpack_from("<I", view, position)
        found.append(_from_bytes(view[position + 4 : position + 4 + size]))
        position += 4 + size
    return found


def _average(
    profiles: Profiles,
    index: int,
    times: NDArray[np.int64],
    rows: NDArray[np.int64],
    beta: Float32,
    sigma: Float64,
    lowest: Float64,
) -> Average:
    is_missing = ~np.isfinite(beta)
    has_noise = np.isfinite(sigma)
    has_cloud = np.isfinite(lowest)
    any_missing = bool(is_missing.any())
    return Average(
        index=index,
        times=times.copy(),
        first_m=float(profiles.range_m[0]),
        resolution_m=float(profiles.range_resolution_m),
        total=(np.where(is_missing, np.float32(0), beta) if any_missing else beta).sum(axis=0, dtype=np.float32),
        missing=is_missing.sum(axis=0).astype(np.uint16) if any_missing else None,
        variance=float(np.sum(sigma[has_noise] ** 2)),
        num_noise=int(has_noise.sum()),
        num_fog=int(profiles.is_fog[rows].sum()),
        num_precipitation=int(profiles.is_precipitation[rows].sum()),
        num_visibility=int(np.isfinite(profiles.vertical_visibility_m[rows]).sum()),
        num_cloud=int(has_cloud.sum()),
        cloud_base_m=float(lowest[has_cloud].min()) if has_cloud.any() else float("inf"),
        cloud_sum_m=float(lowest[has_cloud].sum()),
        tilt_sum_deg=float(np.nan_to_num(profiles.tilt_deg[rows]).sum()),
        is_calibrated=profiles.is_calibrated,
        instrument=profiles.instrument,
    )


def _lowest(cloud_base_m: Float32) -> Float64:
    """(T,) lowest cloud base of each profile, NaN where there is none."""
    if cloud_base_m.shape[1] == 0:
        return np.full(len(cloud_base_m), np.nan)
    lowest = np.where(np.isnan(cloud_base_m), np.inf, cloud_base_m).min(axis=1).astype(np.float64)
    return np.where(np.isinf(lowest), np.nan, lowest)


def _missing_sum(one: Average, other: Average) -> NDArray[np.uint16] | None:
    if one.missing is None or other.missing is None:
        return one.missing if other.missing is None else other.missing
    return one.missing + other.missing


def _from_bytes(view: memoryview) -> Average:
    fields: Sequence[float] = _HEAD.unpack_from(view)
    if fields[0] != VERSION:
        raise ValueError(f"average written by version {fields[0]}, this is version {VERSION}")
    num_times, num_gates, name_length = int(fields[3]), int(fields[4]), int(fields[15])
    position = _HEAD.size
    (variance,) = struct.unpack_from("<d", view, position)
    position += 8
    times = np.frombuffer(view, np.int64, num_times, position)
    position += 8 * num_times
    total = np.frombuffer(view, np.float32, num_gates, position)
    position += 4 * num_gates
    missing = None
    if int(fields[1]) & 2:
        missing = np.frombuffer(view, np.uint16, num_gates, position)
        position += 2 * num_gates
    return Average(
        index=int(fields[2]),
        times=times,
        first_m=fields[5],
        resolution_m=fields[6],
        total=total,
        missing=missing,
        variance=variance,
        num_noise=int(fields[7]),
        num_fog=int(fields[8]),
        num_precipitation=int(fields[9]),
        num_visibility=int(fields[10]),
        num_cloud=int(fields[11]),
        cloud_base_m=fields[12],
        cloud_sum_m=fields[13],
        tilt_sum_deg=fields[14],
        is_calibrated=bool(int(fields[1]) & 1),
        instrument=bytes(view[position : position + name_length]).decode(),
    )
