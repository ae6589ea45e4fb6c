"""Native image libraries without their chatter.

JPEG, GDCM and MetaIO write what they think of a stream to the process's own standard output and error, among a caller's
JSON and progress bars. What matters of it comes back as an exception anyway.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

JPEG_END: Final = b"\xff\xd9"
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
C_LIBRARY: Final = ctypes.CDLL(None)


def is_whole_jpeg(stream: bytes) -> bool:
    """True when a JPEG or JPEG-LS stream has its end; the decoders fill what is missing with grey and carry on."""
    return JPEG_END in stream[-16:]  # after it stand at most fill bytes


@contextmanager
def muted() -> Iterator[None]:
    """Standard output and error of the whole process lead nowhere meanwhile; not for code that starts threads."""
    try:
        kept = [os.dup(number) for number in (STANDARD_OUTPUT, STANDARD_ERROR)]
    except OSError:  # a service without them
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (STANDARD_OUTPUT, STANDARD_ERROR):
            os.dup2(nowhere, number)
        yield
    finally:
        C_LIBRARY.fflush(None)  # C keeps a buffer of its own
        for number, copy in zip((STANDARD_OUTPUT, STANDARD_ERROR), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
