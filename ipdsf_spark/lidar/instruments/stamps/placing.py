"""Which stamp belongs to which message: the one before it or the one after it, decided for a file as a whole.

Most loggers write the stamp and then the message, some the message and then the stamp. Told by: a stamp on the line of
the header; a stamp before the first message or after the last; the blank line that parts two records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.written import Written

_ABOUT_THE_FILE: Final = re.compile(rb"logfile|created|opened|closed|rotated")
_TO_THE_SECOND: Final = re.compile(r"\d:\d{2}:\d{2}|\d{6}(?!\d)|\d{10}")
_BLANK: Final = re.compile(rb"[ \t]*\r?\n")


def without_file_talk(talk: bytes) -> bytes:
    """Talk without the lines in which a logger tells when the file was made; as long as before."""
    lowered = talk.lower()
    if _ABOUT_THE_FILE.search(lowered) is None:
        return talk
    is_about = [_ABOUT_THE_FILE.search(line) is not None for line in lowered.split(b"\n")]
    lines = zip(talk.split(b"\n"), is_about, strict=True)
    return b"\n".join([b" " * len(line) if is_blank else line for line, is_blank in lines])


def without_cut_stamp(talk: bytes, found: Sequence[Sequence[Written]]) -> list[Written]:
    """The stamps behind the last message without one that the end of the file may have cut short.

    Args:
        talk: what stands behind the last message.
        found: (N + 1,) the stamps of the file; the last are those in `talk`.
    """
    last = list(found[-1])
    if not last or talk[last[-1].end :]:
        return last
    others = [len(each.text) for stamps in found[:-1] for each in stamps]
    is_whole = len(last[-1].text) >= min(others) if others else _TO_THE_SECOND.search(last[-1].text) is not None
    return last if is_whole else last[:-1]


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
    if any(stamps and not talk[i][stamps[-1].end :].count(b"\n") for i, stamps in enumerate(found[:-1])):
        return False
    if found[0] and not begins_inside:
        return False
    # A file that begins inside a message and ends with a whole stamp: a log that comes to its end does so with a stamp
    # only where stamps follow, while a cut falls between a stamp and its message once in thousands.
    if found[-1] and (not found[0] or talk[-1][found[-1][-1].end :].strip(b" \t") != b""):
        return True
    if not begins_inside and ends_inside and not found[0] and not talk[0].strip(b"\x01 \t"):
        return True  # the log begins with a message, and not with its stamp
    before = after = 0
    for i, stamps in enumerate(found[:-1]):
        if not stamps or (i == 0 and not begins_inside):
            continue
        lines_before = len(_BLANK.findall(talk[i][: stamps[0].start]))
        lines_after = len(_BLANK.findall(talk[i][stamps[-1].end :]))
        before += lines_after < lines_before
        after += lines_before < lines_after
    return after > before
