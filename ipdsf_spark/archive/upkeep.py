"""What a table needs now and then: small files joined, the newest view made anew, replaced files removed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ipdsf_spark.archive.delta.log import LOG, DataFile, Snapshot, snapshot
from ipdsf_spark.archive.delta.write import ConflictError, commit, write_file
from ipdsf_spark.archive.inspection import batches_of, problem_of
from ipdsf_spark.archive.page_checksums import CHECKED
from ipdsf_spark.archive.revisions import newest_rows
from ipdsf_spark.archive.tables import NEWEST, PARTITION, PRODUCTS, PRODUCTS_SCHEMA, TABLES, file_schema

logger = logging.getLogger(__name__)

TARGET_BYTES: Final = 128_000_000  # of a joined file
COMMITTED_WITHIN_MS: Final = 3_600_000  # a file that no version names may belong to a commit that is coming
LOG_KEPT_MS: Final = 30 * 86_400_000  # commits that a checkpoint contains


@dataclass
class Compacted:
    """What compaction did: files that were joined and what they became, days of the newest view, files removed.

    Days with a file that cannot be read are left as they are, and `problems` names the file.
    """

    num_joined: int = 0
    num_written: int = 0
    num_days: int = 0
    num_removed: int = 0
    removed_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def compact(directory: Path, *, keep_h: int, has_removal: bool = True) -> Compacted:
    """Join small files of every table, make the newest view anew for the days that changed, apply the retention.

    Safe beside a running stream and beside readers; killed at any step it leaves the tables as they were.

    Args:
        directory: of the archive.
        keep_h: files that are not part of the newest version are removed when they are older [h].
        has_removal: whether they are removed at all.

    Raises:
        InputError: the log of a table is damaged.
        OSError: the disk is full or broken.
    """
    done = Compacted()
    for kind in TABLES:
        found = snapshot(directory / kind.name)
        if found.exists:
            _join(found, kind.schema, done)
    if snapshot(directory / PRODUCTS).exists:
        _renew(directory, done)
    if has_removal:
        for name in (*(kind.name for kind in TABLES), NEWEST):
            _remove_old(directory / name, keep_h, done)
    pa.default_memory_pool().release_unused()  # it would keep what the largest day took
    return done


def _join(found: Snapshot, schema: pa.Schema, done: Compacted) -> None:
    for day, held in _by_day(found).items():
        try:
            _join_day(found.directory, schema, day, held, done)
        except (OSError, pa.ArrowException) as error:
            _blame(found.directory, held, error, done)


def _join_day(directory: Path, schema: pa.Schema, day: str, held: Sequence[DataFile], done: Compacted) -> None:
    small = [file for file in held if file.size < TARGET_BYTES // 2]
    while len(small) > 1:
        group: list[DataFile] = []
        while small and sum(file.size for file in group) < TARGET_BYTES:
            group.append(small.pop())
        if len(group) < 2:
            break
        columns = file_schema(schema)
        joined = write_file(directory, _batches(directory, group, columns), columns, {PARTITION: day})
        try:
            _commit(directory, schema, [joined], group, "OPTIMIZE", has_new_data=False)
        except ConflictError as error:
            logger.info("%s: %s; this day waits for the next time", directory, error)
            (directory / joined.path).unlink(missing_ok=True)
            break
        done.num_joined += len(group)
        done.num_written += 1


def _blame(directory: Path, held: Sequence[DataFile], error: Exception, done: Compacted) -> None:
    """One damaged file is one day's misfortune; if none of them is damaged, it is the disk's."""
    problems = [problem for file in held if (problem := problem_of(directory, file))]
    if not problems:
        raise error
    done.problems += [problem for problem in problems if problem not in done.problems]


def _commit(
    directory: Path,
    schema: pa.Schema,
    adds: Sequence[DataFile],
    removes: Sequence[DataFile],
    operation: str,
    *,
    has_new_data: bool,
    progress: dict[str, tuple[int, int]] | None = None,
) -> None:
    commit(
        directory,
        schema=schema,
        partition_columns=[PARTITION],
        adds=adds,
        removes=removes,
        transactions=progress,
        operation=operation,
        has_new_data=has_new_data,
    )


def _by_day(found: Snapshot) -> dict[str, list[DataFile]]:
    days: dict[str, list[DataFile]] = {}
    for path in sorted(found.files):
        days.setdefault(str(found.files[path].partition.get(PARTITION)), []).append(found.files[path])
    return days


def _batches(directory: Path, group: Sequence[DataFile], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Rows of several files, columns that an older file lacks being null."""
    for file in group:
        with pq.ParquetFile(directory / file.path, **CHECKED) as parquet:
            for batch in batches_of(parquet):
                yield pa.RecordBatch.from_arrays(
                    [
                        batch.column(batch.schema.get_field_index(field.name)).cast(field.type)
                        if field.name in batch.schema.names
                        else pa.nulls(batch.num_rows, field.type)
                        for field in schema
                    ],
                    schema=schema,
                )


