"""Vaisala BL-View history files (``.his``), levels 2 and 3 (BL-View User Guide M211185EN-E, "HIS Files").

A level 2 file holds one profile a row: `BS_PROFILE`, gates of 10 m in hexadecimal numbers of five digits, each 1e-9
m-1 sr-1; exports write them as decimal numbers as well. A level 3 file holds what BL-View made of them: up to three
layer heights with an index of quality, and cloud bases; without a profile, so that no layer can be found again here.
Columns are told by the names in the header. UNIXTIME is UTC; CREATEDATE counts where there is none, as any stamp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.instruments.hexprofile import int20
from ipdsf_spark.lidar.instruments.stamps import UTC_CLOCK, Clock, stamped
from ipdsf_spark.lidar.profiles import Decoded, Float32, Profiles, Rejected

BL_VIEW: Final = "Vaisala BL-View"
RESOLUTION_M: Final = 10.0
UNIT: Final = 1e-9  # m-1 sr-1
MAX_GATES: Final = 4096
FULL_OBSCURATION: Final = 4
_PROFILE: Final = "BS_PROFILE"
_LOOKED_AT: Final = 400  # bytes within which the header stands
_HEADER: Final = re.compile(rb"^[^\r\n]*CREATEDATE[^\r\n]*", re.MULTILINE | re.IGNORECASE)
_LINE: Final = re.compile(rb"[^\r\n]+")
_TITLE: Final = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*history file\s*", re.IGNORECASE)
_LAYER, _INDEX = re.compile(r"BL_?HEIGHT_?\d"), re.compile(r"BL_?INDEX_?\d")
_CLOUD: Final = re.compile(r"CLOUD_?\d")
_QUOTES: Final = " \t\"'"
_EARLIEST_UNIX: Final = 4e8  # 1982: smaller numbers are no time of a profile
_MILLISECONDS_FROM: Final = 1e11


@dataclass(frozen=True, eq=False)
class _Row:
    """One row that could be read; `where` is its place in the file, `names` are those of its columns."""

    where: tuple[int, int]
    names: tuple[str, ...]
    device: str
    date: str
    time: np.datetime64
    beta: Float32
    numbers: dict[str, float]


class _BadRow(ValueError):
    """A row that gives no profile; the text is the reason."""


def recognise(raw: bytes) -> str | None:
    """``"Vaisala BL-View"``, or None for a file of another kind."""
    start = raw[:_LOOKED_AT].upper()
    return BL_VIEW if b"CREATEDATE" in start and (b"UNIXTIME" in start or b"CEILOMETER" in start) else None


def decode(
    raw: bytes,
    *,
    name: str = "",
    clock: Clock = UTC_CLOCK,
    received: datetime | None = None,
    latest: datetime | None = None,
) -> Decoded:
    """Profiles of a level 2 file, layer heights without profiles of a level 3 file, and reasons for bad rows.

    Args:
        raw: a file's bytes, or several such files one behind the other.
        name: its name, for what dates leave open.
        clock: zone and order of dates, for rows without UNIXTIME.
        received: time of sending (UTC).
        latest: the present, where no time of sending is known.
    """
    header = _HEADER.search(raw, 0, 4 * _LOOKED_AT)
    if header is None:
        return Decoded(BL_VIEW, (), (Rejected(0, len(raw), "Vaisala BL-View history file without a header"),))
    separator, names = _columns(header.group())
    rows, rejected = [], []
    for line in _LINE.finditer(raw, header.end()):
        text = line.group()
        if not text.strip() or _TITLE.fullmatch(text):
            continue
        if b"CREATEDATE" in text[:_LOOKED_AT].upper():  # of the next file
            separator, names = _columns(text)
            continue
        try:
            rows.append(_row(names, text, (line.start(), len(text)), separator))
        except _BadRow as error:
            rejected.append(Rejected(line.start(), len(text), f"BL-View history file: {error}"))
    rows, undated = _dated(rows, name=name, clock=clock, received=received, latest=latest)
    rows, short = _whole(rows)
    rejected = sorted([*rejected, *undated, *short], key=lambda stretch: stretch.offset)
    bare = [row for row in rows if _PROFILE not in row.names]
    if bare or (not rows and not rejected):
        reason = _without_profiles(bare) if bare or _PROFILE not in names else "without rows"
        where = (0, len(header.group())) if bare else (0, len(raw))
        rejected.insert(0, Rejected(*where, f"Vaisala BL-View history file {reason}"))
    groups = groupby(rows, key=lambda row: (row.device, len(row.beta), row.names))
    return Decoded(BL_VIEW, tuple(_block(list(group)) for _, group in groups), tuple(rejected))


def _columns(header: bytes) -> tuple[str, tuple[str, ...]]:
    """What stands between the columns, and their names."""
    separator = next((each for each in ";\t" if each.encode() in header), ",")
    names = header.decode("ascii", "replace").split(separator)
    return separator, tuple(name.strip(_QUOTES + "#").upper() for name in names)


def _without_profiles(rows: Sequence[_Row]) -> str:
    if not rows or any(_LAYER.fullmatch(name) for name in rows[0].names):
        found = f"{len(rows)} rows of layer heights" if rows else "no rows"
        return f"of level 3: {found}, without profiles, from which layers could be found"
    return f"without a column {_PROFILE}: {len(rows)} rows of {', '.join(rows[0].names)[:120]}"


def _row(names: tuple[str, ...], line: bytes, where: tuple[int, int], separator: str) -> _Row:
    values = line.decode("ascii", "replace").split(separator)
    if _PROFILE in names:
        # Decimal numbers may be separated as the columns are: all beyond the other columns are the profile.
        at, behind = names.index(_PROFILE), len(names) - names.index(_PROFILE) - 1
        stop = len(values) - behind
        profile, values = values[at:stop], [*values[:at], "", *values[stop:]]
        beta = _profile(" ".join(profile).strip(_QUOTES))
    else:
        beta = np.empty(0, np.float32)
    if len(values) < len(names):
        raise _BadRow(f"a row of {len(values)} columns where the header names {len(names)}")
    texts = {name: value.strip(_QUOTES) for name, value in zip(names, values, strict=False)}
    numbers = {name: _number(text) for name, text in texts.items()}
    time = _unix_time(numbers.get("UNIXTIME", float("nan")))
    return _Row(where, names, texts.get("CEILOMETER", ""), texts.get("CREATEDATE", ""), time, beta, numbers)


def _dated(
    rows: list[_Row], *, name: str, clock: Clock, received: datetime | None, latest: datetime | None
) -> tuple[list[_Row], list[Rejected]]:
    """Rows without UNIXTIME with the time that CREATEDATE says, and those of which it cannot be told."""
    places = [place for place, row in enumerate(rows) if row.date and np.isnat(row.time)]
    if not places:
        return rows, []
    talk = [rows[place].date.encode() + b"\n\x01" for place in places]
    told = stamped([*talk, b""], clock=replace(clock, stamps="before"), name=name, received=received, latest=latest)
    found: list[_Row | None] = list(rows)
    rejected = []
    for place, time, reason in zip(places, told.times, told.reasons, strict=True):
        row = rows[place]
        if time is not None:
            found[place] = replace(row, time=np.datetime64(time, "us"))
            continue
        found[place] = None
        why = f"BL-View history file: no UNIXTIME, and CREATEDATE {row.date[:40]!r} is no time: {reason}"
        rejected.append(Rejected(*row.where, why))
    return [row for row in found if row is not None], rejected


def _whole(rows: list[_Row]) -> tuple[list[_Row], list[Rejected]]:
    """Rows without those that are shorter than most of their device: the file was cut, or is still being written."""
    usual: dict[str, int] = {}
    for device in {row.device for row in rows}:
        lengths = [len(row.beta) for row in rows if row.device == device]
        usual[device] = max(set(lengths), key=lengths.count)
    whole = [row for row in rows if len(row.beta) >= usual[row.device]]
    reason = "BL-View history file: a profile of {} gates where others have {}: the row is cut"
    short = [row for row in rows if len(row.beta) < usual[row.device]]
    return whole, [Rejected(*row.where, reason.format(len(row.beta), usual[row.device])) for row in short]


def _profile(text: str) -> Float32:
    """Backscatter [m-1 sr-1] of hexadecimal numbers without, or decimal numbers with something between them."""
    if not text:
        raise _BadRow("a row without a profile")
    numbers = text.split()
    try:
        counts: NDArray[Any] = int20(text.encode()) if len(numbers) == 1 else np.array(numbers, np.float64)
    except ValueError as error:
        raise _BadRow(f"a damaged profile: {error}") from error
    if len(counts) > MAX_GATES:
        raise _BadRow(f"a profile of {len(counts)} gates, more than {MAX_GATES}")
    if counts.dtype.kind == "f" and 0.0 < np.nanmax(np.abs(counts), initial=0.0) < 1e-2:
        return counts.astype(np.float32)  # already in m-1 sr-1
    return (counts * UNIT).astype(np.float32)


def _unix_time(unix_s: float) -> np.datetime64:
    """UNIXTIME; NaT where it is no time of a profile."""
    if unix_s > _MILLISECONDS_FROM:
        unix_s /= 1e3
    if _EARLIEST_UNIX < unix_s < _MILLISECONDS_FROM:
        return np.datetime64(round(unix_s * 1e3) * 1000, "us")
    return np.datetime64("NaT", "us")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _block(rows: list[_Row]) -> Profiles:
    def table(pattern: re.Pattern[str]) -> Float32:
        columns = [name for name in rows[0].names if pattern.fullmatch(name)]
        found = np.array([[row.numbers[name] for name in columns] for row in rows], np.float32)
        found = found.reshape(len(rows), len(columns))
        return np.where((found >= 0.0) & (found < 1e5), found, np.float32(np.nan))

    num_profiles, num_gates = len(rows), len(rows[0].beta)
    layers, quality, clouds = table(_LAYER), table(_INDEX), table(_CLOUD)
    status = np.array([row.numbers.get("CLOUD_STATUS", float("nan")) for row in rows])
    is_obscured = status == FULL_OBSCURATION
    nothing = np.full(num_profiles, np.nan, np.float32)
    health = {f"maker_layer_{index + 1}_quality": quality[:, index] for index in range(quality.shape[1])}
    return Profiles(
        instrument=BL_VIEW,
        message_type="BL-View level 2" if _PROFILE in rows[0].names else "BL-View level 3",
        time=np.array([row.time for row in rows], "datetime64[us]"),
        range_m=(np.arange(num_gates, dtype=np.float64) + 0.5) * RESOLUTION_M,
        range_resolution_m=RESOLUTION_M,
        beta=np.array([row.beta for row in rows], np.float32).reshape(num_profiles, num_gates),
        is_calibrated=True,
        wavelength_nm=vaisala_cl.WAVELENGTH_NM,
        cloud_base_m=np.where(is_obscured[:, None], np.float32(np.nan), clouds),
        vertical_visibility_m=np.where(is_obscured, clouds[:, 0], nothing) if clouds.shape[1] else nothing,
        maker_layer_height_m=layers,
        sky_cover_octas=np.empty((num_profiles, 0), np.float32),
        sky_base_m=np.empty((num_profiles, 0), np.float32),
        is_precipitation=np.zeros(num_profiles, bool),
        is_fog=is_obscured,
        tilt_deg=np.zeros(num_profiles, np.float32),
        alarms=((),) * num_profiles,
        health=health,
        identity=rows[0].device,
    )
