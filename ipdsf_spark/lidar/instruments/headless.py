"""Messages whose header is damaged, and bytes that are no text, between the messages of a log: named, not passed over.

Messages are found by their headers, so that one whose header is damaged would be taken for talk of the logger.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from ipdsf_spark.lidar.containers import packed
from ipdsf_spark.lidar.instruments.framing import LONGEST_GAP, MESSAGE_END, Frame, end_of_message
from ipdsf_spark.lidar.profiles import Rejected

HEADLESS: Final = "profile without a message header (CL, CT or CS) before it: the header is damaged or of another kind"
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{60,}")  # a line of a CT25K profile has 67 digits, those of others thousands
_FEWEST_DIGITS: Final = 200
_SAME_PROFILE: Final = 64  # bytes between two lines of one profile: their end, and the prefix of a logger
_NO_TEXT: Final = re.compile(rb"[^\x01-\x04\t\n\r\x20-\x7e]")
_FEWEST_BYTES: Final = 64
_NO_TEXT_SHARE: Final = 0.1
_LONGER: Final = 1.3  # than the shortest of the file: another message may stand between two headers


def headless(raw: bytes, found: Sequence[Frame], *, num_named: int) -> list[Rejected]:
    """What stands between the messages of a log and is no talk of its logger.

    Args:
        raw: a file's bytes.
        found: its messages.
        num_named: profiles before the first message that are named already.
    """
    if not found:
        return []
    rejected = _between(raw, 0, found[0].start, num_known=num_named)
    spans = [(a.start, b.start) for a, b in itertools.pairwise(found)] + [(found[-1].start, len(raw))]
    shortest = min(end - start for start, end in spans)
    for start, end in spans:
        if _may_hold_more(raw, start, end, shortest):
            mark = end_of_message(raw, start, end)
            first = mark.end() if mark is not None else start
            rejected += _between(raw, first, end, num_known=0 if mark is not None else 1)
    return rejected


def _may_hold_more(raw: bytes, start: int, end: int, shortest: int) -> bool:
    """Cheap: whether more than one message may stand between two headers."""
    mark = raw.find(b"\x03", start, end)
    if mark < 0:
        return end - start > _LONGER * shortest or end == len(raw)
    return end - mark > LONGEST_GAP or raw.find(b"\x03", mark + 1, end) >= 0


def _between(raw: bytes, start: int, end: int, *, num_known: int) -> list[Rejected]:
    """Profiles between two places, but for the first that are known; or one entry for bytes that are no text."""
    if end - start < _FEWEST_BYTES:
        return []
    profiles = list(_profiles(raw, start, end))
    rejected = []
    for number, (_, last) in enumerate(profiles):
        first = profiles[number - 1][1] if number else start
        mark = MESSAGE_END.match(raw, last + len(raw[last:end]) - len(raw[last:end].lstrip()), end)
        if number >= num_known:
            behind = mark.end() if mark is not None else last
            rejected.append(Rejected(first, behind - first, HEADLESS, "tail" if last == len(raw) else ""))
    if profiles:
        return rejected
    rest = raw[start:end].strip(b"\0\r\n\t ")
    num_strange = len(_NO_TEXT.findall(rest.replace(b"\0", b"")))
    if len(rest) < _FEWEST_BYTES or num_strange < _NO_TEXT_SHARE * len(rest):
        return []
    kind = packed.kind_of(rest)
    what = f"a {kind} in the middle of a text log" if kind else "bytes that are no text"
    return [Rejected(start, end - start, f"{len(rest)} bytes that are no message: {what}")]


def _profiles(raw: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of lines with hexadecimal digits that is long enough for a profile."""
    first, last, digits = 0, -_SAME_PROFILE, 0
    for line in _HEX.finditer(raw, start, end):
        if line.start() - last > _SAME_PROFILE or digits == 0:
            if digits >= _FEWEST_DIGITS:
                yield first, last
            first, digits = line.start(), 0
        last, digits = line.end(), digits + len(line.group())
    if digits >= _FEWEST_DIGITS:
        yield first, last
