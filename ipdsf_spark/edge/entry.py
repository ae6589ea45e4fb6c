"""What the edge knows of a record: which bytes of which file, where its copy lies, and whether it has arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PENDING: Final = "pending"  # taken in, not yet acknowledged by Kafka
DELIVERED: Final = "delivered"
REFUSED: Final = "refused"  # cannot be sent, e.g. over the broker's message limit; kept locally
MISSING: Final = "missing"  # neither its copy nor its source is there any more
STATES: Final = (PENDING, DELIVERED, REFUSED, MISSING)

WHOLE: Final = "whole"
APPENDED: Final = "appended"  # a text file has grown: what is new
REWRITTEN: Final = "rewritten"  # a file that cannot be continued (netCDF) has grown: all of it again
KINDS: Final = (WHOLE, APPENDED, REWRITTEN)


@dataclass(frozen=True)
class Entry:
    """One record: a file, or what a file has grown by.

    Attributes:
        name: path below the watched folder.
        start: byte of the file at which what is new begins.
        sha256: of the record's value.
        bytes: of the record's value, the preamble included.
        kind: whole, appended or rewritten.
        preamble: bytes at the head of the value that repeat the head of the file.
        supersedes: SHA-256 of the record that a rewritten one replaces.
        copy: its path below the local store; empty if there is none.
        seen_s: when it was taken in, by the clock of this machine [s since 1970].
        seq: number in the site's order of sending.
        state: pending, delivered, refused or missing.
        reason: why it is refused or missing.
        in_flight: it was handed to Kafka and not acknowledged: it may or may not have arrived.
        delivered_s: when it was acknowledged, by Kafka's clock [s since 1970]; 0 = not known.
    """

    name: str
    start: int
    sha256: str
    bytes: int
    kind: str = WHOLE
    preamble: int = 0
    supersedes: str = ""
    copy: str = ""
    seen_s: float = 0.0
    seq: int = 0
    state: str = PENDING
    reason: str = ""
    in_flight: bool = False
    delivered_s: float = 0.0

    @property
    def stop(self) -> int:
        """Byte of the file at which the record ends."""
        return self.start + self.bytes - self.preamble


@dataclass(frozen=True)
class Source:
    """What is known of a file in the watched folder.

    Attributes:
        name: path below the watched folder.
        size, mtime_ns, inode: as it was when it was last taken in.
        taken: bytes of it that were taken in.
        prefix: SHA-256 of these bytes.
    """

    name: str
    size: int
    mtime_ns: int
    inode: int
    taken: int
    prefix: str

    @property
    def stamp(self) -> tuple[int, int, int]:
        """What changes when the file does."""
        return self.size, self.mtime_ns, self.inode
