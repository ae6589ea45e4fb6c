"""Files to averages, for `mapInArrow`: a guarded loop around the lidar room's decoder.

Whatever a record holds ends as a row: averages, or the reason why there are none. A record that belongs to no site,
because its key is none or no such site is known, goes on under the empty group, which keeps no state.

What was read is counted once per Arrow batch, and the count says which batch of which task it is of: Spark adds up
what a repeated task counts once more, so the counts are gathered as a set.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka.dead_letter import ROOM
from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.instruments import decode
from ipdsf_spark.lidar.instruments.believable import DEFAULT_BOUNDS
from ipdsf_spark.lidar.instruments.framing import ends_a_message
from ipdsf_spark.lidar.instruments.stamps import UNDECIDED
from ipdsf_spark.lidar.profiles import Decoded
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import LONGEST_ID, site_named
from ipdsf_spark.spark.checkpoint import LAST_MS
from ipdsf_spark.stream.limits import TooLongError, at_most
from ipdsf_spark.stream.piece import Piece, Stretch

logger = logging.getLogger(__name__)

NO_SITE: Final = ""  # the group of records that belong to no site
COLUMNS: Final = (
    *("site", "raw", "file", "sent_ms", "published_ms", "joined", "topic", "partition", "offset"),
    *("seq", "preamble"),
)
MOST_PROFILES: Final = 6_000  # of one interval: twenty a second, which no ceilometer measures
MOST_PATH: Final = 4_096  # letters of a file's name
MOST_BYTES: Final = 64 * 2**20  # of a record once Kafka has unpacked it: topics bound what is packed only
AHEAD_MS: Final = 86_400_000  # a sender's clock further ahead of the broker's is not believed
COUNTED: Final = ("task", "number", "read", "bytes", "decoded", "quarantined", "both", "waiting", "profiles")
RESULT: Final = pa.schema(
    [("site", pa.string()), ("piece", pa.binary()), ("counts", pa.struct([(name, pa.int64()) for name in COUNTED]))]
)


@dataclass(frozen=True)
class Decoder:
    """Pickled once per query: batches of FILES rows to batches of DECODED rows.

    Args:
        sites: known sites, `default` included where there is one.
        interval_s: length of an interval [s].
        max_bytes: what the quarantine topic takes.
        files_topic: of all sites, or how the topics of single ones begin.
        longest_s: what reading one record may take [s]; 0 = as long as it likes.
    """

    sites: Mapping[str, Site]
    interval_s: int
    max_bytes: int
    files_topic: str = ""
    longest_s: float = 30.0

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """One row for every record of every batch, in order; the first of a batch holds the counts of all of it."""
        context = TaskContext.get()
        task = context.partitionId() if context is not None else 0
        for number, batch in enumerate(batches):
            columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in COLUMNS]
            rows = [self.row_of(*record) for record in zip(*columns, strict=True)]
            sizes = sum(map(len, columns[COLUMNS.index("raw")]))
            counts = {"task": task, "number": number, "bytes": sizes, **counted([row[2:] for row in rows])}
            sites, pieces = [row[0] for row in rows], [row[1] for row in rows]
            told = [counts, *[None] * (len(rows) - 1)][: len(rows)]
            yield pa.RecordBatch.from_arrays(
                [pa.array(values, field.type) for values, field in zip((sites, pieces, told), RESULT, strict=True)],
                schema=RESULT,
            )

    def row_of(
        self,
        site_id: str,
        raw: bytes,
        file: str,
        sent_ms: int,
        published_ms: int,
        joined: str | None,
        topic: str,
        partition: int,
        offset: int,
        seq: int = 0,
        preamble: int = 0,
    ) -> tuple[str, bytes, int, int]:
        """Group, piece, profiles and rejected stretches of one record. Raises nothing."""
        sent_ms = believable_ms(sent_ms, published_ms)
        where = Piece(
            file[:MOST_PATH],
            sent_ms,
            topic,
            partition,
            offset,
            0,
            b"",
            is_joined=joined is not None,
            key=site_id[:LONGEST_ID],
            seq=seq,
        )
        if joined is not None:
            where = where._replace(rejected=voided(joined))
        try:
            if reason := self._not_allowed(topic, site_id, file, raw):
                return NO_SITE, self._refused(where, raw, reason).to_bytes(), 0, 1
            site = site_named(self.sites, site_id)
        except ConfigError as error:
            piece = self._refused(where, raw, str(error))
            return NO_SITE, piece.to_bytes(), 0, 1
        try:
            # A sender's clock may be slow: what lies before the broker's time is no future.
            slow_s = max(0, min(published_ms or 0, LAST_MS) - sent_ms) / 1000 if sent_ms else 0.0
            with at_most(self.longest_s, "reading it"):
                piece = self.piece_of(site, where, raw, ahead_s=DEFAULT_BOUNDS.ahead_s + slow_s)
            if preamble > 0:  # names of columns that the sender repeats are no part of the last file's message
                piece = piece._replace(head=piece.head[preamble:])
        except (Exception, TooLongError) as error:
            logger.warning("%s of site %s: %s: %s", where.position, site_id, type(error).__name__, error)
            piece = self._refused(where, raw, f"the reader failed: {type(error).__name__}: {error}")
        return site_id, piece.to_bytes(), piece.num_profiles, len(piece.rejected)

    def piece_of(self, site: Site, where: Piece, raw: bytes, *, ahead_s: float = DEFAULT_BOUNDS.ahead_s) -> Piece:
        """What a file gave.

        Args:
            site: whose it is.
            where: name, time of sending and position.
            raw: its bytes.
            ahead_s: how far times may lie after the time of sending [s].
        """
        bounds = replace(DEFAULT_BOUNDS, ahead_s=ahead_s)
        sent = np.datetime64(where.sent_ms, "ms").astype("datetime64[us]") if where.sent_ms else None
        decoded = decode(raw, name=where.file, received=sent, clock=site.clock, bounds=bounds, is_alone=where.is_joined)
        averages = [average for block in decoded.blocks for average in averages_of(block, self.interval_s)]
        if any(average.num_profiles > MOST_PROFILES for average in averages):
            return self._refused(where, raw, f"more than {MOST_PROFILES} profiles in {self.interval_s} s")
        num_timed = sum(average.num_profiles for average in averages)
        rejected = _rejections(decoded, num_timed=num_timed)
        if where.is_joined:
            # What the two files held apart is void if they gave a profile together, but for what gave none even then;
            # else it is what it was.
            left = tuple(Stretch(each.offset, each.length, each.reason) for each in decoded.rejected)
            left = left if num_timed else where.rejected
            return where._replace(
                num_profiles=num_timed,
                averages=average_bytes.pack(averages),
                rejected=left,
                raw=self._kept(raw) if left else b"",
            )
        head_rejected = (*_stretches(decoded, "whole"), *_stretches(decoded, "head"))
        tail_rejected = _stretches(decoded, "tail")
        is_undecided = any(each.reason == UNDECIDED and each.part == "whole" for each in decoded.rejected)
        # A file without a header may go on with the last one's message; the next one's cannot begin in it. One that was
        # cut beside a stamp waits for its neighbour, whichever comes.
        tail = b"" if decoded.is_fragment and not is_undecided else decoded.tail
        return where._replace(
            num_profiles=num_timed,
            averages=average_bytes.pack(averages),
            rejected=rejected,
            raw=self._kept(raw) if rejected or head_rejected else b"",
            head=decoded.head,
            tail=tail,
            head_rejected=head_rejected,
            tail_rejected=tail_rejected,
            is_fragment=is_undecided or (decoded.is_fragment and not ends_a_message(decoded.head)),
        )

    def _not_allowed(self, topic: str, site_id: str, file: str, raw: bytes) -> str:
        """Why a record is not even looked into; empty if it is."""
        own = topic.removeprefix(f"{self.files_topic}.")
        if self.files_topic and own != topic and own != site_id:
            return f"key {site_id[:LONGEST_ID]!r} in the topic of site {own!r}, whose sender may use its own key only"
        if len(site_id) > LONGEST_ID or len(file) > MOST_PATH:
            return (
                f"a site id of {len(site_id)} and a file name of {len(file)} letters: at most {LONGEST_ID}, {MOST_PATH}"
            )
        if len(raw) > MOST_BYTES:
            return f"{len(raw)} bytes in one record: at most {MOST_BYTES} are read"
        return ""

    def _refused(self, where: Piece, raw: bytes, reason: str) -> Piece:
        return where._replace(rejected=(Stretch(0, len(raw), reason),), raw=self._kept(raw))

    def _kept(self, raw: bytes) -> bytes:
        """The value, where the quarantine can take it; else the dead letter refers to the record."""
        return raw if len(raw) + ROOM <= self.max_bytes else b""


def counted(rows: Sequence[tuple[int, int]]) -> dict[str, int]:
    """How many files gave what.

    Args:
        rows: profiles and rejected stretches of each.
    """
    kinds = [(num_profiles > 0, num_rejected > 0) for num_profiles, num_rejected in rows]
    return {
        "read": len(rows),
        "decoded": sum(is_read for is_read, _ in kinds),
        "quarantined": sum(is_refused for _, is_refused in kinds),
        "both": kinds.count((True, True)),
        "waiting": kinds.count((False, False)),
        "profiles": sum(num_profiles for num_profiles, _ in rows),
    }


def believable_ms(sent_ms: int | None, published_ms: int | None) -> int:
    """The time of sending: the sender's, unless its clock is none or far ahead of the broker's; 0 if nobody knows."""
    published = published_ms if published_ms is not None and 0 <= published_ms < LAST_MS else 0
    if sent_ms is None or not 0 <= sent_ms < LAST_MS or (published and sent_ms > published + AHEAD_MS):
        return published
    return sent_ms


def _stretches(decoded: Decoded, part: str) -> tuple[Stretch, ...]:
    return tuple(
        Stretch(each.offset, each.length, f"{each.member}: {each.reason}" if each.member else each.reason)
        for each in decoded.rejected
        if each.part == part
    )


def _rejections(decoded: Decoded, *, num_timed: int) -> tuple[Stretch, ...]:
    """What is wrong with the file by itself; a head and a tail are the site's to decide upon."""
    found = _stretches(decoded, "")
    num_bare = sum(len(block) for block in decoded.blocks if not block.range_m.size)  # heights without backscatter
    if num_bare and not found:
        found = (Stretch(0, 0, f"{num_bare} of {decoded.num_profiles} profile(s) hold no backscatter"),)
    lost = decoded.num_profiles - num_bare - num_timed
    if lost > 0:
        reason = f"{lost} of {decoded.num_profiles} profile(s) without a usable time of their own"
        found = (*found, Stretch(0, 0, reason))
    if not decoded.num_profiles and not found and not (decoded.head or decoded.tail):
        found = (Stretch(0, 0, f"{decoded.instrument}: no profile in the file"),)
    return found


def voided(joined: str) -> tuple[Stretch, ...]:
    """The rejections that a joined record names in its header; none if they are not readable."""
    try:
        return tuple(Stretch(int(start), int(length), str(reason)) for start, length, reason in json.loads(joined))
    except (ValueError, TypeError):
        return ()
