"""Lines of a message without the stamp that a logger wrote at the head of each, and talk that looks like a stamp."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.forms import FORMS, FRACTION
from ipdsf_spark.lidar.instruments.stamps.months import MONTHS


def looks_like_time(talk: bytes) -> bool:
    """Whether talk without a stamp holds something that a person would take for one."""
    return _LIKE_TIME.search(talk) is not None


_LIKE_TIME: Final = re.compile(
    rb"\d{1,2}[:h]\d{2}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|(?<![0-9A-Za-z])\d{8,20}(?![0-9A-Za-z])"
    rb"|(?<![\d.])\d{5,7}\.\d{2,}|(?<!\d)\d{4}[ \t:/-]\d{1,3}(?:\.\d{2,}|(?:[ \t]\d{1,2}){3})|(?<!\d)\d{6}Z"
    rb"|(?<!\d)[12]\d{3}[ ,:/]\d{5,6}(?!\d)|(?<!\d)(?:19|20)\d{2}[,;\t ]{1,2}\d{1,3}[,;\t ]{1,2}\d{1,4}(?!\d)"
    rb"|\$[A-Z]{2}(?:GGA|GLL|GNS|RMC|ZDA),|(?<![0-9A-Za-z])01[CD][0-9A-F]{13}(?![0-9A-Za-z])"
    rb"|(?<![\w.])\d{6}[,;T_ -]\d{4,6}(?!\w)|(?<![\w.])\d\.\d{4,}[eE]\+?\d{2}(?!\d)"
    rb"|^[ \t]*[0-3]\d\d\.\d{4,}[ \t\r]*$"
    rb"|(?:\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xe0[\xa5-\xbb][\x80-\xbf]|\xef\xbc[\x90-\x99]):"
    rb"|(?<![0-9A-Za-z])(?=[0-9A-F]*[A-F])[4-9A-F][0-9A-F]{7}(?![0-9A-Za-z])|\d[ -](?:"
    + b"|".join(sorted({name[:3].encode() for name in MONTHS if name.isascii()}))
    + rb")",
    re.IGNORECASE | re.MULTILINE,
)


def strip_prefix(lines: Sequence[bytes], first: bytes) -> list[bytes]:
    """Lines without the stamp that a logger wrote at the head of each.

    Args:
        lines: of one message, after its header.
        first: what stands before the header on its line: a stamp and what the logger writes after it.
    """
    head = first.lstrip(b"\x01 \t\r\n-[(<").rstrip(b"\x01")
    found = next(((place, match) for place, form in enumerate(FORMS) if (match := form.pattern.match(head))), None)
    if found is None:
        return _without_repeated(lines, first.rstrip(b"\x01"))
    place, match = found
    has_fraction = match.groupdict().get("f") is not None
    prefix = _prefix(place, head[match.end() :].replace(b"\x01", b""), has_fraction)
    return _without(prefix, lines) if lines and prefix.match(lines[0]) is not None else list(lines)


def _without(prefix: re.Pattern[bytes], lines: Sequence[bytes]) -> list[bytes]:
    matches = [prefix.match(line) for line in lines]
    return [line if match is None else line[match.end() :] for line, match in zip(lines, matches, strict=True)]


def _without_repeated(lines: Sequence[bytes], first: bytes) -> list[bytes]:
    """Lines without what stands before the header on its line, where every line begins with it but for its numbers."""
    if not looks_like_time(first):
        return list(lines)
    text = first.lstrip(b"\r\n").replace(b"\x01", b"")
    body = text.rstrip(b" \t")
    shape = re.sub(rb"\d+", rb"\\d+", re.escape(body)) + rb"[ \t]{0,%d}" % (len(text) - len(body))
    prefix = re.compile(shape)
    if any(prefix.match(line) is None for line in lines if line.strip(b"\r\x03\x04 ")):
        return list(lines)
    return _without(prefix, lines)


_FRACTION: Final = re.compile(rb"\(\?:\[\.,:?\]\(\?P<f>\\d\{1,9\}\)\)\?")


@lru_cache(maxsize=32)
def _prefix(place: int, behind: bytes, has_fraction: bool) -> re.Pattern[bytes]:
    """A stamp at the head of a line, and what the logger writes behind it: no more, as blanks may be the message's.

    The form is told by its place among `FORMS`: patterns have no hash of their own.
    """
    stamp = FORMS[place].pattern.pattern
    if not has_fraction:  # else the comma behind the stamp and the digits of the line were one
        stamp = _FRACTION.sub(b"", stamp.replace(FRACTION, b""))
    return re.compile(rb"^[ \t\[(<-]*(?:" + stamp + rb")(?:" + re.escape(behind) + rb"|[,;|\])> \t]*)")
