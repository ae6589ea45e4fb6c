"""Which local copies to delete: the oldest delivered ones, beyond their years or the budget."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipdsf_spark.edge.entry import Entry
from ipdsf_spark.edge.journal import Journal

DAY_S: Final = 86_400.0
AT_A_TIME: Final = 500


def superfluous(journal: Journal, *, budget_bytes: int, keep_days: int, now_s: float | None) -> Iterator[list[Entry]]:
    """Copies to delete, oldest first, some at a time.

    Args:
        journal: what was delivered, and when.
        budget_bytes: what all copies may take.
        keep_days: how long a copy is kept after its delivery.
        now_s: Kafka's time of day; without it nothing is old, and only the budget counts.
    """
    total = journal.bytes_kept()
    after = 0
    while entries := journal.kept(AT_A_TIME, after=after):
        after = entries[-1].seq
        chosen = []
        is_done = False
        for entry in entries:
            is_old = now_s is not None and 0 < entry.delivered_s < now_s - keep_days * DAY_S
            if is_old or total > budget_bytes:
                total -= entry.bytes
                chosen.append(entry)
            elif entry.delivered_s or now_s is None:
                is_done = True  # those that follow are younger
                break
        if chosen:
            yield chosen
        if is_done:
            return
