"""From when to when a certificate holds, read from its bytes, so that an expired one is called by its name.

The layout is that of X.509 (RFC 5280, section 4.1): the fifth field of the signed part, or the fourth where the version
is not stated, is the validity, a pair of UTCTime (years 1950-2049) or GeneralizedTime.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

_VERSION: Final = 0xA0
_FORMS: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Validity(NamedTuple):
    """From when to when, UTC."""

    start: datetime
    end: datetime

    def said(self, now: datetime) -> str:
        """What is wrong with it now; empty if nothing is."""
        if now > self.end:
            return f"it expired at {self.end:%Y-%m-%d %H:%M} UTC"
        return f"it holds from {self.start:%Y-%m-%d %H:%M} UTC only" if now < self.start else ""


def validity_of(path: str | Path) -> Validity | None:
    """Of the first certificate in a PEM file; None if there is none that can be read."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
        start = text.index(_BEGIN)
        der = ssl.PEM_cert_to_DER_cert(text[start : text.index(_END, start) + len(_END)])
        (_, certificate), *_ = _fields(der)
        (_, signed), *_ = _fields(certificate)
        fields = [field for field in _fields(signed) if field[0] != _VERSION]
        first, last = (_time(tag, raw) for tag, raw in _fields(fields[3][1]))
    except (OSError, ValueError, IndexError):
        return None
    return Validity(first, last)


def _fields(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of every element (DER, lengths of up to four bytes)."""
    at = 0
    while at < len(raw):
        tag, length, at = raw[at], raw[at + 1], at + 2
        if length & 0x80:
            width = length & 0x7F
            if not 1 <= width <= 4:
                raise ValueError(f"a length of {width} bytes")
            length, at = int.from_bytes(raw[at : at + width], "big"), at + width
        if at + length > len(raw):
            raise ValueError("the certificate ends early")
        yield tag, raw[at : at + length]
        at += length


def _time(tag: int, raw: bytes) -> datetime:
    if tag not in _FORMS:
        raise ValueError(f"tag {tag:#x} is no time")
    found = datetime.strptime(raw.decode("ascii"), _FORMS[tag]).replace(tzinfo=UTC)
    return found.replace(year=found.year - 100) if tag == 0x17 and found.year >= 2050 else found
