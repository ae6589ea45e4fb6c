"""From a Petastorm data set to numpy files on the machine that trains.

Row groups are read through Petastorm, in shards where several processes read, and laid down as a `CubeSet`, which every
worker of the machine then reads in any order. It is kept: the next training on the same data starts at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from petastorm import make_batch_reader

from ipdsf_spark.ct.cube_set import SET_FILE, ShardWriter, publish
from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import CUBES_FOLDER, Manifest

COLUMNS: Final = ["study", "z", "y", "x", "cube"]
NPY_MAGIC: Final = b"\x93NUMPY\x01\x00"


@dataclass(frozen=True)
class DatasetReference:
    """All a worker needs to read a data set: plain values, found by the driver."""

    url: str  # of the data set's folder
    manifest: Manifest
    enhancement: Enhancement
    split: str = "train"

    @property
    def file_urls(self) -> list[str]:
        """Parquet files of the split."""
        return [f"{self.url}/{CUBES_FOLDER}/{study.file}" for study in self.manifest.of_split(self.split)]

    @property
    def num_cubes(self) -> int:
        """Cubes of the split."""
        return sum(study.num_cubes for study in self.manifest.of_split(self.split))

    def folder_in(self, cache: Path) -> Path:
        """Where the local copy lies: another one for every state of the data set."""
        return cache / f"{self.manifest.name}-{self.split}-{self.manifest.sha256[:16]}"


def cube_batches(
    urls: Sequence[str], size: int, *, shard: int = 0, num_shards: int = 1, readers: int = 2
) -> Iterator[tuple[NDArray[np.int16], list[CubeKey]]]:
    """Cubes (B, S, S, S) and keys of a shard of the row groups, a row group at a time, through Petastorm.

    Args:
        urls: of Parquet files.
        size: edge of the cubes.
        shard: which part of the row groups.
        num_shards: of how many parts.
        readers: threads that read ahead.

    Raises:
        InputError: a cube has another shape or type.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Petastorm's use of pyarrow's older interface
        reader = make_batch_reader(
            list(urls),
            schema_fields=COLUMNS,
            reader_pool_type="thread",
            workers_count=readers,
            results_queue_size=4 * readers,
            shuffle_row_groups=False,
            num_epochs=1,
            cur_shard=shard if num_shards > 1 else None,
            shard_count=num_shards if num_shards > 1 else None,
        )
        try:
            for rows in reader:
                keys = [
                    CubeKey(str(study), int(z), int(y), int(x))
                    for study, z, y, x in zip(rows.study, rows.z, rows.y, rows.x, strict=True)
                ]
                yield _decoded(rows.cube, size), keys
        finally:
            with contextlib.redirect_stdout(sys.stderr):  # Petastorm prints that it cleans up
                reader.stop()
                reader.join()


def local_copy(
    reference: DatasetReference, cache: Path, *, on_progress: Callable[[int], None] = lambda cubes: None
) -> Path:
    """The folder with a split on this machine, copied if it is not there yet.

    The first process of a machine copies, the others wait for it and find the copy whole; no worker has to know of
    another, so that workers may come later.

    Args:
        reference: the data set.
        cache: where copies lie.
        on_progress: told the number of cubes of every row group read.

    Raises:
        InputError: the data set holds other cubes than its manifest says, or the disk is full.
    """
    folder = reference.folder_in(cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / SET_FILE).is_file():
                _copy(reference, folder, on_progress)
    except OSError as error:
        raise InputError(f"cannot copy cubes to {folder}: {error.strerror or error}") from error
    _forget_older(folder, f"{reference.manifest.name}-{reference.split}-")
    return folder


def export(
    reference: DatasetReference, folder: Path, *, on_progress: Callable[[int], None] = lambda cubes: None
) -> int:
    """Copy a split into a folder for a machine that has neither Spark nor Petastorm; returns the number of cubes."""
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: name a new folder")
    return _copy(reference, folder, on_progress)


def _copy(reference: DatasetReference, folder: Path, on_progress: Callable[[int], None]) -> int:
    size = reference.manifest.parameters.cube_size
    writer = ShardWriter(folder, 0)
    for cubes, keys in cube_batches(reference.file_urls, size):
        writer.add(cubes, keys)
        on_progress(len(keys))
    found, announced = writer.finish(), reference.num_cubes
    if found != announced:
        raise InputError(f"data set {reference.manifest.name!r} holds {found} cubes, its manifest says {announced}")
    facts = {"dataset": reference.manifest.name, "split": reference.split, "sha256": reference.manifest.sha256}
    publish(folder, reference.enhancement, size=size, shards=1, facts=facts)
    return found


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


def _forget_older(folder: Path, prefix: str) -> None:
    """Remove copies of earlier states of the data set: they are never read again."""
    for other in folder.parent.glob(f"{prefix}*"):
        if other != folder and other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
