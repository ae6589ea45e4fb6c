"""A generating that is killed at any moment: under its name lies what was there before, or the whole new volume."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ipdsf_spark.ct.dicom_writing import write_dicom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.volume import Grid
from ipdsf_spark.ct.writing import write_nifti

Chest = NDArray[np.int16]
Write = Callable[[Path, Iterator[NDArray[Any]]], object]
MADE = Provenance("denoise", datetime(2026, 1, 2, tzinfo=UTC), model="a" * 64, enhancement="b" * 64, source="study-1")
GRID = Grid((6, 16, 20), (2.5, 0.7, 0.8))


def nifti(path: Path, slabs: Iterator[NDArray[Any]]) -> object:
    return write_nifti(path / "made.nii", GRID, slabs, MADE)


def packed(path: Path, slabs: Iterator[NDArray[Any]]) -> object:
    return write_nifti(path / "made.nii.gz", GRID, slabs, MADE)


def series(path: Path, slabs: Iterator[NDArray[Any]]) -> object:
    return write_dicom(path / "made", GRID, slabs, MADE)


def killed_at(number: int, write: Write, folder: Path, hu: Chest) -> int:
    """Write in a process that is killed at its `number`-th moment: before a slab, before or after a change of files."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    moments = 0

    def moment() -> None:
        nonlocal moments
        moments += 1
        if moments == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            moment()
            done = real(*given, **named)
            moment()
            return done

        return call

    def slabs() -> Iterator[NDArray[Any]]:
        for slab in hu:
            moment()
            yield slab[None]

    try:
        for owner, name in ((os, "replace"), (os, "rename"), (os, "mkdir"), (Path, "open"), (Dataset, "save_as")):
            setattr(owner, name, around(getattr(owner, name)))
        write(folder, slabs())
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize(("write", "name"), [(nifti, "made.nii"), (packed, "made.nii.gz"), (series, "made")])
def test_a_generating_killed_at_any_moment_leaves_the_old_volume_or_the_whole_new_one(
    chest: Chest, tmp_path: Path, write: Write, name: str
) -> None:
    old = chest[::-1].copy()
    kills = 0
    for number in range(1, 100):
        folder = tmp_path / str(number)
        folder.mkdir()
        if write is not series:  # which goes into a new folder
            write(folder, iter([old]))
        ended = killed_at(number, write, folder, chest)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
        kills += 1
        named = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if write is series and not named:
            write(folder, iter([chest]))  # what is left of the first does not stand in the way
        else:
            assert named == [folder / name]
            found = read_volume(folder / name).hu
            assert np.array_equal(found, chest) or np.array_equal(found, old)
        if write is not series:
            write(folder, iter([chest]))
        np.testing.assert_array_equal(read_volume(folder / name).hu, chest)

    assert kills >= 10
