"""What one file gave: what travels from decoding to the site's state, and to nobody else."""

from __future__ import annotations

import pickle
from typing import NamedTuple


class Stretch(NamedTuple):
    """Bytes of a file that gave no profile: where, how many, and why."""

    offset: int
    length: int
    reason: str


class Piece(NamedTuple):
    """What one file gave.

    Attributes:
        file: name the edge sent.
        sent_ms: when it was sent [ms since 1970].
        topic, partition, offset: where its record lies.
        num_profiles: profiles with a time.
        averages: they, as `lidar.averages` bytes; empty if there are none.
        rejected: stretches that gave none, whatever the neighbouring files hold.
        raw: the record's value, only where something is rejected and the quarantine can take it.
        head: what may complete the end of the site's previous file.
        tail: what the site's next file may complete.
        head_rejected, tail_rejected: what is wrong with them unless a neighbour completes them.
        is_fragment: the file lies inside one message, so that the next one may go on with it.
        is_joined: the record was made from a tail and a head, so it has neither.
        key: what the record said whose it is, site or not.
        seq: the sender's count of its files; 0 if it does not count.
    """

    file: str
    sent_ms: int
    topic: str
    partition: int
    offset: int
    num_profiles: int
    averages: bytes
    rejected: tuple[Stretch, ...] = ()
    raw: bytes = b""
    head: bytes = b""
    tail: bytes = b""
    head_rejected: tuple[Stretch, ...] = ()
    tail_rejected: tuple[Stretch, ...] = ()
    is_fragment: bool = False
    is_joined: bool = False
    key: str = ""
    seq: int = 0

    @property
    def position(self) -> str:
        """topic-partition-offset."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def order(self) -> tuple[int, int, int, int]:
        """A site's files in the order in which they were sent; within a millisecond, as the sender counted them."""
        return self.sent_ms, self.seq, self.partition, self.offset

    def to_bytes(self) -> bytes:
        """The piece as bytes; read by the same version of the package within the same batch."""
        return pickle.dumps(tuple(self), pickle.HIGHEST_PROTOCOL)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Piece:
        """The inverse of `to_bytes`."""
        return cls(*pickle.loads(raw))
