"""Cubes as numpy files: what every worker reads while it trains, and all that a machine without Petastorm needs.

    set.json          format, edge, number of files, and what else is known about the data set
    enhancement.json  the contrast enhancement fitted with it
    cubes-0.raw …     (N, S, S, S) int16 HU, little-endian, one file per process that wrote them, memory-mapped
    keys-0.json …     their keys [study, z, y, x]

Written by `packing.local_copy` from a Petastorm data set. Any cube is found in a microsecond, so an epoch is one random
order over all patients, and a resumed training starts where it stopped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.errors import InputError

FORMAT: Final = "ipdsf-cubes/1"
SET_FILE: Final = "set.json"
ENHANCEMENT_FILE: Final = "enhancement.json"
OWN_FILES: Final = re.compile(r"set\.json|enhancement\.json|(cubes-\d+\.raw|keys-\d+\.json)|\..+\.part")


def is_file_of_set(name: str) -> bool:
    """Whether a file of a set, or one that was not finished, is called so."""
    return OWN_FILES.fullmatch(name) is not None


@dataclass(frozen=True)
class CubeSet:
    """Cubes of HU with their keys, in the order of the keys whatever files they lie in."""

    keys: tuple[CubeKey, ...]
    size: int
    enhancement: Enhancement
    manifest: dict[str, Any]
    _files: tuple[NDArray[np.int16], ...]
    _places: NDArray[np.int64]  # (N, 2): file, row

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.int16]:
        """(B, S, S, S) HU of cubes by number."""
        cubes = np.empty((len(indices), self.size, self.size, self.size), np.int16)
        for row, index in enumerate(indices):
            file, place = self._places[index]
            cubes[row] = self._files[file][place]
        return cubes

    @classmethod
    def of_arrays(
        cls,
        files: Sequence[tuple[NDArray[np.int16], Sequence[CubeKey]]],
        enhancement: Enhancement,
        manifest: dict[str, Any] | None = None,
    ) -> CubeSet:
        """Of arrays (N, S, S, S) and their keys.

        Raises:
            InputError: cubes are not cubes, are fewer or more than their keys, or come twice.
        """
        if not any(len(keys) for _, keys in files):
            raise InputError("no cubes to train on")
        size = files[0][0].shape[-1]
        for cubes, keys in files:
            if cubes.ndim != 4 or cubes.shape[1:] != (size,) * 3 or cubes.dtype != np.int16:
                raise InputError(f"expected int16 cubes (N, {size}, {size}, {size}), got {cubes.dtype} {cubes.shape}")
            if len(cubes) != len(keys):
                raise InputError(f"{len(cubes)} cubes and {len(keys)} keys")
        placed = sorted((key, f, row) for f, (_, keys) in enumerate(files) for row, key in enumerate(keys))
        keys = tuple(key for key, _, _ in placed)
        if len(set(keys)) != len(keys):
            raise InputError("cubes come twice: shards overlap")
        places = np.array([(f, row) for _, f, row in placed], np.int64)
        return cls(keys, size, enhancement, manifest or {}, tuple(cubes for cubes, _ in files), places)

    @classmethod
    def load(cls, folder: Path) -> CubeSet:
        """Open a folder of cubes; nothing is read into memory.

        Raises:
            InputError: the folder holds no whole set.
        """
        manifest, files, enhancement = _opened(folder)
        return cls.of_arrays(files, enhancement, manifest)


class ShardWriter:
    """Writes one file of a set, cube by cube; what is not finished is not there.

    Args:
        folder: of the set.
        number: of the file.
    """

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._number = folder, number
        self._part = folder / f".cubes-{number}.raw.part"
        self._file = self._part.open("wb")
        self._keys: list[CubeKey] = []

    def add(self, cubes: NDArray[np.int16], keys: Sequence[CubeKey]) -> None:
        """Append (B, S, S, S) and their keys."""
        self._file.write(np.ascontiguousarray(cubes, "<i2").data)
        self._keys += keys

    def finish(self) -> int:
        """Put the file in its place; returns how many cubes it holds."""
        self._file.close()
        keys = self._folder / f"keys-{self._number}.json"
        keys.write_text(json.dumps([list(key) for key in self._keys]), encoding="utf-8")
        self._part.replace(self._folder / f"cubes-{self._number}.raw")
        return len(self._keys)


def publish(folder: Path, enhancement: Enhancement, *, size: int, shards: int, facts: dict[str, Any]) -> None:
    """Declare a set whole: only now can it be loaded."""
    enhancement.save(folder / ENHANCEMENT_FILE)
    part = folder / f".{SET_FILE}.part"
    part.write_text(
        json.dumps({"format": FORMAT, "cube_size": size, "shards": shards, **facts}, indent=1) + "\n", "utf-8"
    )
    part.replace(folder / SET_FILE)


def is_whole_set(folder: Path) -> bool:
    """Whether a set was declared whole and has all its files still, each of its right length."""
    try:
        _opened(folder)
    except InputError:
        return False
    return True


def _opened(folder: Path) -> tuple[dict[str, Any], list[tuple[NDArray[np.int16], list[CubeKey]]], Enhancement]:
    """What a folder of cubes says of itself, its files, and the enhancement."""
    try:
        manifest = json.loads((folder / SET_FILE).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise InputError(f"{folder} holds cubes of format {manifest['format']!r}; this version reads {FORMAT}")
        files = [_shard(folder, number, int(manifest["cube_size"])) for number in range(int(manifest["shards"]))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} holds no whole set of cubes ({error}); `ipdsf ct export` writes one") from error
    return manifest, files, Enhancement.load(folder / ENHANCEMENT_FILE)


def _shard(folder: Path, number: int, size: int) -> tuple[NDArray[np.int16], list[CubeKey]]:
    stored = json.loads((folder / f"keys-{number}.json").read_text(encoding="utf-8"))
    keys = [CubeKey(str(study), int(z), int(y), int(x)) for study, z, y, x in stored]
    shape = (len(keys), size, size, size)
    if not keys:
        return np.empty(shape, np.int16), keys
    file = folder / f"cubes-{number}.raw"
    if file.stat().st_size != 2 * int(np.prod(shape)):
        raise ValueError(f"{file.name} has {file.stat().st_size} bytes, {2 * int(np.prod(shape))} are right")
    return np.memmap(file, "<i2", mode="r", shape=shape), keys
