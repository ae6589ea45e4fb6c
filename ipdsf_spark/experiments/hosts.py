"""Two hosts and the link between them: one broker, a broker on each, and a broker that dies.

A backlog of files lies in the topic, written from the first host. Consumers on both hosts read it in one group. Three
set-ups: one broker on the first host; a broker on each with replication factor 2, consumers reading from the leader of
each partition as Kafka's clients do by themselves; the same, consumers reading from the copy on their own host. Beside
the throughput stand the bytes that passed the link, in which lies the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.experiments.result import Claim, Table

ONE: Final = "one broker"
LEADERS: Final = "two brokers, leaders"
NEAREST: Final = "two brokers, own copy"
FULL: Final = 0.8  # of the link's rate, from which on it is the bottleneck
MUCH: Final = 1.5  # times as much is "much better"


@dataclass(frozen=True)
class HostsSettings:
    """What is measured."""

    files: int = 6_000
    consumers: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)  # on each host
    partitions: tuple[int, ...] = (50, 100, 150)
    link_mbit: float = 100.0
    sites: int = 3_000


@dataclass(frozen=True)
class HostsRow:
    """One run.

    Attributes:
        brokers: the set-up.
        partitions: of the topic.
        consumers: on each host.
        files: read, of those sent.
        seconds: until the last was.
        files_per_s: of both hosts together.
        first_files_per_s, second_files_per_s: of each host's consumers, until its own last file.
        link_mb: passed the link while they read, both directions.
        link_share: of what the busier direction can carry.
    """

    brokers: str
    partitions: int
    consumers: int
    files: int
    seconds: float
    files_per_s: float
    first_files_per_s: float
    second_files_per_s: float
    link_mb: float
    link_share: float


@dataclass(frozen=True)
class FillRow:
    """Writing the backlog from the first host, each file acknowledged by all copies.

    Attributes:
        brokers: one broker, or two with two copies.
        partitions: of the topic.
        files: written.
        files_per_s: throughput.
        link_mb: passed the link meanwhile, both directions.
    """

    brokers: str
    partitions: int
    files: int
    files_per_s: float
    link_mb: float


@dataclass(frozen=True)
class DeathRow:
    """A broker killed while consumers of both hosts read.

    Attributes:
        sent: files in the topic.
        killed_after: files that were read before.
        read: different files that were read in the end.
        lost: of those sent.
        repeated: files that were read more than once, because a group that loses its broker begins anew at the last
            commit, and these consumers commit nothing.
        silent_s: longest time without a file after the death.
    """

    sent: int
    killed_after: int
    read: int
    lost: int
    repeated: int
    silent_s: float


def claims(settings: HostsSettings, tables: Sequence[Table]) -> tuple[Claim, ...]:
    """What the presentation says of it."""
    rows = tables[0].as_rows(HostsRow)
    deaths = tables[2].as_rows(DeathRow)
    if not rows:
        return ()
    best = {
        brokers: max((row for row in rows if row.brokers == brokers), key=lambda row: row.files_per_s)
        for brokers in (ONE, LEADERS, NEAREST)
    }
    fills = tables[1].as_rows(FillRow)
    return (_falls(rows), _bottleneck(best[ONE]), *_relief(best), _bandwidth(best, fills), *_nothing_lost(deaths))


def _falls(rows: Sequence[HostsRow]) -> Claim:
    said = "with one broker the performance decreases as the consumers on two nodes increase"
    own = [row for row in rows if row.brokers == ONE and row.partitions == rows[0].partitions]
    told = ", ".join(f"2 x {row.consumers}: {row.files_per_s:,.0f} files/s" for row in own)
    return Claim(said, told, own[-1].files_per_s < 0.9 * own[0].files_per_s if len(own) > 1 else None)


def _bottleneck(row: HostsRow) -> Claim:
    said = "the reason is the network: with one broker the link is the bottleneck"
    found = (
        f"the link carried {row.link_mb:,.0f} MB, {100 * row.link_share:.0f} % of what its busier direction can; the "
        f"broker's host read {row.first_files_per_s:,.0f} files/s, the other {row.second_files_per_s:,.0f}"
    )
    return Claim(said, found, row.link_share >= FULL)


def _relief(best: dict[str, HostsRow]) -> tuple[Claim, ...]:
    said = "two brokers with two copies perform much better than one, because less passes the link"
    found = []
    for brokers in (LEADERS, NEAREST):
        row = best[brokers]
        ratio = row.files_per_s / best[ONE].files_per_s
        told = f"{row.files_per_s:,.0f} against {best[ONE].files_per_s:,.0f} files/s ({ratio:.2f} times), "
        told += f"{row.link_mb:,.0f} against {best[ONE].link_mb:,.0f} MB over the link"
        how = "clients as they are, which read from leaders" if brokers == LEADERS else "clients that read their copy"
        found.append(Claim(f"{said} ({how})", told, ratio >= MUCH and row.link_mb < best[ONE].link_mb))
    return tuple(found)


def _bandwidth(best: dict[str, HostsRow], fills: Sequence[FillRow]) -> Claim:
    """Writing included: each copy passes the link once, and a client far from a leader makes its files pass it too."""
    said = "all traffic between two brokers on one connection uses much less bandwidth, because of replication"
    totals, told = {}, []
    for brokers, row in best.items():
        own = [each for each in fills if each.partitions == row.partitions]
        written = next(each for each in own if each.brokers == brokers.partition(",")[0])
        totals[brokers] = written.link_mb + row.link_mb
        told.append(f"{brokers}: {written.link_mb:,.0f} MB to write and {row.link_mb:,.0f} to read")
    return Claim(said, "; ".join(told), min(totals[LEADERS], totals[NEAREST]) < totals[ONE] / MUCH)


def _nothing_lost(deaths: Sequence[DeathRow]) -> tuple[Claim, ...]:
    said = "nothing is lost if one broker goes down"
    return tuple(
        Claim(said, f"{row.read:,} of {row.sent:,} files read, {row.lost} lost; {row.silent_s:.1f} s without a file",
              row.lost == 0) for row in deaths
    )  # fmt: skip
