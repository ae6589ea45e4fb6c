"""Files to profiles, for `mapInPandas`: a thin loop around the lidar room's decoder."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.layers.mixing_height import LayerSettings, summarise
from ipdsf_spark.lidar.profiles import Decoded

COLUMNS: Final = ("site", "piece", "num_files", "num_decoded", "num_quarantined", "num_both", "num_profiles")
WHOLE_FILE: Final = 2**31 - 1


@dataclass(frozen=True)
class Piece:
    """What one file gave; travels pickled from the decoding to the tracking stage.

    Attributes:
        file: name the edge sent.
        sent_ms: when it was sent [ms since 1970].
        position: topic-partition-offset.
        raw: the file's bytes: what was rejected is cut from them, and all of them should it prove late.
        summary: mergeable sums of its profiles, empty if it gave none.
        rejected: offset, length and reason of every bad stretch.
        head: bytes that may end a message begun in the site's previous file.
        tail: an unfinished message that the site's next file may complete.
    """

    file: str
    sent_ms: int
    position: str
    raw: bytes
    summary: bytes
    rejected: tuple[tuple[int, int, str], ...]
    head: bytes
    tail: bytes


@dataclass(frozen=True)
class Decoder:
    """Pickled once per query: batches of FILES rows to batches of DECODED rows."""

    settings: LayerSettings

    def __call__(self, batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """One row for every file of every batch, in order, so that every record read is accounted for."""
        for batch in batches:
            columns = (
                batch[name].tolist() for name in ("site", "raw", "file", "sent_ms", "topic", "partition", "offset")
            )
            rows: list[tuple[object, ...]] = []
            for site, raw, file, sent_ms, topic, partition, offset in zip(*columns, strict=True):
                piece, num_profiles = self.piece_of(raw, file, int(sent_ms), f"{topic}-{partition}-{offset}")
                is_decoded, is_quarantined = bool(piece.summary), bool(piece.rejected)
                counts = (1, int(is_decoded), int(is_quarantined), int(is_decoded and is_quarantined), num_profiles)
                rows.append((site, pickle.dumps(piece, pickle.HIGHEST_PROTOCOL), *counts))
            values = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
            yield pd.DataFrame(
                {name: pd.Series(column, dtype=object) for name, column in zip(COLUMNS, values, strict=True)}
            )

    def piece_of(self, raw: bytes, file: str, sent_ms: int, position: str) -> tuple[Piece, int]:
        """What a file gave, and how many profiles that is."""
        decoded = decode(raw, name=file, received=np.datetime64(sent_ms, "ms").astype("datetime64[us]"))
        summary = b"".join(summarise(block, self.settings) for block in decoded.blocks)
        rejected = _rejections(decoded, has_times=bool(summary))
        return Piece(file, sent_ms, position, raw, summary, rejected, decoded.head, decoded.tail), decoded.num_profiles


def _rejections(decoded: Decoded, *, has_times: bool) -> tuple[tuple[int, int, str], ...]:
    found = [(each.offset, each.length, each.reason) for each in decoded.rejected]
    if decoded.num_profiles and not has_times:
        found.append((0, WHOLE_FILE, "no profile carries a usable time"))
    if not decoded.num_profiles and not found:
        found.append((0, WHOLE_FILE, f"{decoded.instrument}: no profile in the file"))
    return tuple(found)
