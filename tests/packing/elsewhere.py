"""Data sets that lie on no disk of this machine: what must hold of them, wherever they lie."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pytest
import torch

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing import pack as packing
from ipdsf_spark.packing.local_copy import local_copy
from ipdsf_spark.packing.manifest import CUBES_FOLDER, ENHANCEMENT_FILE, MANIFEST_FILE, SALT_FILE
from ipdsf_spark.packing.pack import parameters_of
from ipdsf_spark.packing.reading import RowGroups
from ipdsf_spark.packing.reference import place_of, reference_of
from ipdsf_spark.packing.volumes import Packed, Reading, Wanted, packed_cubes
from ipdsf_spark.storage import lock
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location
from tests.conftest import PackedChest, run_ipdsf

NAMES = ("train-1", "train-2", "test-1")
SMALL = ("width=4", "discriminator_width=4", "halvings=2", "precision=fp32")

Store = Callable[[Iterator[pa.RecordBatch], Location, int, Config], None]
"""Writes what a task has made: batches, the staging folder of the cubes, number of the task."""


class Killed(BaseException):
    """The process is no more: whoever catches this can do nothing either."""


class Mortal(Protocol):
    """The client of a process that is killed at a certain change of what it reaches."""

    changes: int


def put(files: Files, measured: Location, packed_chest: PackedChest) -> None:
    """The volumes of the packed chest."""
    for volume in packed_chest.volumes.glob("*.nii.gz"):
        files.write(measured / volume.name, volume.read_bytes())


def small(*settings: str) -> list[str]:
    return [word for each in (*SMALL, *settings) for word in ("--set", f"training.{each}")]


def require_like_on_a_disk(
    files: Files,
    array: str,
    measured: Location,
    packed_chest: PackedChest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Packed from there to there, rebuilt, exported, trained on; volumes by URL generated and judged.

    Args:
        files: client.
        array: the setting of the storage array, which is empty.
        measured: where the volumes of the packed chest lie.
        packed_chest: the same on a disk.
        tmp_path: for models and copies.
        capsys: of the test.
    """
    config = load(overrides=[array])
    train, test = [str(measured / f"{name}.nii.gz") for name in NAMES[:2]], str(measured / f"{NAMES[2]}.nii.gz")

    packed = run_ipdsf("ct", "pack", "--name", "chest", "--train", *train, "--test", test, "--as", *NAMES,
                       "--set", array, "--json")  # fmt: skip
    facts = json.loads(packed.stdout)
    assert (facts["train"], facts["test"]) == (["train-1", "train-2"], ["test-1"])
    on_disk = load(overrides=packed_chest.settings[1::2])
    copies = [
        CubeSet.load(local_copy(reference_of(each, "chest"), tmp_path / f"cache-{number}"))
        for number, each in enumerate((config, on_disk))
    ]
    found, reference = ({key: copy.take(np.array([n]))[0] for n, key in enumerate(copy.keys)} for copy in copies)
    assert found.keys() == reference.keys()
    assert all(np.array_equal(found[key], reference[key]) for key in reference)
    assert files.folders(place_of(config, "chest")) == ["cubes", "studies"]  # nothing is left of the packing

    place = place_of(config, "chest") / MANIFEST_FILE
    before = json.loads(files.read(place))
    files.delete(place)
    assert main(["ct", "pack", "--name", "chest", "--rebuild-manifest", "--set", array]) == 0  # no session is begun
    assert json.loads(files.read(place)) == before

    assert main(["ct", "export", "--name", "chest", "-o", str(tmp_path / "exported"), "--set", array]) == 0
    assert len(CubeSet.load(tmp_path / "exported")) == len(copies[0])

    trained = run_ipdsf("ct", "train", "--name", "chest", "--task", "denoise", "-o", tmp_path / "model", "--samples",
                        "16", "--threads", "1", "--json", *small("batch=4", "feed=shards"), "--set", array)  # fmt: skip
    assert json.loads(trained.stdout)["samples"] == 16
    run_ipdsf("ct", "generate", test, "--model", tmp_path / "model", "-o", tmp_path / "out.nii.gz", "--set", array)
    assert (tmp_path / "out.nii.gz").stat().st_size > 10_000

    judged = ["ct", "evaluate", "--model", str(tmp_path / "model"), "--slices", "8", "--json", "--set", array]
    capsys.readouterr()
    assert main([*judged, test]) == 0
    by_url = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*judged, str(packed_chest.volumes / "test-1.nii.gz")]) == 0
    by_path = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each | {"seconds": 0} for each in by_url] == [each | {"seconds": 0} for each in by_path]
    assert main([*judged, train[0]]) == 1  # by its content, which is not another because it came from elsewhere
    assert "on which the model was trained" in capsys.readouterr().err


