"""Checkpoints: a version of a table as one Parquet file, so that readers need not read every commit since the first."""

from __future__ import annotations

import json
import os
import time
import uuid
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.archive.delta.log import LOG, Snapshot

CHECKPOINT_EVERY: Final = 20  # commits
REMOVED_KEPT_MS: Final = (
    7 * 86_400_000
)  # how long a file that left is named; retention of the files themselves is later
_TEXTS: Final = pa.map_(pa.string(), pa.string())
SCHEMA: Final = pa.schema(
    [
        ("txn", pa.struct([("appId", pa.string()), ("version", pa.int64()), ("lastUpdated", pa.int64())])),
        (
            "add",
            pa.struct(
                [
                    ("path", pa.string()),
                    ("partitionValues", _TEXTS),
                    ("size", pa.int64()),
                    ("modificationTime", pa.int64()),
                    ("dataChange", pa.bool_()),
                    ("stats", pa.string()),
                ]
            ),
        ),
        (
            "remove",
            pa.struct([("path", pa.string()), ("deletionTimestamp", pa.int64()), ("dataChange", pa.bool_())]),
        ),
        (
            "metaData",
            pa.struct(
                [
                    ("id", pa.string()),
                    ("format", pa.struct([("provider", pa.string()), ("options", _TEXTS)])),
                    ("schemaString", pa.string()),
                    ("partitionColumns", pa.list_(pa.string())),
                    ("configuration", _TEXTS),
                    ("createdTime", pa.int64()),
                ]
            ),
        ),
        ("protocol", pa.struct([("minReaderVersion", pa.int32()), ("minWriterVersion", pa.int32())])),
    ]
)


def write_checkpoint(found: Snapshot) -> None:
    """Write the checkpoint of a version, and the hint where it is.

    Raises:
        OSError: the disk is full or broken; a checkpoint that is not whole does not appear under its name.
    """
    rows = [
        {"protocol": {name: found.protocol[name] for name in ("minReaderVersion", "minWriterVersion")}},
        {"metaData": _metadata(found)},
        *({"txn": {"appId": name, "version": version}} for name, version in sorted(found.transactions.items())),
        *({"add": _add(found, path)} for path in sorted(found.files)),
        *(
            {"remove": {"path": quote(path), "deletionTimestamp": when, "dataChange": False}}
            for path, when in sorted(found.removed.items())
            if when > time.time_ns() // 1_000_000 - REMOVED_KEPT_MS
        ),
    ]
    columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in SCHEMA]
    folder = found.directory / LOG
    name = f"{found.version:020d}.checkpoint.parquet"
    _replace(folder, name, _parquet(pa.Table.from_arrays(columns, schema=SCHEMA)))
    _replace(folder, "_last_checkpoint", json.dumps({"version": found.version, "size": len(rows)}).encode())


def _metadata(found: Snapshot) -> dict[str, Any]:
    held = {name: found.metadata.get(name) for name in ("id", "schemaString", "partitionColumns", "createdTime")}
    source = found.metadata.get("format") or {}
    options = list((source.get("options") or {}).items())
    held["format"] = {"provider": source.get("provider", "parquet"), "options": options}
    return held | {"configuration": list((found.metadata.get("configuration") or {}).items())}


def _add(found: Snapshot, path: str) -> dict[str, Any]:
    file = found.files[path]
    return {
        "path": quote(path),
        "partitionValues": list(file.partition.items()),
        "size": file.size,
        "modificationTime": file.modified_ms,
        "dataChange": False,
        "stats": json.dumps({"numRecords": file.num_rows}) if file.num_rows >= 0 else None,
    }


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="snappy", use_compliant_nested_type=True)
    return bytes(sink.getvalue())


def _replace(folder: Any, name: str, raw: bytes) -> None:
    temporary = folder / f".{name}.{uuid.uuid4()}.tmp"
    try:
        with temporary.open("wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, folder / name)
    finally:
        temporary.unlink(missing_ok=True)
