"""Appending to a table, and replacing files of it, each as one commit that is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark import __version__
from ipdsf_spark.archive.delta import types
from ipdsf_spark.archive.delta.checkpoint import CHECKPOINT_EVERY, write_checkpoint
from ipdsf_spark.archive.delta.log import LOG, READER_VERSION, WRITER_VERSION, DataFile, Snapshot, snapshot
from ipdsf_spark.archive.page_checksums import WRITTEN

COMPRESSION: Final = "zstd"
ROWS_PER_GROUP: Final = 50_000
ATTEMPTS: Final = 20


class ConflictError(Exception):
    """Somebody else has written the same transaction."""


def write_file(
    directory: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, partition: Mapping[str, str]
) -> DataFile:
    """Write one Parquet file of a partition; it belongs to no version until it is committed.

    Args:
        directory: of the table.
        batches: rows without the partition columns.
        schema: of the batches.
        partition: values of the partition columns.

    Raises:
        OSError: the disk is full or broken; what was begun is removed if that is possible.
    """
    folder = "/".join(f"{name}={value}" for name, value in partition.items())
    path = f"{folder}/part-{uuid.uuid4()}.{COMPRESSION}.parquet" if folder else f"part-{uuid.uuid4()}.parquet"
    target = directory / path
    # Readers that take every Parquet file of a folder, and no log, must not meet half of one after a crash.
    begun = target.with_name(f".{target.name}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    num_rows = 0
    try:
        with begun.open("wb") as stream:
            with pq.ParquetWriter(
                stream,
                schema,
                compression=COMPRESSION,
                version="2.6",
                use_compliant_nested_type=True,
                **WRITTEN,
            ) as writer:
                for batch in batches:
                    writer.write_batch(batch, row_group_size=ROWS_PER_GROUP)
                    num_rows += batch.num_rows
            stream.flush()
            os.fsync(stream.fileno())
        begun.replace(target)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    return DataFile(path, dict(partition), target.stat().st_size, now_ms(), num_rows)


def commit(
    directory: Path,
    *,
    schema: pa.Schema,
    partition_columns: Sequence[str],
    adds: Sequence[DataFile] = (),
    removes: Sequence[DataFile] = (),
    transactions: Mapping[str, tuple[int, int]] | None = None,
    operation: str = "WRITE",
    has_new_data: bool = True,
) -> Snapshot:
    """Make the next version of a table; the first one creates it.

    Args:
        directory: of the table.
        schema: columns; those that the table does not have yet are added to it.
        partition_columns: of a new table.
        adds: files that join.
        removes: files that leave; they stay on the disk for readers of older versions.
        transactions: by writer, the version that it found and the one that it writes.
        operation: for the history.
        has_new_data: False where the same rows are arranged anew.

    Raises:
        ConflictError: a writer is not at the version that it found, or a file that leaves has left.
        InputError: the log is damaged.
        OSError: the disk is full or broken; the table is as it was.
    """
    for _ in range(ATTEMPTS):
        found = snapshot(directory)
        for writer, (before, _after) in (transactions or {}).items():
            if found.transactions.get(writer, 0) != before:
                raise ConflictError(f"{writer} is at {found.transactions.get(writer, 0)}, not at {before}")
        gone = [file.path for file in removes if file.path not in found.files]
        if gone:
            raise ConflictError(f"{gone[0]} has left the table meanwhile")
        actions = [
            *_table_actions(found, schema, partition_columns),
            *({"txn": {"appId": name, "version": after, "lastUpdated": now_ms()}}
              for name, (_, after) in (transactions or {}).items()),
            *(_add(file, has_new_data) for file in adds),
            *(_remove(file, has_new_data) for file in removes),
            _info(operation, found.version),
        ]  # fmt: skip
        if _put(directory / LOG, f"{found.version + 1:020d}.json", actions):
            for action in actions:
                found.apply(action)
            found.version += 1
            if found.num_commits + 1 >= CHECKPOINT_EVERY:
                _checkpoint(found)
            return found
    raise ConflictError(f"{directory} was written by others {ATTEMPTS} times in a row")


def _checkpoint(found: Snapshot) -> None:
    with contextlib.suppress(OSError, pa.ArrowException):  # the commits are enough; the next one tries again
        write_checkpoint(found)


def _put(folder: Path, name: str, actions: Sequence[Mapping[str, Any]]) -> bool:
    """Write a commit under a name that nobody has taken: at once, and only once."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{name}.{uuid.uuid4()}.tmp"
    text = "".join(json.dumps(action, separators=(",", ":")) + "\n" for action in actions)
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, folder / name)  # unlike a rename it refuses a name that exists
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # the commit is there; nothing may be undone any more
        sync_directory(folder)
    return True


def sync_directory(folder: Path) -> None:
    """Let the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _table_actions(found: Snapshot, schema: pa.Schema, partition_columns: Sequence[str]) -> list[dict[str, Any]]:
    missing = [field for field in schema if field.name not in found.schema.names]
    if found.exists and not missing:
        return []
    if found.exists:
        wider = pa.schema([*found.schema, *missing])
        return [{"metaData": found.metadata | {"schemaString": types.to_json(wider)}}]
    protocol = {"minReaderVersion": READER_VERSION, "minWriterVersion": WRITER_VERSION}
    metadata = {
        "id": str(uuid.uuid4()),
        "format": {"provider": "parquet", "options": {}},
        "schemaString": types.to_json(schema),
        "partitionColumns": list(partition_columns),
        "configuration": {},
        "createdTime": now_ms(),
    }
    return [{"protocol": protocol}, {"metaData": metadata}]


def _add(file: DataFile, has_new_data: bool) -> dict[str, Any]:
    return {
        "add": {
            "path": quote(file.path),
            "partitionValues": dict(file.partition),
            "size": file.size,
            "modificationTime": file.modified_ms,
            "dataChange": has_new_data,
            "stats": json.dumps({"numRecords": file.num_rows}),
        }
    }


def _remove(file: DataFile, has_new_data: bool) -> dict[str, Any]:
    return {
        "remove": {
            "path": quote(file.path),
            "deletionTimestamp": now_ms(),
            "dataChange": has_new_data,
            "extendedFileMetadata": True,
            "partitionValues": dict(file.partition),
            "size": file.size,
        }
    }


def _info(operation: str, version: int) -> dict[str, Any]:
    engine = f"ipdsf_spark/{__version__}"
    info = {"timestamp": now_ms(), "operation": operation, "operationParameters": {}, "engineInfo": engine}
    return {"commitInfo": info | ({"readVersion": version} if version >= 0 else {})}


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
