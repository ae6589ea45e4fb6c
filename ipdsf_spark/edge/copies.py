"""Where the bytes of a record come from, and what becomes of its local copy once Kafka has it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ipdsf_spark.edge.clock import EdgeClock
from ipdsf_spark.edge.entry import DELIVERED, Entry
from ipdsf_spark.edge.folder import place_of
from ipdsf_spark.edge.intake import bytes_of
from ipdsf_spark.edge.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copies:
    """The local copies of a site's records, and the watched folder behind them.

    Attributes:
        store: local copies.
        watched: folder of the sources, for records without a copy.
        clock: both clocks.
    """

    store: Store
    watched: Path
    clock: EdgeClock

    def delivered(self, entry: Entry, delivered_s: float) -> Entry:
        """The record as one that Kafka has, its copy dated by when that was."""
        dated = self.store.dated(entry, delivered_s or self.clock.now_s())
        return replace(entry, state=DELIVERED, in_flight=False, delivered_s=delivered_s, copy=dated)

    def move(self, entries: Iterable[Entry]) -> None:
        """Bring the copies of delivered records to their dated place."""
        for entry in entries:
            if entry.copy:
                self.store.move(entry.copy)

    def value(self, entry: Entry) -> bytes | None:
        """The bytes of a record: of its copy, or of the file itself; None if neither can be read now."""
        if entry.copy:
            try:
                return self.store.read(entry)
            except (OSError, ValueError) as error:
                logger.debug("copy of %s: %s", entry.name, error)
        try:
            with place_of(entry.name, self.watched).open("rb") as file:
                raw = bytes_of(file, entry.start, entry.start + entry.bytes - entry.preamble, entry.preamble)
        except OSError:
            return None
        return raw if hashlib.sha256(raw).hexdigest() == entry.sha256 else None
