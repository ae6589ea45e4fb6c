"""Times that can be believed: one check behind every reader, whatever the format.

A time is believed if ceilometers existed, if it does not lie ahead of the moment it was sent, and if it does not
contradict the profiles beside it in the file. A profile without any time may take the time of sending if it is the only
one of its file; several never share it. Everything else is rejected by name, one entry for each profile.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.instruments.stamps import NO_STAMP
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected, Time

FIRST: Final = np.datetime64(
    "1985-01-01", "us"
)  # before it no ceilometer recorded profiles; 1904, 1970, 1980 are epochs
LAST: Final = np.datetime64("2100-01-01", "us")  # where neither a time of sending nor the present is known
SECOND: Final = np.timedelta64(1_000_000, "us")
DAY: Final = 86_400 * SECOND
YEAR: Final = 365 * DAY + 6 * 3600 * SECOND
# A run of profiles so far from those around it, in a file that goes on where it was, is a clock gone astray.
ASTRAY: Final = DAY
# One or two profiles so far ahead or behind, after which the file goes on where it was.
LONE_ASTRAY: Final = 7_200 * SECOND
# At the end or the beginning of a file a gap may be a pause of the instrument, so that it must be longer.
ASTRAY_AT_THE_EDGE: Final = 31 * DAY
EDGE_PROFILES: Final = 2
SHORTEST_STEP: Final = np.timedelta64(50_000, "us")  # twenty profiles a second, which no ceilometer measures
_FIRST_US, _LAST_US = int(FIRST.astype(np.int64)), int(LAST.astype(np.int64))
_SHORTEST_STEP_US, _LONE_ASTRAY_US = int(SHORTEST_STEP.astype(np.int64)), int(LONE_ASTRAY.astype(np.int64))


@dataclass(frozen=True)
class Bounds:
    """How far a time may lie from the time of sending.

    Attributes:
        ahead_s: after it [s]. A day: zones that nobody stated and clocks some hours fast do little harm, while a time
            beyond closes every interval up to it.
        behind_s: before it [s]; 0 = no bound. Twenty years by default: longer than an instrument lives, so that an
            archive sent later is believed, and a clock that starts anew in 2000 is not. Without a time of sending there
            is no such bound.
    """

    ahead_s: float = 86_400.0
    behind_s: float = 20 * 365.25 * 86_400.0


DEFAULT_BOUNDS: Final = Bounds()


def believed(
    decoded: Decoded,
    *,
    received: np.datetime64 | None = None,
    now: np.datetime64 | None = None,
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Decoded:
    """The profiles whose time is believed; the others are rejected by name.

    Args:
        decoded: what any reader gave.
        received: time of sending (UTC).
        now: the present, where no time of sending is known.
        bounds: how far a time may lie from the time of sending.
    """
    if not decoded.num_profiles:
        return decoded
    time = _all_times(decoded)
    if len(time) == 1 and np.isnat(time[0]):
        if received is None:
            return decoded
        return replace(decoded, blocks=tuple(_at(block, received) for block in decoded.blocks))
    if _is_sound(time, received, now, bounds):
        return decoded
    reasons = _reasons(time, received, now, bounds)
    if not reasons:
        return decoded
    return _without(decoded, reasons, len(time))


def _all_times(decoded: Decoded) -> Time:
    if len(decoded.blocks) == 1:
        return decoded.blocks[0].time.astype("datetime64[us]", copy=False)
    return np.concatenate([block.time for block in decoded.blocks]).astype("datetime64[us]")


def _is_sound(time: Time, received: np.datetime64 | None, now: np.datetime64 | None, bounds: Bounds) -> bool:
    """Whether nothing is to be looked at more closely: all times within the bounds, and never a day apart."""
    micros = time.view(np.int64).tolist()
    sent = received if received is not None else now
    latest = _LAST_US if sent is None else _micros(sent) + int(bounds.ahead_s * 1e6)
    earliest = _FIRST_US
    if received is not None and bounds.behind_s:
        earliest = max(earliest, _micros(received) - int(bounds.behind_s * 1e6))
    if min(micros) < earliest or max(micros) > latest:  # NaT is the smallest of all
        return False
    if len(micros) < 2:
        return True
    largest = max(abs(after - before) for before, after in itertools.pairwise(micros))
    return bool(_SHORTEST_STEP_US <= largest <= _LONE_ASTRAY_US)


def _micros(moment: np.datetime64) -> int:
    return int(moment.astype("datetime64[us]").astype(np.int64))


def _at(block: Profiles, moment: np.datetime64) -> Profiles:
    return replace(block, time=np.full(len(block), moment, "datetime64[us]")) if len(block) else block


def _reasons(time: Time, received: np.datetime64 | None, now: np.datetime64 | None, bounds: Bounds) -> dict[int, str]:
    """Why each profile that is not believed is not, by its place in the file."""
    sent = received if received is not None else now
    word = "sent" if received is not None else "read"
    ahead = np.timedelta64(int(bounds.ahead_s * 1e6), "us")
    reasons = dict.fromkeys(np.flatnonzero(np.isnat(time)).tolist(), NO_STAMP)
    for i in np.flatnonzero(time < FIRST).tolist():
        reasons[i] = f"time {_shown(time[i])} lies before 1985, when no ceilometer recorded profiles"
    last = LAST if sent is None else sent.astype("datetime64[us]") + ahead
    for i in np.flatnonzero(time > last).tolist():
        reasons[i] = (
            f"time {_shown(time[i])} lies beyond 2100"
            if sent is None
            else f"time {_shown(time[i])} lies {_days(time[i] - sent)} after the file was {word} ({_shown(sent)}); "
            f"{_days(ahead)} ahead is believed"
        )
    if received is not None and bounds.behind_s:
        behind = np.timedelta64(int(bounds.behind_s * 1e6), "us")
        for i in np.flatnonzero((time < received - behind) & (time >= FIRST)).tolist():
            reasons[i] = (
                f"time {_shown(time[i])} lies {_days(received - time[i])} before the file was sent "
                f"({_shown(received)}); "
                f"{_days(behind)} back is believed"
            )
    sound = np.array([i for i in range(len(time)) if i not in reasons], int)
    largest = int(np.diff(time[sound]).view(np.int64).max()) if len(sound) > 2 else 0
    if 0 < largest < SHORTEST_STEP.view(np.int64):
        reason = f"times advance by {largest / 1e6:.2g} s from profile to profile: their unit is wrong"
        reasons |= dict.fromkeys(sound.tolist(), reason)
        return reasons
    for i in sound[_contradicts(time[sound])].tolist():
        reasons[i] = f"time {_shown(time[i])} contradicts the profiles before and after it in the file"
    return reasons


def _contradicts(time: Time) -> NDArray[np.bool_]:
    """(T,) which times leap away from their neighbours in the file.

    The file is cut into runs where the time leaps by more than a day. A run from which the time leaps back to where it
    was, and shorter than what stands around it, is astray; so is a run of one or two at the edge of a file that lies a
    month or more away from at least three times as many, or before them though it stands behind them. One or two
    profiles inside a file are astray at two hours.
    """
    astray = np.zeros(len(time), bool)
    runs = _runs(time, LONE_ASTRAY)
    for (start, end), before, after in _inner(runs):
        goes_on = abs(time[end] - time[start - 1]) <= LONE_ASTRAY / 4
        if goes_on and end - start <= EDGE_PROFILES and end - start < before + after and max(before, after) >= 2:
            astray[start:end] = True
    runs = _runs(time, ASTRAY)
    for (start, end), before, after in _inner(runs):
        goes_on = abs(time[end] - time[start - 1]) <= ASTRAY
        if goes_on and end - start < before + after and not astray[start - 1]:
            astray[start:end] = True
    for cut in (LONE_ASTRAY, ASTRAY):
        runs = _runs(time, cut)
        for place, neighbour in ((0, 1), (len(runs) - 1, len(runs) - 2)) if len(runs) > 1 else ():
            (start, end), (first, last) = runs[place], runs[neighbour]
            # Forwards through the file; backwards it is no pause of the instrument.
            leap = time[start] - time[last - 1] if place else time[first] - time[end - 1]
            is_astray = leap < -LONE_ASTRAY or leap > ASTRAY_AT_THE_EDGE
            if end - start <= EDGE_PROFILES and last - first >= 3 * (end - start) and is_astray:
                astray[start:end] = True
    return astray


def _runs(time: Time, leap: np.timedelta64) -> list[tuple[int, int]]:
    """First and last + 1 of the stretches between leaps of time."""
    edges = [0, *(np.flatnonzero(np.abs(np.diff(time)) > leap) + 1).tolist(), len(time)]
    return list(itertools.pairwise(edges))


def _inner(runs: list[tuple[int, int]]) -> list[tuple[tuple[int, int], int, int]]:
    """Every run between two others, with the lengths of those."""
    return [
        (runs[i], runs[i - 1][1] - runs[i - 1][0], runs[i + 1][1] - runs[i + 1][0]) for i in range(1, len(runs) - 1)
    ]


def _without(decoded: Decoded, reasons: dict[int, str], num_profiles: int) -> Decoded:
    rejected = list(decoded.rejected)
    blocks: list[Profiles] = []
    places: list[NDArray[np.int64]] = []
    first = 0
    for number, block in enumerate(decoded.blocks):
        keep = np.ones(len(block), bool)
        place = decoded.places[number] if decoded.places else None
        for i in range(len(block)):
            reason = reasons.get(first + i)
            if reason is None:
                continue
            keep[i] = False
            if place is None:
                rejected.append(Rejected(0, 0, f"profile {first + i + 1} of {num_profiles}: {reason}"))
            else:
                rejected.append(Rejected(int(place[i, 0]), int(place[i, 1]), reason))
        first += len(block)
        if keep.any():
            blocks.append(block if keep.all() else rows(block, keep))
            if place is not None:
                places.append(place[keep])
    rejected.sort(key=lambda each: (each.member, each.offset))
    return replace(decoded, blocks=tuple(blocks), rejected=tuple(rejected), places=tuple(places))


def _shown(moment: np.datetime64) -> str:
    return f"{moment.astype('datetime64[s]')}Z"


def _days(span: np.timedelta64) -> str:
    days = float(span / DAY)
    if days > 1000:
        return f"{float(span / YEAR):.0f} years"
    return f"{days:.0f} day{'s' if round(days) != 1 else ''}" if days >= 1 else f"{days * 24:.1f} hours"
