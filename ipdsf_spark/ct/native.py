"""Native image libraries, and what they say meanwhile.

JPEG, GDCM and MetaIO write what they think of a stream to the process's own standard output and error, among a caller's
JSON and progress bars. It is kept from there and handed to the caller, who makes a remark of it.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError

JPEG_END: Final = b"\xff\xd9"
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2
MAX_SAID: Final = 20_000  # bytes
C_LIBRARY: Final = ctypes.CDLL(None)


def is_whole_jpeg(stream: bytes) -> bool:
    """True when a JPEG or JPEG-LS stream has its end; the decoders fill what is missing with grey and carry on."""
    return JPEG_END in stream.rstrip(b"\0")[-16:]  # after it stand at most fill bytes


def require_utf8(path: Path) -> None:
    """Refuse a path that SimpleITK cannot be told: it would end the process.

    Raises:
        InputError: it holds bytes that are no UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path.name).decode("utf-8", "backslashreplace")
        raise InputError(f"{shown}: its path holds bytes that are no UTF-8: rename it") from None


@contextmanager
def overheard() -> Iterator[list[str]]:
    """What native code writes to standard output and error meanwhile, as lines; not for code that starts threads.

    The list is filled when the block ends. Lines come without source lines, addresses and folders, each once.
    """
    lines: list[str] = []
    try:
        kept = [os.dup(number) for number in (STANDARD_OUTPUT, STANDARD_ERROR)]
    except OSError:  # a service without them
        yield lines
        return
    with tempfile.TemporaryFile() as said:
        try:
            for number in (STANDARD_OUTPUT, STANDARD_ERROR):
                os.dup2(said.fileno(), number)
            yield lines
        finally:
            C_LIBRARY.fflush(None)  # C keeps a buffer of its own
            for number, copy in zip((STANDARD_OUTPUT, STANDARD_ERROR), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)
            said.seek(0)
            lines += _lines(said.read(MAX_SAID).decode("utf-8", "replace"))


def _lines(said: str) -> list[str]:
    cleaned = []
    for line in said.splitlines():
        text = re.sub(r"^(Warning|Error|Debug): In .*", "", line)
        text = re.sub(r"\(0x[0-9a-fA-F]+\)|/[^\s:]*/", "", text).strip(" :\t")
        if text and text not in cleaned:
            cleaned.append(text[:200])
    return cleaned
