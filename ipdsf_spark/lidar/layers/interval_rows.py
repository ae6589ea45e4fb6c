"""What is remembered of an interval until its height is final: one record per interval, ready to be stored."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, STRENGTH, SIGMA, WEIGHT = range(
    4
)  # rows of `table`: height [m], W, localisation error [m], weight for the path
NO_RESTART = -1

Rows = NDArray[np.void]


def joined(*parts: Rows) -> Rows:
    """All records of `parts`, in order; as plain bytes, for numpy copies records field by field."""
    return np.concatenate([part.view(np.uint8) for part in parts]).view(parts[0].dtype)


@lru_cache(maxsize=64)
def row_type(num_nodes: int, num_candidates: int) -> np.dtype[Any]:
    """The record of an interval.

    index: interval number. first_us, last_us: first and last profile [µs since its begin]. cloud_m: lowest cloud base,
    NaN where none. ceiling_m: diurnal ceiling. floor_m: lowest height that is seen. num: profiles. quality: bits known
    before the path. restart: node in which the path before this interval ends if a new one starts here, else -1. end:
    node of the best path that ends here. is_day: late morning to dusk. residual_m: top of the residual layer, seen for
    residual_seen intervals. table: candidates, strongest first. pointers: where the path to every node
    comes from, in nodes.
    """
    return np.dtype(
        [
            ("index", "<i8"),
            ("first_us", "<u4"),
            ("last_us", "<u4"),
            ("cloud_m", "<f4"),
            ("ceiling_m", "<f4"),
            ("floor_m", "<f4"),
            ("num", "<i4"),
            ("quality", "<u2"),
            ("restart", "<i2"),
            ("end", "<i2"),
            ("is_day", "?"),
            ("residual_seen", "u1"),
            ("residual_m", "<f4"),
            ("table", "<f4", (4, num_candidates)),
            ("pointers", "i1", (num_nodes,)),
        ]
    )
