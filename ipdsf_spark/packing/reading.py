"""Row groups of Parquet files through Petastorm: any of them, in any order, and all of their rows.

The thread pool of Petastorm 0.13.1 asks whether its workers are done before it asks whether there is more work to come.
Between the two questions the last work may be handed out: the reading then ends early and says nothing. `WholePool`
asks in the other order, and every reading counts its rows against those that the files announce.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.fs import FileSelector

from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.petastorm_on_arrow import (
    ArrowReaderWorker,
    FileSystem,
    FilesystemResolver,
    Reader,
    ThreadPool,
)
from ipdsf_spark.storage import hdfs, object_store
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.naming import naming
from ipdsf_spark.storage.reach import REACHED

COLUMNS: Final = ["study", "z", "y", "x", "cube"]
NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"


class WholePool(ThreadPool):  # type: ignore[misc]
    """Petastorm's pool of threads, without the gap between its two questions."""

    def all_workers_done(self) -> bool:
        """Whether every result was handed out and no work is to come."""
        is_all_given = self._ventilator is None or self._ventilator.completed()  # asked first: then none can follow
        return is_all_given and bool(super().all_workers_done())


class _Chosen(Reader):  # type: ignore[misc]
    """A reader of row groups by number, in the order in which they are named."""

    def __init__(self, filesystem: Any, paths: list[str], row_groups: Sequence[int], readers: int) -> None:
        self._chosen = [int(number) for number in row_groups]
        super().__init__(
            filesystem,
            paths,
            schema_fields=COLUMNS,
            reader_pool=WholePool(readers, 4 * readers, shuffle_rows=False, seed=None),
            worker_class=ArrowReaderWorker,
            is_batched_reader=True,
            shuffle_row_groups=False,
            num_epochs=1,
        )

    def _filter_row_groups(self, *_: Any) -> tuple[list[int], None]:
        return self._chosen, None


