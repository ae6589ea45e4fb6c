"""Which stamp belongs to which message: the one before it or the one after it, decided for a file as a whole.

Most loggers write the stamp and then the message, some the message and then the stamp. Told by: a stamp on the line of
the header; a stamp before the first message or after the last; the blank line that parts two records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.forms import Written

_ABOUT_THE_FILE: Final = re.compile(rb"^.*(?:Logfile|created|opened|closed|rotated).*$", re.IGNORECASE | re.MULTILINE)
_BLANK: Final = re.compile(rb"[ \t]*\r?\n")


def without_file_talk(talk: bytes) -> bytes:
    """Talk without the lines in which a logger tells when the file was made; as long as before."""
    return _ABOUT_THE_FILE.sub(lambda match: b" " * len(match.group()), talk)


def is_after(talk: Sequence[bytes], found: Sequence[Sequence[Written]], *, begins_inside: bool) -> bool:
    """Whether stamps follow their messages.

    Args:
        talk: (N + 1,) what stands before each of N messages, and after the last.
        found: (N + 1,) the stamps in each.
        begins_inside: whether the file begins inside a message, so that the first talk stands between two messages.
    """
    if any(stamps and not talk[i][stamps[-1].end :].count(b"\n") for i, stamps in enumerate(found[:-1])):
        return False
    if found[0] and not begins_inside:
        return False
    if found[-1] and not found[0]:
        return True
    before = after = 0
    for i, stamps in enumerate(found[:-1]):
        if not stamps or (i == 0 and not begins_inside):
            continue
        lines_before = len(_BLANK.findall(talk[i][: stamps[0].start]))
        lines_after = len(_BLANK.findall(talk[i][stamps[-1].end :]))
        before += lines_after < lines_before
        after += lines_before < lines_after
    return after > before
