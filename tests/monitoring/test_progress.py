"""What a query reports after each batch, added up: counts, lag over all partitions, a bounded history."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.monitoring.progress import (
    BATCHES_JUDGED,
    BATCHES_KEPT,
    COUNTS_OF_TASKS,
    RUNS_KEPT,
    Batch,
    LiveListener,
    Totals,
    line_of,
)

COUNTS = {"read": 12, "decoded": 9, "quarantined": 4, "both": 2, "waiting": 1, "profiles": 80}


def progress(number: int = 0, *, name: str = "live", counts: dict[str, Any] | None = None, rows: int = 12,
             num_bytes: int | None = 120_000) -> dict:  # fmt: skip
    """As Spark reports it."""
    observed = {"files": COUNTS if counts is None else counts}
    return {
        "id": "0", "runId": "1", "name": name, "batchId": number, "timestamp": "2026-06-21T12:00:00.000Z",
        "numInputRows": rows,
        "durationMs": {"triggerExecution": 812, "addBatch": 700},
        "observedMetrics": observed | ({} if num_bytes is None else {"bytes": {"bytes": num_bytes}}),
        "sources": [
            {
                "endOffset": {"files": {"0": 10, "1": 20, "2": 5}},
                "metrics": {"avgOffsetsBehindLatest": "2.3333333333333335", "maxOffsetsBehindLatest": "4"},
            }
        ],
    }  # fmt: skip


def event(*args: Any, **kwargs: Any) -> Any:
    return SimpleNamespace(progress=SimpleNamespace(json=json.dumps(progress(*args, **kwargs))))


def test_lag_is_that_of_all_partitions_together() -> None:
    assert Batch.of(progress()).lag == 7  # not the 2.3 of an average partition, nor the 4 of the worst


def test_a_count_that_spark_leaves_out_is_none() -> None:
    batch = Batch.of(progress(counts={"read": None, "decoded": 3}))

    assert (batch.counts["read"], batch.counts["decoded"]) == (0, 3)


def part_of(task: int, number: int, **counts: int | None) -> dict[str, int | None]:
    return {"task": task, "number": number, **counts}


def test_what_a_repeated_task_counts_differently_counts_once_as_well() -> None:
    parts = [part_of(0, 0, read=5, bytes=50), part_of(1, 0, read=3, bytes=30), part_of(1, 1, read=2, bytes=20)]
    again = part_of(0, 0, read=5, bytes=51)  # a reader that was ended for its time said something else

    batch = Batch.of(progress(counts={COUNTS_OF_TASKS: [*parts, again]}))

    assert batch.counts["read"] == 10
    assert "task" not in batch.counts


def test_counts_of_tasks_are_added_to_each_other_and_what_a_task_does_not_say_is_none() -> None:
    parts = [part_of(0, 0, read=5, late=1), part_of(1, 0, read=3, late=None), part_of(1, 1, read=0, late=2)]

    batch = Batch.of(progress(counts={"decoded": 7, "quarantined": None, COUNTS_OF_TASKS: parts}))

    told = {name: count for name, count in batch.counts.items() if name not in ("bytes", "batches")}
    assert told == {"decoded": 7, "quarantined": 0, "read": 8, "late": 3}
    assert Totals(read=1, late=1).add(batch.counts) == Totals(read=9, decoded=7, late=4, batches=1)


def test_a_report_without_figures_is_a_batch_of_nothing() -> None:
    bare = {"batchId": 3, "timestamp": "2026-06-21T12:00:00.000Z", "durationMs": None, "observedMetrics": None}

    assert Batch.of(bare) == Batch(3, {"batches": 1}, {}, 0, "2026-06-21T12:00:00.000Z")


def test_rows_and_bytes_of_a_state_are_those_of_all_its_operators() -> None:
    listener = LiveListener("live")
    operators = [{"numRowsTotal": 5, "memoryUsedBytes": 1_000}, {"numRowsTotal": None}, {"memoryUsedBytes": 20}]

    listener.onQueryProgress(
        SimpleNamespace(progress=SimpleNamespace(json=json.dumps(progress() | {"stateOperators": operators})))
    )

    assert (listener.state_rows, listener.state_bytes) == (5, 1_020)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_file_is_read_rejected_both_or_waits(only_read: int, only_bad: int, both: int, waiting: int) -> None:
    totals = Totals(
        read=only_read + only_bad + both + waiting,
        decoded=only_read + both,
        quarantined=only_bad + both,
        both=both,
        waiting=waiting,
    )

    assert totals.is_balanced
    assert not replace(totals, read=totals.read + 1).is_balanced
    assert not replace(totals, waiting=totals.waiting + 1).is_balanced


def test_what_does_not_add_up_is_said() -> None:
    batch = Batch.of(progress())

    assert "COUNTS" not in line_of(batch, Totals().add(batch.counts))
    waits = line_of(batch, Totals(read=9, decoded=4, quarantined=3, both=1, waiting=3))
    assert "total 9 read = 3 decoded + 2 quarantined + 1 in part + 3 waiting for their next file," in waits
    assert "COUNTS DO NOT ADD UP" in line_of(batch, Totals(read=1))


def test_batches_of_other_queries_are_not_counted() -> None:
    listener = LiveListener("live")

    listener.onQueryProgress(event(name="archive"))

    assert listener.totals == Totals()


def test_a_year_of_batches_leaves_a_bounded_history() -> None:
    listener = LiveListener("live")

    for number in range(2 * BATCHES_KEPT):
        listener.onQueryProgress(event(number))

    assert len(listener.batches) == BATCHES_KEPT
    assert listener.totals.read == 2 * BATCHES_KEPT * COUNTS["read"]
    assert listener.totals.batches == 2 * BATCHES_KEPT


def test_ends_of_runs_are_told_and_a_year_of_them_is_bounded() -> None:
    listener = LiveListener("live")

    for number in range(2 * RUNS_KEPT):
        listener.onQueryTerminated(SimpleNamespace(runId=f"run-{number}"))

    assert list(listener.ended_runs) == [f"run-{number}" for number in range(RUNS_KEPT, 2 * RUNS_KEPT)]


def test_an_empty_batch_counts_nothing() -> None:
    told: list[Batch] = []
    listener = LiveListener("live", lambda batch, totals: told.append(batch))

    listener.onQueryProgress(event(counts={}, rows=0))

    assert (told, listener.totals) == ([], Totals())


def test_the_typical_file_is_of_the_larger_half_of_recent_batches() -> None:
    listener = LiveListener("live")
    assert listener.typical_bytes is None

    for read, num_bytes in ((4, 4_000), (2, 40_000), (5, 100), (1, 10_000), (3, 0), (0, 900_000)):
        listener.onQueryProgress(event(counts={"read": read, "bytes": num_bytes}, num_bytes=None))

    assert listener.typical_bytes == pytest.approx((20_000 + 10_000) / 2)  # of 20, 1 000, 10 000 and 20 000 bytes
    for _ in range(BATCHES_JUDGED):
        listener.onQueryProgress(event(counts={"read": 2, "bytes": 600}, num_bytes=None))
    assert listener.typical_bytes == pytest.approx(300)
