"""From volumes in HDFS to a data set in HDFS, to a model, to a volume: a real name node and a real data node."""

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
import pyarrow.parquet as pq
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
from ipdsf_spark.storage import hdfs, lock
from ipdsf_spark.storage.hdfs import HdfsFiles
from ipdsf_spark.storage.location import Location, location_of
from tests.conftest import PackedChest, run_ipdsf
from tests.hadoop import Hadoop, running

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.training]

NAMES = ("train-1", "train-2", "test-1")
SMALL = ("width=4", "discriminator_width=4", "halvings=2", "feed=shards", "precision=fp32")


@pytest.fixture(scope="module")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hadoop]:
    with running(tmp_path_factory.mktemp("hadoop") / "cluster") as cluster:
        yield cluster


@pytest.fixture
def array(hadoop: Hadoop) -> Iterator[str]:
    """The setting of a storage array that begins empty; its folder has a name that nobody may encode or cut."""
    root = location_of(f"{hadoop.url}/array #1 at 50%41 ä")
    yield f"storage.root={root.url}"
    HdfsFiles().delete(root)


def small(batch: int) -> list[str]:
    return [word for each in (*SMALL, f"batch={batch}") for word in ("--set", f"training.{each}")]


@pytest.mark.spark
def test_a_data_set_in_hdfs_is_that_on_a_disk_and_is_rebuilt_exported_and_trained_on(
    hadoop: Hadoop, array: str, packed_chest: PackedChest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, config = HdfsFiles(), load(overrides=[array])
    measured = location_of(f"{hadoop.url}/measured/chests of 2026")
    for volume in packed_chest.volumes.glob("*.nii.gz"):
        files.write(measured / volume.name, volume.read_bytes())
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
    in_hdfs, reference = ({key: copy.take(np.array([n]))[0] for n, key in enumerate(copy.keys)} for copy in copies)
    assert in_hdfs.keys() == reference.keys()
    assert all(np.array_equal(in_hdfs[key], reference[key]) for key in reference)
    assert files.folders(place_of(config, "chest")) == ["cubes", "studies"]  # nothing is left of the packing

    place = place_of(config, "chest") / MANIFEST_FILE
    before = json.loads(files.read(place))
    files.delete(place)
    assert main(["ct", "pack", "--name", "chest", "--rebuild-manifest", "--set", array]) == 0  # no session is begun
    assert json.loads(files.read(place)) == before

    assert main(["ct", "export", "--name", "chest", "-o", str(tmp_path / "exported"), "--set", array]) == 0
    assert len(CubeSet.load(tmp_path / "exported")) == len(copies[0])

    trained = run_ipdsf("ct", "train", "--name", "chest", "--task", "denoise", "-o", tmp_path / "model",
                        "--samples", "16", "--threads", "1", "--json", *small(4), "--set", array)  # fmt: skip
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
    assert main([*judged, train[0]]) == 1  # by its content, which is not another because it came from HDFS
    assert "on which the model was trained" in capsys.readouterr().err


@pytest.mark.spark
@pytest.mark.parametrize("feed", ["shards", "copy"])
def test_two_workers_read_a_data_set_in_hdfs_as_they_read_it_on_a_disk(
    array: str, packed_chest: PackedChest, tmp_path: Path, feed: str
) -> None:
    config, name = load(overrides=packed_chest.settings[1::2]), packed_chest.name
    there = place_of(config, name).path
    assert there is not None
    for file in filter(Path.is_file, there.rglob("*")):
        HdfsFiles().write(place_of(load(overrides=[array]), name) / str(file.relative_to(there)), file.read_bytes())
    common = ["--task", "denoise", "--workers", "2", "--samples", "8", "--threads", "1", "--device", "cpu", "--json"]
    common += [*small(2), "--set", f"training.feed={feed}", "--set", "training.validation_share=0"]

    states = []
    cache = ["--set", f"training.cache_directory={tmp_path / 'cache'}"]
    for number, where in enumerate((["--set", array, *cache], packed_chest.settings)):
        folder = tmp_path / str(number)
        ended = run_ipdsf("ct", "train", "--name", name, "-o", folder, *common, *where)
        facts = json.loads(ended.stdout)
        assert (facts["samples"], facts["workers"]) == (8, 2)
        states.append(torch.load(folder / "checkpoint.pt", weights_only=True)["state"]["generator"])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


class Killed(BaseException):
    """The process is no more: whoever catches this can do nothing either."""


class MortalClient:
    """The client of a process that is killed at its `number`-th change of HDFS: before it, or with a file begun."""

    def __init__(self, client: Any, number: int) -> None:
        self.client, self.number, self.changes = client, number, 0

    def __getattr__(self, name: str) -> Any:
        self._live(change=name in ("create", "rename", "delete", "mkdirs"))
        if name == "create":
            return self._create
        return getattr(self.client, name)

    def _create(self, *told: Any) -> Any:
        stream = self.client.create(*told)
        self._live(change=True)  # or it stays open, and its lease with a process that is no more
        return stream

    def _live(self, *, change: bool) -> None:
        self.changes += change
        if self.changes >= self.number:
            raise Killed


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
        table = pa.Table.from_batches([item for item in found if isinstance(item, pa.RecordBatch)])
        with hdfs.created(staging / CUBES_FOLDER / f"part-{task:05d}-cubes.parquet") as stream:
            pq.write_table(table, stream)
    return reports


def test_a_packing_killed_at_any_change_of_hdfs_loses_nothing_and_is_completed_by_the_next(
    array: str, packed_chest: PackedChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_write", write_without_spark)
    dead = {"host": socket.gethostname(), "pid": os.getpid(), "began": "1"}
    monkeypatch.setattr(lock, "_me", lambda doing: json.dumps({**dead, "doing": doing}).encode())
    config, files = load(overrides=[array]), HdfsFiles()
    real = hdfs.client_of(place_of(config, "any"))

    def pack(name: str) -> None:
        wanted = packing.wanted_volumes([str(packed_chest.volumes / "train-1.nii.gz")], [], [], ("train-1",))
        packing.pack(None, config, name, wanted)  # type: ignore[arg-type]

    for number in range(1, 60):
        name, mortal = f"killed-{number}", MortalClient(real, number)
        with monkeypatch.context() as patch:
            patch.setattr(hdfs, "client_of", lambda place, mortal=mortal: mortal)
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
        assert files.folders(place) == ["cubes", "studies"]
        assert set(files.files(place / CUBES_FOLDER)) == {"_common_metadata", *(s.file for s in studies.values())}
        assert set(files.files(place)) == {MANIFEST_FILE, ENHANCEMENT_FILE, SALT_FILE}
    assert number > 10
