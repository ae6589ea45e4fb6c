"""Files to profiles, for `mapInPandas`: a thin loop around the lidar room's decoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from ipdsf_spark.lidar.formats import decode
from ipdsf_spark.lidar.mixing_height import LayerSettings, summarise
from ipdsf_spark.lidar.profiles import Decoded

PROFILES: Final = "profiles"
REJECTED: Final = "rejected"
COLUMNS: Final = (
    *("site", "kind", "summary", "raw", "start", "reason", "head", "tail", "file", "sent_ms", "position"),
    *("num_files", "num_decoded", "num_quarantined", "num_both", "num_profiles"),
)


@dataclass(frozen=True)
class Decoder:
    """Pickled once per query: batches of FILES rows to batches of DECODED rows."""

    settings: LayerSettings

    def __call__(self, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Rows for every file of every batch, in order."""
        for batch in batches:
            rows = [
                row
                for file in batch.itertuples(index=False)
                for row in self.rows_of(
                    file.site, file.raw, file.file, file.sent_ms, f"{file.topic}-{file.partition}-{file.offset}"
                )
            ]
            yield pd.DataFrame(rows, columns=list(COLUMNS))

    def rows_of(self, site: str, raw: bytes, file: str, sent_ms: int, position: str) -> list[tuple[Any, ...]]:
        """DECODED rows of one file; never empty, so that every record read is accounted for."""
        decoded = decode(raw, name=file, received=np.datetime64(int(sent_ms), "ms").astype("datetime64[us]"))
        summary = b"".join(summarise(block, self.settings) for block in decoded.blocks)
        rejected = _rejections(decoded, has_times=bool(summary))
        origin = (file, sent_ms, position)
        is_both = bool(summary) and bool(rejected)
        counts = (1, int(bool(summary)), int(bool(rejected)), int(is_both), decoded.num_profiles)
        rows: list[tuple[Any, ...]] = []
        if summary or decoded.head or decoded.tail:
            rows.append((site, PROFILES, summary, raw, 0, None, decoded.head, decoded.tail, *origin))
        for start, length, reason in rejected:
            stretch = raw[start : start + length]
            rows.append((site, REJECTED, None, stretch, start, reason, None, None, *origin))
        nothing = (0, 0, 0, 0, 0)
        return [row + (counts if number == 0 else nothing) for number, row in enumerate(rows)]


def _rejections(decoded: Decoded, *, has_times: bool) -> list[tuple[int, int, str]]:
    found = [(each.offset, each.length, each.reason) for each in decoded.rejected]
    if decoded.num_profiles and not has_times:
        found.append((0, 2**31 - 1, "no profile carries a usable time"))
    if not decoded.num_profiles and not found:
        found.append((0, 2**31 - 1, f"{decoded.instrument}: no profile in the file"))
    return found
