"""Sites' shares of a batch with their states, for `applyInPandasWithState`: a thin shell around `SiteStage`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import site_named
from ipdsf_spark.stream.decode import NO_SITE
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome, Record, Share, SiteStage
from ipdsf_spark.stream.site_state import SiteState

if TYPE_CHECKING:
    from pyspark.sql.streaming.state import GroupState

logger = logging.getLogger(__name__)

NOBODY: Final = Site(NO_SITE, float("nan"), float("nan"))


@dataclass(frozen=True)
class Operate:
    """Pickled once per query: the pieces of sites and their states to outgoing records and new states.

    Called by Spark with key, data frames and state of one site, or by `spark.state_rows` with a list of those of many,
    columns for frames, the piece last. Spark hides all but the call of a function, so there is no other way in.
    """

    sites: Mapping[str, Site]
    stage: SiteStage

    def __call__(self, key: Any, frames: Any = (), state: GroupState | None = None) -> Any:
        """One site's share of a micro-batch, or those of many."""
        if state is None:
            return self.many(key)
        pieces = [piece for frame in frames for piece in frame["piece"].tolist()]
        [records] = self.records_of([(key[0], pieces, state)])
        return iter([pd.DataFrame([_row(each) for each in records], columns=list(Record._fields), dtype=object)])

    def many(self, groups: Sequence[tuple[tuple[str], list[list[Any]], GroupState]]) -> list[list[tuple[Any, ...]]]:
        """Rows of many sites, each once: keys, columns and states."""
        asked = [(key[0], columns[-1], state) for key, columns, state in groups]
        return [[_row(record) for record in records] for records in self.records_of(asked)]

    def records_of(self, groups: Sequence[tuple[str, list[bytes], GroupState]]) -> list[list[Record]]:
        """Outgoing records of sites; each state is updated, or removed where there is nothing to remember."""
        shares = [self._share_of(*group) for group in groups]
        outcomes = iter(self.stage.step_many([share for share in shares if share is not None]))
        found = []
        for share, (site_id, _, state) in zip(shares, groups, strict=True):
            outcome = Outcome() if share is None else next(outcomes)
            if site_id != NO_SITE:
                self._remember(outcome.state, state)
            found.append(outcome.records)
        return found

    def _share_of(self, site_id: str, raws: list[bytes], state: GroupState) -> Share | None:
        """What a site is given; None if it is nothing but to be forgotten."""
        held = bytes(state.get[0]) if state.exists else b""
        pieces = [Piece.from_bytes(raw) for raw in raws]
        if site_id == NO_SITE:
            return Share(NOBODY, pieces, b"")
        try:
            site = site_named(self.sites, site_id)
        except ConfigError:
            return None  # the table of sites knows it no more
        if state.hasTimedOut and held and _is_final(held):
            return None
        return Share(site, pieces, held, state.hasTimedOut)

    def _remember(self, kept: SiteState | None, state: GroupState) -> None:
        if kept is None:
            if state.exists:
                state.remove()
            return
        timing = self.stage.timing
        state.update((kept.to_bytes(),))
        wait_s = timing.forget_s - timing.silence_s if kept.is_final else timing.silence_s
        state.setTimeoutDuration(1000 * wait_s)


def _is_final(held: bytes) -> bool:
    try:
        return SiteState.from_bytes(held).is_final
    except ValueError:
        return True


def _row(record: Record) -> tuple[Any, ...]:
    headers = None if record.headers is None else [{"key": name, "value": value} for name, value in record.headers]
    return (record.kind, record.num, record.topic, record.key, record.value, headers)
