"""Averages over fixed UTC intervals that can be built from any pieces: of / merge / mean.

A file's profiles become one small `Average` per interval; averages of the same interval merge, in any order, into the
same sums. Clouds are cut out profile by profile before anything is summed, so that one passing cumulus does not paint
an edge into five minutes of clear air.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles
from ipdsf_spark.lidar.signal import noise_at_unit_range

TOP_M: Final = 4600.0  # gates above are not carried: no mixing height is looked for there
FINEST_M: Final = 9.0  # finer gates are joined to about 10 m: the narrowest half-window of the wavelet is 50 m
BELOW_CLOUD_M: Final = 50.0  # a cloud begins this far below the base that the instrument reports
FOG_BASE_M: Final = 200.0  # a cloud base below this is fog to a boundary-layer retrieval
MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class Average:
    """Sums over the profiles of one interval; all of one gate geometry.

    Attributes:
        index: interval number since 1970, time // interval.
        times: (n,) sorted profile times [µs since 1970].
        first_m, resolution_m: centre of the first gate and gate length along the beam.
        total: (G,) sum of beta over the profiles that have the gate clear of cloud.
        missing: (G,) profiles that lack the gate, or None if none does.
        variance: sum over profiles of the noise variance at unit range.
        num_noise: profiles with a noise estimate.
        num_fog: profiles that the instrument calls fog, or with a cloud base below `FOG_BASE_M`.
        num_precipitation: profiles that the instrument calls rain or snow.
        cloud_base_m: (c,) sorted lowest cloud bases of the profiles that have one.
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
    cloud_base_m: Float32
    tilt_sum_deg: float
    is_calibrated: bool
    instrument: str

    @property
    def num_profiles(self) -> int:
        """Profiles summed."""
        return len(self.times)

    @property
    def tilt_deg(self) -> int:
        """Mean tilt of the beam to the degree; finer differences do not matter."""
        return round(self.tilt_sum_deg / len(self.times))

    @property
    def likeness(self) -> tuple[str, bool, float, float, int]:
        """What must agree for two averages to merge."""
        return (
            self.instrument,
            self.is_calibrated,
            round(self.first_m, 3),
            round(self.resolution_m, 3),
            self.total.size,
        )

    def mean(self) -> Float64:
        """(G,) mean beta, NaN where fewer than half of the profiles have the gate."""
        if self.missing is None:
            return self.total / float(self.num_profiles)
        have = self.num_profiles - self.missing.astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(2 * have >= self.num_profiles, self.total / have, np.nan)

    @property
    def sigma_unit(self) -> float:
        """Noise of the mean at unit range; 0 if no profile gave an estimate."""
        if not self.num_noise:
            return 0.0
        return float((self.variance / self.num_noise / self.num_profiles) ** 0.5)

    def merge(self, other: Average) -> Average:
        """The average of both sets of profiles.

        A profile counts once: if the two share a profile time, the larger set is kept and the other dropped, because
        shared profiles mean that a file came twice or came again after it had grown. Another geometry or instrument in
        the same interval is treated likewise.
        """
        if self.likeness != other.likeness or self._shares_times(other):
            return max(self, other, key=lambda average: (average.num_profiles, average.times.tobytes()))
        return Average(
            index=self.index,
            times=_joined(self.times, other.times),
            first_m=self.first_m,
            resolution_m=self.resolution_m,
            total=self.total + other.total,
            missing=_missing_sum(self, other),
            variance=self.variance + other.variance,
            num_noise=self.num_noise + other.num_noise,
            num_fog=self.num_fog + other.num_fog,
            num_precipitation=self.num_precipitation + other.num_precipitation,
            cloud_base_m=np.sort(np.concatenate([self.cloud_base_m, other.cloud_base_m])),
            tilt_sum_deg=self.tilt_sum_deg + other.tilt_sum_deg,
            is_calibrated=self.is_calibrated,
            instrument=self.instrument,
        )

    def _shares_times(self, other: Average) -> bool:
        if self.times[-1] < other.times[0] or other.times[-1] < self.times[0]:
            return False
        return bool(np.isin(self.times, other.times).any())


