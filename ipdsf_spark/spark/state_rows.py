"""Groups with state as plain rows instead of data frames, in the workers that the daemon forks.

`applyInPandasWithState` turns every group of every batch into a pandas data frame and back, and its state through a
data frame of one row: about two milliseconds for a file whose mathematics takes one. In a stream of many sites every
file is a group. A function whose result schema carries `AS_ROWS` is therefore given its columns as lists and returns
tuples; Arrow arrays are built once per batch. It is called with a list of many groups, (key, columns, state), for what
costs as much for one as for thirty. Functions of anybody else, and workers that another daemon forks, go Spark's way.

Made for PySpark 4.0 and 4.2; `install` changes nothing if it does not find what it knows.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyspark.serializers import SpecialLengths, write_int
from pyspark.sql.pandas.serializers import ApplyInPandasWithStateSerializer, ArrowStreamSerializer
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.streaming.state import GroupState

from ipdsf_spark.spark.marks import AS_ROWS

ROWS_PER_BATCH: Final = 2_000
GROUPS_TOGETHER: Final = 256  # handed to a function at once ...
BYTES_TOGETHER: Final = 32 * 2**20  # ... unless their columns are larger
_worker: Final[Any] = importlib.import_module("pyspark.worker")
_COUNT: Final = pa.struct([("dataCount", pa.int32()), ("stateCount", pa.int32())])
_STATE: Final = pa.struct(
    [
        ("properties", pa.string()),
        ("keyRowAsUnsafe", pa.binary()),
        ("object", pa.binary()),
        ("oldTimeoutTimestamp", pa.int64()),
    ]
)


class Asked(NamedTuple):
    """A group that waits for others; told from Spark's data frames by its type."""

    function: Any
    key: tuple[Any, ...]
    columns: list[list[Any]]
    state: GroupState
    num_bytes: int


class StateRowsSerializer(ApplyInPandasWithStateSerializer):
    """Spark's own protocol, without a data frame per group."""

    def load_stream(self, stream: Any) -> Iterator[tuple[Iterator[Any], GroupState]]:
        """Chunks of Arrow columns and the state of every group, in order."""
        group: GroupState | None = None
        chunks: list[tuple[list[pa.Array], GroupState]] = []
        for batch in ArrowStreamSerializer.load_stream(self, stream):
            columns, states = batch.columns[:-1], batch.columns[-1].to_pylist()
            for entry in states:
                if entry is None or entry["startOffset"] is None:
                    break
                state = group if group is not None else self._state_of(entry)
                start, length = entry["startOffset"], entry["numRows"]
                chunks.append(([column.slice(start, length) for column in columns], state))
                if entry["isLastChunk"]:
                    yield iter(chunks), state
                    group, chunks = None, []
                else:
                    group = state

    def _state_of(self, entry: dict[str, Any]) -> GroupState:
        properties = json.loads(entry["properties"])
        held = entry["object"]
        properties["optionalValue"] = self.pickleSer.loads(held) if held else None
        return GroupState(keyAsUnsafe=entry["keyRowAsUnsafe"], valueSchema=self.state_object_schema, **properties)

    def dump_stream(self, iterator: Iterable[Any], stream: Any) -> None:
        """Write rows and states of many groups as one Arrow batch; data frames as Spark does."""
        results = iter(iterator)
        first = next(results, None)
        if first is None or not isinstance(first[0][0][0], Asked):
            super().dump_stream(  # type: ignore[no-untyped-call]
                chain([] if first is None else [first], results), stream
            )
            return
        writer = None
        try:
            for batch in self._batches(chain([first], results)):
                if writer is None:
                    write_int(SpecialLengths.START_ARROW_STREAM, stream)
                    writer = pa.RecordBatchStreamWriter(stream, batch.schema)
                writer.write_batch(batch)
        finally:
            if writer is not None:
                writer.close()

    def _batches(self, results: Iterator[Any]) -> Iterator[pa.RecordBatch]:
        rows: list[tuple[Any, ...]] = []
        states: list[tuple[Any, ...]] = []
        kind: pa.StructType | None = None
        for groups, kind in _gathered(results):
            for found in groups[0].function([(group.key, group.columns, group.state) for group in groups]):
                rows += found
            states += [self._told(group.state) for group in groups]
            if len(rows) >= ROWS_PER_BATCH:
                yield _batch(rows, states, kind)
                rows, states = [], []
        if states:
            yield _batch(rows, states, kind)

    def _told(self, state: GroupState) -> tuple[Any, ...]:
        held = None
        if state.exists:
            held = self.pickleSer.dumps(tuple(state._value))
        return state.json(), state._keyAsUnsafe, held, state.oldTimeoutTimestamp


