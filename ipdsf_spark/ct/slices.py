"""Work on the slices of a volume by all cores: numpy lets go of the interpreter, so threads are enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def for_each_slice(work: Callable[[int], None], numbers: range) -> None:
    """Do something for every number of a range, which must not depend on the order; an error of one is raised."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "slices") as pool:
        for _ in pool.map(work, numbers):
            pass
