"""A site's share of a batch with its state, for `applyInPandasWithState`: a thin shell around `SiteStage`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import site_named
from ipdsf_spark.stream.decode import NO_SITE
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Record, SiteStage
from ipdsf_spark.stream.site_state import SiteState

if TYPE_CHECKING:
    from pyspark.sql.streaming.state import GroupState

logger = logging.getLogger(__name__)

NOBODY: Final = Site(NO_SITE, float("nan"), float("nan"))


@dataclass(frozen=True)
class Operate:
    """Pickled once per query: the pieces of one site and its state to outgoing records and the new state.

    Called by Spark with data frames, or by `spark.state_rows` with lists, the piece last.
    """

    sites: Mapping[str, Site]
    stage: SiteStage

    def __call__(self, key: tuple[str], values: Any, state: GroupState) -> Any:
        """One site's share of a micro-batch."""
        if isinstance(values, list):
            return [_row(record) for record in self.records_of(key[0], values[-1], state)]
        return self._in_frames(key, values, state)

    def _in_frames(self, key: tuple[str], frames: Iterator[pd.DataFrame], state: GroupState) -> Iterator[pd.DataFrame]:
        pieces = [piece for frame in frames for piece in frame["piece"].tolist()]
        rows = [_row(record) for record in self.records_of(key[0], pieces, state)]
        yield pd.DataFrame(rows, columns=list(Record._fields), dtype=object)

    def records_of(self, site_id: str, raws: list[bytes], state: GroupState) -> list[Record]:
        """Outgoing records; the state is updated, or removed where there is nothing to remember."""
        timing = self.stage.timing
        held = bytes(state.get[0]) if state.exists else b""
        pieces = [Piece.from_bytes(raw) for raw in raws]
        if site_id == NO_SITE:
            return self.stage.step(NOBODY, pieces, b"").records
        try:
            site = site_named(self.sites, site_id)
        except ConfigError:
            if state.exists:
                state.remove()  # the table of sites knows it no more
            return []
        if state.hasTimedOut and held and _is_final(held):
            state.remove()
            return []
        outcome = self.stage.step(site, pieces, held, is_silent=state.hasTimedOut)
        if outcome.state is None:
            if state.exists:
                state.remove()
        else:
            state.update((outcome.state.to_bytes(),))
            wait_s = timing.forget_s - timing.silence_s if outcome.state.is_final else timing.silence_s
            state.setTimeoutDuration(1000 * wait_s)
        return outcome.records


def _is_final(held: bytes) -> bool:
    try:
        return SiteState.from_bytes(held).is_final
    except ValueError:
        return True


def _row(record: Record) -> tuple[Any, ...]:
    headers = None if record.headers is None else [{"key": name, "value": value} for name, value in record.headers]
    return (record.kind, record.num, record.topic, record.key, record.value, headers)
