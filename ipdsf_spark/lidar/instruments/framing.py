"""Finding instrument messages, and their time stamps, in what any logger wrote around them.

Loggers differ: a stamp on a line before the message, at the head of its first line, at the head of every line, between
SOH and header, as Unix seconds, or none at all; control characters kept, stripped, or written as ``^A``. Common to all
is the header the instrument sends, so that is what is searched for; everything between two messages is logger talk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from fastcrc import crc16

from ipdsf_spark.lidar.instruments.assemble import NAN, DamagedMessage, UnfinishedMessage
from ipdsf_spark.lidar.instruments.stamps import UTC_CLOCK, Clock, stamped
from ipdsf_spark.lidar.instruments.stamps.prefixes import strip_prefix

# u unit, software level, message number, subclass: CL31/CL51 CL usssmc, CT25K CT ussmc, Campbell CS usssmmm
# (the common first letter stands outside the group: the regex engine can then leap from C to C)
HEADER: Final = re.compile(
    rb"C(?:(L)[0-9A-Z]\d{3}[1-3]\d|(T)[0-9A-Z]\d{2}[1-8]\d|(S)[0-9A-Z]\d{3}00[1-6])(?=\x02|\^B|[ \t\r]*\n|[ \t]*\Z)"
)
ETX: Final = b"\x03"
END_OF_TEXT: Final = re.compile(rb"[\x03\x04]|\^[CD]")
_NO_TEXT: Final = re.compile(rb"[^\x01-\x04\t\n\r\x20-\x7e]")  # noise may hold any byte, ETX too
LONGEST_MESSAGE: Final = 32_768  # bytes; a CS135 message with line prefixes needs 11 kB
LONGEST_UNDECIDED: Final = 65_536  # bytes of a log cut beside a stamp that may wait for its neighbour
LONGEST_GAP: Final = 512  # bytes before a header in which its stamp is looked for

_FILE_STAMP: Final = re.compile(
    r"(?<!\d)(20\d{2}|19\d{2})[-_]?(\d{2})[-_]?(\d{2})[-_T ]?(\d{2})[-_:]?(\d{2})[-_:]?(\d{2})(?!\d)"
)
# What ends a message, up to where the logger may speak again: ETX or EOT, and the checksum between or behind them.
MESSAGE_END: Final = re.compile(rb"(?:\x03|\^C)(?:\s*[0-9A-Fa-f]{4}(?:\x04|\^D)|[ \t]*[0-9A-Fa-f]{4})?|\x04|\^D")
_CHECKSUM_LINE: Final = re.compile(
    rb"(?:\x03|\^C)[ \t]*[0-9A-Fa-f]{4}|(?:^|[\n ,;])[0-9A-Fa-f]{4}(?:\x04|\^D|[ \t]*\r?\n|[ \t]*\Z)"
)
_LINE_END: Final = 24  # bytes of a line in which its last word and the blanks behind it stand
_OPENS_WITH_HEX: Final = re.compile(rb"\s*[0-9a-fA-F]{20,}")
_LOOKED_AT: Final = 1_024
_FEW_CS: Final = 10
_SHORT: Final = 2_048  # bytes of a message that are faster to split
_FEW_LINES: Final = 6  # of a message are searched for; those of a CT25K are many and short
_LONG_HEX: Final = re.compile(rb"[0-9A-Fa-f]{40,}")
# 9 is vertical visibility, -1 missing, 99 too few data: none of them is a cover.
_COVERS: Final = {octas: float(octas) for octas in range(9)}
_CARETS: Final = ((b"^A", b"\x01"), (b"^B", b"\x02"), (b"^C", b"\x03"), (b"^D", b"\x04"))


class Frame(NamedTuple):
    """One message as it stands in the file.

    Attributes:
        family: ``"CL"``, ``"CT"`` or ``"CS"``.
        header: the header without control characters, e.g. ``b"CL018121"``.
        start, end: byte offsets of header and of the end of what may belong to the message.
        lines: the lines after the header, without line ends, line prefixes and carets.
        time: the logger's stamp (UTC), or None.
        no_time: why there is none.
        talk_start: where the logger's talk before the message begins, its stamp included.
        message_end: byte offset behind the message's end of text and checksum.
        stamp_follows: whether this file's stamps stand behind their messages.
        is_undecided: whether nothing tells if they do.
        lacks_checksum: whether the logger strips the checksums of all messages, so that there is none to compare.
        is_last: nothing but the end of the file follows, so an unfinished message may go on in the next file.
    """

    family: str
    header: bytes
    start: int
    end: int
    lines: list[bytes]
    time: datetime | None
    is_last: bool
    talk_start: int
    no_time: str
    message_end: int
    stamp_follows: bool
    is_undecided: bool
    lacks_checksum: bool = False

    @property
    def unit(self) -> str:
        """What tells instruments on one line apart: the third letter of the header, set at each."""
        return f"unit {chr(self.header[2])}"


def frames(
    raw: bytes,
    *,
    name: str = "",
    clock: Clock = UTC_CLOCK,
    received: datetime | None = None,
    latest: datetime | None = None,
    begins_inside: bool = False,
) -> list[Frame]:
    """Every message of `raw`, in order.

    Args:
        raw: a file's bytes.
        name: its name; tells the date where stamps are bare clock times.
        clock: zone and order of dates where stamps do not say them.
        received: time of sending (UTC).
        latest: the present, where no time of sending is known.
        begins_inside: whether the file begins inside a message (`ends_a_profile`).
    """
    headers = _headers(raw)
    if not headers:
        return []
    starts = [match.start() for match in headers]
    gaps = [_talk_start(raw, headers[i - 1].end() if i else 0, start) for i, start in enumerate(starts)]
    last, ends_inside = _after_last(raw, headers[-1].end())
    told = stamped(
        [*(raw[gap:start] for gap, start in zip(gaps, starts, strict=True)), raw[last : last + LONGEST_GAP]],
        clock=clock,
        name=name,
        received=received,
        latest=latest,
        begins_inside=begins_inside,
        ends_inside=ends_inside,
    )
    found = []
    for index, match in enumerate(headers):
        start, gap = starts[index], gaps[index]
        is_last = index + 1 == len(headers)
        end = min(len(raw) if is_last else starts[index + 1], start + LONGEST_MESSAGE)
        line_start = raw.rfind(b"\n", gap, start) + 1 or gap
        found.append(
            Frame(
                family=match.group()[:2].decode(),
                header=match.group(),
                start=start,
                end=end,
                lines=_lines(raw[match.end() : end], before=raw[line_start:start]),
                time=told.times[index],
                is_last=is_last,
                talk_start=start if told.is_after else gap,
                no_time=told.reasons[index],
                message_end=last if is_last else gaps[index + 1],
                stamp_follows=told.is_after,
                is_undecided=told.is_undecided,
            )
        )
    return found


def _headers(raw: bytes) -> list[re.Match[bytes]]:
    """Every header, in order; from C to C where profiles are in small letters, in which a pattern looks at each."""
    if raw.count(b"C", 0, _LOOKED_AT) > _FEW_CS:
        return list(HEADER.finditer(raw))
    found = []
    at = raw.find(b"C")
    while at >= 0:
        match = HEADER.match(raw, at)
        if match is not None:
            found.append(match)
        at = raw.find(b"C", at + 1 if match is None else match.end())
    return found


def _talk_start(raw: bytes, previous: int, start: int) -> int:
    """Where the logger begins to speak between two messages: behind the end of text and its checksum."""
    first = max(previous, start - LONGEST_GAP)
    end = max(raw.rfind(b"\x03", first, start), raw.rfind(b"\x04", first, start))  # rfind is faster than a pattern
    if end < 0:
        end = max(raw.rfind(b"^C", first, start), raw.rfind(b"^D", first, start))
    found = MESSAGE_END.match(raw, end, start) if end >= 0 else None
    if found is not None:
        return found.end()
    behind_hex = _last(_LONG_HEX, raw, first, start) if previous else None
    return first if behind_hex is None else behind_hex


def _after_last(raw: bytes, header_end: int) -> tuple[int, bool]:
    """Where the logger may speak after the last message, the end of the file if that is not complete; and whether."""
    limit = header_end + LONGEST_MESSAGE
    end = end_of_message(raw, header_end, limit)
    if end is not None:
        return end.end(), False
    is_incomplete = limit >= len(raw) or end_of_message(raw, header_end, len(raw)) is None
    return _last(_LONG_HEX, raw, header_end, limit) or len(raw), is_incomplete


def end_of_message(raw: bytes, start: int, limit: int) -> re.Match[bytes] | None:
    """The first end of a message between two places; looked for byte by byte first, which is faster than a pattern."""
    if raw.find(b"^", start, limit) >= 0:
        return MESSAGE_END.search(raw, start, limit)
    places = [place for place in (raw.find(b"\x03", start, limit), raw.find(b"\x04", start, limit)) if place >= 0]
    return MESSAGE_END.match(raw, min(places), limit) if places else None


def _last(pattern: re.Pattern[bytes], raw: bytes, start: int, end: int) -> int | None:
    """End of the last match between two places."""
    found = None
    for match in pattern.finditer(raw, start, end):
        found = match.end()
    return found


def stamp_in(name: str) -> datetime | None:
    """The moment a file name tells to the second, or None; for files in which nothing carries a stamp."""
    for match in _FILE_STAMP.finditer(name):
        try:
            year, month, dom, hour, minute, second = (int(group) for group in match.groups())
            return datetime(year, month, dom, hour, minute, second)
        except ValueError:
            continue
    return None


def before_first(raw: bytes) -> bytes:
    """What stands before the first header, as far as it is text: the end of a message, a stamp, half a header."""
    first = HEADER.search(raw)
    head = raw[: first.start() if first else len(raw)][:LONGEST_MESSAGE]
    return head if _NO_TEXT.search(head) is None else b""


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


def lacks_checksums(raw: bytes, headers: int) -> bool:
    """Whether a log of several messages holds not one line with a checksum, so that its logger strips them."""
    if headers < 2:
        return False
    end = raw.find(b"\x03")
    if end >= 0 and _CHECKSUM_LINE.match(raw, end):
        return False  # as nearly every log: found without searching the profiles
    last = raw.find(b"\x04")
    if last >= 5 and _CHECKSUM_LINE.match(raw, last - 5):
        return False
    if end < 0 and last < 0 and raw.find(b"^") < 0:  # then only the ends of lines can be checksums
        return all(_CHECKSUM_LINE.search(line[-_LINE_END:]) is None for line in raw.split(b"\n"))
    return _CHECKSUM_LINE.search(raw) is None


def shown(line: bytes) -> str:
    """The beginning of a line, fit for a reason a person reads."""
    return repr(line[:48].decode("ascii", "backslashreplace") + ("..." if len(line) > 48 else ""))


def sky_condition(line: bytes, to_m: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Cover [octa] and base [m] of five layers; heights come in units of 10 m, or of 100 ft where `to_m` is not 1."""
    words = line.split()
    unit_m = 10.0 if to_m == 1.0 else 100.0 * to_m
    try:
        octas = [int(word) for word in words[0::2]]
        heights = [NAN if b"/" in word else int(word) * unit_m for word in words[1::2]]
    except ValueError as error:
        raise DamagedMessage(f"sky condition is not five pairs of octas and height: {shown(line)}") from error
    if len(octas) != len(heights) or len(octas) > 5:
        raise DamagedMessage(f"sky condition is not five pairs of octas and height: {shown(line)}")
    cover = [_COVERS.get(value, NAN) for value in octas]
    base = [height if 0 < value <= 8 else NAN for value, height in zip(octas, heights, strict=True)]
    padding = (NAN,) * (5 - len(cover))
    return (*cover, *padding), (*base, *padding)