def averages_of(profiles: Profiles, interval_s: int) -> list[Average]:
    """One average per UTC interval the profiles touch, in time order; profiles without a time are left out."""
    micros, first = _distinct_times(profiles)
    if not micros.size or not profiles.range_m.size:
        return []
    index = micros // (interval_s * MICROSECONDS)
    beta, range_m, sigma = _gates(profiles, first)
    lowest = _lowest(profiles.cloud_base_m[first])
    cloudy = np.flatnonzero(lowest < range_m[-1] + BELOW_CLOUD_M)
    if cloudy.size:
        beta[cloudy] = np.where(range_m > lowest[cloudy, None] - BELOW_CLOUD_M, np.float32(np.nan), beta[cloudy])
    is_fog = profiles.is_fog[first] | (lowest <= FOG_BASE_M)
    starts = [0] if index[0] == index[-1] else [0, *(np.flatnonzero(index[1:] > index[:-1]) + 1).tolist()]
    resolution_m = float(range_m[1] - range_m[0]) if range_m.size > 1 else float(profiles.range_resolution_m)
    tilt_deg = np.where(np.isnan(profiles.tilt_deg), np.float32(0), profiles.tilt_deg)[first]
    found = []
    for start, stop in zip(starts, [*starts[1:], len(index)], strict=True):
        rows = slice(start, stop)
        part, bases = beta[rows], lowest[rows]
        is_missing = np.isnan(part)
        any_missing = bool(is_missing.any())
        has_noise = sigma[rows] > 0.0
        found.append(
            Average(
                index=int(index[start]),
                times=micros[rows],
                first_m=float(range_m[0]),
                resolution_m=resolution_m,
                total=(np.where(is_missing, np.float32(0), part) if any_missing else part).sum(0, dtype=np.float32),
                missing=is_missing.sum(axis=0, dtype=np.uint16) if any_missing else None,
                variance=float(np.square(sigma[rows][has_noise]).sum()),
                num_noise=int(np.count_nonzero(has_noise)),
                num_fog=int(np.count_nonzero(is_fog[rows])),
                num_precipitation=int(np.count_nonzero(profiles.is_precipitation[first[rows]])),
                cloud_base_m=np.sort(bases[bases < np.inf]),
                tilt_sum_deg=float(tilt_deg[rows].sum()),
                is_calibrated=profiles.is_calibrated,
                instrument=profiles.instrument,
            )
        )
    return found


def _distinct_times(profiles: Profiles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted profile times [µs], each once, and the profile that has it first."""
    micros, first = np.unique(profiles.time.astype("datetime64[us]").view(np.int64), return_index=True)
    is_nat = micros == np.datetime64("NaT").astype(np.int64)
    return micros[~is_nat], first[~is_nat]


def _gates(profiles: Profiles, rows: NDArray[np.int64]) -> tuple[Float32, Float64, Float64]:
    """Backscatter of the carried gates (a copy), their centres, and the noise of such a gate at unit range."""
    sigma = noise_at_unit_range(profiles.beta[rows], profiles.range_m)
    join = max(1, int((FINEST_M + profiles.range_resolution_m / 2) // profiles.range_resolution_m))
    num_gates = max(1, int(np.searchsorted(profiles.range_m, TOP_M)))
    join = min(join, num_gates)
    num_gates -= num_gates % join
    beta = profiles.beta[rows, :num_gates]
    beta = np.where(np.isfinite(beta), beta, np.float32(np.nan))
    range_m = profiles.range_m[:num_gates]
    if join == 1:
        return beta, range_m, sigma
    joined = beta.reshape(len(beta), -1, join).mean(axis=2, dtype=np.float32)
    return joined, range_m.reshape(-1, join).mean(axis=1), sigma / np.sqrt(join)


def _lowest(cloud_base_m: Float32) -> Float32:
    """(T,) lowest cloud base of each profile, inf where there is none."""
    if cloud_base_m.shape[1] == 0:
        return np.full(len(cloud_base_m), np.inf, np.float32)
    return np.asarray(np.where(cloud_base_m > -np.inf, cloud_base_m, np.inf).min(axis=1), np.float32)


def _joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Both, sorted."""
    if one[-1] < other[0]:
        return np.concatenate([one, other])
    return np.sort(np.concatenate([one, other]))


def _missing_sum(one: Average, other: Average) -> NDArray[np.uint16] | None:
    if one.missing is None or other.missing is None:
        return one.missing if other.missing is None else other.missing
    return one.missing + other.missing
