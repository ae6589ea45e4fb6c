"""Spark's protocol of groups with state, as the workers of the daemon speak it: Arrow in, Arrow out."""

from __future__ import annotations

import inspect
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyspark.worker
import pytest
from pyspark.serializers import SpecialLengths, read_int
from pyspark.sql.streaming.state import GroupState
from pyspark.util import fail_on_stopiteration

from ipdsf_spark.spark import state_rows
from ipdsf_spark.stream import schemas

PROPERTIES = {
    **{"batchProcessingTimeMs": 0, "eventTimeWatermarkMs": -1, "timeoutConf": "ProcessingTimeTimeout"},
    **{"hasTimedOut": False, "watermarkPresent": False, "defined": False, "updated": False, "removed": False},
    "timeoutTimestamp": -1,
}
INFO = pa.struct(
    [
        *(("properties", pa.string()), ("keyRowAsUnsafe", pa.binary()), ("object", pa.binary())),
        *(("startOffset", pa.int32()), ("numRows", pa.int32()), ("isLastChunk", pa.bool_())),
    ]
)


class Counting:
    """A row for every group with the number of its pieces, which is its state as well."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, groups: Sequence[tuple[tuple[str], list[list[Any]], GroupState]]) -> list[list[tuple[Any, ...]]]:
        self.sizes.append(len(groups))
        rows = []
        for (site,), columns, state in groups:
            state.update((str(len(columns[-1])).encode(),))
            rows.append([("count", len(columns[-1]), "t", site.encode(), b"", None)])
        return rows


def sent(chunks: Sequence[Sequence[tuple[str, int, bool]]]) -> io.BytesIO:
    """What the JVM writes: batches of (site, pieces, whether it is the group's last chunk)."""
    stream, writer = io.BytesIO(), None
    for batch in chunks:
        starts = itertools.accumulate((num for _, num, _ in batch), initial=0)
        told = [
            (json.dumps(PROPERTIES), site.encode(), None, start, num, is_last)
            for (site, num, is_last), start in zip(batch, starts, strict=False)
        ]
        length = max(len(told), sum(num for _, num, _ in batch))
        states = [dict(zip((field.name for field in INFO), each, strict=True)) for each in told]
        sites = [site for site, num, _ in batch for _ in range(num)]
        columns = [
            pa.array([*sites, *[None] * (length - len(sites))], pa.string()),
            pa.array([b"piece"] * length, pa.binary()),
            pa.array([*states, *[None] * (length - len(states))], INFO),
        ]
        record_batch = pa.RecordBatch.from_arrays(columns, ["site", "piece", "state"])
        writer = writer or pa.ipc.new_stream(stream, record_batch.schema)
        writer.write_batch(record_batch)
    assert writer is not None
    writer.close()
    return io.BytesIO(stream.getvalue())


def answered(function: Counting, stream: io.BytesIO) -> list[tuple[str, int, bytes]]:
    """What the JVM reads: (site, count, state of the same group), in order."""
    settings = {"timezone": "UTC", "state_object_schema": schemas.STATE, "arrow_max_records_per_batch": 10_000}
    # More of them in 4.2 than in 4.0, none that matters here.
    others = [name for name in inspect.signature(state_rows.StateRowsSerializer).parameters if name not in settings]
    serializer = state_rows.StateRowsSerializer(**settings, **dict.fromkeys(others, False))
    runner_conf = getattr(pyspark.worker, "RunnerConf", dict)()
    call = state_rows._wrapped(lambda *_: None)(fail_on_stopiteration(function), schemas.OUTGOING, runner_conf)

    def mapped(chunks: Any, state: GroupState) -> Any:
        held = [columns for columns, _ in chunks]
        return call([held[0][0]], iter([columns[1:] for columns in held]), state)

    out = io.BytesIO()
    serializer.dump_stream((mapped(*group) for group in serializer.load_stream(stream)), out)
    out.seek(0)
    assert read_int(out) == SpecialLengths.START_ARROW_STREAM
    found = []
    for batch in pa.ipc.open_stream(out):
        count = batch.column(0)[0].as_py()
        rows = batch.column(1).to_pylist()[: count["dataCount"]]
        states = batch.column(2).to_pylist()[: count["stateCount"]]
        keys = {each["keyRowAsUnsafe"]: serializer.pickleSer.loads(each["object"])[0] for each in states}
        found += [(row["key"].decode(), row["num"], keys[row["key"]]) for row in rows]
    return found


def test_groups_are_handed_over_together_and_each_keeps_its_own_state() -> None:
    function = Counting()
    sites = [(f"s{number:03d}", 1 + number % 3, True) for number in range(600)]
    batches = [sites[:250], [*sites[250:]], [("long", 4, False)], [("long", 3, True), ("last", 1, True)]]

    found = answered(function, sent(batches))

    assert found == [(site, num, str(num).encode()) for site, num, _ in [*sites, ("long", 7, True), ("last", 1, True)]]
    assert function.sizes == [256, 256, 90]


def test_large_groups_do_not_wait_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_rows, "BYTES_TOGETHER", 20)
    function = Counting()

    assert len(answered(function, sent([[(f"s{number}", 10, True) for number in range(4)]]))) == 4
    assert function.sizes == [1, 1, 1, 1]
