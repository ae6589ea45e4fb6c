"""The rules that give every gate its class; one set for single profiles and for averages.

Order of a profile: clouds first (clouds.py), fog among them where one begins at the ground; then what falls out of them
or fills the column from the ground; then what is left of the signal, which is aerosol; then where the beam is lost or
the signal clipped. Fog and rain are told by the profile, never by the instrument's word alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.layers.screening import (
    BELOW_BASE_M,
    FILLED,
    RAIN_BETA,
    RAIN_DEPTH_M,
    RAIN_LOOK_M,
    SHORT_COLUMN_M,
    STRONG_RAIN_BETA,
)
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.targets.classes import Target, TargetFlag
from ipdsf_spark.lidar.targets.clouds import ICE_DEPOLARISATION, LOST_BETA, CloudLayer, clouds_of
from ipdsf_spark.lidar.targets.column import Column
from ipdsf_spark.lidar.targets.returns import runs

COLD_K: Final = 263.15  # colder, what is not liquid is ice
FREEZING_K: Final = 275.15  # warmer, nothing is ice
FOG_BOTTOM_M: Final = 50.0  # liquid that begins lower is fog
LEAST_SNR: Final = 3.0  # of the mean in which faint signal is looked for
OVER_AIR: Final = 1.5  # aerosol and air return more than air alone by this factor
LEAST_DEPTH_M: Final = 120.0  # of aerosol; what is thinner is noise
NO_LIQUID_K: Final = 238.15  # colder, droplets freeze by themselves
UNKNOWN_NOISE_BETA: Final = 3e-7  # m-1 sr-1; aerosol where the noise is not known
VIRGA_M: Final = 100.0  # a streak below a cloud is at least that long
VIRGA_RATIO: Final = 3.0  # and that much brighter than the air below it
HAZE_RATIO: Final = 2.0  # haze brightens towards the ground by more than that, rain does not
TAIL_M: Final = 300.0  # above a liquid cloud, light that was scattered many times
LOST_INTEGRAL: Final = 0.0133  # sr-1; half of what an opaque cloud returns: what is then seen above is the receiver's
SEEN_M: Final = 150.0  # so much signal above a liquid cloud says that the beam came through


# Plain numbers: enums cost a microsecond wherever they meet an array.
CLEAR, LIQUID, ICE, RAIN, FOG, AEROSOL, ATTENUATED, CLIPPED, UNDETERMINED = map(int, Target)
NO_LEVEL, NO_GATE, PRECIPITATION = (
    int(flag) for flag in (TargetFlag.NO_LEVEL, TargetFlag.NO_GATE, TargetFlag.PRECIPITATION)
)


@dataclass(frozen=True, eq=False)
class Targets:
    """Classes of profiles or intervals.

    Attributes:
        classes: (T, G) `Target` values.
        flags: (T,) `TargetFlag` bits.
        clouds: T lists of cloud layers along the beam, lowest first.
        base_m: (T,) lowest cloud base, vertical [m]; NaN where none.
        bottom_m: (T,) lowest beginning of a cloud's return, vertical [m]; NaN where none.
        top_m: (T,) highest gate of that cloud that was seen, vertical [m].
    """

    classes: NDArray[np.int8]
    flags: NDArray[np.int32]
    clouds: tuple[tuple[CloudLayer, ...], ...]
    base_m: Float64
    bottom_m: Float64
    top_m: Float64


def classify(column: Column) -> Targets:
    """The classes of all gates.

    Args:
        column: profiles of one instrument.
    """
    num, gates = column.beta.shape
    classes = np.full((num, gates), UNDETERMINED, np.int8)
    flags = column.flags.copy()
    found: list[tuple[CloudLayer, ...]] = []
    is_signal = _is_signal(column)
    is_missing = np.isnan(column.beta)
    is_cold = column.temperature_k < COLD_K
    spacing_m = _spacing_m(column)
    lowest = int(np.searchsorted(column.range_m, column.lowest_m))
    for row in range(num):
        if flags[row] & NO_LEVEL or is_missing[row].all():
            flags[row] |= NO_GATE if is_missing[row].all() else 0
            found.append(())
            continue
        clipped = _gate_at(column, float(column.clipped_from_m[row]))
        clouds = _clouds(column, row, clipped, is_cold)
        found.append(tuple(clouds))
        out = classes[row]
        out[:] = np.where(_deep(is_signal[row], round(LEAST_DEPTH_M / spacing_m)), AEROSOL, CLEAR)
        out[is_missing[row]] = UNDETERMINED
        out[:lowest] = UNDETERMINED
        flags[row] |= _paint_clouds(out, clouds, column)
        _paint_around_ice(out, is_cold)
        if _paint_falling(out, column, row, clouds, lowest):
            flags[row] |= PRECIPITATION
        _paint_lost(out, clouds, is_signal[row] & (column.mean[row] > LOST_BETA), column, row)
        out[clipped:] = CLIPPED
    base_m, bottom_m, top_m = (
        np.array([getattr(each[0], name) * column.slant if each else np.nan for each in found])
        for name in ("base_m", "bottom_m", "top_m")
    )
    return Targets(classes, flags, tuple(found), base_m, bottom_m, top_m)


def _is_signal(column: Column) -> NDArray[np.bool_]:
    """(T, G) where more comes back than noise and air explain."""
    is_signal = column.mean > LEAST_SNR * column.mean_noise
    unknown = np.isnan(column.mean_noise)
    if unknown.any():
        is_signal |= unknown & (column.mean > UNKNOWN_NOISE_BETA)
    return np.asarray(is_signal & (column.mean > OVER_AIR * column.molecular))


def _gate_at(column: Column, range_m: float) -> int:
    """The gate at a range; beyond the last where there is none."""
    return column.range_m.size if np.isnan(range_m) else int(np.searchsorted(column.range_m, range_m))


def _clouds(column: Column, row: int, clipped: int, is_cold: NDArray[np.bool_]) -> list[CloudLayer]:
    depolarisation = None if column.depolarisation is None else column.depolarisation[row, :clipped]
    return clouds_of(
        column.beta[row, :clipped],
        column.noise[row, :clipped],
        column.range_m[:clipped],
        is_cold=is_cold[:clipped],
        is_freezing=column.temperature_k[:clipped] < FREEZING_K,
        may_be_liquid=column.temperature_k[:clipped] > NO_LIQUID_K,
        depolarisation=depolarisation,
        lowest_m=column.lowest_m,
        instrument=column.instrument,
    )


def _paint_clouds(out: NDArray[np.int8], clouds: list[CloudLayer], column: Column) -> int:
    flags = 0
    for cloud in clouds:
        is_fog = cloud.is_liquid and cloud.bottom_m * column.slant < FOG_BOTTOM_M
        kind = FOG if is_fog else LIQUID if cloud.is_liquid else ICE
        out[0 if is_fog else cloud.first : cloud.last + 1] = kind
        if is_fog:
            flags |= TargetFlag.FOG
        elif cloud.begins_below or column.range_m[cloud.first] < column.lowest_m:
            flags |= TargetFlag.CLOUD_BELOW_OVERLAP
    return flags


def _paint_falling(out: NDArray[np.int8], column: Column, row: int, clouds: list[CloudLayer], lowest: int) -> bool:
    """Drizzle, rain or snow in a column from the ground, or as a streak below the lowest cloud."""
    beta, height_m = column.mean[row], column.range_m * column.slant
    base = clouds[0].first if clouds else out.size
    if base <= lowest:
        return False
    kind_gates = _column_of_rain(beta, height_m, clouds, lowest, is_said=bool(column.is_wet_said[row]))
    if kind_gates is None and clouds:
        kind_gates = _streak(beta, column.range_m, clouds[0], lowest)
    if kind_gates is None:
        return False
    first, stop = kind_gates
    part = out[first:stop]
    part[(part == AEROSOL) | (part == CLEAR)] = _phase(column, row, first, stop)
    return True


def _column_of_rain(
    beta: Float64, height_m: Float64, clouds: list[CloudLayer], lowest: int, *, is_said: bool
) -> tuple[int, int] | None:
    """First gate and the one behind the last of a rain-strength column from the ground, as in layers/screening.py."""
    if not clouds:
        look = slice(*np.searchsorted(height_m, RAIN_LOOK_M))
        deep = beta[look]
        if not deep.size or np.count_nonzero(deep > RAIN_BETA) <= FILLED * deep.size:
            return None
        weak = np.flatnonzero(~(beta[look.start :] > RAIN_BETA))
        return lowest, look.start + int(weak[0]) if weak.size else beta.size
    first = clouds[0].first
    stop = int(np.searchsorted(height_m, height_m[first] - BELOW_BASE_M))
    column = beta[lowest:stop]
    if column.size < 2:
        return None
    depth_m = float(height_m[stop - 1] - height_m[lowest])
    is_deep = height_m[first] - BELOW_BASE_M >= RAIN_DEPTH_M
    needed = RAIN_BETA if is_deep else STRONG_RAIN_BETA
    if depth_m < SHORT_COLUMN_M or np.count_nonzero(column > needed) <= FILLED * column.size:
        return None
    top = float(np.nanmean(column[-max(1, column.size // 4) :]))
    if not is_deep and not is_said and float(np.nanmax(column)) > HAZE_RATIO * top:
        return None
    return lowest, first


def _streak(beta: Float64, range_m: Float64, cloud: CloudLayer, lowest: int) -> tuple[int, int] | None:
    """What falls out of a cloud and evaporates above the ground: bright air right below it, dim air further down."""
    first = cloud.first
    weak = np.flatnonzero(~(beta[lowest:first] > RAIN_BETA))
    begin = lowest + int(weak[-1]) + 1 if weak.size else lowest
    if begin >= first or range_m[first] - range_m[begin] < VIRGA_M + BELOW_BASE_M:
        return None
    under = beta[max(lowest, begin - (first - begin)) : begin]
    if under.size and float(np.nanmean(beta[begin:first])) < VIRGA_RATIO * float(np.nanmean(under)):
        return None
    return (begin, first) if under.size else None


def _phase(column: Column, row: int, first: int, stop: int) -> int:
    """Snow and ice where depolarisation or cold say so, else drizzle or rain."""
    is_freezing = column.temperature_k[first:stop] < FREEZING_K
    if column.depolarisation is not None and is_freezing.any():
        ratio = column.depolarisation[row, first:stop]
        weight = np.where(np.isfinite(ratio), np.maximum(np.nan_to_num(column.beta[row, first:stop]), 0.0), 0.0)
        if weight.sum() > 0.0:
            is_icy = float((weight * np.nan_to_num(ratio)).sum() / weight.sum()) > ICE_DEPOLARISATION
            return ICE if is_icy else RAIN
    return ICE if bool((column.temperature_k[first:stop] < COLD_K).all()) else RAIN


def _paint_lost(
    out: NDArray[np.int8], clouds: list[CloudLayer], is_signal: NDArray[np.bool_], column: Column, row: int
) -> None:
    """Above the last liquid cloud, fog or rain nothing is known unless something is seen there."""
    spacing_m = _spacing_m(column)
    liquid = [cloud for cloud in clouds if cloud.is_liquid]
    if not liquid:
        falling = np.flatnonzero(out == RAIN)
        if falling.size and not clouds:
            out[int(falling[-1]) + 1 :] = ATTENUATED
        return
    last = liquid[-1].last
    if any(cloud.first > last for cloud in clouds):
        return
    above = last + 1 + round(TAIL_M / spacing_m)
    came_back = sum(float(np.nansum(column.beta[row, cloud.first : cloud.last + 1])) for cloud in liquid) * spacing_m
    if came_back > LOST_INTEGRAL or _longest(is_signal[above:]) * spacing_m < SEEN_M:
        out[last + 1 :] = ATTENUATED
    else:
        tail = out[last + 1 : above]
        tail[tail == AEROSOL] = ATTENUATED


def _spacing_m(column: Column) -> float:
    return float(column.range_m[1] - column.range_m[0]) if column.range_m.size > 1 else 1.0


def _longest(mask: NDArray[np.bool_]) -> int:
    """The longest stretch of true."""
    first, stop = runs(mask)
    return int((stop - first).max()) if first.size else 0


def _deep(mask: NDArray[np.bool_], gates: int) -> NDArray[np.bool_]:
    """Stretches of true of at least so many gates."""
    first, stop = runs(mask)
    kept = mask.copy()
    for low, high in zip(first.tolist(), stop.tolist(), strict=True):
        if high - low < gates:
            kept[low:high] = False
    return kept


def _paint_around_ice(out: NDArray[np.int8], is_cold: NDArray[np.bool_]) -> None:
    """Faint cold signal that hangs together with ice is ice."""
    is_ice = out == ICE
    if not is_ice.any():
        return
    first, stop = runs(is_cold & (is_ice | (out == AEROSOL)))
    for low, high in zip(first.tolist(), stop.tolist(), strict=True):
        if is_ice[low:high].any():
            out[low:high] = ICE
