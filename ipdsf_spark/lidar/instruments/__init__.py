"""Every ceilometer format this project reads, from bytes, detected by content.

    decode(raw) -> Decoded            profiles and named reasons, for any bytes
    recognise(raw) -> str             maker and model, or "unknown"

One table leads from bytes to the reader that knows them: what is packed is opened first, each plain file enters one
reader once, and the times that come out are checked in one place, whatever the reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from ipdsf_spark.lidar.containers import packed
from ipdsf_spark.lidar.instruments import blview, checks, foreign, ld40, micropulse, netcdf, spelled, text
from ipdsf_spark.lidar.instruments.believable import DEFAULT_BOUNDS, Bounds, believed
from ipdsf_spark.lidar.instruments.parity import without_parity
from ipdsf_spark.lidar.instruments.stamps import UTC_CLOCK, Clock
from ipdsf_spark.lidar.profiles import Decoded, Rejected

__all__ = ["UTC_CLOCK", "Bounds", "Clock", "Context", "decode", "recognise", "rejected_bytes"]


_LINES_WITHIN: Final = 8_192  # bytes of a file in which its line ends are told
_LF: Final = 10
_CR: Final = 13
_LONE_CR: Final = re.compile(rb"(?<!\r)\r(?![\r\n])")
_TURNED: Final = re.compile(rb"\n\r(?!\n)")


class Context(NamedTuple):
    """What is known about a file beside its bytes.

    Attributes:
        name: its name.
        received: time of sending (UTC), if known.
        now: the present, where no time of sending is known.
        clock: of the logger.
        is_alone: whether no file beside it will tell more of it.
    """

    name: str = ""
    received: np.datetime64 | None = None
    now: np.datetime64 | None = None
    clock: Clock = UTC_CLOCK
    is_alone: bool = False


@dataclass(frozen=True)
class Family:
    """A kind of file and who reads it.

    Attributes:
        recognise: maker and model, or what else it is; None if it is not of this family. Cheap.
        decode: profiles and reasons.
        takes: whether it is of this family, where that is told sooner than what it is.
    """

    recognise: Callable[[bytes], str | None]
    decode: Callable[[bytes, Context], Decoded]
    takes: Callable[[bytes], bool] | None = None

    def is_of(self, raw: bytes) -> bool:
        """Whether this family reads the file."""
        return self.takes(raw) if self.takes is not None else self.recognise(raw) is not None


def _text(raw: bytes, context: Context) -> Decoded:
    return text.decode(
        raw,
        name=context.name,
        received=context.received,
        now=context.now,
        clock=context.clock,
        is_alone=context.is_alone,
    )


def _ld40(raw: bytes, context: Context) -> Decoded:
    received, latest = text.as_datetime(context.received), text.as_datetime(context.now)
    return ld40.decode(raw, name=context.name, received=received, latest=latest, clock=context.clock)


def _blview(raw: bytes, context: Context) -> Decoded:
    received, latest = text.as_datetime(context.received), text.as_datetime(context.now)
    return blview.decode(raw, name=context.name, clock=context.clock, received=received, latest=latest)


def _foreign(raw: bytes, _: Context) -> Decoded:
    kind = foreign.text_kind(raw) or "unknown"
    return Decoded(kind, (), (Rejected(0, len(raw), foreign.text_reason(kind)),))


# In order; the last takes what nobody knows.
FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        lambda raw: (netcdf.recognise(raw) or "unknown") if netcdf.is_netcdf(raw) else None,
        lambda raw, context: netcdf.decode(raw, name=context.name),
        netcdf.is_netcdf,
    ),
    Family(
        micropulse.raw_binary_kind,
        lambda raw, _: micropulse.decode_raw_binary(raw),
    ),
    Family(blview.recognise, _blview),
    Family(ld40.recognise, _ld40),
    Family(text.recognise, _text),
    Family(foreign.text_kind, _foreign),
    Family(lambda _: "unknown", _text),
)


def recognise(raw: bytes) -> str:
    """Maker and model, e.g. ``"Vaisala CL51"``, or ``"unknown"``."""
    inside = packed.unpacked(raw, is_file=netcdf.is_netcdf)
    found = (family.recognise(_plain(file.raw)) for file in inside.files for family in FAMILIES)
    return next((name for name in found if name and name != "unknown"), "unknown")


def decode(
    raw: bytes,
    *,
    name: str = "",
    received: np.datetime64 | None = None,
    now: np.datetime64 | None = None,
    clock: Clock = UTC_CLOCK,
    bounds: Bounds = DEFAULT_BOUNDS,
    is_alone: bool = False,
) -> Decoded:
    """Profiles, and a reason for everything that gave none, for any bytes at all.

    Args:
        raw: a file's bytes as the instrument or logger wrote them, or packed, or an archive of such files.
        name: the file's name; used for what stamps leave open (bare clock times, the order of day and month).
        received: time of sending (UTC). Bounds the times, decides what stamps leave open, and is the time of the only
            profile of a file without any stamp.
        now: the present (UTC), which bounds the times where no time of sending is known.
        clock: zone and order of dates of the logger, where its stamps do not say them.
        bounds: how far times may lie from the time of sending.
        is_alone: whether no file beside it will tell more of it, as it was put together from them, or there are none.
            Else a log that was cut beside a stamp, and may have its stamps before or behind its messages, gives no
            profile but is head and tail.

    Returns:
        Offsets in `rejected` count in the unpacked bytes where the file was packed (`rejected_bytes` gives them).
    """
    context = Context(name, received, now, clock, is_alone)
    if packed.kind_of(raw) is None:
        return believed(_decode_plain(raw, context), received=received, now=now, bounds=bounds)
    inside = packed.unpacked(raw, is_file=netcdf.is_netcdf)
    faults = tuple(
        Rejected(0, 0 if inside.files else len(raw), _named(member, reason)) for member, reason in inside.faults
    )
    if len(inside.files) == 1 and not inside.files[0].name:
        decoded = believed(_decode_plain(inside.files[0].raw, context), received=received, now=now, bounds=bounds)
        return replace(decoded, rejected=(*decoded.rejected, *faults)) if faults else decoded
    parts = []
    for file in inside.files:
        part = _decode_plain(file.raw, context._replace(name=file.name or name))
        part = believed(part, received=received, now=now, bounds=bounds)
        parts.append(replace(part, rejected=tuple(replace(each, member=file.name) for each in part.rejected)))
    joints = _between(parts, context, received=received, now=now, bounds=bounds)
    return _together(parts, joints, faults)


def rejected_bytes(raw: bytes, rejected: Rejected) -> bytes:
    """The very bytes that a rejection speaks of, also where the file was packed.

    Args:
        raw: the file as it was given to `decode`.
        rejected: one of its rejections.
    """
    inside = packed.unpacked(raw, is_file=netcdf.is_netcdf)
    for file in inside.files:
        if file.name == rejected.member:
            return file.raw[rejected.offset : rejected.offset + rejected.length]
    return raw[rejected.offset : rejected.offset + rejected.length]


def _decode_plain(raw: bytes, context: Context) -> Decoded:
    raw = _plain(raw)
    family = next(family for family in FAMILIES if family.is_of(raw))
    if family is FAMILIES[-1] and (text_of := without_parity(raw)) is not raw:
        return _decode_plain(text_of, context)
    decoded = family.decode(raw, context)
    if decoded.rejected and family.decode is _text:
        decoded = _read_otherwise(decoded, raw, context)
    return checks.checked(decoded)


def _read_otherwise(decoded: Decoded, raw: bytes, context: Context) -> Decoded:
    """The log as a program may have left it, if that gives more profiles than it does as it is.

    Of a log that is read, line ends may change; else all that stands in a file is spelled alike.
    """
    readings = [_with_other_line_ends] if any(not each.part for each in decoded.rejected) else []
    for reading in (*readings, *(spelled.READINGS if not decoded.num_profiles else ())):
        text_of = reading(raw)
        if text_of is raw or text_of == raw:
            continue
        again = _text(text_of, context)
        if again.num_profiles > decoded.num_profiles:
            decoded, raw = again, text_of
    return decoded


def _with_other_line_ends(raw: bytes) -> bytes:
    """A log with which another program went on whose lines end otherwise."""
    if raw.count(b"\r") == raw.count(b"\r\n"):  # faster than patterns, for a log with a damaged message
        return raw
    return _LONE_CR.sub(b"\n", _TURNED.sub(b"\r\n", raw))


def _plain(raw: bytes) -> bytes:
    """Text of old Macintoshes and terminals ends its lines with CR alone, or LF before CR; as long as before."""
    if raw.find(b"\r", 0, -1) < 0 or netcdf.is_netcdf(raw):
        return raw
    if raw.find(b"\x00", 0, _LINES_WITHIN) >= 0 and raw.count(b"\x00", 0, _LINES_WITHIN) > 8:
        return raw  # binary, whose bytes are no line ends
    if b"\n" not in raw:
        return raw.replace(b"\r", b"\n")
    start = raw[:_LINES_WITHIN]
    num_crs, num_pairs, num_turned = _line_ends(start)
    if max(num_pairs, num_crs // 2) < num_turned:
        return raw.replace(b"\n\r", b"\r\n")
    if num_crs - num_pairs > 2 and len(_LONE_CR.findall(start)) > 2:
        # Lines of the instrument end with CR, those of the logger with LF, or in turn.
        return _LONE_CR.sub(b"\n", raw)
    return raw


def _line_ends(text: bytes) -> tuple[int, int, int]:
    """How many CR there are, how many with LF behind them and how many with LF before them."""
    letters = np.frombuffer(text, np.uint8)
    (crs,) = (letters == _CR).nonzero()  # clipped, the first and the last are their own neighbours
    num_pairs, num_turned = (int(np.count_nonzero(letters.take(crs + step, mode="clip") == _LF)) for step in (1, -1))
    return crs.size, num_pairs, num_turned


def _between(
    parts: list[Decoded],
    context: Context,
    *,
    received: np.datetime64 | None,
    now: np.datetime64 | None,
    bounds: Bounds,
) -> list[Decoded]:
    """What every file of an archive shares with the next; rejections that this voids are taken out of `parts`."""
    joints = []
    for number in range(len(parts) - 1):
        before, after = parts[number], parts[number + 1]
        if not before.tail.strip() or not after.head:
            continue
        joint = _decode_plain(before.tail + after.head, context._replace(is_alone=True))
        joint = believed(joint, received=received, now=now, bounds=bounds)
        if not joint.num_profiles:
            continue
        joints.append(joint)
        parts[number] = replace(before, rejected=_but(before, "tail", "whole"), tail=b"")
        parts[number + 1] = replace(after, rejected=_but(after, "head", "whole"), head=b"")
    return joints


def _but(decoded: Decoded, *parts: str) -> tuple[Rejected, ...]:
    return tuple(each for each in decoded.rejected if each.part not in parts)


def _together(parts: list[Decoded], joints: list[Decoded], faults: tuple[Rejected, ...]) -> Decoded:
    """The files of an archive as one, and what they share."""
    known = [part.instrument for part in parts if part.instrument != "unknown"]
    return Decoded(
        known[0] if known else "unknown",
        tuple(chain.from_iterable(part.blocks for part in [*parts, *joints])),
        (*chain.from_iterable(part.rejected for part in [*parts, *joints]), *faults),
        head=parts[0].head if parts else b"",
        tail=parts[-1].tail if parts else b"",
        places=(),
    )


def _named(member: str, reason: str) -> str:
    return f"{member}: {reason}" if member else reason
