"""From volumes in a bucket to a data set in a bucket, to a model, to a volume: nothing of it on a mounted disk."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

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
from ipdsf_spark.packing.stored import store_part
from ipdsf_spark.packing.volumes import Packed, Reading, Wanted, packed_cubes
from ipdsf_spark.storage import lock, object_store
from ipdsf_spark.storage.location import Location, location_of
from ipdsf_spark.storage.object_store import ObjectFiles
from tests.conftest import PackedChest, run_ipdsf
from tests.object_store import serving

ARRAY = "storage.root=s3a://array/ipdsf"
MEASURED = "s3a://measured/chests of 2026"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, packed_chest: PackedChest) -> Iterator[ObjectFiles]:
    """With the volumes of the packed chest in one bucket, and another one for the storage array."""
    with serving(monkeypatch, "array", "measured"):
        files = ObjectFiles()
        for volume in packed_chest.volumes.glob("*.nii.gz"):
            files.write(location_of(MEASURED, volume.name), volume.read_bytes())
        yield files


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.training
def test_a_data_set_in_a_bucket_is_that_on_a_disk_and_is_trained_on_and_rebuilt(
    store: ObjectFiles, packed_chest: PackedChest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(overrides=[ARRAY])
    names = ("train-1", "train-2", "test-1")
    train, test = [f"{MEASURED}/{name}.nii.gz" for name in names[:2]], f"{MEASURED}/{names[2]}.nii.gz"

    packed = run_ipdsf("ct", "pack", "--name", "chest", "--train", *train, "--test", test, "--as", *names,
                       "--set", ARRAY, "--json")  # fmt: skip
    facts = json.loads(packed.stdout)
    assert (facts["train"], facts["test"]) == (["train-1", "train-2"], ["test-1"])
    on_disk = load(overrides=packed_chest.settings[1::2])
    copies = [
        CubeSet.load(local_copy(reference_of(each, "chest"), tmp_path / f"cache-{number}"))
        for number, each in enumerate((config, on_disk))
    ]
    in_bucket, reference = ({key: copy.take(np.array([n]))[0] for n, key in enumerate(copy.keys)} for copy in copies)
    assert in_bucket.keys() == reference.keys()
    assert all(np.array_equal(in_bucket[key], reference[key]) for key in reference)
    assert store.folders(place_of(config, "chest")) == ["cubes", "studies"]  # nothing is left of the packing

    place = place_of(config, "chest") / MANIFEST_FILE
    before = json.loads(store.read(place))
    store.delete(place)
    run_ipdsf("ct", "pack", "--name", "chest", "--rebuild-manifest", "--set", ARRAY)
    assert json.loads(store.read(place)) == before

    small = [f"training.{key}" for key in ("width=4", "discriminator_width=4", "halvings=2", "batch=4", "feed=shards")]
    overrides = [word for each in (ARRAY, *small) for word in ("--set", each)]
    trained = run_ipdsf("ct", "train", "--name", "chest", "--task", "denoise", "-o", tmp_path / "model",
                        "--samples", "16", "--threads", "1", "--json", *overrides)  # fmt: skip
    assert json.loads(trained.stdout)["samples"] == 16
    run_ipdsf("ct", "generate", test, "--model", tmp_path / "model", "-o", tmp_path / "out.nii.gz", "--set", ARRAY)
    assert (tmp_path / "out.nii.gz").stat().st_size > 10_000

    judged = ["ct", "evaluate", "--model", str(tmp_path / "model"), "--slices", "8", "--json", "--set", ARRAY]
    assert main([*judged, test]) == 0
    by_url = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*judged, str(packed_chest.volumes / "test-1.nii.gz")]) == 0
    by_path = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each | {"seconds": 0} for each in by_url] == [each | {"seconds": 0} for each in by_path]
    assert main([*judged, train[0]]) == 1  # by its content, which is not another because it came from a bucket
    assert "on which the model was trained" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.training
def test_two_workers_read_a_data_set_in_a_bucket_as_they_read_it_on_a_disk(
    store: ObjectFiles, packed_chest: PackedChest, tmp_path: Path
) -> None:
    config, name = load(overrides=packed_chest.settings[1::2]), packed_chest.name
    there = place_of(config, name).path
    assert there is not None
    for file in filter(Path.is_file, there.rglob("*")):
        store.write(place_of(load(overrides=[ARRAY]), name) / str(file.relative_to(there)), file.read_bytes())
    small = (
        "width=4",
        "discriminator_width=4",
        "halvings=2",
        "batch=2",
        "feed=shards",
        "precision=fp32",
        "validation_share=0",
    )
    common = ["--task", "denoise", "--workers", "2", "--samples", "8", "--threads", "1", "--device", "cpu", "--json"]
    overrides = [word for each in small for word in ("--set", f"training.{each}")]

    states = []
    for number, where in enumerate((["--set", ARRAY], packed_chest.settings)):
        folder = tmp_path / str(number)
        ended = run_ipdsf("ct", "train", "--name", name, "-o", folder, *common, *overrides, *where)
        facts = json.loads(ended.stdout)
        assert (facts["samples"], facts["workers"]) == (8, 2)
        states.append(torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["generator"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


class Killed(BaseException):
    """The process is no more: whoever catches this can do nothing either."""


class MortalStore:
    """pyarrow's file system of a process that is killed at its `number`-th change of the store."""

    def __init__(self, store: Any, number: int) -> None:
        self.store, self.number, self.changes = store, number, 0

    def __getattr__(self, name: str) -> Any:
        if self.changes >= self.number:
            raise Killed
        if name in ("open_output_stream", "copy_file", "delete_file", "delete_dir"):
            self.changes += 1
            if self.changes >= self.number:
                raise Killed
        return getattr(self.store, name)


