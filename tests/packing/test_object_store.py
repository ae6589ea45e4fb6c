"""From volumes in a bucket to a data set in a bucket, to a model, to a volume: nothing of it on a mounted disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.config import load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.packing.local_copy import local_copy
from ipdsf_spark.packing.manifest import MANIFEST_FILE
from ipdsf_spark.packing.reference import place_of, reference_of
from ipdsf_spark.storage.location import location_of
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
    store: ObjectFiles, packed_chest: PackedChest, tmp_path: Path
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
