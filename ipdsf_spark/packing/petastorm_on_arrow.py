"""Petastorm with whatever pyarrow and numpy are installed; who uses Petastorm imports this module first.

Petastorm 0.13.1, its last release, was written for an Arrow that listed the pieces of a data set and brought file
systems of its own (`pyarrow.filesystem`, `pyarrow.localfs`, `pyarrow.hdfs`), which pyarrow 15 and 16 removed, and for
two names that numpy 2.0 removed. Where they are missing, Petastorm's modules are given stand-ins under the names that
they use themselves: nobody else's pyarrow or numpy changes. With pyarrow 14 and numpy 1 nothing is done.

What the stand-ins lack says so: data sets in folders `name=value`, and Arrow's `filters`. Petastorm's pool of processes
starts interpreters that have not imported this module, and therefore works with pyarrow 14 only.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from types import ModuleType
from typing import Any, Final

import numpy as np
import pyarrow
import pyarrow.parquet as pq

WITH_ARROW: Final = ("petastorm.fs_utils", "petastorm.hdfs.namenode")
WITH_PARQUET: Final = (
    *("petastorm.reader", "petastorm.arrow_reader_worker", "petastorm.py_dict_reader_worker"),
    *("petastorm.etl.dataset_metadata", "petastorm.etl.rowgroup_indexing", "petastorm.etl.metadata_util"),
    "petastorm.etl.petastorm_generate_metadata",
)
WITH_NUMPY: Final = ("petastorm.unischema", "petastorm.arrow_reader_worker")
NO_DATA: Final = ("_", ".")  # what names of files and folders begin with that hold no rows


class Piece:
    """A Parquet file, or one row group of it, as Arrow's `ParquetDatasetPiece` was."""

    def __init__(
        self,
        path: str,
        open_file_func: Callable[..., Any] = open,
        row_group: int | None = None,
        partition_keys: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.path, self.row_group, self.partition_keys = path, row_group, partition_keys
        self._open = open_file_func

    def get_metadata(self) -> pq.FileMetaData:
        """The file's footer."""
        with self._open(self.path, "rb") as file:
            return pq.read_metadata(file)

    def read(self, columns: Collection[str] | None = None, partitions: object = None) -> pyarrow.Table:
        """Its rows, columns in the order of the file."""
        with self._open(self.path, "rb") as opened:
            file = pq.ParquetFile(opened)
            names = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
            return file.read(names) if self.row_group is None else file.read_row_group(self.row_group, names)


class Dataset:
    """Files, or all files of a folder, as Arrow's `ParquetDataset` was.

    Args:
        path_or_paths: a folder, a file or files.
        filesystem: fsspec's.
        filters: none.
        ignored: what said how Arrow should look, not what it should find.

    Raises:
        NotImplementedError: there are filters, or folders that stand for the value of a column.
    """

    partitions = None

    def __init__(self, path_or_paths: Any, filesystem: Any = None, filters: object = None, **ignored: Any) -> None:
        if filters is not None:
            raise NotImplementedError("filters need a data set in folders name=value: pyarrow 14 reads these")
        self.fs = filesystem or _local()
        self.paths = path_or_paths
        self.metadata_path = self.common_metadata_path = None
        names = [path_or_paths] if isinstance(path_or_paths, str) else list(path_or_paths)
        if isinstance(path_or_paths, str) and self.fs.isdir(path_or_paths):
            self.metadata_path = self._existing(f"{path_or_paths}/_metadata")
            self.common_metadata_path = self._existing(f"{path_or_paths}/_common_metadata")
            names = [name for name in sorted(self.fs.find(path_or_paths)) if self._has_rows(name)]
        self.pieces = [Piece(name, self.fs.open) for name in names]
        self.metadata = self._footer(self.metadata_path)
        self.common_metadata = self._footer(self.common_metadata_path)

    def _has_rows(self, name: str) -> bool:
        parts = os.path.relpath(name, self.paths).split("/")
        if any("=" in part for part in parts[:-1]):
            raise NotImplementedError(f"{name} stands in a folder name=value: pyarrow 14 reads these")
        return not any(part.startswith(NO_DATA) for part in parts) and not name.endswith(".crc")

    def _existing(self, name: str) -> str | None:
        return name if self.fs.exists(name) else None

    def _footer(self, name: str | None) -> pq.FileMetaData | None:
        return None if name is None else Piece(name, self.fs.open).get_metadata()


class HadoopMethods:
    """Names of the methods that Petastorm's client of two name nodes forwards to the one that answers."""

    def open(self, path: str, mode: str = "rb") -> Any:
        """Open a file."""
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        """Whether it exists."""
        raise NotImplementedError

    def isdir(self, path: str) -> bool:
        """Whether it is a folder."""
        raise NotImplementedError

    def find(self, path: str) -> list[str]:
        """All files below a folder."""
        raise NotImplementedError


def _local() -> Any:
    return importlib.import_module("fsspec.implementations.local").LocalFileSystem()


def _connect(host: str, port: int, user: str | None = None) -> Any:
    """HDFS through fsspec, which needs libhdfs."""
    return importlib.import_module("fsspec.implementations.arrow").HadoopFileSystem(host, port, user=user)


def _module(name: str, base: ModuleType | None = None, **names: Any) -> ModuleType:
    """A module of some names, and of those of another."""
    made = ModuleType(name)
    made.__dict__.update(names)
    if base is not None:
        made.__dict__["__getattr__"] = lambda wanted: getattr(base, wanted)
    return made


@contextlib.contextmanager
def _found(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Let `import` find these, for a while."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)


def _replace(modules: Sequence[str], name: str, stand_in: ModuleType) -> None:
    for module in modules:
        setattr(importlib.import_module(module), name, stand_in)


def install() -> None:
    """Make Petastorm importable, and its modules use the stand-ins for what is missing."""
    if importlib.util.find_spec("pyarrow.filesystem") is None:
        local = importlib.import_module("fsspec.implementations.local").LocalFileSystem
        hdfs = _module("pyarrow.hdfs", HadoopFileSystem=HadoopMethods, connect=_connect)
        files = _module("pyarrow.filesystem", LocalFileSystem=local)
        with _found({"pyarrow.filesystem": files, "pyarrow.hdfs": hdfs}):
            importlib.import_module("petastorm")
            _replace(WITH_ARROW, "pyarrow", _module("pyarrow", pyarrow, localfs=local(), hdfs=hdfs))
            _replace(
                WITH_PARQUET,
                "pq",
                _module("pyarrow.parquet", pq, ParquetDataset=Dataset, ParquetDatasetPiece=Piece),
            )
    if not hasattr(np, "unicode_"):
        _replace(WITH_NUMPY, "np", _module("numpy", np, unicode_=np.str_, string_=np.bytes_))


install()

# After the stand-ins, and for the whole room: whoever takes these from here cannot come too early.
from petastorm.arrow_reader_worker import ArrowReaderWorker  # noqa: E402
from petastorm.codecs import NdarrayCodec, ScalarCodec  # noqa: E402
from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY  # noqa: E402
from petastorm.fs_utils import FilesystemResolver  # noqa: E402
from petastorm.reader import Reader, make_batch_reader, make_reader  # noqa: E402
from petastorm.unischema import Unischema, UnischemaField  # noqa: E402
from petastorm.workers_pool.thread_pool import ThreadPool  # noqa: E402

# What a file system of ours inherits from, so that Petastorm takes it: Arrow's own where it has one.
FileSystem: Any = object
if importlib.util.find_spec("pyarrow.filesystem") is not None:
    FileSystem = importlib.import_module("pyarrow.filesystem").FileSystem

__all__ = [
    "ROW_GROUPS_PER_FILE_KEY",
    "UNISCHEMA_KEY",
    "ArrowReaderWorker",
    "FileSystem",
    "FilesystemResolver",
    "NdarrayCodec",
    "Reader",
    "ScalarCodec",
    "ThreadPool",
    "Unischema",
    "UnischemaField",
    "make_batch_reader",
    "make_reader",
]
