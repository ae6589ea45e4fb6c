"""What the archive holds, and what of it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from ipdsf_spark.archive.delta.log import DataFile, snapshot
from ipdsf_spark.archive.page_checksums import CHECKED
from ipdsf_spark.archive.tables import NEWEST, PARTITION, TABLES
from ipdsf_spark.errors import InputError

BATCH_ROWS: Final = 20_000
BATCH_BYTES: Final = 16_000_000  # an average has 9 kB, a height 300 bytes
NAMES = (*(kind.name for kind in TABLES), NEWEST)


@dataclass(frozen=True)
class TableState:
    """One table.

    Attributes:
        name: of the table.
        version: of its log; -1 if there is none.
        num_files, num_rows, num_bytes: of the newest version.
        first_day, last_day: that it holds, empty if it holds none.
        num_stale: files on the disk that are not of the newest version: replaced, or of a commit that never came.
        problems: what cannot be read.
    """

    name: str
    version: int
    num_files: int = 0
    num_rows: int = 0
    num_bytes: int = 0
    first_day: str = ""
    last_day: str = ""
    num_stale: int = 0
    problems: tuple[str, ...] = ()


def inspect(directory: Path, *, is_whole: bool = False) -> Iterator[TableState]:
    """Every table that is there; of each file the end is read, or all of it."""
    for name in NAMES:
        folder = directory / name
        if not folder.is_dir():
            continue
        try:
            found = snapshot(folder)
        except (InputError, OSError) as error:
            yield TableState(name, -1, problems=(str(error),))
            continue
        if not found.exists and not any(folder.glob(f"{PARTITION}=*/*.parquet")):
            continue
        if not found.exists:
            yield TableState(name, -1, problems=(f"{folder} has files and no transaction log",))
            continue
        days = sorted(str(file.partition.get(PARTITION)) for file in found.files.values())
        held = {path.relative_to(folder).as_posix() for path in folder.glob(f"{PARTITION}=*/*.parquet")}
        files = [file for _, file in sorted(found.files.items())]
        problems = [problem for file in files if (problem := problem_of(folder, file, is_whole=is_whole))]
        yield TableState(
            name=name,
            version=found.version,
            num_files=len(found.files),
            num_rows=found.num_rows,
            num_bytes=found.num_bytes,
            first_day=days[0] if days else "",
            last_day=days[-1] if days else "",
            num_stale=len(held - found.files.keys()),
            problems=tuple(problems),
        )


def problem_of(folder: Path, file: DataFile, *, is_whole: bool = True) -> str:
    """What is wrong with a file of a table; empty if nothing is.

    Args:
        folder: of the table.
        file: which.
        is_whole: read every row and not only the end, where the number of rows and their places stand.
    """
    path = folder / file.path
    try:
        size = path.stat().st_size
        if size != file.size:
            return f"{path} has {size} bytes, not {file.size}"
        with pq.ParquetFile(path, **CHECKED) as parquet:
            num_rows = parquet.metadata.num_rows
            if is_whole:
                num_rows = sum(batch.num_rows for batch in batches_of(parquet))
    except FileNotFoundError:
        return f"{path} is missing"
    except (OSError, pa.ArrowException) as error:
        return f"{path} cannot be read: {error}"
    return f"{path} has {num_rows} rows, not {file.num_rows}" if num_rows != file.num_rows >= 0 else ""


def batches_of(parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """All rows of a file, some megabytes at a time."""
    about = parquet.metadata
    size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    fitting = BATCH_BYTES * max(1, about.num_rows) // max(1, size)
    yield from parquet.iter_batches(batch_size=max(1, min(BATCH_ROWS, fitting)))