def _gathered(results: Iterator[Any]) -> Iterator[tuple[list[Asked], Any]]:
    """Groups that are handed to their function together, and the kind of its rows."""
    waiting: list[Asked] = []
    num_bytes, kind = 0, None
    for result in results:
        (group, _), kind = result[0]
        waiting.append(group)
        num_bytes += group.num_bytes
        if len(waiting) >= GROUPS_TOGETHER or num_bytes >= BYTES_TOGETHER:
            yield waiting, kind
            waiting, num_bytes = [], 0
    if waiting:
        yield waiting, kind


def _batch(rows: list[tuple[Any, ...]], states: list[tuple[Any, ...]], kind: Any) -> pa.RecordBatch:
    """Three columns, counts, data and states, padded to one length as the protocol wants it."""
    length = max(1, len(rows), len(states))
    counts = pa.StructArray.from_arrays(
        [pa.array([len(rows)] * length, pa.int32()), pa.array([len(states)] * length, pa.int32())], fields=list(_COUNT)
    )
    return pa.RecordBatch.from_arrays(
        [counts, _columns(rows, length, kind), _columns(states, length, _STATE)], ["_0", "_1", "_2"]
    )


def _columns(rows: list[tuple[Any, ...]], length: int, kind: Any) -> pa.StructArray:
    padding = [None] * (length - len(rows))
    columns = zip(*rows, strict=True) if rows else [()] * kind.num_fields
    fields = [kind.field(number) for number in range(kind.num_fields)]
    arrays = [pa.array([*column, *padding], field.type) for column, field in zip(columns, fields, strict=True)]
    # A struct without a mask of its own: padding is nulls in the columns, and the counts say how many rows there are.
    return pa.StructArray.from_arrays(arrays, fields=[field.with_nullable(True) for field in fields])


def _wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
    """Spark's adapter of a user's function, and ours for results that carry the mark."""

    def wrap(function: Callable[..., Any], return_type: Any, runner_conf: Any) -> Callable[..., Any]:
        if not return_type.fields or AS_ROWS not in (return_type.fields[0].metadata or {}):
            theirs = original(function, return_type, runner_conf)

            def in_frames(keys: Any, values: Any, state: Any) -> Any:
                return theirs([_series(k) for k in keys], ([_series(c) for c in chunk] for chunk in values), state)

            return in_frames
        arrow_type = to_arrow_type(return_type, prefers_large_types=_prefers_large_types(runner_conf))

        def in_rows(keys: Any, values: Any, state: Any) -> Any:
            key = tuple(column[0].as_py() for column in keys)
            columns: list[list[Any]] = []
            num_bytes = 0
            for chunk in values:
                num_bytes += sum(column.nbytes for column in chunk)
                lists = [column.to_pylist() for column in chunk]
                columns = lists if not columns else [held + more for held, more in zip(columns, lists, strict=True)]
            if state.hasTimedOut:
                columns = [[] for _ in columns]
            return [((Asked(function, key, columns, state, num_bytes), state), arrow_type)]

        return in_rows

    return wrap


def _prefers_large_types(runner_conf: Any) -> bool:
    in_4_0 = getattr(_worker, "use_large_var_types", None)
    return bool(runner_conf.use_large_var_types if in_4_0 is None else in_4_0(runner_conf))


def _series(column: pa.Array) -> Any:
    return column.to_pandas()


def install() -> None:
    """Let the workers that this process forks take marked functions as rows."""
    if _worker.ApplyInPandasWithStateSerializer is ApplyInPandasWithStateSerializer:
        _worker.ApplyInPandasWithStateSerializer = StateRowsSerializer
        _worker.wrap_grouped_map_pandas_udf_with_state = _wrapped(_worker.wrap_grouped_map_pandas_udf_with_state)
