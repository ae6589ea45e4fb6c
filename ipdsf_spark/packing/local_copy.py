"""From a Petastorm data set to numpy files on the machine that trains.

Row groups are read through Petastorm, in shards where several processes read, and laid down as a `CubeSet`, which every
worker of the machine then reads in any order. It is kept: the next training on the same data starts at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipdsf_spark.ct.cube_set import SET_FILE, ShardWriter, is_file_of_set, is_whole_set, publish
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.coarse_cubes import remove_unused
from ipdsf_spark.packing.manifest import CUBES_FOLDER, Manifest
from ipdsf_spark.packing.reading import cube_batches
from ipdsf_spark.storage.location import Location


@dataclass(frozen=True)
class DatasetReference:
    """All a worker needs to read a data set: plain values, found by the driver."""

    place: Location  # the data set's folder
    manifest: Manifest
    enhancement: Enhancement
    split: str = "train"

    @property
    def files(self) -> list[Location]:
        """Parquet files of the split."""
        return [self.place / CUBES_FOLDER / study.file for study in self.manifest.of_split(self.split)]

    @property
    def num_cubes(self) -> int:
        """Cubes of the split."""
        return sum(study.num_cubes for study in self.manifest.of_split(self.split))

    @property
    def facts(self) -> dict[str, Any]:
        """What a set of cubes, and a model trained on it, say of the data: nothing by which a person is named."""
        volumes = [
            {
                "name": s.name,
                "patient": s.patient,
                "content": s.content,
                "slices": list(s.slices),
                "shape": list(s.shape),
                "spacing_mm": list(s.spacing_mm),
            }
            for s in self.manifest.of_split(self.split)
        ]
        return {
            "dataset": self.manifest.name,
            "split": self.split,
            "sha256": self.manifest.sha256,
            "overlap": self.manifest.parameters.overlap,
            "pseudonyms": self.manifest.pseudonyms,
            "volumes": volumes,
        }

    @property
    def source(self) -> str:
        """Hash of where the data set lies: others of its name may lie elsewhere."""
        return hashlib.sha256(self.place.url.encode()).hexdigest()[:16]

    def folder_in(self, cache: Path) -> Path:
        """Where the local copy lies: another one for every state of the data set, and for every place."""
        state = hashlib.sha256(f"{self.source} {self.manifest.sha256}".encode()).hexdigest()[:16]
        return cache / f"{self.manifest.name}-{self.split}-{state}"


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
            if not is_whole_set(folder):  # also one that a cleaner of caches has thinned out
                _copy(reference, folder, on_progress)
    except OSError as error:
        raise InputError(f"cannot copy cubes to {folder}: {error.strerror or error}") from error
    _remove_older(folder, reference)
    remove_unused(cache)
    return folder


def export(
    reference: DatasetReference, folder: Path, *, on_progress: Callable[[int], None] = lambda cubes: None
) -> int:
    """Copy a split into a folder for a machine that has neither Spark nor Petastorm; returns the number of cubes.

    What an export left that was interrupted, or met a full disk, is begun again.

    Raises:
        InputError: the folder holds something else or a whole set, or it cannot be written.
    """
    try:
        if folder.exists() and not _is_begun(folder):
            raise InputError(f"{folder} is {'not empty' if folder.is_dir() else 'a file'}: name a new folder")
        return _copy(reference, folder, on_progress)
    except OSError as error:
        raise InputError(f"cannot write cubes to {folder}: {error.strerror or error}") from error


def _is_begun(folder: Path) -> bool:
    """Whether a folder holds nothing but the beginning of a set."""
    if not folder.is_dir():
        return False
    there = list(folder.iterdir())
    return all(path.name != SET_FILE and is_file_of_set(path.name) and path.is_file() for path in there)


def _copy(reference: DatasetReference, folder: Path, on_progress: Callable[[int], None]) -> int:
    size = reference.manifest.parameters.cube_size
    writer = ShardWriter(folder, 0)
    for cubes, keys in cube_batches(reference.files, size):
        writer.add(cubes, keys)
        on_progress(len(keys))
    found, announced = writer.finish(), reference.num_cubes
    if found != announced:
        raise InputError(f"data set {reference.manifest.name!r} holds {found} cubes, its manifest says {announced}")
    facts = {**reference.facts, "source": reference.source}
    publish(folder, reference.enhancement, size=size, shards=1, facts=facts)
    return found


def _remove_older(folder: Path, reference: DatasetReference) -> None:
    """Remove copies of earlier states of the same data set, and of no other: they are never read again."""
    name = re.compile(rf"{re.escape(reference.manifest.name)}-{reference.split}-[0-9a-f]{{16}}")
    for other in folder.parent.iterdir():
        if other == folder or not name.fullmatch(other.name) or not other.is_dir() or other.is_symlink():
            continue
        with contextlib.suppress(OSError), (folder.parent / f".{other.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody is copying into it
            if _is_copy_of(other, reference):
                shutil.rmtree(other, ignore_errors=True)


def _is_copy_of(folder: Path, reference: DatasetReference) -> bool:
    """Whether a folder holds a copy of this data set, or the beginning of one, and nothing else."""
    if any(not is_file_of_set(path.name) or not path.is_file() for path in folder.iterdir()):
        return False
    try:
        stated = json.loads((folder / SET_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return True  # interrupted: its own training begins it again
    except ValueError:
        return False
    stated = stated if isinstance(stated, dict) else {}
    own = {"dataset": reference.manifest.name, "split": reference.split, "source": reference.source}
    return all(stated.get(key) == value for key, value in own.items())
