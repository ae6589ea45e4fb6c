"""What an agent's folder says of it without disturbing it: what waits, went and is kept, and what would be done."""

from __future__ import annotations

import shutil
import sqlite3
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ipdsf_spark.config import EdgeConfig
from ipdsf_spark.edge import repair
from ipdsf_spark.edge.clock import EdgeClock, spoken
from ipdsf_spark.edge.entry import DELIVERED, MISSING, PENDING, REFUSED
from ipdsf_spark.edge.intake import Intake
from ipdsf_spark.edge.journal import DamagedJournalError, Journal
from ipdsf_spark.edge.prune import superfluous
from ipdsf_spark.edge.store import Store
from ipdsf_spark.edge.told import Told
from ipdsf_spark.errors import InputError
from ipdsf_spark.logs import one_line


@dataclass(frozen=True)
class Status:
    """An agent's state.

    Attributes:
        pending, delivered, refused, missing: records by state.
        pending_bytes: what is still to be sent.
        oldest_unsent: file that waits longest, empty if none does.
        oldest_unsent_age_s: for how long, by this machine's clock.
        last_delivery: time of the last acknowledgement, ISO 8601, empty if there was none.
        last_delivery_s: the same [s since 1970], 0 if there was none.
        copies_bytes: disk used by local copies.
        budget_bytes: what they may use.
        disk_free_bytes: room on their disk.
        refused_files: names and reasons of what cannot be sent.
    """

    pending: int
    delivered: int
    refused: int
    missing: int
    pending_bytes: int
    oldest_unsent: str
    oldest_unsent_age_s: float
    last_delivery: str
    copies_bytes: int
    budget_bytes: int
    disk_free_bytes: int
    refused_files: tuple[dict[str, str], ...]
    last_delivery_s: float = 0.0

    def as_text(self) -> str:
        """For a person."""
        lines = [f"pending {self.pending}, delivered {self.delivered}, refused {self.refused}, missing {self.missing}"]
        if self.oldest_unsent:
            lines.append(f"oldest unsent: {one_line(self.oldest_unsent)}, since {spoken(self.oldest_unsent_age_s)}; "
                         f"{_mb(self.pending_bytes)} wait")  # fmt: skip
        lines.append(f"last delivery: {self.last_delivery or 'none yet'}")
        lines.append(
            f"local copies: {_mb(self.copies_bytes)} of {_mb(self.budget_bytes)}; {_mb(self.disk_free_bytes)} free"
        )
        lines += [one_line(f"not sent: {each['file']}: {each['reason']}") for each in self.refused_files]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """For a program."""
        return asdict(self)


def status_of(edge: EdgeConfig, site: str) -> Status:
    """The state of a site's agent, running or not.

    Raises:
        InputError: no agent has run for this site, or its journal cannot be read.
    """
    root = Path(edge.directory).expanduser() / site
    journal = _looked_at(root, site)
    try:
        counts = journal.counts()
        oldest = journal.pending(1)
        last = journal.fact("last_delivery_s")
        return Status(
            pending=counts[PENDING],
            delivered=counts[DELIVERED],
            refused=counts[REFUSED],
            missing=counts[MISSING],
            pending_bytes=journal.bytes_pending(),
            oldest_unsent=oldest[0].name if oldest else "",
            oldest_unsent_age_s=round(max(time.time() - oldest[0].seen_s, 0.0), 1) if oldest else 0.0,
            last_delivery=datetime.fromtimestamp(float(last), UTC).isoformat(timespec="seconds") if last else "",
            copies_bytes=journal.bytes_kept(),
            budget_bytes=edge.disk_budget_mb * 1_000_000,
            disk_free_bytes=shutil.disk_usage(root).free,
            refused_files=tuple({"file": each.name, "reason": each.reason} for each in journal.refused()),
            last_delivery_s=float(last) if last else 0.0,
        )
    finally:
        journal.close()


@dataclass(frozen=True)
class Plan:
    """What an agent would do now.

    Attributes:
        take: names of the files that would be taken in, oldest first, and their new bytes.
        num_unfinished: files that are still being written.
        send: records that wait in the journal.
        send_bytes: bytes that would be sent, those of `take` included.
        keep, prune: local copies that would stay, and that would be deleted.
    """

    take: tuple[tuple[str, int], ...]
    num_unfinished: int
    send: int
    send_bytes: int
    keep: int
    prune: int

    def as_text(self) -> str:
        """For a person."""
        lines = [f"would take {one_line(name)} ({new} bytes)" for name, new in self.take]
        lines.append(
            f"would take in {len(self.take)} file(s), wait for {self.num_unfinished} that are still written, "
            f"send {self.send + len(self.take)} ({_mb(self.send_bytes)}), keep {self.keep} copies, delete {self.prune}"
        )
        return "\n".join(lines)


def plan_of(edge: EdgeConfig, site: str, limit: int) -> Plan:
    """What an agent would do now; changes nothing, asks no Kafka.

    Args:
        edge: folders, times and budgets.
        site: site id.
        limit: bytes of the largest record.

    Raises:
        InputError: there is no folder to watch, or the journal cannot be read.
    """
    if not edge.watch or not Path(edge.watch).expanduser().is_dir():
        raise InputError(f"no folder to watch at {edge.watch or '(none named)'}: name the one the instrument writes to")
    root = Path(edge.directory).expanduser() / site
    journal = _looked_at(root, site) if (root / repair.NAME).exists() else Journal(":memory:")
    try:
        intake = Intake(edge, limit, Store(root / "copies"), EdgeClock(), Told())
        intake.begin(journal)
        take = tuple((found.name, new) for found, new in intake.ready(journal))
        counts = journal.counts()
        budget = edge.disk_budget_mb * 1_000_000
        # An agent prunes by Kafka's time, which nobody has asked here: this machine's clock stands for it.
        chosen = superfluous(journal, budget_bytes=budget, keep_days=edge.keep_days, now_s=time.time())
        num_pruned = sum(map(len, chosen))
        num_kept = journal.num_kept() - num_pruned
        send_bytes = journal.bytes_pending() + sum(new for _, new in take)
        return Plan(take, intake.num_waiting - len(take), counts[PENDING], send_bytes, num_kept, num_pruned)
    finally:
        journal.close()


def _looked_at(root: Path, site: str) -> Journal:
    path = root / repair.NAME
    if not path.exists():
        raise InputError(f"no agent has run for site {site!r}: there is no journal at {path}")
    try:
        if path.is_dir():
            raise DamagedJournalError("a folder lies in its place")
        return Journal(path, is_readonly=True)
    except (DamagedJournalError, sqlite3.OperationalError) as error:
        raise InputError(f"journal {path} cannot be read ({error}); the agent mends it at its next start") from error


def _mb(number: int) -> str:
    return f"{number / 1e6:.1f} MB"
