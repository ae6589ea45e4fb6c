"""Chests of nobody learnt by real Horovod processes on Spark."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from tests.conftest import PackedChest
from tests.training.conftest import answer_of
from tests.training.test_horovod_on_spark import checkpoint

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow]

TINY = [
    "--set", "training.width=4", "--set", "training.halvings=2", "--set", "training.discriminator_width=4",
    "--set", "training.warm_up_samples=8", "--set", "training.precision=fp64", "--samples", "8", "--threads", "1",
    "--device", "cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def packed_three(spark: None, tmp_path_factory: pytest.TempPathFactory) -> PackedChest:
    """Three phantoms, the fewest from which chests are drawn, packed by the real Spark job."""
    folder = tmp_path_factory.mktemp("three")
    packed = PackedChest(folder / "array", folder)
    provenance = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
    volumes = []
    for seed in range(3):
        phantom = chest_phantom((32, 160, 64), seed=seed, spacing_mm=(8.0, 2.2, 5.6))
        volumes.append(write_volume(folder / f"train-{seed}.nii.gz", phantom.volume, provenance))
    assert main(["ct", "pack", "--name", packed.name, "--train", *map(str, volumes), *packed.settings]) == 0
    return packed


def train(packed: PackedChest, out: Path, *arguments: str) -> dict[str, object]:
    words = ("ct", "train-synthesis", "--name", packed.name, "-o", out, "--json", *TINY, *packed.settings)
    return answer_of(*words, *arguments)


@pytest.mark.long
def test_both_stages_by_two_processes_with_batch_b_are_those_of_one_with_batch_2b(
    packed_three: PackedChest, tmp_path: Path
) -> None:
    two = train(packed_three, tmp_path / "two", "--workers", "2", "--set", "training.batch=2")
    one = train(packed_three, tmp_path / "one", "--set", "training.batch=4")

    assert (two["workers"], one["workers"]) == (2, 0)
    for stage in ("mid", "fine"):
        assert two[stage]["samples"] == one[stage]["samples"] == 8
        found, expected = (checkpoint(tmp_path / name / stage) for name in ("two", "one"))
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, atol=1e-9, rtol=1e-7)
        facts = json.loads((tmp_path / "two" / stage / "model.json").read_text())
        assert (facts["num_workers"], facts["horovod"]) == (2, True)
    for part in ("chests.npz", "guard.npz"):
        with np.load(tmp_path / "two" / part) as a, np.load(tmp_path / "one" / part) as b:
            assert all(np.array_equal(a[key], b[key]) for key in b.files)
    cache = packed_three.storage.parent / "cache"
    assert not [path for path in cache.iterdir() if path.is_dir() and "-mid-" in path.name]  # no training data is left
