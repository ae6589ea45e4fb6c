"""The headers of a record in the files topic, as one table.

All are UTF-8 text; a receiver ignores what it does not know.
The value of a record is bytes exactly as the instrument's file holds them, the key is the site id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

FILE: Final = "file"
SHA256: Final = "sha256"
SITE: Final = "site"
INSTRUMENT: Final = "instrument"
SENT_MS: Final = "sent_ms"
SEQ: Final = "seq"
OFFSET: Final = "offset"
GROWN: Final = "grown"
PREAMBLE: Final = "preamble"
SUPERSEDES: Final = "supersedes"
REPLAYED: Final = "replayed"

APPENDED: Final = "appended"
REWRITTEN: Final = "rewritten"

MEANING: Final[dict[str, str]] = {
    FILE: "path of the file below the watched folder",
    SHA256: "SHA-256 of the value, in hexadecimal: equal digests of a site are the same record sent twice",
    SITE: "site id, the same as the key",
    INSTRUMENT: "a hint at the instrument, as configured; may be empty",
    SENT_MS: "time of sending [ms since 1970]; Kafka's time where the clock of the sender was found to be wrong",
    SEQ: "number in the site's order of sending, growing; decides between records of the same millisecond",
    OFFSET: "byte of the file at which what is new begins; 0 for a whole file",
    GROWN: f"absent for a whole file; {APPENDED!r}: the value continues the file at `offset`; {REWRITTEN!r}: the value "
    "is the whole file again, grown",
    PREAMBLE: "bytes at the head of the value that repeat the head of the file (column names of a table); absent = 0",
    SUPERSEDES: "SHA-256 of the record that a rewritten file replaces",
    REPLAYED: "id of the quarantine record that is sent again",
}


def header_of(headers: Iterable[Any] | None, name: str) -> str:
    """A header as text, empty if there is none of that name."""
    for header in headers or []:
        key, value = header[0], header[1]
        if key == name and value is not None:
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return ""
