"""What the stream remembers of a site between batches, as one string of versioned bytes.

Counters, the open intervals, an unfinished message, and every operator's own bytes under its name and version. State of
an older version is migrated where the operator knows how, else begun anew; so is that of a site that was moved or set
up otherwise. What is longer than a few hundred bytes is compressed: Spark carries the state of a site to Python and
back, and into its log, with every file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Final

import pyarrow as pa

from ipdsf_spark.lidar.site import Site

MAGIC: Final = b"IP"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<2sB8sqIIBB")
_OPERATOR: Final = struct.Struct("<BHI")
_LZ4: Final = b"IL"  # then the number of bytes in it, and these as an LZ4 block
_ZSTD: Final = b"IZ"  # or as a zstd frame
_CODECS: Final = {_LZ4: "lz4_raw", _ZSTD: "zstd"}
_SIZE: Final = struct.Struct("<2sI")
_FEW: Final = 500  # bytes; fewer are kept as they are
_LARGE: Final = 4_900  # bytes that LZ4 leaves; zstd leaves a tenth less, in 60 us there and back instead of 6
_LEVEL: Final = 3  # of zstd: a fiftieth less than the first, in 20 us more
_MOST: Final = 64_000_000  # bytes of a state, whose operators are bounded (`guard`); a head that says more is damaged


@dataclass(frozen=True)
class Counts:
    """Profiles and files of a site since its state began.

    profiles + rejected = used + duplicate + late + foreign + rejected: what was read is what became of it.

    Attributes:
        files: records read.
        profiles: profiles with a time that were read.
        rejected: stretches of files that gave no profile.
        used, duplicate, late, foreign: what became of the profiles.
        faults: exceptions of operators.
    """

    files: int = 0
    profiles: int = 0
    rejected: int = 0
    used: int = 0
    duplicate: int = 0
    late: int = 0
    foreign: int = 0
    faults: int = 0

    @property
    def is_balanced(self) -> bool:
        """Whether every profile read is accounted for."""
        return self.profiles == self.used + self.duplicate + self.late + self.foreign

    def plus(self, **more: int) -> Counts:
        """These and more."""
        return replace(self, **{name: getattr(self, name) + value for name, value in more.items()})


_NAMES: Final = tuple(each.name for each in fields(Counts))
_every_count: Final = attrgetter(*_NAMES)
_COUNTS: Final = struct.Struct(f"<{len(_NAMES)}q")


@dataclass
class SiteState:
    """Mutable state of one site.

    Attributes:
        counts: what became of its profiles.
        last_sent_ms: when its newest file was sent [ms since 1970].
        intervals: `lidar.averages.intervals` bytes.
        tail: a piece without averages: the unfinished message of the last file, with where it came from.
        operators: name to (version, bytes).
        setup: fingerprint of the site's settings.
        is_final: what was pending has been said; the site is silent.
    """

    counts: Counts = Counts()
    last_sent_ms: int = 0
    intervals: bytes = b""
    tail: bytes = b""
    operators: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    setup: bytes = bytes(8)
    is_final: bool = False

    def to_bytes(self) -> bytes:
        """The state as bytes."""
        parts = [
            _HEAD.pack(
                MAGIC,
                VERSION,
                self.setup,
                self.last_sent_ms,
                len(self.intervals),
                len(self.tail),
                len(self.operators),
                self.is_final,
            ),
            _COUNTS.pack(*_every_count(self.counts)),
            self.intervals,
            self.tail,
        ]
        for name, (version, raw) in self.operators.items():
            encoded = name.encode()[:255]
            parts += [_OPERATOR.pack(len(encoded), version, len(raw)), encoded, raw]
        whole = b"".join(parts)
        if len(whole) <= _FEW:
            return whole
        packed = bytes(_codec(_LZ4).compress(whole, asbytes=True))
        if len(packed) <= _LARGE:
            return _SIZE.pack(_LZ4, len(whole)) + packed
        return _SIZE.pack(_ZSTD, len(whole)) + bytes(_codec(_ZSTD).compress(whole, asbytes=True))

    @classmethod
    def from_bytes(cls, raw: bytes) -> SiteState:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: the bytes were written by another version, are damaged, or end early.
        """
        raw = _inflated(raw) if raw[:2] in _CODECS else raw
        if raw[:2] != MAGIC or len(raw) < _HEAD.size + _COUNTS.size or raw[2] != VERSION:
            raise ValueError(f"site state of {len(raw)} bytes is not of version {VERSION}")
        _, _, setup, last_sent_ms, num_intervals, num_tail, num_operators, is_final = _HEAD.unpack_from(raw)
        counts = Counts(*_COUNTS.unpack_from(raw, _HEAD.size))
        at = _HEAD.size + _COUNTS.size
        intervals, tail = raw[at : at + num_intervals], raw[at + num_intervals : at + num_intervals + num_tail]
        at += num_intervals + num_tail
        operators = {}
        for _ in range(num_operators):
            if at + _OPERATOR.size > len(raw):
                raise ValueError(f"site state ends after {len(raw)} bytes, among its operators")
            length, version, size = _OPERATOR.unpack_from(raw, at)
            at += _OPERATOR.size
            operators[raw[at : at + length].decode()] = (version, raw[at + length : at + length + size])
            at += length + size
        if at != len(raw):
            raise ValueError(f"site state has {len(raw)} bytes, its parts say {at}")
        return cls(counts, last_sent_ms, intervals, tail, operators, setup, bool(is_final))


@lru_cache(maxsize=2)
def _codec(mark: bytes) -> pa.Codec:
    return pa.Codec(_CODECS[mark], compression_level=_LEVEL if mark == _ZSTD else None)


def _inflated(raw: bytes) -> bytes:
    """A compressed state as it was.

    Raises:
        ValueError: it is damaged.
    """
    size = _SIZE.unpack_from(raw)[1] if len(raw) >= _SIZE.size else 0
    if not 0 < size <= _MOST:
        raise ValueError(f"compressed site state of {len(raw)} bytes is said to hold {size} bytes: it is damaged")
    try:
        # Of an LZ4 block that holds less nothing is said here; the lengths of the state's parts do not add up then.
        return bytes(_codec(raw[:2]).decompress(raw[_SIZE.size :], decompressed_size=size, asbytes=True))
    except OSError as error:  # pyarrow's for what is none, ends early, or holds more
        raise ValueError(f"compressed site state of {len(raw)} bytes is damaged: {error}") from error


@lru_cache(maxsize=65_536)
def setup_of(site: Site) -> bytes:
    """A fingerprint of what an operator's state depends on: where the site is and how it is set up."""
    return blake2b(repr(site).encode(), digest_size=8).digest()
