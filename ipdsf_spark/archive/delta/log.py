"""Reading a table's transaction log: which files are the table, and up to where each writer has written.

A reader sees a version as a whole or not at all: a commit is one file that appears at once. Whatever else lies in the
folder (files of a commit that never came, half a temporary file) is not the table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.archive.delta import types
from ipdsf_spark.errors import InputError

LOG: Final = "_delta_log"
READER_VERSION: Final = 1
WRITER_VERSION: Final = 2
_COMMIT: Final = re.compile(r"(\d{20})\.json")
_CHECKPOINT: Final = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")


class DamagedLogError(InputError):
    """A file of the log is not what was written."""


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of the table.

    Attributes:
        path: below the table's folder.
        partition: values of the partition columns, as text.
        size: bytes.
        modified_ms: when it was written [ms since 1970].
        num_rows: of it, -1 if nobody counted.
    """

    path: str
    partition: Mapping[str, str | None]
    size: int
    modified_ms: int
    num_rows: int = -1


@dataclass
class Snapshot:
    """A version of a table.

    Attributes:
        directory: of the table.
        version: -1 if there is no table.
        files: by path.
        removed: path and time [ms since 1970] of files that older versions need.
        transactions: the newest version of every writer.
        schema: columns, those of the partition included.
        partition_columns: names.
        metadata, protocol: the actions as they stand in the log.
        num_commits: read beyond the checkpoint.
    """

    directory: Path
    version: int = -1
    files: dict[str, DataFile] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, int] = field(default_factory=dict)
    schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    partition_columns: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    num_commits: int = 0

    @property
    def exists(self) -> bool:
        """Whether there is a table."""
        return self.version >= 0

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def num_rows(self) -> int:
        """Of all files whose rows were counted."""
        return sum(max(0, file.num_rows) for file in self.files.values())

    def where(self, **bounds: tuple[str | None, str | None]) -> list[DataFile]:
        """Files whose partition lies within inclusive bounds of text, by path.

        Args:
            bounds: lowest and highest value by partition column; None = no bound.
        """

        def is_meant(file: DataFile) -> bool:
            for name, (low, high) in bounds.items():
                value = file.partition.get(name)
                if value is None or (low is not None and value < low) or (high is not None and value > high):
                    return False
            return True

        return [file for _, file in sorted(self.files.items()) if is_meant(file)]

    def apply(self, action: Mapping[str, Any]) -> None:
        """Take one action of the log into account.

        Raises:
            InputError: the table uses what is not known here.
        """
        if add := action.get("add"):
            path = self._inside(add["path"])
            stats = json.loads(add.get("stats") or "{}")
            self.files[path] = DataFile(
                path=path,
                partition=dict(add.get("partitionValues") or {}),
                size=add["size"],
                modified_ms=add.get("modificationTime") or 0,
                num_rows=int(stats.get("numRecords", -1)),
            )
            self.removed.pop(path, None)
            if add.get("deletionVector"):
                raise InputError(f"{self.directory} has deletion vectors, which are not read here: use Spark")
        elif remove := action.get("remove"):
            path = self._inside(remove["path"])
            self.files.pop(path, None)
            self.removed[path] = remove.get("deletionTimestamp") or 0
        elif txn := action.get("txn"):
            self.transactions[txn["appId"]] = txn["version"]
        elif metadata := action.get("metaData"):
            self.metadata = dict(metadata)
            self.schema = types.from_json(metadata["schemaString"])
            self.partition_columns = tuple(metadata.get("partitionColumns") or ())
        elif protocol := action.get("protocol"):
            self.protocol = dict(protocol)
            if protocol["minReaderVersion"] > READER_VERSION:
                raise InputError(
                    f"{self.directory} asks for a Delta reader of version {protocol['minReaderVersion']}, here is "
                    f"{READER_VERSION}: use Spark"
                )

    def _inside(self, quoted: str) -> str:
        """The path of a file below the folder; a file that lies elsewhere is never moved or deleted as the table's."""
        path = unquote(quoted)
        if path.startswith("/") or ".." in path.split("/"):
            raise DamagedLogError(
                f"{self.directory / LOG} names {path!r}, which lies outside the table: `ipdsf archive rebuild` makes "
                "the table anew and leaves that file alone"
            )
        return path


def snapshot(directory: Path) -> Snapshot:
    """The newest version of a table; a version of -1 if there is none.

    Raises:
        InputError: the log has a hole or is damaged; names the file.
        OSError: the disk does not answer.
    """
    folder = directory / LOG
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    commits = {int(match[1]): match[0] for name in names if (match := _COMMIT.fullmatch(name))}
    found = Snapshot(directory)
    for version, parts in _checkpoints(names):
        try:
            at_checkpoint = Snapshot(directory, version)
            for name in parts:
                _apply_all(at_checkpoint, _checkpoint_actions(folder / name), folder / name)
        except (pa.ArrowException, OSError, DamagedLogError):
            continue  # an older one, or the commits themselves
        found = at_checkpoint
        break
    for version in sorted(number for number in commits if number > found.version):
        if version != found.version + 1:
            raise InputError(
                f"{folder} lacks version {found.version + 1}: `ipdsf archive rebuild` makes the table anew"
            )
        path = folder / commits[version]
        _apply_all(found, _commit_actions(path), path)
        found.version = version
        found.num_commits += 1
    if found.exists and not found.metadata:
        raise InputError(f"{folder} names no columns: `ipdsf archive rebuild` makes the table anew")
    return found


def _checkpoints(names: Iterable[str]) -> list[tuple[int, list[str]]]:
    """Whole checkpoints, newest first."""
    parts: dict[tuple[int, int], list[str]] = {}
    for name in names:
        if match := _CHECKPOINT.fullmatch(name):
            parts.setdefault((int(match[1]), int(match[3] or 1)), []).append(name)
    whole = [(version, sorted(held)) for (version, count), held in parts.items() if len(held) == count]
    return sorted(whole, reverse=True)


def _checkpoint_actions(path: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(path).to_pylist()
    return [{name: _plain(value) for name, value in row.items() if value is not None} for row in rows]


def _plain(value: Any) -> Any:
    """Maps come from Arrow as lists of pairs."""
    if not isinstance(value, dict):
        return value
    return {
        name: dict(held) if isinstance(held, list) and held and isinstance(held[0], tuple) else held
        for name, held in value.items()
    }


def _commit_actions(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error


def _apply_all(found: Snapshot, actions: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Take a file of the log into account; one wrong byte can make an action of another form, or none."""
    try:
        for action in actions:
            found.apply(action)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DamagedLogError:
    what = f"{type(error).__name__}: {error}"
    return DamagedLogError(f"{path} is damaged ({what}): `ipdsf archive rebuild` makes the table anew")