def bit_names(bits: Mapping[int, str]) -> Callable[[int], tuple[str, ...]]:
    """What tells the names of the bits that are set in a status word; words repeat, so their names are remembered."""

    @lru_cache(maxsize=256)
    def names_of(word: int) -> tuple[str, ...]:
        return tuple(name for bit, name in bits.items() if word & bit)

    return names_of


def message_crc(header: bytes, lines: list[bytes]) -> int:
    """CRC-16/GENIBUS (polynomial 0x1021) of what was sent from header to ETX: with STX and ETX, lines ended by CRLF."""
    return crc16.genibus(b"\r\n".join([header + b"\x02", *lines, b"\x03"]))


def without_padding(lines: list[bytes], *, sky_width: int = 0) -> list[bytes]:
    """Lines of a message without the blanks that a logger wrote behind them.

    Args:
        lines: after the header.
        sky_width: of the second line, if that is the sky condition, whose leading blanks loggers strip; else 0.
    """
    stripped = [line.rstrip(b" \t") for line in lines]
    if sky_width:
        stripped[1] = stripped[1].strip().rjust(sky_width)
    return stripped


def ends_a_profile(text: bytes) -> bool:
    """Whether `text` opens with a run of hex digits, or is text that holds the ETX or EOT that ends a message.

    Before the first header of a file it is the end of a message that begins in the previous file.
    """
    if _OPENS_WITH_HEX.match(text):
        return True
    return END_OF_TEXT.search(text) is not None and _NO_TEXT.search(text) is None