def require_read_by_two_workers(
    files: Files, array: str, packed_chest: PackedChest, tmp_path: Path, *, feed: str
) -> None:
    """Two Horovod processes learn from it what they learn from the same on a disk, to the last bit."""
    config, name = load(overrides=packed_chest.settings[1::2]), packed_chest.name
    there = place_of(config, name).path
    assert there is not None
    for file in filter(Path.is_file, there.rglob("*")):
        files.write(place_of(load(overrides=[array]), name) / str(file.relative_to(there)), file.read_bytes())
    common = ["--task", "denoise", "--workers", "2", "--samples", "8", "--threads", "1", "--device", "cpu", "--json"]
    common += small("batch=2", f"feed={feed}", "validation_share=0")

    states = []
    cache_there = ["--set", f"training.cache_directory={tmp_path / 'cache'}"]
    for number, where in enumerate((["--set", array, *cache_there], packed_chest.settings)):
        folder = tmp_path / str(number)
        ended = run_ipdsf("ct", "train", "--name", name, "-o", folder, *common, *where)
        facts = json.loads(ended.stdout)
        assert (facts["samples"], facts["workers"]) == (8, 2)
        states.append(torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["generator"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


@cache
def cubes_of(one: Wanted, task: int) -> list[Any]:
    """What a task makes of a volume, which is packed again and again."""
    return list(packed_cubes(one, task, parameters_of(load()), 0.0))


def require_completed_after_any_kill(
    files: Files,
    array: str,
    packed_chest: PackedChest,
    monkeypatch: pytest.MonkeyPatch,
    *,
    store: Store,
    mortal: Callable[[int], AbstractContextManager[Mortal]],
) -> None:
    """A packing that is killed at any of its changes loses nothing, and the next one completes it.

    Args:
        files: client.
        array: the setting of the storage array.
        packed_chest: whose first volume is packed.
        monkeypatch: of the test.
        store: how a task writes its cubes; the Spark job is run in this process, task after task.
        mortal: while it lasts, the client is killed at its change of that number.
    """

    def write_without_spark(_spark: object, config: Config, wanted: list[Wanted], test_share: float, reading: Reading,
                            staging: Location, _progress: object) -> list[Packed]:  # fmt: skip
        reports = []
        for task, one in enumerate(wanted):
            found = cubes_of(one, task)
            reports += [item for item in found if isinstance(item, Packed)]
            batches = (item for item in found if isinstance(item, pa.RecordBatch))
            store(batches, staging / CUBES_FOLDER, task, config)
        return reports

    monkeypatch.setattr(packing, "_write", write_without_spark)
    dead = {"host": socket.gethostname(), "pid": os.getpid(), "began": "1"}
    monkeypatch.setattr(lock, "_me", lambda doing: json.dumps({**dead, "doing": doing}).encode())
    config = load(overrides=[array])

    def pack(name: str) -> None:
        wanted = packing.wanted_volumes([str(packed_chest.volumes / "train-1.nii.gz")], [], [], ("train-1",))
        packing.pack(None, config, name, wanted)  # type: ignore[arg-type]

    for number in range(1, 60):
        name = f"killed-{number}"
        with mortal(number) as process, contextlib.suppress(Killed):
            pack(name)
        if process.changes < number:
            break
        try:
            found = reference_of(config, name)
            assert sum(RowGroups.of(found.files).rows) == found.num_cubes
        except InputError as error:
            assert "ipdsf ct pack" in str(error)  # makes it, completes it, or begins it again
        pack(name)
        place, studies = place_of(config, name), reference_of(config, name).manifest.studies
        assert set(studies) == {"train-1"}
        assert files.folders(place) == ["cubes", "studies"]
        assert set(files.files(place / CUBES_FOLDER)) == {"_common_metadata", *(s.file for s in studies.values())}
        assert set(files.files(place)) == {MANIFEST_FILE, ENHANCEMENT_FILE, SALT_FILE}
    assert number > 10
