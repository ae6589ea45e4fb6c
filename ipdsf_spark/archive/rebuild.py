"""Making the archive whole again from the topics and from what is left of its files; nothing readable is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.archive.delta.log import DataFile, Snapshot, snapshot
from ipdsf_spark.archive.delta.write import ConflictError, commit, write_file
from ipdsf_spark.archive.feed import MAX_BYTES, Feed
from ipdsf_spark.archive.inspection import problem_of
from ipdsf_spark.archive.page_checksums import CHECKED
from ipdsf_spark.archive.tables import AVERAGES, NEWEST, PARTITION, TABLES, Kind, Order, Record, file_schema
from ipdsf_spark.archive.upkeep import compact
from ipdsf_spark.config import Config
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka.reading import consumer_of, place, records
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.lock import locked

logger = logging.getLogger(__name__)

PLACE: Final = ["published", "partition", "offset"]  # what tells one record of a topic from another
DAMAGED: Final = "damaged"


@dataclass
class Rebuilt:
    """One table: files set aside, rows from the topic that were not there, rows from files that were set aside."""

    name: str
    num_damaged: int = 0
    num_fed: int = 0
    num_filled: int = 0
    num_salvaged: int = 0


def rebuild(
    config: Config, bootstrap: str, directory: Path, *, on_table: Callable[[str], None] = lambda name: None
) -> list[Rebuilt]:
    """Every table as whole as the topics and its own files allow.

    Damaged files, and tables whose log cannot be read, are moved into the folder `damaged`; what the topics still hold
    is read again; rows of files that were set aside are taken from them as far as they can be read. The newest view is
    made anew. Safe beside a running stream: what it archives next is left to it.

    Args:
        config: topics.
        bootstrap: where Kafka is.
        directory: of the archive.
        on_table: told of each table when it is begun.

    Raises:
        BrokerError: Kafka does not answer.
        InputError: another process is rebuilding this archive.
        OSError: the disk is full or broken.
    """
    with locked(Location(f"file://{directory}", directory), "rebuilding the archive"):
        return _rebuilt(config, bootstrap, directory, on_table)


def _rebuilt(config: Config, bootstrap: str, directory: Path, on_table: Callable[[str], None]) -> list[Rebuilt]:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")  # of each rebuild another, also twice in a second
    aside = directory / DAMAGED / stamp
    topics = {AVERAGES: config.kafka.averages_topic}
    done = []
    _set_aside(directory, NEWEST, aside)
    for kind in TABLES:
        on_table(kind.name)
        told = Rebuilt(kind.name)
        told.num_damaged, is_anew = _set_aside(directory, kind.name, aside)
        topic = topics.get(kind.name, config.kafka.products_topic)
        with Feed(config.kafka, bootstrap, topic, directory / kind.name, kind) as feed:
            while (fed := feed.take()).num_records:
                told.num_fed += fed.num_records
            archived = feed.archived
        if not is_anew:
            for rows in _from_topic(config, bootstrap, topic, kind, archived):
                told.num_filled += _add_missing(directory / kind.name, kind, rows)
        # Also files that no version names: their log was lost, or their writer was killed before it could commit.
        named = snapshot(directory / kind.name).files
        loose = [
            path
            for folder in (aside / kind.name, directory / kind.name)
            for path in sorted(folder.glob(f"{PARTITION}=*/*.parquet"))
            if folder != directory / kind.name or path.relative_to(folder).as_posix() not in named
        ]
        for rows in _from_files(loose, kind):
            told.num_salvaged += _add_missing(directory / kind.name, kind, rows)
        done.append(told)
    if any(snapshot(directory / kind.name).exists for kind in TABLES):
        compact(directory, keep_h=config.stream.archive_keep_versions_h, has_removal=False)
    return done


def _set_aside(directory: Path, name: str, aside: Path) -> tuple[int, bool]:
    """Move what cannot be read; returns how many files, and whether the table begins anew."""
    folder = directory / name
    try:
        found = snapshot(folder)
    except InputError as error:
        logger.warning("%s; it is moved to %s", error, aside / name)
        aside.mkdir(parents=True, exist_ok=True)
        os.rename(folder, aside / name)
        return sum(1 for _ in (aside / name).rglob("*.parquet")), True
    bad = [file for _, file in sorted(found.files.items()) if problem_of(folder, file)]
    if bad:
        try:
            commit(folder, schema=found.schema, partition_columns=[PARTITION], removes=bad, operation="DELETE")
        except ConflictError:
            return _set_aside(directory, name, aside)  # the stream has joined files meanwhile
        for file in bad:
            target = aside / name / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if (folder / file.path).exists():
                os.rename(folder / file.path, target)
    return len(bad), not found.exists


def _from_topic(
    config: Config, bootstrap: str, topic: str, kind: Kind, archived: Mapping[int, int]
) -> Iterator[dict[str, list[pa.RecordBatch]]]:
    """What of the topic should be in the table, as rows by day, a few megabytes at a time.

    What lies beyond these offsets is fed by whoever comes next, here or in a running stream: once.
    """
    held: list[Record] = []
    size, order = 0, Order()
    with consumer_of(config.kafka, bootstrap, "rebuild") as consumer:
        for message in records(consumer, topic, bootstrap):
            value, key = message.value() or b"", message.key() or b""
            partition, offset = place(message)
            if offset >= archived.get(partition, 0):
                continue
            published_ms = order.published_ms(partition, offset, message.timestamp()[1])
            held.append(Record(_bytes(key), _bytes(value), published_ms, partition, offset))
            size += len(value)
            if size > MAX_BYTES:
                yield kind.rows(held)[0]
                held, size = [], 0
    yield kind.rows(held)[0]


def _from_files(paths: Sequence[Path], kind: Kind) -> Iterator[dict[str, list[pa.RecordBatch]]]:
    """Rows of files as far as they can be read, a file at a time."""
    schema = file_schema(kind.schema)
    for path in paths:
        rows = []
        try:
            with pq.ParquetFile(path, **CHECKED) as parquet:
                for batch in parquet.iter_batches():
                    columns = [
                        batch.column(batch.schema.get_field_index(field.name)).cast(field.type)
                        if field.name in batch.schema.names
                        else pa.nulls(batch.num_rows, field.type)
                        for field in schema
                    ]
                    rows.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        except (OSError, pa.ArrowException) as error:
            logger.warning("%s: %d row(s) are read, the rest is not: %s", path, sum(b.num_rows for b in rows), error)
        if rows:
            yield {path.parent.name.removeprefix(f"{PARTITION}="): rows}


def _add_missing(folder: Path, kind: Kind, by_day: dict[str, list[pa.RecordBatch]]) -> int:
    """Append the rows whose records the table does not have; returns how many."""
    found = snapshot(folder)
    adds: list[DataFile] = []
    for day, batches in by_day.items():
        rows = pa.Table.from_batches(batches)
        wanted = _places(rows)
        have = _places_of_day(found, day)
        is_missing = ~wanted.isin(have) & ~wanted.duplicated()
        missing = rows.filter(pa.array(np.asarray(is_missing)))
        if missing.num_rows:
            schema = file_schema(kind.schema)
            adds.append(write_file(folder, missing.to_batches(), schema, {PARTITION: day}))
    if adds:
        commit(folder, schema=kind.schema, partition_columns=[PARTITION], adds=adds)
    return sum(file.num_rows for file in adds)


def _places_of_day(found: Snapshot, day: str) -> pd.MultiIndex:
    held = found.where(**{PARTITION: (day, day)})
    parts: Sequence[pa.Table] = [
        pq.read_table(found.directory / file.path, columns=PLACE, partitioning=None, **CHECKED) for file in held
    ]
    return _places(pa.concat_tables(parts)) if parts else pd.MultiIndex.from_arrays([[], [], []])


def _places(rows: pa.Table) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays(
        [rows.column("published").cast(pa.int64()).to_numpy(), *(rows.column(name).to_numpy() for name in PLACE[1:])]
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value or "").encode()
