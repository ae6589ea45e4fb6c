"""Vaisala (Impulsphysik) LD-40: tables of backscatter (``.BSC``) and the standard telegram ``X1TA``.

A table has a head ``DATE TIME`` and distances in metres, and a row for each profile: date and time to the minute, and
counts that grow with the received power; times the square of the distance they are range-corrected signal, without
calibration (as ceilopyter reads those of Lindenberg). The telegram (CL31 User's Guide M210482EN, "LD40 Standard
Telegram") holds three cloud bases, the depths to which they were penetrated and vertical visibility, but no profile:

    X1TA 8 015 00.00.00 00:00 00875 11150 NODET 0100 0325 NODT 11300 11600 +025 ft 01 00000000 96
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.containers.container import UnreadableFile
from ipdsf_spark.lidar.instruments import axes, fields, framing
from ipdsf_spark.lidar.instruments.assemble import times
from ipdsf_spark.lidar.instruments.stamps import UTC_CLOCK, Clock, stamped
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected

INSTRUMENT: Final = "Vaisala LD40"
WAVELENGTH_NM: Final = 855.0
FOOT_M: Final = 0.3048
COUNT_UNIT: Final = 1e-12  # brings range-corrected counts near the size of backscatter; it calibrates nothing
_LOOKED_AT: Final = 65_536
_TABLE: Final = re.compile(rb"[\xef\xbb\xbf\s]*DATE[ \t]+TIME((?:[ \t]+\d+(?:\.\d+)?){8,})[ \t]*\r?\n", re.IGNORECASE)
_NAME: Final = re.compile(rb"X[0-9A-N]TA")
_ROW: Final = re.compile(rb"[^\r\n]+")
_TELEGRAM: Final = re.compile(
    rb"X(?P<unit>[0-9A-N])TA \d \d{3} (?P<date>\d{2}\.\d{2}\.\d{2}) (?P<clock>\d{2}:\d{2})"
    rb" (?P<base1>\S{5}) (?P<base2>\S{5}) (?P<base3>\S{5}) (?P<deep1>\S{4}) (?P<deep2>\S{4}) (?P<deep3>\S{4})"
    rb" (?P<visibility>\S{5}) (?P<farthest>\S{5}) (?P<offset>[+-]\d{3}|-{4}) (?P<unit_of_length>ft|m ) \S{2}"
    rb" (?P<status>[0-9A-F]{8}) (?P<sum>[0-9A-F]{2})(?![0-9A-Za-z])"
)
_NUMBER: Final = re.compile(rb"\d+")
_NO_DATE: Final = b"00.00.00"  # of an instrument without a clock
_NO_PROFILE: Final = (
    "Vaisala LD40 telegrams hold cloud bases and no backscatter profile, from which layers could be found"
)
_SAME_MINUTE: Final = "its stamp, written to the minute, is that of the profile before it"


def recognise(raw: bytes) -> str | None:
    """``"Vaisala LD40"``, or None for a file of another kind; a log may mention the instrument."""
    is_log = framing.HEADER.search(raw, 0, _LOOKED_AT) is None and _NAME.search(raw, 0, _LOOKED_AT) is not None
    return INSTRUMENT if is_log or _TABLE.match(raw, 0, _LOOKED_AT) else None


def decode(
    raw: bytes,
    *,
    name: str = "",
    received: datetime | None = None,
    latest: datetime | None = None,
    clock: Clock = UTC_CLOCK,
) -> Decoded:
    """Profiles of a table, cloud bases without profiles of telegrams, and reasons for what is damaged.

    Args:
        raw: a file's bytes.
        name: its name; tells the date where stamps leave it open.
        received: time of sending (UTC).
        latest: the present, where no time of sending is known.
        clock: of the logger.
    """
    known: dict[str, Any] = {"name": name, "received": received, "latest": latest}
    head = _TABLE.match(raw[:_LOOKED_AT])
    return _table(raw, head, clock, known) if head is not None else _telegrams(raw, clock, known)


def _table(raw: bytes, head: re.Match[bytes], clock: Clock, known: dict[str, Any]) -> Decoded:
    distances = np.array([float(each) for each in head[1].split()])
    try:
        _, resolution_m = axes.regular_grid(distances)
        fields.check_profiles(1, len(distances))
    except UnreadableFile as error:
        return Decoded(INSTRUMENT, (), (Rejected(0, head.end(), f"Vaisala LD40 table: {error}"),))
    rows = [row for row in _ROW.finditer(raw, head.end()) if row.group().strip()]
    cells = [row.group().split() for row in rows]
    talk = [b" ".join(row[:2]) + b"\n\x01" for row in cells]
    # Their dates are written day first; a site may say another order.
    order = clock if clock.date_order else replace(clock, date_order="day_first")
    told = stamped([*talk, b"\n"], clock=order, **known)
    counts, places, rejected = [], [], []
    moments: list[datetime | None] = []
    for row, numbers, moment, reason in zip(rows, cells, told.times, told.reasons, strict=True):
        place = (row.start(), len(row.group()))
        values, fault = _counts(numbers[2:], len(distances))
        fault = fault or reason or (_SAME_MINUTE if moments and moments[-1] == moment else "")
        if fault:
            rejected.append(Rejected(*place, f"Vaisala LD40 table: {fault}"))
            continue
        counts.append(values)
        moments.append(moment)
        places.append(place)
    if not moments:
        rejected = rejected or [Rejected(0, len(raw), "Vaisala LD40 table without a row")]
        return Decoded(INSTRUMENT, (), tuple(rejected))
    signal = np.array(counts, np.float64) * np.square(distances) * COUNT_UNIT
    block = Profiles(
        instrument=INSTRUMENT,
        message_type="table",
        time=times(moments),
        range_m=distances,
        range_resolution_m=round(resolution_m, 3),
        beta=signal.astype(np.float32),
        is_calibrated=False,
        wavelength_nm=WAVELENGTH_NM,
        identity="table without a serial number",
        **fields.absent(len(moments)),
    )
    return Decoded(INSTRUMENT, (block,), tuple(rejected), places=(np.array(places, np.int64),))


def _counts(texts: list[bytes], num_gates: int) -> tuple[list[float], str]:
    """The counts of a row, and what is wrong with it."""
    if len(texts) != num_gates:
        return [], f"a row of {len(texts)} counts where the head names {num_gates} distances"
    try:
        values = [float(text) for text in texts]
    except ValueError:
        return [], "a row with something else than numbers"
    return values, "" if np.isfinite(values).all() else "a row with something else than numbers"


def _telegrams(raw: bytes, clock: Clock, known: dict[str, Any]) -> Decoded:
    names = list(_NAME.finditer(raw))
    found = [_TELEGRAM.match(raw, each.start()) for each in names]
    whole = [each for each in found if each is not None]
    rejected = [
        Rejected(each.start(), len(each.group()), "Vaisala LD40 telegram: it is cut, or not that of the User's Guide")
        for each, match in zip(names, found, strict=True)
        if match is None
    ]
    starts, ends = [0, *(each.end() for each in whole)], [*(each.start() for each in whole), len(raw)]
    talk = [raw[start:end] for start, end in zip(starts, ends, strict=True)]
    told = stamped(talk, clock=clock, **known)
    if whole and not any(told.times) and whole[0]["date"] != _NO_DATE:
        own = [b" ".join((each["date"], each["clock"])) + b"\n\x01" for each in whole]
        told = stamped([*own, b"\n"], clock=clock, **known)
    usual = Counter(map(_residue, whole)).most_common(1)
    sound: list[re.Match[bytes]] = []
    moments: list[datetime | None] = []
    for match, moment, reason in zip(whole, told.times, told.reasons, strict=True):
        is_damaged = len(whole) > 2 and _residue(match) != usual[0][0]
        fault = "its checksum is not that of the others" if is_damaged else reason
        fault = fault or (_SAME_MINUTE if moments and moments[-1] == moment else "")
        if fault:
            rejected.append(Rejected(match.start(), len(match.group()), f"Vaisala LD40 telegram: {fault}"))
            continue
        sound.append(match)
        moments.append(moment)
    if sound:
        rejected.append(Rejected(0, 0, f"{len(sound)} {_NO_PROFILE}"))
    rejected.sort(key=lambda stretch: stretch.offset)
    blocks = (_block(sound, moments),) if sound else ()
    return Decoded(INSTRUMENT, blocks, tuple(rejected))


def _residue(match: re.Match[bytes]) -> int:
    """What the checksum leaves of the sum of a telegram: that of its control characters, the same for all of a log."""
    return (sum(match.group()[:-2]) + int(match["sum"], 16)) % 256


def _block(found: list[re.Match[bytes]], moments: list[datetime | None]) -> Profiles:
    def column(key: str) -> list[float]:
        lengths = [FOOT_M if each["unit_of_length"] == b"ft" else 1.0 for each in found]
        numbers = [_NUMBER.fullmatch(each[key]) for each in found]
        pairs = zip(numbers, lengths, strict=True)
        return [float(number.group()) * length if number else float("nan") for number, length in pairs]

    # Heights count from the runway, and the offset is that of the instrument above it.
    offset_m = np.array([_offset_m(each) for each in found])
    bases = np.array([column(f"base{number}") for number in (1, 2, 3)]).T - offset_m[:, None]
    absent = fields.absent(len(found))
    return Profiles(
        instrument=INSTRUMENT,
        message_type="telegram X1TA",
        time=times(moments),
        range_m=np.empty(0),
        range_resolution_m=float("nan"),
        beta=np.empty((len(found), 0), np.float32),
        is_calibrated=False,
        wavelength_nm=WAVELENGTH_NM,
        **{
            **absent,
            "cloud_base_m": fields.heights(bases),
            "vertical_visibility_m": fields.heights(np.array(column("visibility")) - offset_m),
        },
        health={f"penetration_depth_{number}_m": np.array(column(f"deep{number}"), np.float32) for number in (1, 2, 3)},
        identity=f"unit {found[0]['unit'].decode()}",
    )


def _offset_m(match: re.Match[bytes]) -> float:
    text = match["offset"]
    length = FOOT_M if match["unit_of_length"] == b"ft" else 1.0
    return 0.0 if text.startswith(b"--") else int(text) * length
