"""Hexadecimal profiles: blocks of fixed-width two's-complement numbers, decoded without a Python loop."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float32

_FIVE: Final = 5  # hex digits of a value of 20 bits


class Packed(NamedTuple):
    """A profile of one message, unpacked together with those beside it.

    Attributes:
        digits: of its numbers in hexadecimal, four or five each.
        data: the numbers one after another, two to five bytes where they have five digits.
        num_values: how many there are.
        factor: from the numbers to m-1 sr-1.
    """

    digits: int
    data: bytes
    num_values: int
    factor: float


def packed(text: bytes, digits: int, factor: float) -> Packed:
    """A profile of five (Vaisala CL, Campbell CS) or four (Vaisala CT25K) hex digits a value, two's complement.

    Raises:
        ValueError: a character is not a hex digit, or the length is not a multiple of `digits`.
    """
    num_values, odd = divmod(len(text), digits)
    if odd:
        raise ValueError(f"{len(text)} hex digits are not a multiple of {digits}")
    try:
        data = binascii.unhexlify(text + b"0" * digits if len(text) % 2 else text)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    return Packed(digits, data, num_values, factor)


def unpacked(profiles: Sequence[Packed]) -> Float32:
    """(T, G) values of T profiles of equally many gates, times their factors."""
    first = profiles[0]
    data = first.data if len(profiles) == 1 else b"".join([each.data for each in profiles])
    counts = _counts5(data) if first.digits == _FIVE else np.frombuffer(data, ">i2")
    counts = counts.reshape(len(profiles), -1)[:, : first.num_values]
    factors = {each.factor for each in profiles}
    factor = first.factor if len(factors) == 1 else np.array([[each.factor] for each in profiles])
    values = np.empty(counts.shape, np.float32)
    # Multiplied in float64 and rounded once, without a table of float64 in between.
    return np.multiply(counts, factor, out=values, casting="unsafe", dtype=np.float64)


def _counts5(data: bytes) -> NDArray[np.int32]:
    """Numbers of five hex digits each, two to five bytes.

    The first of a pair stands at the top of its first four bytes, the second at the bottom of its last four; brought
    to the top as well, an arithmetic shift extends the sign of both.
    """
    num_pairs = len(data) // 5
    values = np.empty((num_pairs, 2), np.int32)
    first, second = values[:, 0], values[:, 1]
    first[:] = np.ndarray((num_pairs,), ">i4", data, 0, (5,))
    second[:] = np.ndarray((num_pairs,), ">i4", data, 1, (5,))
    second <<= 12
    values >>= 12
    return values


def int20(text: bytes) -> NDArray[np.int32]:
    """Values of five hex digits each, two's complement.

    Args:
        text: 5·n hex digits.

    Raises:
        ValueError: a character is not a hex digit, or the length is not a multiple of 5.
    """
    found = packed(text, _FIVE, 1.0)
    return _counts5(found.data).reshape(-1)[: found.num_values]


def hex20(values: NDArray[np.int64]) -> bytes:
    """The inverse of `int20`: values clipped to 20 bits, five lower-case digits each."""
    clipped = np.clip(values, -(1 << 19), (1 << 19) - 1).astype(np.int64) & 0xFFFFF
    nibbles = (clipped[:, None] >> np.array([16, 12, 8, 4, 0])) & 15
    digits: bytes = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles].tobytes()
    return digits
