"""The air quality of a site as a pure function of new averages and a small state.

    rows, state = step(site, closed_intervals, state, settings)

Every interval that has closed gives an extinction and a mass, or reasons; the mass goes into the sums of its hour. An
hour ends with its last interval, or with the first one of a later hour; then its mean, NowCast and indices are final.
Until then each step gives one provisional row of the open hour. Keys are (site, hour): a later row replaces an earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import REASONS, AirFlag
from ipdsf_spark.lidar.aerosol.near_surface import AerosolInterval, NearSurface, known_humidity, near_surface
from ipdsf_spark.lidar.air_quality import nowcast, state
from ipdsf_spark.lidar.air_quality.european_index import EuropeanIndex, european_index
from ipdsf_spark.lidar.air_quality.mass import AirSettings, Mass, mass_of
from ipdsf_spark.lidar.air_quality.state import AirState, OpenHour
from ipdsf_spark.lidar.air_quality.us_index import Index, index_of
from ipdsf_spark.lidar.site import Site

NAME: Final = "air_quality"
STATE_VERSION: Final = state.VERSION
DEFAULT: Final = AirSettings()
MEAN_DECIMALS: Final = 3  # of hourly means [µg/m3]: sums of binary floats then lose no tenth to truncation


@dataclass(frozen=True)
class AirRow:
    """Air quality of one site and hour.

    Attributes:
        site: site id.
        time: begin of the hour, UTC.
        pm2p5: hourly mean [µg/m3]; None where the hour has none, and then `flags` say why.
        uncertainty: its standard deviation [µg/m3].
        extinction: mean of particles near the ground [m-1], NaN where none.
        relative_humidity: mean of the known ones, 0 to 1, NaN where none.
        num_intervals, num_expected: intervals with a value, and those of a whole hour.
        nowcast: NowCast of PM2.5 [µg/m3] or None.
        us, european: indices or None.
        flags: reasons and notes.
    """

    site: str
    time: np.datetime64
    pm2p5: float | None
    uncertainty: float
    extinction: float
    relative_humidity: float
    num_intervals: int
    num_expected: int
    nowcast: float | None
    us: Index | None
    european: EuropeanIndex | None
    flags: AirFlag


def step(
    site: Site, closed: Sequence[AerosolInterval], raw: bytes, settings: AirSettings = DEFAULT
) -> tuple[list[AirRow], bytes]:
    """Rows of the hours that these intervals end, one provisional row of the open hour, and the new state.

    Args:
        site: id and altitude.
        closed: intervals that take no more profiles, in any order; those not newer than what the state has seen came
            twice and change nothing.
        raw: bytes of the last call, empty at first.
        settings: of the site.

    Raises:
        ValueError: the state was written by another version.
    """
    known = state.unpack(raw)
    rows: list[AirRow] = []
    is_changed = False
    for interval in sorted(closed, key=lambda each: each.start):
        index = index_of_interval(interval.start, settings.interval_s)
        if index is None or index <= known.last_index:
            continue
        hour = index // settings.num_intervals
        if known.open.hour not in (state.NOTHING, hour):
            if known.is_told:
                known.open = OpenHour()
            else:
                rows.append(_close(site, known, settings))
        if known.is_told:
            known.take_back()
        if known.open.hour == state.NOTHING:
            known.open = OpenHour(hour)
        _count(known.open, site, interval, settings)
        known.last_index, is_changed = index, True
        if (index + 1) % settings.num_intervals == 0:
            rows.append(_close(site, known, settings))
    if is_changed and known.open.hour != state.NOTHING:
        rows.append(_row(site, known, settings, is_final=False)[0])
    return rows, state.pack(known)


def finish(site: Site, raw: bytes, settings: AirSettings = DEFAULT) -> tuple[list[AirRow], bytes]:
    """The open hour of a site that has fallen silent as final, or at the end of the data.

    What is known of the hour is kept: a site that sends every two hours falls silent in the middle of one, and the row
    that it then completes replaces this one.
    """
    known = state.unpack(raw)
    if known.open.hour == state.NOTHING or known.is_told:
        return [], state.pack(known)
    row, mean = _row(site, known, settings, is_final=True)
    known.tell(mean)
    return [row], state.pack(known)


def index_of_interval(start: np.datetime64, interval_s: int) -> int | None:
    """Number of the interval since 1970, None for no time."""
    if np.isnat(start):
        return None
    return int(start.astype("datetime64[s]").astype(np.int64)) // interval_s


def measure(site: Site, interval: AerosolInterval, settings: AirSettings) -> tuple[NearSurface, Mass | None]:
    """Extinction and mass of one interval; no mass where the extinction has a reason not to be."""
    found = near_surface(
        interval,
        settings.kind,
        altitude_m=site.altitude_m,
        lidar_ratio_sr=settings.lidar_ratio_sr,
        layer_top_m=settings.layer_top_m,
    )
    if found.extinction is None:
        return found, None
    return found, mass_of(found.extinction, interval.wavelength_nm, interval.relative_humidity, settings)


def _count(hour: OpenHour, site: Site, interval: AerosolInterval, settings: AirSettings) -> None:
    found, mass = measure(site, interval, settings)
    hour.num_seen += 1
    if mass is None or found.extinction is None:
        hour.reasons |= int(found.flags & REASONS)
        return
    hour.num_valid += 1
    hour.notes |= int(found.flags | mass.flags)
    hour.mass += mass.value
    hour.noise_variance += mass.noise**2
    hour.systematic += mass.systematic
    hour.extinction += found.extinction.mean
    if np.isfinite(known_humidity(interval.relative_humidity)):
        hour.num_humidity += 1
        hour.humidity += interval.relative_humidity


def _close(site: Site, known: AirState, settings: AirSettings) -> AirRow:
    row, mean = _row(site, known, settings, is_final=True)
    known.close(mean)
    return row


def _row(site: Site, known: AirState, settings: AirSettings, *, is_final: bool) -> tuple[AirRow, float]:
    """The row of the open hour, and its mean or NaN."""
    hour, flags = known.open, AirFlag(known.open.notes)
    expected = settings.num_intervals
    last_in_hour = known.last_index - hour.hour * expected + 1
    needed = settings.completeness * (expected if is_final else last_in_hour)
    if not is_final:
        flags |= AirFlag.PROVISIONAL
    mean, sigma, extinction = float("nan"), float("nan"), float("nan")
    if hour.num_valid and hour.num_valid >= needed - 1e-9:
        count = hour.num_valid
        mean = round(hour.mass / count, MEAN_DECIMALS) + 0.0
        sigma = float(np.sqrt(hour.noise_variance / count**2 + (hour.systematic / count) ** 2))
        extinction = hour.extinction / count
    else:
        flags |= AirFlag.INCOMPLETE | AirFlag(hour.reasons)
    cast = nowcast.nowcast(known.means_at(hour.hour, mean))
    if cast is None:
        flags |= AirFlag.NO_NOWCAST
    row = AirRow(
        site=site.id,
        time=np.datetime64(hour.hour, "h").astype("datetime64[us]"),
        pm2p5=mean if np.isfinite(mean) else None,
        uncertainty=sigma,
        extinction=extinction,
        relative_humidity=hour.humidity / hour.num_humidity if hour.num_humidity else float("nan"),
        num_intervals=hour.num_valid,
        num_expected=expected,
        nowcast=None if cast is None else float(cast),
        us=index_of(cast),
        european=european_index(mean),
        flags=flags,
    )
    return row, mean
