"""Which file a full disk refused: the system names it where a file is opened, but not where it is written.

Writers are many, some of them in libraries; what they were writing stands in their frames, which the error holds.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Final

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, no room for this user, larger than a file may be
STANDARD_OUTPUT: Final = "standard output"


def file_of(error: OSError) -> str | None:
    """The file that was being written when there was no room, as well as it can be told; None if it cannot."""
    if error.errno not in FULL:
        return None
    if _is_refused("", error):  # what standard output holds back
        return STANDARD_OUTPUT
    name = next(_written(error), None)
    return STANDARD_OUTPUT if name is None and _is_refused("\n", error) else name


def _is_refused(text: str, error: OSError) -> bool:
    """Whether standard output has no room for more; of much that was refused at once it holds nothing back."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as again:
        # Python would try a third time when it ends, and say so in its own words.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return again.errno == error.errno
    return False


def _written(error: OSError) -> Iterator[str]:
    """Names of files open for writing, those of the innermost call first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for held in reversed(list(frame.f_locals.values())):  # the newest is the likeliest
            name = _name_of(held)
            if name is not None:
                yield name


def _name_of(held: object) -> str | None:
    if not isinstance(held, io.IOBase) or held in (sys.stdout, sys.stderr):
        return None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        name, mode = getattr(held, "name", None), str(getattr(held, "mode", ""))
        if isinstance(name, str | bytes) and set(mode) & set("wax+"):
            return os.fsdecode(name)
    return None
