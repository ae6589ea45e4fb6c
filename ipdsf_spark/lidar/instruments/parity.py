"""Text of seven bits and a bit of parity, read as eight bits: half of its letters are no text then.

A CT25K sends 7E1 as it is delivered. A logger that is set to eight bits keeps the bit of parity in every byte.
"""

from __future__ import annotations

from typing import Final

_LOOKED_AT: Final = 65_536
_FEWEST: Final = 200  # bytes in which noise has one parity throughout once in 1e60
_SEVEN_BITS: Final = bytes(byte & 0x7F for byte in range(256))
_EVEN: Final = bytes(byte for byte in range(256) if byte.bit_count() % 2 == 0)
_ODD: Final = bytes(byte for byte in range(256) if byte.bit_count() % 2)
_MOST_OTHERS: Final = 0.05  # line ends that the logger adds, and bytes that were damaged


def without_parity(raw: bytes) -> bytes:
    """The text of seven bits, as long as before, if nearly all bytes have one parity, many an eighth bit; else itself.

    Lines that a logger wrote have no such bit. They are kept.
    """
    lines = raw[:_LOOKED_AT].split(b"\n")
    start = b"".join(line for line in lines if not line.isascii())
    num_high = len(start) - len(start.translate(None, bytes(range(128, 256))))
    if len(start) < _FEWEST or num_high < len(start) / 8:
        return raw
    num_others = min(len(start.translate(None, one)) for one in (_EVEN, _ODD))
    return raw.translate(_SEVEN_BITS) if num_others <= _MOST_OTHERS * len(start) else raw
