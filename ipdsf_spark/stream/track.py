"""Profiles of a site to heights of a site, for `applyInPandasWithState`: a thin shell around `SiteTracker`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings, SiteTracker, summarise
from ipdsf_spark.lidar.products.records import product_of
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import site_named
from ipdsf_spark.stream.decode import WHOLE_FILE, Piece

if TYPE_CHECKING:
    from pyspark.sql.streaming.state import GroupState

COLUMNS: Final = ("topic", "key", "value", "headers", "num_late", "num_products", "num_joined")
INDEX: Final = pd.Index(COLUMNS)
LONGEST_TAIL: Final = 65_536  # bytes kept of an unfinished message


@dataclass(frozen=True)
class Tracker:
    """Pickled once per query: the rows of one site and its state to outgoing records and the new state."""

    sites: Mapping[str, Site]
    settings: LayerSettings
    products_topic: str
    quarantine_topic: str

    def __call__(self, key: tuple[str], batches: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        """One site's share of a micro-batch."""
        tracker_bytes, tail = state.get if state.exists else (b"", b"")
        pieces = [pickle.loads(piece) for batch in batches for piece in batch["piece"].tolist()]
        records, tracker_bytes, tail = self.records_of(key[0], pieces, bytes(tracker_bytes), bytes(tail))
        state.update((tracker_bytes, tail))
        # One block of objects: a data frame made of columns costs ten times as much, once per site and batch.
        rows = np.empty((len(records), len(COLUMNS)), dtype=object)
        rows[:] = records
        yield pd.DataFrame(rows, columns=INDEX, copy=False)

    def records_of(
        self, site_id: str, pieces: Sequence[Piece], tracker_bytes: bytes, tail: bytes
    ) -> tuple[list[tuple[Any, ...]], bytes, bytes]:
        """Outgoing records of one site, its tracker's new bytes and its new unfinished message.

        Args:
            site_id: the Kafka key.
            pieces: what its files gave, in any order.
            tracker_bytes: the tracker's state, empty for a site not seen before.
            tail: an unfinished message of the site's last file.
        """
        site = site_named(self.sites, site_id)
        if tracker_bytes:
            tracker = SiteTracker.from_bytes(tracker_bytes, site, self.settings)
        else:
            tracker = SiteTracker.of(site, self.settings)
        records: list[tuple[Any, ...]] = []
        summaries: list[bytes] = []
        num_late = num_joined = newest_ms = 0
        # Within a batch the order of a site's files is the order they were sent in.
        for piece in sorted(pieces, key=lambda piece: (piece.sent_ms, piece.position)):
            newest_ms = max(newest_ms, piece.sent_ms)
            for start, length, reason in piece.rejected:
                records.append(self._quarantined(site_id, piece, start, length, reason))
            if piece.head and tail:
                joined = decode(tail + piece.head, name=piece.file)
                summaries.extend(summarise(block, self.settings) for block in joined.blocks)
                num_joined += joined.num_profiles
            tail = piece.tail[:LONGEST_TAIL]
            if piece.summary:
                summaries.append(piece.summary)
                if late := tracker.num_late([piece.summary]):
                    num_late += late
                    reason = f"late: {late} profile(s) older than what is final for this site"
                    records.append(self._quarantined(site_id, piece, 0, WHOLE_FILE, reason))
        layers = tracker.update(summaries).layers
        products = [self._product(site_id, layers, line, newest_ms) for line in range(len(layers))]
        records.extend(products)
        # The counts ride on a row that goes nowhere, so that they hold even when there is no record.
        records.append((None, None, None, None, num_late, len(products), num_joined))
        return records, tracker.to_bytes(), tail

    def _product(self, site_id: str, layers: Layers, line: int, sent_ms: int) -> tuple[Any, ...]:
        product = product_of(site_id, layers, line) | {"sent_ms": sent_ms}
        key = f"{site_id}|{product['time']}".encode()
        return (self.products_topic, key, json.dumps(product, separators=(",", ":")).encode(), None, 0, 0, 0)

    def _quarantined(self, site_id: str, piece: Piece, start: int, length: int, reason: str) -> tuple[Any, ...]:
        headers = {
            "reason": reason,
            "site": site_id,
            "file": piece.file,
            "position": piece.position,
            "start": str(start),
            "sent_ms": str(piece.sent_ms),
        }
        # Keyed by where it came from: a batch that is repeated after a crash replaces, it does not add.
        key = f"{piece.position}|{start}".encode()
        return (self.quarantine_topic, key, piece.raw[start : start + length], json.dumps(headers), 0, 0, 0)
