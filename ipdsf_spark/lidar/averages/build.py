"""Profiles to averages: a file's profiles become one small `Average` per UTC interval that they touch.

Clouds are cut out of the fine gates profile by profile before anything is summed, so that one passing cumulus does not
paint an edge into five minutes of clear air. The blocks keep them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import BLOCK_M, FINE_TOP_M, FINEST_M, MICROSECONDS, Average, Sum
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles
from ipdsf_spark.lidar.signal import noise_at_unit_range

BELOW_CLOUD_M: Final = 50.0  # a cloud begins this far below the base that the instrument reports
FOG_BASE_M: Final = 200.0  # a cloud base below this is fog to a boundary-layer retrieval
LARGEST_BETA: Final = 1e15  # of any unit: what a fill value has grown to, not what an instrument measures
EMPTY: Final = np.empty(0, np.float32)


def averages_of(profiles: Profiles, interval_s: int) -> list[Average]:
    """One average per UTC interval the profiles touch, in time order.

    Profiles without a time are left out, and so is the second of two with the same time.

    Args:
        profiles: of one instrument, in any order.
        interval_s: length of an interval, aligned to UTC [s].
    """
    micros, first = _distinct_times(profiles)
    if not micros.size or not profiles.range_m.size:
        return []
    index = micros // (interval_s * MICROSECONDS)
    gates = _Gates.of(profiles, first)
    bases = np.sort(_finite_or_inf(profiles.vertical_base_m[first]), axis=1)
    lowest, lowest_along_beam = _lowest(profiles.vertical_base_m[first]), _lowest(profiles.base_along_beam_m[first])
    clear = gates.fine
    cloudy = np.flatnonzero(lowest_along_beam < gates.range_m[-1] + BELOW_CLOUD_M)
    if cloudy.size:
        is_cloud = gates.range_m > lowest_along_beam[cloudy, None] - BELOW_CLOUD_M
        clear[cloudy] = np.where(is_cloud, np.float32(np.nan), clear[cloudy])
    is_fog = profiles.is_fog[first] | (lowest <= FOG_BASE_M)
    tilt_deg = np.where(np.isnan(profiles.tilt_deg), np.float32(0), profiles.tilt_deg)[first]
    sigma = gates.sigma
    names, health = _health(profiles, first)
    starts = [0] if index[0] == index[-1] else [0, *(np.flatnonzero(index[1:] > index[:-1]) + 1).tolist()]
    found = []
    for start, stop in zip(starts, [*starts[1:], len(index)], strict=True):
        rows = slice(start, stop)
        total, missing = _sum(clear[rows])
        block_total, block_missing = _sum(gates.block[rows])
        has_noise = sigma[rows] > 0.0
        found.append(
            Average(
                index=int(index[start]),
                times=micros[rows],
                first_m=float(gates.range_m[0]),
                resolution_m=gates.resolution_m,
                total=total,
                missing=missing,
                block_gates=gates.block_gates,
                block_total=block_total,
                block_square=_sum(gates.square[rows])[0],
                block_cross=None if gates.cross is None else _sum(gates.cross[rows])[0],
                block_missing=block_missing,
                variance=float(np.square(sigma[rows][has_noise]).sum()),
                num_noise=int(np.count_nonzero(has_noise)),
                num_fog=int(np.count_nonzero(is_fog[rows])),
                num_precipitation=int(np.count_nonzero(profiles.is_precipitation[first[rows]])),
                cloud_base_m=_present(lowest[rows]),
                higher_base_m=_present(bases[rows, 1:]),
                vertical_visibility_m=_present(profiles.vertical_visibility_m[first[rows]]),
                maker_layer_m=_present(profiles.maker_layer_height_m[first[rows]]),
                clipped_from_m=EMPTY
                if profiles.clipped_from_m is None
                else _present(profiles.clipped_from_m[first[rows]]),
                health=_health_sums(names, health[:, rows]),
                alarms=_alarms(profiles, first[rows]),
                tilt_sum_deg=float(tilt_deg[rows].sum()),
                is_calibrated=profiles.is_calibrated,
                instrument=profiles.instrument,
                identity=profiles.identity,
                wavelength_nm=float(profiles.wavelength_nm),
                position=(profiles.latitude_deg, profiles.longitude_deg, profiles.altitude_m),
            )
        )
    return found


def averages_of_all(blocks: Iterable[Profiles], interval_s: int) -> list[Average]:
    """The averages of several blocks of profiles of one instrument, merged, in time order."""
    merged: dict[int, Average] = {}
    for block in blocks:
        for average in averages_of(block, interval_s):
            held = merged.get(average.index)
            merged[average.index] = average if held is None else held.merge(average)
    return [merged[index] for index in sorted(merged)]


class _Gates:
    """Backscatter on both grids, profile by profile."""

    fine: Float32  # (T, F), NaN where a gate has no value
    range_m: Float64
    resolution_m: float
    sigma: Float64  # noise of a fine gate at unit range
    block_gates: int
    block: Float32  # (T, B) mean of each block
    square: Float32
    cross: Float32 | None

    @classmethod
    def of(cls, profiles: Profiles, rows: NDArray[np.int64]) -> _Gates:
        gates = cls()
        raw_m, num_raw = profiles.range_m, profiles.range_m.size
        spacing_m = float(raw_m[1] - raw_m[0]) if num_raw > 1 else float(profiles.range_resolution_m)
        beta = profiles.beta[rows]
        sigma = noise_at_unit_range(beta, raw_m)
        is_finite = np.abs(beta) < LARGEST_BETA  # neither is NaN
        if not is_finite.all():
            beta = np.where(is_finite, beta, np.float32(np.nan))

        join = max(1, int((FINEST_M + profiles.range_resolution_m / 2) // profiles.range_resolution_m))
        num = max(1, int(np.searchsorted(raw_m, FINE_TOP_M)))
        join = min(join, num)
        num -= num % join
        if join == 1:
            gates.fine, gates.range_m = beta[:, :num].copy(), raw_m[:num]
        else:
            gates.fine = beta[:, :num].reshape(len(beta), -1, join).mean(axis=2, dtype=np.float32)
            gates.range_m = raw_m[:num].reshape(-1, join).mean(axis=1)
            sigma = sigma / np.sqrt(join)
        gates.sigma = sigma
        gates.resolution_m = spacing_m * join

        gates.block_gates = max(1, round(BLOCK_M / gates.resolution_m)) if gates.resolution_m > 0 else 1
        size = min(gates.block_gates * join, num_raw)
        gates.block_gates = max(1, size // join)
        num_blocks = num_raw // size
        blocks = beta[:, : num_blocks * size].reshape(len(beta), num_blocks, size)
        share = np.float32(1.0 / size)
        gates.block = np.einsum("tbg->tb", blocks) * share
        gates.square = np.einsum("tbg,tbg->tb", blocks, blocks) * share
        gates.cross = None
        if profiles.depolarisation is not None:
            ratio = profiles.depolarisation[rows, : num_blocks * size].reshape(blocks.shape)
            gates.cross = np.einsum("tbg,tbg->tb", blocks, np.where(np.isfinite(ratio), ratio, np.float32(0))) * share
        return gates


def _distinct_times(profiles: Profiles) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sorted profile times [µs], each once, and the profile that has it first."""
    micros, first = np.unique(profiles.time.astype("datetime64[us]").view(np.int64), return_index=True)
    is_nat = micros == np.datetime64("NaT").astype(np.int64)
    return micros[~is_nat], first[~is_nat]