def _renew(directory: Path, done: Compacted) -> None:
    """The newest view of every day whose products have changed since the last time.

    Each day's state is the sum of what its files hold, rows and newest record: compaction of the products changes none
    of it. It is remembered as a transaction of the view.
    """
    products, view = snapshot(directory / PRODUCTS), snapshot(directory / NEWEST)
    columns = file_schema(PRODUCTS_SCHEMA)
    for day, held in _by_day(products).items():
        writer, rows = f"{products.metadata['id']}/{day}", sum(file.num_rows for file in held)
        before = view.transactions.get(writer, 0)
        if before == rows:
            continue
        try:
            kept = newest_rows(products.directory, held)
            found = write_file(
                directory / NEWEST, _chosen(products.directory, held, columns, kept), columns, {PARTITION: day}
            )
        except (OSError, pa.ArrowException) as error:
            _blame(products.directory, held, error, done)
            continue
        old = view.where(**{PARTITION: (day, day)})
        try:
            _commit(directory / NEWEST, PRODUCTS_SCHEMA, [found], old, "WRITE", has_new_data=True,
                    progress={writer: (before, rows)})  # fmt: skip
        except ConflictError as error:
            logger.info("%s: %s; this day waits for the next time", directory / NEWEST, error)
            (directory / NEWEST / found.path).unlink(missing_ok=True)
            continue
        done.num_days += 1


def _chosen(
    directory: Path, held: Sequence[DataFile], schema: pa.Schema, kept: NDArray[np.bool_]
) -> Iterator[pa.RecordBatch]:
    at = 0
    for batch in _batches(directory, held, schema):
        yield batch.filter(pa.array(kept[at : at + batch.num_rows]))
        at += batch.num_rows


def _remove_old(directory: Path, keep_h: int, done: Compacted) -> None:
    """Files that the newest version does not name, once nobody should be reading them; and old commits."""
    found = snapshot(directory)
    if not found.exists:
        return
    now_ms = time.time_ns() // 1_000_000
    limit_ms = now_ms - 3_600_000 * keep_h
    unnamed_ms = min(limit_ms, now_ms - COMMITTED_WITHIN_MS)
    for path in [*directory.rglob("*.parquet"), *directory.rglob(".*.tmp")]:
        name = path.relative_to(directory).as_posix()
        if (name.startswith(LOG) and path.suffix != ".tmp") or name in found.files:
            continue
        if found.removed.get(name, 0) > limit_ms:
            continue
        try:
            state = path.stat()
        except FileNotFoundError:
            continue  # its writer has finished, or somebody else compacts too
        if state.st_mtime * 1000 < (limit_ms if name in found.removed else unnamed_ms):
            path.unlink(missing_ok=True)
            done.num_removed += path.suffix != ".tmp"
            done.removed_bytes += state.st_size
    _remove_old_log(directory / LOG)


def _remove_old_log(folder: Path) -> None:
    """Commits and checkpoints that are older than the newest two checkpoints and a month."""
    checkpoints = sorted(path.name for path in folder.glob("*.checkpoint*.parquet"))
    if len(checkpoints) < 3:
        return
    oldest_kept = checkpoints[-2][:20]
    for path in folder.iterdir():
        is_of_a_version = path.name[:20].isdigit()
        if is_of_a_version and path.name[:20] < oldest_kept and path.stat().st_mtime < time.time() - LOG_KEPT_MS / 1000:
            path.unlink(missing_ok=True)
