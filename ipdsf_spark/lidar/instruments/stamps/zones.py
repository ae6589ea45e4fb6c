"""From the local times of one file to UTC: zones that stamps name, the site's zone, and the hour that occurs twice."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.instruments.stamps.clock import (
    SURE_ABBREVIATIONS,
    UNSURE_ABBREVIATIONS,
    Clock,
    abbreviations_of,
    utc_of,
    zone_named,
)
from ipdsf_spark.lidar.instruments.stamps.written import Written

_OF_THE_SITE: Final = ("LT", "LOCAL", "LMT")  # whatever the site's zone is called
_HOUR: Final = timedelta(hours=1)
_TOLERANCE: Final = timedelta(minutes=20)
FARTHEST_BACK: Final = _HOUR + _TOLERANCE  # that a time falls where an hour is repeated
_NEAR: Final = timedelta(minutes=15)  # a file is sent so soon after its last profile, else its sending tells nothing
_NEIGHBOUR: Final = timedelta(
    minutes=30
)  # the repeated hour is told by a profile so close to it, and none on the far side


def instants(
    stamps: Sequence[tuple[datetime, Written]], *, clock: Clock, received: datetime | None
) -> list[datetime | str]:
    """UTC of each stamp, or why it cannot be told.

    Args:
        stamps: local time and stamp, in the order of the file.
        clock: of the site.
        received: time of sending (UTC).
    """
    site_zone = zone_named(clock.zone)
    if site_zone is UTC and all(written.offset is None for _, written in stamps):
        found: list[datetime | str] = [moment for moment, _ in stamps]
        return _without_repeated_hour(found, stamps) if not clock.zone else found
    choices = [_choices(moment, written, site_zone, clock) for moment, written in stamps]
    return _settled(choices, stamps, clock, received)


def only_instant(moment: datetime, clock: Clock) -> datetime | None:
    """UTC of a local time that occurs once; None where it occurs twice or never."""
    found = utc_of(moment, zone_named(clock.zone))
    return found[0] if len(found) == 1 else None


def _choices(moment: datetime, written: Written, site_zone: tzinfo, clock: Clock) -> tuple[datetime, ...] | str:
    """The instants that a stamp can mean, or why it means none."""
    offset = written.offset
    if written.is_instant:
        return (moment,)
    if offset is None:
        found = utc_of(moment, site_zone)
        return found or f"time stamp '{written.text}' does not occur in {clock.zone}: clocks went forward over it"
    try:
        if isinstance(offset, int):
            return (moment - timedelta(minutes=offset),)
        if offset in SURE_ABBREVIATIONS:
            return (moment - timedelta(minutes=SURE_ABBREVIATIONS[offset]),)
    except OverflowError:
        return f"impossible time stamp: '{written.text}' lies outside the calendar"
    if offset in UNSURE_ABBREVIATIONS or "/" not in offset:
        if not clock.zone:
            return f"time stamp '{written.text}': the zone {offset} is not one everywhere; set the site's timezone"
        found = utc_of(moment, site_zone)
        if offset in _OF_THE_SITE:
            return found or f"time stamp '{written.text}' does not occur in {clock.zone}: clocks went forward over it"
        named = tuple(each for each in found if abbreviations_of(each, site_zone) == offset)
        if not named and abbreviations_of(moment, site_zone)[:1].isalpha():
            return f"time stamp '{written.text}': {offset} is not the time of {clock.zone} then"
        return named or found
    try:
        return utc_of(moment, zone_named(offset)) or f"time stamp '{written.text}' does not occur in {offset}"
    except ConfigError as error:
        return f"time stamp '{written.text}': {error}"


def _settled(
    choices: Sequence[tuple[datetime, ...] | str],
    stamps: Sequence[tuple[datetime, Written]],
    clock: Clock,
    received: datetime | None,
) -> list[datetime | str]:
    """Runs of stamps that occur twice are told by their own order, their neighbours, or the time of sending."""
    found: list[datetime | str] = [each[0] if isinstance(each, tuple) else each for each in choices]
    start = 0
    while start < len(choices):
        if not _is_double(choices[start]):
            start += 1
            continue
        end = start
        while end < len(choices) and _is_double(choices[end]):
            end += 1
        run = [each for each in choices[start:end] if isinstance(each, tuple)]
        before = next((each for each in reversed(found[:start]) if isinstance(each, datetime)), None)
        after = next((each[0] for each in choices[end:] if isinstance(each, tuple)), None)
        for place, fold in enumerate(_folds(run, before, after, received)):
            text = stamps[start + place][1].text
            found[start + place] = (
                run[place][fold]
                if fold is not None
                else f"time stamp '{text}' occurs twice in {clock.zone or 'its zone'}, and nothing tells which it is"
            )
        start = end
    return found


def _is_double(choice: tuple[datetime, ...] | str) -> bool:
    return isinstance(choice, tuple) and len(choice) > 1


def _folds(
    run: Sequence[tuple[datetime, ...]], before: datetime | None, after: datetime | None, received: datetime | None
) -> list[int | None]:
    """First (0) or second (1) pass of the repeated hour for each stamp of a run; None where nothing tells."""
    early = [each[0] for each in run]
    back = [i for i in range(1, len(run)) if early[i] < early[i - 1]]
    if len(back) == 1:  # the clock was put back here
        return [0 if i < back[0] else 1 for i in range(len(run))]
    if back:
        return [None] * len(run)
    follows = before is not None and timedelta(0) <= early[0] - before <= _NEIGHBOUR
    leads = after is not None and timedelta(0) <= after - run[-1][1] <= _NEIGHBOUR
    if follows != leads:
        return [0 if follows else 1] * len(run)
    if follows and leads:
        # An hour is missing on one side: the side with the longer way to its neighbour than stamps are apart.
        return [None] * len(run)
    if received is not None:
        near = [fold for fold in (0, 1) if -timedelta(minutes=1) <= received - run[-1][fold] <= _NEAR]
        if len(near) == 1:
            return [near[0]] * len(run)
    return [None] * len(run)


def _without_repeated_hour(
    found: list[datetime | str], stamps: Sequence[tuple[datetime, Written]]
) -> list[datetime | str]:
    """Refuse the second pass of an hour that a clock without a stated zone shows twice.

    Put back by an hour in the middle of a file, a clock shows local time: its stamps are no UTC, and the repeated ones
    would be averaged into the wrong interval.
    """
    moments = [moment for moment, _ in stamps]
    if len(moments) < 3:
        return found
    steps = sorted(b - a for a, b in itertools.pairwise(moments) if b > a)
    usual = steps[len(steps) // 2] if steps else timedelta(0)
    tolerance = min(2 * usual + timedelta(seconds=2), _TOLERANCE)
    result = list(found)
    for i in range(1, len(moments)):
        back = moments[i - 1] - moments[i]
        if back <= timedelta(0) or abs(back + usual - _HOUR) > tolerance:
            continue
        for later in range(i, len(moments)):
            if moments[later] > moments[i - 1]:
                break
            text = stamps[later][1].text
            result[later] = (
                f"time stamp '{text}' repeats an hour: the clock was put back at '{stamps[i][1].text}', so it shows "
                "local time; set the site's timezone"
            )
    return result
