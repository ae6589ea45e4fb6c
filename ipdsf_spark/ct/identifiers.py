"""What a PatientID says of who is who."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# What anonymisers and forms write for everybody; two who bear it are no more one person than two without an identifier.
_NOBODY: Final = re.compile(
    r"(THE )?((ANON(YM(OUS|I[SZ](ED|E)|ISIERT|E|O)?)?|DE[- ]?IDENTIFI?ED|DE[- ]?ID|PSEUDONYM(I[SZ]ED)?)"
    r"[ _^.-]?(PATIENT|ID|NAME|SUBJECT|CT)?|NO[ _-]?(ID|NAME|PATIENT[ _-]?ID)|UNKNOWN|UNDEFINED|REMOVED|REDACTED"
    r"|DELETED|BLANK|EMPTY|NONE|NULL|NIL|NAN|N/?A|NOT (AVAILABLE|GIVEN|KNOWN)|UNBEKANNT|INCONNU|PATIENT([ _-]?ID)?"
    r"|SUBJECT|NAME|ID|0+|X+|\*+|\?+|-+|_+|\.+)"
)


def one_form(identifier: str) -> str:
    """An identifier without regard to case, width of letters and number of blanks.

    To DICOM `ab1` and `AB1` are two identifiers (LO, PS3.5 6.2). Systems and people who write one person's in both ways
    are common, and a person must not stand on both sides of a split, while two who are taken for one do no harm.
    """
    return " ".join(unicodedata.normalize("NFKC", identifier).casefold().upper().split())


def is_nobody(identifier: str) -> bool:
    """Whether it stands for everybody, as `ANONYMOUS` and `0000` do, and so tells nobody from others."""
    return _NOBODY.fullmatch(one_form(identifier).strip("<>()[]{}\"'")) is not None