@dataclass(frozen=True)
class RowGroups:
    """The row groups of some files: how many rows each holds, by the files' own account.

    Attributes:
        files: in the order of their names.
        rows: of every row group, those of the first file first.
    """

    files: tuple[Location, ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, files: Sequence[Location]) -> RowGroups:
        """Ask the files.

        Raises:
            InputError: one is missing, damaged or out of reach.
        """
        ordered = tuple(sorted(files, key=lambda file: file.url))
        system = filesystem_of(ordered[0])
        rows: list[int] = []
        for file in ordered:
            footer = footer_of(file, system)
            rows += [footer.row_group(number).num_rows for number in range(footer.num_row_groups)]
        return cls(ordered, tuple(rows))

    def read(
        self, numbers: Sequence[int], size: int, *, readers: int = 2
    ) -> Iterator[tuple[NDArray[np.int16], list[CubeKey]]]:
        """Cubes (B, S, S, S) and keys of row groups, one group at a time, in the order of `numbers`.

        Args:
            numbers: of row groups.
            size: edge of the cubes.
            readers: threads that read ahead.

        Raises:
            InputError: a cube has another shape or type, a file cannot be read, or rows are missing.
        """
        if not len(numbers):
            return
        expected, found = sum(self.rows[number] for number in numbers), 0
        with naming(f"read the cubes beside {self.files[0]}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Petastorm's use of pyarrow's older interface
            paths = [path_of(file) for file in self.files]
            reader = _Chosen(filesystem_of(self.files[0]), paths, numbers, readers)
            try:
                for rows in reader:
                    keys = [
                        CubeKey(str(study), int(z), int(y), int(x))
                        for study, z, y, x in zip(rows.study, rows.z, rows.y, rows.x, strict=True)
                    ]
                    found += len(keys)
                    yield _decoded(rows.cube, size), keys
            finally:
                with contextlib.redirect_stdout(sys.stderr):  # Petastorm prints that it cleans up
                    reader.stop()
                    reader.join()
        if found != expected:
            raise InputError(
                f"read {found} cubes of {len(numbers)} row groups that hold {expected}: the reader lost some"
            )


def cube_batches(
    files: Sequence[Location], size: int, *, shard: int = 0, num_shards: int = 1, readers: int = 2
) -> Iterator[tuple[NDArray[np.int16], list[CubeKey]]]:
    """Cubes (B, S, S, S) and keys of every `num_shards`-th row group of some files, through Petastorm.

    Args:
        files: Parquet.
        size: edge of the cubes.
        shard: which part of the row groups.
        num_shards: of how many parts.
        readers: threads that read ahead.

    Raises:
        InputError: see `RowGroups`.
    """
    groups = RowGroups.of(files)
    yield from groups.read(range(shard, len(groups.rows), num_shards), size, readers=readers)


def footer_of(file: Location, system: Any) -> Any:
    """The metadata at the end of a Parquet file.

    Raises:
        InputError: it is missing, cut or out of reach.
    """
    try:
        with system.open(path_of(file), "rb") as opened:
            return pq.read_metadata(opened)
    except Exception as error:  # Arrow and the file systems raise whatever damage leads to
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{file} is missing or no whole Parquet file ({reason})") from error


def filesystem_of(place: Location) -> Any:
    """Petastorm's file system for a place."""
    if place.path is not None:
        return FilesystemResolver("file:///").filesystem()
    if object_store.is_in_object_store(place):
        return _StoreFiles()
    if hdfs.is_in_hdfs(place):
        return _HdfsFiles(place)
    raise InputError(f"{place}: {REACHED}")


class _HdfsFiles(FileSystem):  # type: ignore[misc]
    """HDFS behind the older interface of pyarrow, by which Petastorm reads: files that are named."""

    def __init__(self, place: Location) -> None:
        scheme, _, rest = place.url.partition("://")
        self._cluster = f"{scheme}://{rest.partition('/')[0]}"

    def open(self, path: str, mode: str = "rb") -> Any:
        """For reading, at any place."""
        return hdfs.opened(Location(f"{self._cluster}{path}", None))


class _StoreFiles(FileSystem):  # type: ignore[misc]
    """An object store behind the older interface of pyarrow, by which Petastorm reads."""

    def open(self, path: str, mode: str = "rb") -> Any:
        """For reading, at any place."""
        return object_store.filesystem().open_input_file(path)

    def isfile(self, path: str) -> bool:
        """Whether there is an object of that name."""
        return bool(object_store.filesystem().get_file_info(path).is_file)

    def isdir(self, path: str) -> bool:
        """Whether there are objects below that name."""
        return self.exists(path) and not self.isfile(path)

    def exists(self, path: str) -> bool:
        """Whether there is anything."""
        return str(object_store.filesystem().get_file_info(path).type.name) != "NotFound"

    def find(self, path: str) -> list[str]:
        """All objects below that name."""
        below = FileSelector(path, recursive=True)
        return [found.path for found in object_store.filesystem().get_file_info(below) if found.is_file]


def path_of(place: Location) -> str:
    """What Petastorm's file system calls a place."""
    if place.path is not None:
        return str(place.path)
    if object_store.is_in_object_store(place):
        return object_store.key_of(place)
    return hdfs.path_of(place)


def _decoded(values: NDArray[np.object_], size: int) -> NDArray[np.int16]:
    """(B, S, S, S) of what Petastorm's NdarrayCodec wrote: npy files, all with the same header."""
    cubes = np.empty((len(values), size, size, size), np.int16)
    for row, raw in enumerate(values):
        offset = 10 + int.from_bytes(raw[8:10], "little")
        header = raw[10:offset]
        is_right = raw[:8] == NPY_MAGIC and b"'<i2'" in header and b"'fortran_order': False" in header
        if not is_right or len(raw) - offset != cubes[row].nbytes:
            raise InputError(f"expected int16 cubes of {size}³ voxels in the data set, found {header[:80]!r}")
        cubes[row] = np.frombuffer(raw, np.int16, offset=offset).reshape(size, size, size)
    return cubes
