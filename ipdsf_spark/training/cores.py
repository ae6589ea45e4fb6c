"""Which cores of a machine a worker computes on.

Workers that step together wait for the slowest. Left to the scheduler, the threads that carry gradients push a
computing thread onto a core where another worker computes, and both are late.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Final

logger = logging.getLogger(__name__)

LOCAL_RANK: Final = "HOROVOD_LOCAL_RANK"
LOCAL_SIZE: Final = "HOROVOD_LOCAL_SIZE"


def share_of_cores(cores: Iterable[int], rank: int, size: int) -> set[int]:
    """The cores of worker `rank` of `size` on one machine: neighbours, as many as each other gets; none if too few."""
    usable = sorted(cores)
    each = len(usable) // size
    return set(usable[rank * each : (rank + 1) * each])


def keep_to_share_of_cores() -> None:
    """Bind this process, and every thread it starts, to its share of the machine, as told by Horovod's launcher."""
    rank, size = (int(os.environ.get(name, default)) for name, default in ((LOCAL_RANK, "0"), (LOCAL_SIZE, "1")))
    if size < 2 or not hasattr(os, "sched_setaffinity"):
        return
    share = share_of_cores(os.sched_getaffinity(0), rank, size)
    if share:
        os.sched_setaffinity(0, share)
        logger.info("worker %s of %s on this machine computes on cores %s", rank, size, sorted(share))
