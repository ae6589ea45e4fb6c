"""Keep the memory of one step for the next.

A step on a CPU takes and gives back some hundred tensors of a few megabytes. The C library returns such blocks to the
system at once, and the system clears every page again when they are asked for anew: a tenth of the step's time.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from typing import Final

logger = logging.getLogger(__name__)

TRIM_THRESHOLD: Final = -1  # of malloc.h
TOP_PAD: Final = -2
MMAP_MAX: Final = -4


def keep_freed_memory(up_to_bytes: int = 2**30) -> bool:
    """Tell glibc to keep up to so much freed memory; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        logger.debug("this C library has no mallopt")
        return False
    asked = ((MMAP_MAX, 0), (TRIM_THRESHOLD, up_to_bytes), (TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in asked)