@cache
def cubes_of(one: Wanted, task: int) -> list[Any]:
    """What a task makes of a volume, which is packed again and again."""
    return list(packed_cubes(one, task, parameters_of(load()), 0.0))


def write_without_spark(_spark: object, config: Config, wanted: list[Wanted], test_share: float, reading: Reading,
                        staging: Location, _progress: object) -> list[Packed]:  # fmt: skip
    """What the Spark job does, task after task in this process."""
    reports = []
    for task, one in enumerate(wanted):
        found = cubes_of(one, task)
        reports += [item for item in found if isinstance(item, Packed)]
        batches = (item for item in found if isinstance(item, pa.RecordBatch))
        store_part(batches, staging / CUBES_FOLDER, task, 32, config.packing)
    return reports


@pytest.mark.training
def test_a_packing_killed_at_any_change_of_a_bucket_loses_nothing_and_is_completed_by_the_next(
    store: ObjectFiles, packed_chest: PackedChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_write", write_without_spark)
    dead = {"host": socket.gethostname(), "pid": os.getpid(), "began": "1"}
    monkeypatch.setattr(lock, "_me", lambda doing: json.dumps({**dead, "doing": doing}).encode())
    config, real = load(overrides=[ARRAY]), object_store.filesystem()

    def pack(name: str) -> None:
        wanted = packing.wanted_volumes([str(packed_chest.volumes / "train-1.nii.gz")], [], [], ("train-1",))
        packing.pack(None, config, name, wanted)  # type: ignore[arg-type]

    for number in range(1, 60):
        name, mortal = f"killed-{number}", MortalStore(real, number)
        with monkeypatch.context() as patch:
            patch.setattr(object_store, "filesystem", lambda mortal=mortal: mortal)
            with contextlib.suppress(Killed):
                pack(name)
        if mortal.changes < number:
            break
        try:
            found = reference_of(config, name)
            assert sum(RowGroups.of(found.files).rows) == found.num_cubes
        except InputError as error:
            assert "ipdsf ct pack" in str(error)  # makes it, completes it, or begins it again
        pack(name)
        place, studies = place_of(config, name), reference_of(config, name).manifest.studies
        assert set(studies) == {"train-1"}
        assert store.folders(place) == ["cubes", "studies"]
        assert set(store.files(place / CUBES_FOLDER)) == {"_common_metadata", *(s.file for s in studies.values())}
        assert set(store.files(place)) == {MANIFEST_FILE, ENHANCEMENT_FILE, SALT_FILE}
    assert number > 10
