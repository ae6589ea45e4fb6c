"""Finding instrument messages, and their time stamps, in what any logger wrote around them.

Loggers differ: a stamp on a line before the message, at the head of its first line, at the head of every line, between
SOH and header, as Unix seconds, or none at all; control characters kept, stripped, or written as ``^A``. Common to all
is the header the instrument sends, so that is what is searched for; everything between two messages is logger talk.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from ipdsf_spark.lidar.instruments.assemble import NAN, DamagedMessage, UnfinishedMessage

# u unit, software level, message number, subclass: CL31/CL51 CL usssmc, CT25K CT ussmc, Campbell CS usssmmm
# (the common first letter stands outside the group: the regex engine can then leap from C to C)
HEADER: Final = re.compile(
    rb"C(?:(L)[0-9A-Z]\d{3}[1-3]\d|(T)[0-9A-Z]\d{2}[1-8]\d|(S)[0-9A-Z]\d{3}00[1-6])(?=\x02|\^B|[ \t]*\r?\n|[ \t]*\Z)"
)
ETX: Final = b"\x03"
END_OF_TEXT: Final = re.compile(rb"[\x03\x04]|\^[CD]")
_NO_TEXT: Final = re.compile(rb"[^\x01-\x04\t\n\r\x20-\x7e]")  # noise may hold any byte, ETX too
LONGEST_MESSAGE: Final = 32_768  # bytes; a CS135 message with line prefixes needs 11 kB
LONGEST_GAP: Final = 512  # bytes before a header in which its stamp is looked for

_CALENDAR: Final = re.compile(
    rb"(?<!\d)(\d{4})[-/](\d{2})[-/](\d{2})[T ,_]\s?(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,6}))?(Z|[+-]\d{2}:?\d{2})?"
)
# Day first, as loggers of central Europe write it.
_DAY_FIRST: Final = re.compile(rb"(?<!\d)(\d{2})\.(\d{2})\.(\d{4})[T ,_]+(\d{2}):(\d{2}):(\d{2})")
# A word of its own: a hexadecimal profile is full of ten digits in a row.
_UNIX: Final = re.compile(rb"(?<![0-9A-Za-z.])([1-3]\d{9})(?:\.(\d{1,6}))?(?![0-9A-Za-z.])")
_CLOCK: Final = re.compile(rb"=\s*(\d{2}):(\d{2}):(\d{2})")
_FILE_STAMP: Final = re.compile(
    r"(?<!\d)(20\d{2}|19\d{2})[-_]?(\d{2})[-_]?(\d{2})[-_T ]?(\d{2})[-_:]?(\d{2})[-_:]?(\d{2})(?!\d)"
)
_FILE_DATE: Final = re.compile(r"(?<!\d)(20\d{2}|19\d{2})[-_]?(\d{2})[-_]?(\d{2})(?!\d{1,3}(?!\d))")
_STAMP_TEXT: Final = rb"\d{4}[-/]\d{2}[-/]\d{2}[T ,_]\s?\d{2}:\d{2}:\d{2}(?:[.,]\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?"
_LINE_PREFIX: Final = re.compile(rb"^[ \t]*(?:" + _STAMP_TEXT + rb"|\d{10}(?:\.\d+)?)[,; \t]*")
_CARETS: Final = ((b"^A", b"\x01"), (b"^B", b"\x02"), (b"^C", b"\x03"), (b"^D", b"\x04"))


@dataclass(frozen=True)
class Frame:
    """One message as it stands in the file.

    Attributes:
        family: ``"CL"``, ``"CT"`` or ``"CS"``.
        header: the header without control characters, e.g. ``b"CL018121"``.
        start, end: byte offsets of header and of the end of what may belong to the message.
        lines: the lines after the header, without line ends, line prefixes and carets.
        time: the logger's stamp (UTC), or None.
        is_last: nothing but the end of the file follows, so an unfinished message may go on in the next file.
    """

    family: str
    header: bytes
    start: int
    end: int
    lines: list[bytes]
    time: datetime | None
    is_last: bool


def frames(raw: bytes, *, name: str = "") -> Iterator[Frame]:
    """Every message of `raw`, in order.

    Args:
        raw: a file's bytes.
        name: its name; only used for the date when the stamps are bare clock times.
    """
    day = _date_in(name)
    previous_clock: datetime | None = None
    headers = list(HEADER.finditer(raw))
    for index, match in enumerate(headers):
        gap_start = max(headers[index - 1].end() if index else 0, match.start() - LONGEST_GAP)
        gap_start = max(gap_start, raw.rfind(ETX, gap_start, match.start()))  # no logger talk before the last ETX
        is_last = index + 1 == len(headers)
        end = min(len(raw) if is_last else headers[index + 1].start(), match.start() + LONGEST_MESSAGE)
        stamp = _stamp(raw[gap_start : match.start()], day)
        if stamp is not None and stamp[1]:  # a bare clock time that runs backwards has crossed midnight
            if previous_clock is not None and stamp[0] < previous_clock - timedelta(hours=12):
                day = (day or stamp[0].date()) + timedelta(days=1)
                stamp = (stamp[0] + timedelta(days=1), True)
            previous_clock = stamp[0]
        line_start = raw.rfind(b"\n", gap_start, match.start()) + 1 or gap_start
        has_prefix = _LINE_PREFIX.match(raw[line_start : match.start()]) is not None
        yield Frame(
            family=match.group()[:2].decode(),
            header=match.group(),
            start=match.start(),
            end=end,
            lines=_lines(raw[match.end() : end], may_have_prefix=has_prefix),
            time=stamp[0] if stamp else None,
            is_last=is_last,
        )


def stamp_in(name: str) -> datetime | None:
    """The moment a file name tells to the second, or None; for files in which nothing carries a stamp."""
    for match in _FILE_STAMP.finditer(name):
        try:
            year, month, dom, hour, minute, second = (int(group) for group in match.groups())
            return datetime(year, month, dom, hour, minute, second)
        except ValueError:
            continue
    return None


def head_of(raw: bytes) -> bytes:
    """The bytes before the first header that can end a message begun in the previous file."""
    first = HEADER.search(raw)
    head = raw[: first.start() if first else len(raw)][:LONGEST_MESSAGE]
    return head if _looks_like_profile(head) else b""


def required(frame: Frame, index: int, what: str) -> bytes:
    """Line `index` of the message.

    Raises:
        UnfinishedMessage: the file ends before it.
        DamagedMessage: the next message begins before it.
    """
    lines = frame.lines
    is_cut = index + 1 >= len(lines)  # the last piece has no line end, so it may go on in the next file
    if index < len(lines) and (not is_cut or lines[index] or not frame.is_last):
        return lines[index]
    if frame.is_last:
        raise UnfinishedMessage(f"file ends before the {what}")
    raise DamagedMessage(f"message has no {what}")


def shown(line: bytes) -> str:
    """The beginning of a line, fit for a reason a person reads."""
    return repr(line[:48].decode("ascii", "backslashreplace") + ("..." if len(line) > 48 else ""))


def sky_condition(line: bytes, to_m: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Cover [octa] and base [m] of five layers; heights come in units of 10 m, or of 100 ft where `to_m` is not 1."""
    words = line.split()
    unit_m = 10.0 if to_m == 1.0 else 100.0 * to_m
    cover: list[float] = []
    base: list[float] = []
    for octas, height in zip(words[0::2], words[1::2], strict=False):
        try:
            value = int(octas)
            metres = NAN if b"/" in height else int(height) * unit_m
        except ValueError as error:
            raise DamagedMessage(f"sky condition is not five pairs of octas and height: {shown(line)}") from error
        # 9 is vertical visibility, -1 missing, 99 too few data: none of them is a cover
        cover.append(float(value) if 0 <= value <= 8 else NAN)
        base.append(metres if 0 < value <= 8 else NAN)
    if len(words) % 2 or len(cover) > 5:
        raise DamagedMessage(f"sky condition is not five pairs of octas and height: {shown(line)}")
    padding = (NAN,) * (5 - len(cover))
    return (*cover, *padding), (*base, *padding)


