"""Hexadecimal profiles: blocks of fixed-width two's-complement numbers, decoded without a Python loop."""

from __future__ import annotations

import binascii

import numpy as np
from numpy.typing import NDArray


def int20(text: bytes) -> NDArray[np.int32]:
    """Values of five hex digits each, two's complement (Vaisala CL, Campbell CS).

    Two values share five bytes, so the block is turned into bytes first and read pair by pair.

    Args:
        text: 5·n hex digits.

    Raises:
        ValueError: a character is not a hex digit, or the length is not a multiple of 5.
    """
    num_values, odd = divmod(len(text), 5)
    if odd:
        raise ValueError(f"{len(text)} hex digits are not a multiple of 5")
    try:
        packed = binascii.unhexlify(text + b"00000" if num_values % 2 else text)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    # The first of a pair stands at the top of its first four bytes, the second at the bottom of its last four; brought
    # to the top as well, an arithmetic shift extends the sign of both.
    num_pairs = (num_values + 1) // 2
    values = np.empty((num_pairs, 2), np.int32)
    first, second = values[:, 0], values[:, 1]
    first[:] = np.ndarray((num_pairs,), ">i4", packed, 0, (5,))
    second[:] = np.ndarray((num_pairs,), ">i4", packed, 1, (5,))
    second <<= 12
    values >>= 12
    return values.reshape(-1)[:num_values]


def int16(text: bytes) -> NDArray[np.int32]:
    """Values of four hex digits each, two's complement (Vaisala CT25K).

    Raises:
        ValueError: a character is not a hex digit, or the length is not a multiple of 4.
    """
    if len(text) % 4:
        raise ValueError(f"{len(text)} hex digits are not a multiple of 4")
    try:
        return np.frombuffer(binascii.unhexlify(text), ">i2").astype(np.int32)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def hex20(values: NDArray[np.int64]) -> bytes:
    """The inverse of `int20`: values clipped to 20 bits, five lower-case digits each."""
    clipped = np.clip(values, -(1 << 19), (1 << 19) - 1).astype(np.int64) & 0xFFFFF
    nibbles = (clipped[:, None] >> np.array([16, 12, 8, 4, 0])) & 15
    digits: bytes = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles].tobytes()
    return digits