def _lines(body: bytes, *, before: bytes) -> list[bytes]:
    if b"^" in body:
        for caret, control in _CARETS:
            body = body.replace(caret, control)
    # Faster than to search the profiles for ends of lines; a terminal server sends CR NUL for CR (RFC 854).
    lines = [line.rstrip(b"\r\0") for line in _split(body)]
    lines[0] = lines[0].replace(b"\x02", b"", 1).strip()
    if not lines[0]:
        del lines[0]
    if lines and not lines[0].strip():  # a line end of the logger behind each of the instrument's
        lines = [line for line in lines if line]
    return strip_prefix(lines, before) if before.strip(b"\x01 \t") else lines


def _split(body: bytes) -> list[bytes]:
    """Lines; their ends are searched for, which is faster than to split where lines are as long as profiles."""
    if len(body) <= _SHORT:
        return body.split(b"\n")
    lines: list[bytes] = []
    start = 0
    while len(lines) < _FEW_LINES and (end := body.find(b"\n", start)) >= 0:
        lines.append(body[start:end])
        start = end + 1
    rest = body[start:]
    return lines + (rest.split(b"\n") if len(lines) == _FEW_LINES else [rest])


def ends_a_message(raw: bytes) -> bool:
    """Whether the end of a transmission stands in `raw`: what began before is complete with it."""
    return b"\x04" in raw or b"^D" in raw
