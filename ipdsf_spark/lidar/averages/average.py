"""The average of one interval: all that an analysis sees of an instrument's profiles, and how two of them merge.

Sums, not means, are kept, so that averages of the same interval merge in any order into the same value.

Two grids of one beam:

* *gates* of about 10 m up to `FINE_TOP_M`, summed clear of cloud: what the boundary layer is found in;
* *blocks* of about 50 m up to the instrument's range, summed with clouds and all, with their squares: everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32, Float64

FINE_TOP_M: Final = 6000.0  # fine gates end here; above, blocks go on to the instrument's range
FINEST_M: Final = 9.0  # finer gates are joined to about 10 m: the narrowest half-window of the wavelet is 50 m
BLOCK_M: Final = 50.0  # length of a block, as near as whole gates come to it
MICROSECONDS: Final = 1_000_000
NO_POSITION: Final = (float("nan"), float("nan"), float("nan"))


class Sum(NamedTuple):
    """A sum and how many values went into it."""

    total: float
    num: int

    @property
    def mean(self) -> float:
        """The mean; NaN of nothing."""
        return self.total / self.num if self.num else float("nan")


@dataclass(frozen=True, eq=False)
class Average:
    """Sums over the profiles of one interval; all of one instrument and one gate geometry. F fine gates, B blocks.

    Attributes:
        index: interval number since 1970, time // interval.
        times: (n,) sorted profile times [µs since 1970].
        first_m, resolution_m: centre of the first gate and gate length along the beam.
        total: (F,) sum of beta over the profiles that have the gate clear of cloud.
        missing: (F,) profiles that lack the gate or have cloud in it, or None if none does.
        block_gates: gates of a block.
        block_total: (B,) sum over profiles of the mean beta of a block, clouds included.
        block_square: (B,) sum over profiles of the mean of beta² of a block.
        block_cross: (B,) sum over profiles of the mean of beta times linear depolarisation ratio; None if not measured.
        block_missing: (B,) profiles that lack the block, or None if none does.
        variance: sum over profiles of the noise variance at unit range of a fine gate.
        num_noise: profiles with a noise estimate.
        num_fog: profiles that the instrument calls fog, or with a cloud base below `FOG_BASE_M`.
        num_precipitation: profiles that the instrument calls rain or snow.
        cloud_base_m: (c,) sorted lowest cloud bases of the profiles that have one, vertically above the instrument.
        higher_base_m: (d,) sorted further cloud bases, likewise.
        vertical_visibility_m: (v,) sorted vertical visibilities of the profiles that have one.
        maker_layer_m: (m,) sorted heights of the maker's own layers.
        clipped_from_m: (k,) sorted heights above which a profile's signal is clipped, of the profiles where it is.
        health: housekeeping by its name with unit.
        alarms: sorted names of status bits that any profile set.
        tilt_sum_deg: sum of beam tilts.
        is_calibrated: beta is in m-1 sr-1.
        instrument: maker and model.
        identity: the single instrument: its serial number, or what else tells it from others of its model.
        wavelength_nm: laser wavelength [nm].
        position: latitude and longitude [degree] and altitude [m] that the file claims, NaN if it claims none.
    """

    index: int
    times: NDArray[np.int64]
    first_m: float
    resolution_m: float
    total: Float32
    missing: NDArray[np.uint16] | None
    block_gates: int
    block_total: Float32
    block_square: Float32
    block_cross: Float32 | None
    block_missing: NDArray[np.uint16] | None
    variance: float
    num_noise: int
    num_fog: int
    num_precipitation: int
    cloud_base_m: Float32
    higher_base_m: Float32
    vertical_visibility_m: Float32
    maker_layer_m: Float32
    clipped_from_m: Float32
    health: Mapping[str, Sum] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    tilt_sum_deg: float = 0.0
    is_calibrated: bool = False
    instrument: str = ""
    identity: str = ""
    wavelength_nm: float = float("nan")
    position: tuple[float, float, float] = NO_POSITION

    @property
    def num_profiles(self) -> int:
        """Profiles summed."""
        return len(self.times)

    @property
    def tilt_deg(self) -> int:
        """Mean tilt of the beam to the degree; finer differences do not matter."""
        return round(self.tilt_sum_deg / len(self.times))

    @property
    def source(self) -> tuple[str, str]:
        """The instrument: what tells two of them apart."""
        return self.instrument, self.identity

    @property
    def likeness(self) -> tuple[str, str, bool, float, float, int, int]:
        """What must agree for two averages to merge."""
        return (
            self.instrument,
            self.identity,
            self.is_calibrated,
            round(self.first_m, 3),
            round(self.resolution_m, 3),
            self.total.size,
            self.block_total.size,
        )

    @property
    def range_m(self) -> Float64:
        """(F,) gate centres along the beam [m]."""
        return self.first_m + self.resolution_m * np.arange(self.total.size, dtype=np.float64)

    @property
    def block_range_m(self) -> Float64:
        """(B,) block centres along the beam [m]."""
        step_m = self.resolution_m * self.block_gates
        number = np.arange(self.block_total.size, dtype=np.float64)
        return self.first_m + (step_m - self.resolution_m) / 2 + step_m * number

    def mean(self) -> Float64:
        """(F,) mean beta clear of cloud, NaN where fewer than half of the profiles have the gate."""
        return _mean(self.total, self.missing, self.num_profiles)

    def block_mean(self) -> Float64:
        """(B,) mean beta with clouds, NaN where fewer than half of the profiles have the block."""
        return _mean(self.block_total, self.block_missing, self.num_profiles)

    def block_variance(self) -> Float64:
        """(B,) variance of beta over the profiles and gates of a block."""
        square = _mean(self.block_square, self.block_missing, self.num_profiles)
        return np.asarray(np.maximum(square - np.square(self.block_mean()), 0.0), np.float64)

    def block_depolarisation(self) -> Float64 | None:
        """(B,) linear depolarisation ratio, weighted with beta; None if not measured."""
        if self.block_cross is None:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.block_total > 0, self.block_cross / self.block_total.astype(np.float64), np.nan)

    @property
    def sigma_unit(self) -> float:
        """Noise of the mean at unit range; 0 if no profile gave an estimate."""
        if not self.num_noise:
            return 0.0
        return float((self.variance / self.num_noise / self.num_profiles) ** 0.5)

    def num_shared(self, other: Average) -> int:
        """Profile times that stand in both."""
        if self.times[-1] < other.times[0] or other.times[-1] < self.times[0]:
            return 0
        return int(np.isin(self.times, other.times, assume_unique=True).sum())

    def merge(self, other: Average) -> Average:
        """The average of both sets of profiles.

        A profile counts once. Where the two share profile times, a file came twice or came again after it had grown:
        the larger set is kept and the other dropped. Over sets that are disjoint, equal or contain one another, which
        is all that files sent once, twice or growing make, merging is associative and commutative. Another geometry or
        instrument in the same interval is treated likewise.
        """
        if self.likeness != other.likeness or self.num_shared(other):
            return max(self, other, key=_precedence)
        first, second = (self, other) if _precedence(self) <= _precedence(other) else (other, self)
        return Average(
            index=first.index,
            times=_merged_times(first.times, second.times),
            first_m=first.first_m,
            resolution_m=first.resolution_m,
            total=first.total + second.total,
            missing=_missing_sum(first.missing, second.missing),
            block_gates=first.block_gates,
            block_total=first.block_total + second.block_total,
            block_square=first.block_square + second.block_square,
            block_cross=None
            if first.block_cross is None or second.block_cross is None
            else first.block_cross + second.block_cross,
            block_missing=_missing_sum(first.block_missing, second.block_missing),
            variance=first.variance + second.variance,
            num_noise=first.num_noise + second.num_noise,
            num_fog=first.num_fog + second.num_fog,
            num_precipitation=first.num_precipitation + second.num_precipitation,
            cloud_base_m=_sorted(first.cloud_base_m, second.cloud_base_m),
            higher_base_m=_sorted(first.higher_base_m, second.higher_base_m),
            vertical_visibility_m=_sorted(first.vertical_visibility_m, second.vertical_visibility_m),
            maker_layer_m=_sorted(first.maker_layer_m, second.maker_layer_m),
            clipped_from_m=_sorted(first.clipped_from_m, second.clipped_from_m),
            health=_health_sum(first.health, second.health),
            alarms=first.alarms if first.alarms == second.alarms else tuple(sorted({*first.alarms, *second.alarms})),
            tilt_sum_deg=first.tilt_sum_deg + second.tilt_sum_deg,
            is_calibrated=first.is_calibrated,
            instrument=first.instrument,
            identity=first.identity,
            wavelength_nm=first.wavelength_nm,
            position=first.position,
        )


def _precedence(average: Average) -> tuple[int, bytes, str]:
    return average.num_profiles, average.times.tobytes(), average.instrument


def _mean(total: Float32, missing: NDArray[np.uint16] | None, num: int) -> Float64:
    if missing is None:
        return np.asarray(total / float(num))
    have = num - missing.astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(2 * have >= num, total / have, np.nan)


def _merged_times(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    if one[-1] < other[0]:
        return np.concatenate([one, other])
    return np.sort(np.concatenate([one, other]))


def _sorted(one: Float32, other: Float32) -> Float32:
    if not one.size or not other.size:
        return one if other.size == 0 else other
    return np.sort(np.concatenate([one, other]))


def _missing_sum(one: NDArray[np.uint16] | None, other: NDArray[np.uint16] | None) -> NDArray[np.uint16] | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


def _health_sum(one: Mapping[str, Sum], other: Mapping[str, Sum]) -> dict[str, Sum]:
    added = dict(one)
    for name, (total, num) in other.items():
        held = added.get(name, Sum(0.0, 0))
        added[name] = Sum(held.total + total, held.num + num)
    return added
