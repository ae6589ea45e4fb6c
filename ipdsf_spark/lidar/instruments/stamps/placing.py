"""Which stamp belongs to which message: the one before it or the one after it, decided for a file as a whole.

Most loggers write the stamp and then the message, some the message and then the stamp. Told by: a stamp on the line of
the header; a stamp before the first message or after the last; the blank line that parts two records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.cut import is_whole_at_the_end
from ipdsf_spark.lidar.instruments.stamps.forms import COUNTED
from ipdsf_spark.lidar.instruments.stamps.written import Written

_ABOUT_THE_FILE: Final = re.compile(rb"logfile|created|opened|closed|rotated")
_DIGITS: Final = b"0123456789"
_WITHIN: Final = b":.,/-T "  # what stands between the digits of a stamp
_MARKS: Final = b"\x01 \t\r\n-"
_BLANK: Final = re.compile(rb"[ \t]*\r?\n")


def without_file_talk(talk: bytes) -> bytes:
    """Talk without the lines in which a logger tells when the file was made; as long as before."""
    lowered = talk.lower()
    if _ABOUT_THE_FILE.search(lowered) is None:
        return talk
    is_about = [_ABOUT_THE_FILE.search(line) is not None for line in lowered.split(b"\n")]
    lines = zip(talk.split(b"\n"), is_about, strict=True)
    return b"\n".join([b" " * len(line) if is_blank else line for line, is_blank in lines])


def without_cut_stamp(
    talk: bytes, found: Sequence[Sequence[Written]], received: datetime | None = None
) -> list[Written]:
    """The stamps behind the last message without one that the end of the file may have cut short.

    Args:
        talk: what stands behind the last message.
        found: (N + 1,) the stamps of the file; the last are those in `talk`.
        received: time of sending (UTC).
    """
    last = list(found[-1])
    if not last or talk[last[-1].end :].strip(_WITHIN):
        return last
    others = [len(each.text) for stamps in found[:-1] for each in stamps]
    is_whole = len(last[-1].text) >= min(others) if others else is_whole_at_the_end(last[-1], received)
    return last if is_whole else last[:-1]


def without_cut_first(talk: bytes, found: Sequence[Sequence[Written]]) -> list[Written]:
    """The stamps before the first message without the one that the beginning of the file may have cut short.

    It is looked for in a file of several messages that ends with a whole stamp.

    Args:
        talk: what stands before the first message.
        found: (N + 1,) the stamps of the file; the first are those in `talk`.
    """
    first = list(found[0])
    others = [each for stamps in found[1:] for each in stamps]
    if len(first) != 1 or len(found) < 3 or not found[-1] or talk[: first[0].start].strip(_DIGITS + _WITHIN):
        return first
    kinds = {each.kind for each in others}
    line = talk.strip(_MARKS)
    is_alone = line.endswith(first[0].text.encode("latin-1"))
    is_short = len(line) < min(len(each.text) for each in others)
    is_cut = is_alone and is_short and len(kinds) == 1 and (first[0].kind not in kinds or first[0].kind in COUNTED)
    return [] if is_cut else first


def ends_with_half(talk: bytes) -> bool:
    """Whether the end of the file may have cut a stamp short that began behind the last message."""
    line = talk.rpartition(b"\n")[2].strip(_MARKS)
    return line[:1].isdigit() and not line.strip(_DIGITS + _WITHIN)


def on_the_line_of_a_header(talk: Sequence[bytes], found: Sequence[Sequence[Written]]) -> bool:
    """Whether a stamp shares its line with the header behind it. See `is_after` for the arguments."""
    return any(stamps and b"\n" not in talk[i][stamps[-1].end :] for i, stamps in enumerate(found[:-1]))


def is_after(
    talk: Sequence[bytes], found: Sequence[Sequence[Written]], *, begins_inside: bool, ends_inside: bool
) -> bool:
    """Whether stamps follow their messages.

    Args:
        talk: (N + 1,) what stands before each of N messages, and after the last.
        found: (N + 1,) the stamps in each.
        begins_inside: whether the file begins inside a message, so that the first talk stands between two messages.
        ends_inside: whether it ends inside one.
    """
    if on_the_line_of_a_header(talk, found):
        return False
    if found[0] and not begins_inside:
        return False
    # A file that begins inside a message and ends with a whole stamp: a log that comes to its end does so with a stamp
    # only where stamps follow, while a cut falls between a stamp and its message once in thousands.
    if found[-1] and (not found[0] or talk[-1][found[-1][-1].end :].strip(b" \t") != b""):
        return True
    if not begins_inside and not talk[0].strip(_MARKS) and ends_with_half(talk[-1]) and any(found):
        return True
    if not begins_inside and ends_inside and not found[0] and not talk[0].strip(b"\x01 \t"):
        return True  # the log begins with a message, and not with its stamp
    return _told_by_lines(talk, found, 0 if begins_inside else 1) > 0


def is_undecided(
    talk: Sequence[bytes], found: Sequence[Sequence[Written]], *, begins_inside: bool, ends_inside: bool
) -> bool:
    """Whether a log was cut beside a stamp, so that its stamps may stand before their messages or behind them.

    It begins and ends with a stamp, or begins and ends with a message, and neither the lines nor what else the logger
    wrote tell which. See `is_after` for the arguments.
    """
    if begins_inside or ends_inside or ends_with_half(talk[-1]) or not any(found) or not all(found[1:-1]):
        return False
    if bool(found[0]) != bool(found[-1]):
        return False
    if talk[0].strip(_MARKS) != (found[0][-1].text.encode("latin-1") if found[0] else b""):
        return False
    if found[-1] and talk[-1][found[-1][-1].end :].strip(_MARKS):
        return False  # more follows, as a message whose header is damaged
    if on_the_line_of_a_header(talk, found):
        return False
    told = _told_by_lines(talk, found, 1)
    return told >= 0 if found[0] else told == 0


def _told_by_lines(talk: Sequence[bytes], found: Sequence[Sequence[Written]], first: int) -> int:
    """In how many more talks the blank line that parts two records stands behind the stamp than before it."""
    told = 0
    for i, stamps in enumerate(found[:-1]):
        if not stamps or i < first:
            continue
        lines_before = len(_BLANK.findall(talk[i][: stamps[0].start]))
        lines_after = len(_BLANK.findall(talk[i][stamps[-1].end :]))
        told += (lines_before < lines_after) - (lines_after < lines_before)
    return told
