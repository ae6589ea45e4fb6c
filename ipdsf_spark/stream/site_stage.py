"""One site's share of a micro-batch: its files' averages through its operators, and what became of every profile.

Pure: no Spark, no Kafka, no clock. Operators are guarded one by one: an exception costs its operator the state of that
site, leaves a dead letter with the reason and the position, and nobody else notices. Many sites may be taken at once,
which costs less and gives the same.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from ipdsf_spark.archive.averages import to_message
from ipdsf_spark.kafka.dead_letter import MAX_LISTED, Headers, dead_letter
from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.average import MICROSECONDS, Average
from ipdsf_spark.lidar.averages.intervals import Added, Intervals
from ipdsf_spark.lidar.operators import News, Operator, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.guard import LONGEST_S, Turn, run_operators
from ipdsf_spark.stream.piece import Piece, Stretch
from ipdsf_spark.stream.site_state import Counts, SiteState, setup_of
from ipdsf_spark.stream.values import as_json, iso

logger = logging.getLogger(__name__)

LONGEST_TAIL: Final = 65_536  # bytes kept of an unfinished message
SITE_KIND: Final = "site"
AVERAGES_KIND: Final = "averages"
QUARANTINE_KIND: Final = "quarantine"
LATE_KIND: Final = "late"
FOREIGN_KIND: Final = "foreign"
JOINED_KIND: Final = "joined"


class Record(NamedTuple):
    """What goes to Kafka.

    Attributes:
        kind: which product, or `AVERAGES_KIND`, `QUARANTINE_KIND`, `JOINED_KIND`.
        num: profiles or stretches that it is about, for the metrics.
        topic, key, value, headers: the record.
    """

    kind: str
    num: int
    topic: str
    key: bytes
    value: bytes
    headers: Headers | None = None


@dataclass(frozen=True)
class Topics:
    """Where records go, and how large they may be."""

    files: str
    averages: str
    products: str
    sites: str
    quarantine: str
    max_bytes: int


@dataclass(frozen=True)
class Timing:
    """Parameters of the intervals and of silence.

    Attributes:
        interval_s: length of an interval [s].
        reorder: newer intervals that must have begun before an incomplete one is closed.
        silence_s: a site that sends nothing for so long has fallen silent [s].
        forget_s: a site that sends nothing for so long is forgotten [s].
    """

    interval_s: int = 300
    reorder: int = 2
    silence_s: int = 4_200
    forget_s: int = 30 * 86_400


class Share(NamedTuple):
    """One site's share of a batch.

    Attributes:
        site: where it is and how it is set up.
        pieces: what its files gave, in any order.
        held: the state of the last batch, empty for a site not seen before.
        is_silent: nothing has come for `Timing.silence_s`.
    """

    site: Site
    pieces: Sequence[Piece]
    held: bytes
    is_silent: bool = False


@dataclass
class Outcome:
    """Records and the state to keep; no state if there is nothing to remember."""

    records: list[Record] = field(default_factory=list)
    state: SiteState | None = None


@dataclass
class _Begun:
    """A share whose files have been taken in; its operators' turn comes next.

    Where another instrument has taken over, operators first have a turn with what was left of the former one, which has
    fallen silent, though perhaps nobody waited for it: so a replay says what the stream said.
    """

    share: Share
    outcome: Outcome
    state: SiteState
    intervals: Intervals
    before: Counts
    ordered: list[Piece]
    closed: list[Average]
    turn: Turn
    former: Turn | None = None

    @property
    def has_news(self) -> bool:
        """Whether the operators have anything to do."""
        return bool(self.closed or self.turn.news.open or self.share.is_silent)


@dataclass(frozen=True)
class SiteStage:
    """The operators of every site, one after the other.

    Args:
        operators: in their order.
        topics: where records go.
        timing: intervals and silence.
        publishes_averages: whether averages of complete intervals are published.
        longest_s: what an operator may take for one site [s]; 0 = as long as it likes.
    """

    operators: tuple[Operator, ...]
    topics: Topics
    timing: Timing = Timing()
    publishes_averages: bool = True
    longest_s: float = LONGEST_S

    def step(self, site: Site, pieces: Sequence[Piece], held: bytes, *, is_silent: bool = False) -> Outcome:
        """What a site's files and its state come to; arguments as those of `Share`."""
        return self.step_many([Share(site, pieces, held, is_silent)])[0]

    def step_many(self, shares: Sequence[Share]) -> list[Outcome]:
        """The same for many sites, each once: one outcome each, in order, as if they came alone."""
        begun = [self._begin(share) for share in shares]
        formers = [each.former for each in begun if each.former is not None]
        run_operators(self.operators, formers, longest_s=self.longest_s)
        for each in begun:
            if each.former is not None:
                each.turn.follow(each.former)
        run_operators(self.operators, [each.turn for each in begun if each.has_news], longest_s=self.longest_s)
        return [self._end(each) for each in begun]

    def _begin(self, share: Share) -> _Begun:
        """Take in a site's files."""
        outcome, flags = Outcome(), []
        site, is_silent = share.site, share.is_silent
        state = SiteState(setup=setup_of(site))
        if share.held:
            try:
                state = SiteState.from_bytes(share.held)
            except ValueError as error:
                logger.warning("site %s: %s; its state begins anew", site.id, error)
                flags.append("state_of_another_version")
        if state.setup != setup_of(site):
            flags.append("site_settings_changed")
            state.operators, state.setup = {}, setup_of(site)
        before = state.counts
        intervals, is_readable = self._intervals(state.intervals)
        if not is_readable:
            flags.append("intervals_of_another_version")
            state.operators = {}

        ordered = sorted(share.pieces, key=lambda piece: piece.order)
        added = Added()
        for piece in ordered:
            added = self._take(outcome, site, state, intervals, piece, added)
        closed = [*added.closed]
        if is_silent:
            closed += intervals.close_all()
            self._drop_tail(outcome, site, state)
        own = tuple(closed[added.num_former :])
        news = News(own, () if is_silent else added.open, is_silent, added.has_new_source)
        turn = Turn(site, news, state.operators, flags=flags)
        former = None
        if added.has_new_source:
            flags.append("instrument_exchanged")
            former = Turn(site, News(tuple(closed[: added.num_former]), is_silent=True), state.operators)
        return _Begun(share, outcome, state, intervals, before, ordered, closed, turn, former)

    def _end(self, begun: _Begun) -> Outcome:
        """Records and state of a site whose operators have had their turn."""
        outcome, state, turn, closed, before = begun.outcome, begun.state, begun.turn, begun.closed, begun.before
        site, is_silent, has_state = begun.share.site, begun.share.is_silent, bool(begun.share.held)
        if begun.has_news:
            for operator, error in turn.faults:
                state.counts = state.counts.plus(faults=1)
                outcome.records.append(self._fault(site, operator, error, begun.ordered))
            state.operators = turn.kept
            turns = [turn] if begun.former is None else [begun.former, turn]
            rows = [row for each in turns for made in each.rows.values() for row in made]
            outcome.records += [self._product(site, row, state.last_sent_ms) for row in rows]
        if self.publishes_averages:
            outcome.records += [self._averages(site, average) for average in closed]

        counts = state.counts
        if not (has_state or counts.used or state.tail):
            return outcome  # an id that has never given a profile leaves nothing behind
        state.is_final = is_silent
        state.intervals = begun.intervals.to_bytes()
        has_trouble = (counts.rejected, counts.late, counts.foreign, counts.duplicate) != (
            before.rejected,
            before.late,
            before.foreign,
            before.duplicate,
        )
        if closed or turn.flags or is_silent or has_trouble or not has_state:
            outcome.records.append(self._status(site, state, begun.intervals, turn.flags, closed))
        outcome.state = state
        return outcome

    def _intervals(self, raw: bytes) -> tuple[Intervals, bool]:
        timing = self.timing
        empty = partial(Intervals, interval_s=timing.interval_s, reorder=timing.reorder, takeover_s=timing.silence_s)
        if not raw:
            return empty(), True
        try:
            return empty().load(raw), True
        except ValueError as error:
            logger.warning("%s; they begin anew", error)
            return empty(), False

    def _take(
        self, outcome: Outcome, site: Site, state: SiteState, intervals: Intervals, piece: Piece, before: Added
    ) -> Added:
        """One file: its averages, its rejected stretches, and the message it shares with its neighbours."""
        rejected = [*piece.rejected]
        if not piece.is_joined:
            rejected += self._joined_with_its_neighbours(outcome, site, state, piece)
        added = intervals.add(average_bytes.unpack(piece.averages)) if piece.averages else Added()
        faults: list[tuple[str, int]] = [
            (f"late: {added.num_late} profile(s) of an interval that is closed", added.num_late),
            (
                f"{added.num_foreign} profile(s) of a second instrument under this id, "
                f"{_named(added.foreign_source)}; the first is {_named(intervals.source)}",
                added.num_foreign,
            ),
        ]
        for kind, (reason, num) in zip((LATE_KIND, FOREIGN_KIND), faults, strict=True):
            if num:
                letter = self._dead(site, piece, [Stretch(0, 0, reason)], raw=b"", part=f"|{kind}", num=num)
                outcome.records.append(letter._replace(kind=kind))
        if rejected:
            outcome.records.append(self._dead(site, piece, rejected, raw=piece.raw, num=len(rejected)))
        state.counts = state.counts.plus(
            files=1,
            profiles=piece.num_profiles,
            rejected=len(rejected),
            used=added.num_used,
            duplicate=added.num_duplicate,
            late=added.num_late,
            foreign=added.num_foreign,
        )
        state.last_sent_ms = max(state.last_sent_ms, piece.sent_ms)
        changed = {average.index: average for average in (*before.open, *added.open)}
        for average in added.closed:
            changed.pop(average.index, None)
        return Added(
            closed=(*before.closed, *added.closed),
            open=tuple(changed[index] for index in sorted(changed)),
            num_used=before.num_used + added.num_used,
            has_new_source=before.has_new_source or added.has_new_source,
            num_former=len(before.closed) + added.num_former if added.has_new_source else before.num_former,
        )

    def _fault(self, site: Site, operator: Operator, error: BaseException, pieces: Sequence[Piece]) -> Record:
        piece = pieces[-1] if pieces else Piece("", 0, self.topics.files, -1, -1, 0, b"")
        reason = f"operator {operator.name}: {type(error).__name__}: {error}"
        logger.warning("site %s: %s\n%s", site.id, reason, "".join(traceback.format_exception(error, limit=-3)))
        part = f"|{operator.name}|{site.id}"
        return self._dead(
            site, piece, [Stretch(0, 0, reason)], raw=b"", part=part, num=1, exception=type(error).__name__
        )

    def _joined_with_its_neighbours(
        self, outcome: Outcome, site: Site, state: SiteState, piece: Piece
    ) -> tuple[Stretch, ...]:
        """Join the last file's tail and this one's head, and keep this one's tail.

        Returns:
            What of its head is no part of anything.
        """
        before = Piece.from_bytes(state.tail) if state.tail else None
        is_undecided = piece.is_fragment and bool(piece.tail)  # cut beside a stamp: one neighbour tells how to read it
        if (
            before is not None
            and piece.is_fragment
            and not is_undecided
            and len(before.tail) + len(piece.head) <= LONGEST_TAIL
        ):
            state.tail = before._replace(
                tail=before.tail + piece.head,
                tail_rejected=(*before.tail_rejected, *piece.head_rejected),
                is_fragment=True,
            ).to_bytes()
            return ()
        head_rejected = piece.head_rejected
        if before is not None and (piece.head or before.is_fragment):
            outcome.records.append(self._joined(site, before, piece))
            head_rejected, state.tail = (), b""
            if is_undecided:
                return ()
        self._drop_tail(outcome, site, state)
        if not piece.tail:
            return head_rejected
        if len(piece.tail) > LONGEST_TAIL:
            return (*head_rejected, *piece.tail_rejected)
        kept = piece._replace(averages=b"", rejected=(), raw=b"", head=b"", head_rejected=(), is_fragment=is_undecided)
        if is_undecided:
            head_rejected, kept = (), kept._replace(tail_rejected=piece.head_rejected)
        state.tail = kept.to_bytes()
        return head_rejected

    def _drop_tail(self, outcome: Outcome, site: Site, state: SiteState) -> None:
        """What the last file left for a successor that did not complete it goes to the quarantine."""
        if not state.tail:
            return
        piece, state.tail = Piece.from_bytes(state.tail), b""
        if not piece.tail_rejected:
            return  # a stamp, or talk of the logger
        num = len(piece.tail_rejected)
        outcome.records.append(self._dead(site, piece, piece.tail_rejected, raw=piece.tail, part="|tail", num=num))
        state.counts = state.counts.plus(rejected=num)

    def _joined(self, site: Site, before: Piece, piece: Piece) -> Record:
        """What two files share, as a file of its own: it is decoded like any other, in the next batch."""
        rejected = [*before.tail_rejected, *piece.head_rejected][:MAX_LISTED]
        headers: Headers = [
            ("site", site.id.encode()),
            ("file", before.file.encode("utf-8", "replace")),
            ("sent_ms", str(piece.sent_ms).encode()),
            ("joined", json.dumps(rejected, ensure_ascii=False).encode("utf-8", "replace")),
        ]
        return Record(JOINED_KIND, 1, self.topics.files, site.id.encode(), before.tail + piece.head, headers)

    def _dead(
        self,
        site: Site,
        piece: Piece,
        stretches: Sequence[Stretch],
        *,
        raw: bytes,
        num: int,
        part: str = "",
        exception: str = "ipdsf.Rejected",
    ) -> Record:
        letter = dead_letter(
            topic=piece.topic,
            partition=piece.partition,
            offset=piece.offset,
            site=site.id or piece.key,
            file=piece.file,
            sent_ms=piece.sent_ms,
            stretches=stretches,
            raw=raw,
            max_bytes=self.topics.max_bytes,
            exception=exception,
            part=part,
        )
        return Record(QUARANTINE_KIND, num, self.topics.quarantine, *letter)

    def _product(self, site: Site, row: Row, sent_ms: int) -> Record:
        time = iso(row.time_us)
        values = {"kind": row.kind, "site": site.id, "time": time, **row.values, "sent_ms": sent_ms}
        key = f"{site.id}|{row.kind}|{time}".encode()
        return Record(row.kind, 1, self.topics.products, key, as_json(values))

    def _averages(self, site: Site, average: Average) -> Record:
        start = iso(average.index * self.timing.interval_s * MICROSECONDS)
        message = to_message(site.id, average, interval_s=self.timing.interval_s)
        return Record(AVERAGES_KIND, average.num_profiles, self.topics.averages, f"{site.id}|{start}".encode(), message)

    def _status(
        self, site: Site, state: SiteState, intervals: Intervals, flags: Sequence[str], closed: Sequence[Average]
    ) -> Record:
        """What is known of the site: one record per site, replaced by the next."""
        counts = state.counts
        newest_us = intervals.newest_us
        values: dict[str, Any] = {
            "kind": SITE_KIND,
            "site": site.id,
            "time": iso(newest_us) if newest_us > 0 else None,
            "instrument": intervals.source[0],
            "identity": intervals.source[1],
            "is_silent": state.is_final,
            "flags": sorted(set(flags)),
            "files": counts.files,
            "profiles": counts.profiles,
            "used": counts.used,
            "duplicate": counts.duplicate,
            "late": counts.late,
            "foreign": counts.foreign,
            "rejected": counts.rejected,
            "faults": counts.faults,
            "is_balanced": counts.is_balanced,
            "alarms": list(closed[-1].alarms) if closed else [],
            "sent_ms": state.last_sent_ms,
        }
        return Record(SITE_KIND, 1, self.topics.sites, site.id.encode(), as_json(values))


def _named(source: tuple[str, str]) -> str:
    return ", ".join(part for part in source if part)