def _sum(values: Float32) -> tuple[Float32, NDArray[np.uint16] | None]:
    """Sum over profiles of what is there, and how many lack it."""
    total = values.sum(axis=0, dtype=np.float32)
    if np.isfinite(total).all():
        return total, None
    is_missing = np.isnan(values)
    total = np.where(is_missing, np.float32(0), values).sum(axis=0, dtype=np.float32)
    return total, is_missing.sum(axis=0, dtype=np.uint16)


def _lowest(heights_m: Float32) -> Float32:
    """(T,) the lowest of each row, inf where there is none."""
    if not heights_m.shape[1]:
        return np.full(len(heights_m), np.inf, np.float32)
    return np.asarray(_finite_or_inf(heights_m).min(axis=1), np.float32)


def _finite_or_inf(heights_m: Float32) -> Float32:
    return np.where(np.isfinite(heights_m), heights_m, np.float32(np.inf))


def _present(heights_m: Float32) -> Float32:
    """The finite values, sorted."""
    found = heights_m[np.isfinite(heights_m)]
    return np.sort(found).astype(np.float32) if found.size else EMPTY


def _health(profiles: Profiles, rows: NDArray[np.int64]) -> tuple[tuple[str, ...], Float64]:
    """Names of housekeeping values, and the values of the profiles: (H, T)."""
    try:
        return tuple(profiles.health), np.array([*profiles.health.values()], np.float64).reshape(-1, len(profiles))[
            :, rows
        ]
    except (TypeError, ValueError):  # some of it is no number
        return (), np.empty((0, len(rows)))


def _health_sums(names: tuple[str, ...], values: Float64) -> dict[str, Sum]:
    is_there = np.isfinite(values)
    totals, nums = np.where(is_there, values, 0.0).sum(axis=1).tolist(), is_there.sum(axis=1).tolist()
    return {name: Sum(total, num) for name, total, num in zip(names, totals, nums, strict=True) if num}


def _alarms(profiles: Profiles, rows: NDArray[np.int64]) -> tuple[str, ...]:
    if not profiles.alarms:
        return ()
    return tuple(sorted({name for row in rows.tolist() for name in profiles.alarms[row]}))