def message_crc(header: bytes, lines: list[bytes]) -> int:
    """CRC-16 (polynomial 0x1021) from the header through ETX as the instrument sent them: CRLF ends, STX and ETX."""
    return binascii.crc_hqx(b"\r\n".join([header + b"\x02", *lines, b"\x03"]), 0xFFFF) ^ 0xFFFF


def _looks_like_profile(text: bytes) -> bool:
    """Whether `text` opens with a run of hex digits, or is text that holds the ETX or EOT that ends a message."""
    if re.match(rb"\s*[0-9a-fA-F]{20,}", text):
        return True
    return END_OF_TEXT.search(text) is not None and _NO_TEXT.search(text) is None


def _lines(body: bytes, *, may_have_prefix: bool) -> list[bytes]:
    if b"^" in body:
        for caret, control in _CARETS:
            body = body.replace(caret, control)
    lines = [line.rstrip(b"\r") for line in body.split(b"\n")]
    lines[0] = lines[0].replace(b"\x02", b"", 1).strip()
    if not lines[0]:
        del lines[0]
    if may_have_prefix and lines and _LINE_PREFIX.match(lines[0]):
        lines = [_LINE_PREFIX.sub(b"", line, count=1) for line in lines]
    return lines


def _stamp(gap: bytes, day: date | None) -> tuple[datetime, bool] | None:
    """The last stamp in the logger's talk before a header, and whether it is a bare clock time."""
    try:
        calendar = _last(_CALENDAR, gap)
        if calendar is not None:
            year, month, dom, hour, minute, second = (int(calendar.group(i)) for i in range(1, 7))
            micro = int((calendar.group(7) or b"0").ljust(6, b"0"))
            stamp = datetime(year, month, dom, hour, minute, second, micro)
            return stamp - _offset(calendar.group(8)), False
        day_first = _last(_DAY_FIRST, gap)
        if day_first is not None:
            dom, month, year, hour, minute, second = (int(group) for group in day_first.groups())
            return datetime(year, month, dom, hour, minute, second), False
        unix = _last(_UNIX, gap)
        if unix is not None:
            micro = int((unix.group(2) or b"0").ljust(6, b"0"))
            return datetime(1970, 1, 1) + timedelta(seconds=int(unix.group(1)), microseconds=micro), False
        clock = _last(_CLOCK, gap)
        if clock is not None and day is not None:
            hour, minute, second = (int(group) for group in clock.groups())
            return datetime(day.year, day.month, day.day, hour, minute, second), True
    except ValueError:  # 2021-13-45: a damaged stamp is no stamp
        return None
    return None


def _last(pattern: re.Pattern[bytes], text: bytes) -> re.Match[bytes] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def _offset(zone: bytes | None) -> timedelta:
    if not zone or zone == b"Z":
        return timedelta(0)
    sign = -1 if zone[:1] == b"-" else 1
    return sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))


def _date_in(name: str) -> date | None:
    for match in _FILE_DATE.finditer(name):
        try:
            return date(int(match.group(1)), int(match.group(2)), int(match.group(3)))
        except ValueError:
            continue
    return None
