"""The tables of the archive: where they lie, their columns, and records of a topic as their rows.

products   every revision of every product, of all kinds: site, kind, time, the record's JSON, and the columns that
           `layers` and operators like it share. Partitioned by the day of the product, UTC.
averages   averages of complete intervals, the columns of `averages.SCHEMA`. Partitioned by the day of the interval.
newest     of each product the newest revision, made anew by compaction for the days that have changed.

The newest revision is the one with the latest Kafka timestamp, then the highest offset: partitions of a topic that has
grown or was made anew say nothing about order. Within a partition its own order counts (`Order`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from ipdsf_spark.archive import averages
from ipdsf_spark.config import Config
from ipdsf_spark.storage.location import mounted

PRODUCTS: Final = "products"
AVERAGES: Final = "averages"
NEWEST: Final = "newest"
PARTITION: Final = "date"
LAYERS_KIND: Final = "layers"
EPOCH: Final = datetime(1970, 1, 1)
LAST_MS: Final = 253_402_300_799_999  # the end of year 9999
_INSTANT: Final = pa.timestamp("us", "UTC")


def _field(name: str, kind: pa.DataType, meaning: str, units: str = "") -> pa.Field:
    return pa.field(name, kind, metadata={"long_name": meaning} | ({"units": units} if units else {}))


_WHERE: Final = (
    _field("published", _INSTANT, "when Kafka took the record"),
    _field("partition", pa.int32(), "of the record"),
    _field("offset", pa.int64(), "of the record"),
)
LAYERS_COLUMNS: Final[Mapping[str, tuple[pa.DataType, str, str]]] = {
    "mixing_height_m": (pa.float64(), "mixing layer height above the instrument", "m"),
    "below_m": (pa.float64(), "upper bound of the mixing layer height where its top cannot be seen", "m"),
    "residual_height_m": (pa.float64(), "top of the residual layer", "m"),
    "nocturnal_height_m": (pa.float64(), "top of the stable layer at night", "m"),
    "entrainment_m": (pa.float64(), "thickness of the entrainment zone", "m"),
    "uncertainty_m": (pa.float64(), "one standard deviation of it", "m"),
    "provisional": (pa.bool_(), "a final value will replace this one", ""),
    "quality": (pa.list_(pa.string()), "why a height is missing, or what to keep in mind", ""),
    "candidates_m": (pa.list_(pa.float64()), "layer tops, strongest first", "m"),
    "candidate_strength": (pa.list_(pa.float64()), "of each", "1"),
    "cloud_base_m": (pa.float64(), "lowest cloud base", "m"),
    "num_profiles": (pa.int32(), "profiles averaged", ""),
}
PRODUCTS_SCHEMA: Final = pa.schema(
    [
        _field("key", pa.string(), "site, kind and time; revisions share it"),
        _field("site", pa.string(), "site id"),
        _field("kind", pa.string(), "which product"),
        _field("time", _INSTANT, "middle of the interval"),
        *(_field(name, *column) for name, column in LAYERS_COLUMNS.items()),
        _field("sent_ms", pa.int64(), "when the newest file behind it was sent, since 1970", "ms"),
        _field("value", pa.string(), "the whole record, JSON"),
        *_WHERE,
        _field(PARTITION, pa.date32(), "day of the product"),
    ]
)
AVERAGES_SCHEMA: Final = pa.schema([*averages.SCHEMA, *_WHERE, _field(PARTITION, pa.date32(), "day of the interval")])


class Record(NamedTuple):
    """A record of Kafka, as far as the archive wants it."""

    key: bytes
    value: bytes
    published_ms: int
    partition: int
    offset: int


class Order:
    """Times at which Kafka took the records of a topic, none before that of the record before it in its partition.

    Brokers stamp records, each by its own clock, and the one that leads a partition changes: a later record may have
    the earlier stamp. Remembered since the reader began.
    """

    def __init__(self) -> None:
        self._newest: dict[int, tuple[int, int]] = {}

    def published_ms(self, partition: int, offset: int, stamp_ms: int) -> int:
        """When a record was taken [ms since 1970]; records of a partition come in turn."""
        before, newest_ms = self._newest.get(partition, (-1, 0))
        published_ms = max(0, stamp_ms, newest_ms if offset > before else 0)  # else the topic was made anew
        self._newest[partition] = offset, published_ms
        return published_ms


@dataclass(frozen=True)
class Kind:
    """A table that is fed by a topic.

    Attributes:
        name: folder below the archive's.
        schema: columns, that of the partition last.
        rows: records to rows by day, and how many records could not be read.
    """

    name: str
    schema: pa.Schema
    rows: Callable[[Sequence[Record]], tuple[dict[str, list[pa.RecordBatch]], list[str]]]


def archive_directory(config: Config) -> Path:
    """Where the tables lie.

    Raises:
        ConfigError: that is no folder of this machine.
    """
    stream = config.stream
    if stream.archive_directory:
        return mounted(stream.archive_directory, "stream.archive_directory")
    return mounted(stream.directory, "stream.directory") / "archive"


def file_schema(schema: pa.Schema) -> pa.Schema:
    """What stands in the files: everything but the column of the partition."""
    return pa.schema([field for field in schema if field.name != PARTITION])


def product_rows(records: Sequence[Record]) -> tuple[dict[str, list[pa.RecordBatch]], list[str]]:
    """Rows of the products table by day. A value that is no JSON object is kept as text, under the day it came."""
    by_day: dict[str, list[dict[str, Any]]] = {}
    faults: list[str] = []
    for record in records:
        if not record.value:
            continue  # a tombstone: somebody has taken the key out of the topic; the archive keeps what it was
        row = _product(record)
        if row["kind"] is None:
            faults.append(f"partition {record.partition}, offset {record.offset}: no JSON object with a kind")
        by_day.setdefault(_day(row["time"], record.published_ms), []).append(row)
    schema = file_schema(PRODUCTS_SCHEMA)
    return {day: [_batch(rows, schema)] for day, rows in by_day.items()}, faults


def average_rows(records: Sequence[Record]) -> tuple[dict[str, list[pa.RecordBatch]], list[str]]:
    """Rows of the averages table by day; what is no such record is named."""
    by_day: dict[str, list[pa.RecordBatch]] = {}
    faults: list[str] = []
    schema = file_schema(AVERAGES_SCHEMA)
    for record in records:
        if not record.value:
            continue
        try:
            row = averages.from_message(record.value)
            row.validate(full=True)
            moment = row.column("start")[0].as_py() if row.num_rows else None
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # the last: a date in no calendar
            faults.append(f"partition {record.partition}, offset {record.offset}: {error}")
            continue
        if not row.num_rows:
            continue
        where = [[_micros(record.published_ms)], [record.partition], [record.offset]]
        added = [pa.array(value * row.num_rows, field.type) for value, field in zip(where, _WHERE, strict=True)]
        whole = pa.RecordBatch.from_arrays([*row.columns, *added], schema=schema)
        by_day.setdefault(_day(moment, record.published_ms), []).append(whole)
    return by_day, faults


def _product(record: Record) -> dict[str, Any]:
    text = record.value.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        values = found if isinstance(found, dict) else {}
    except (ValueError, RecursionError):
        values = {}
    row: dict[str, Any] = {
        "key": record.key.decode("utf-8", "replace"),
        "site": _if(values.get("site"), str),
        "kind": _if(values.get("kind"), str),
        "time": _moment(values.get("time")),
        "sent_ms": _whole(values.get("sent_ms"), 64),
        "value": text,
        "published": _micros(record.published_ms),
        "partition": record.partition,
        "offset": record.offset,
    }
    for name, (kind, _, _) in LAYERS_COLUMNS.items():
        row[name] = _typed(values.get(name), kind)
    return row


def _typed(value: Any, kind: pa.DataType) -> Any:
    """The value if it has the column's type; another operator may give the name another meaning."""
    if pa.types.is_list(kind):
        if not isinstance(value, list):
            return None
        found = [_typed(entry, kind.value_type) for entry in value]
        return None if any(entry is None for entry in found) else found
    if pa.types.is_boolean(kind):
        return _if(value, bool)
    if pa.types.is_string(kind):
        return _if(value, str)
    if pa.types.is_integer(kind):
        return _whole(value, kind.bit_width)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None  # an integer of hundreds of digits


def _if(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        return None
    # JSON can write half of a surrogate pair, which is no text.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _whole(value: Any, bits: int) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None


def _moment(text: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _day(moment: datetime | None, published_ms: int) -> str:
    if moment is not None:
        return moment.date().isoformat()
    return (EPOCH + timedelta(milliseconds=_within(published_ms))).isoformat()[:10]


def _micros(milliseconds: int) -> int:
    return 1000 * _within(milliseconds)


def _within(milliseconds: int) -> int:
    """A clock beyond all calendars stands at their end."""
    return min(max(0, milliseconds), LAST_MS)


def _batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


TABLES: Final = (
    Kind(PRODUCTS, PRODUCTS_SCHEMA, product_rows),
    Kind(AVERAGES, AVERAGES_SCHEMA, average_rows),
)
