"""`ipdsf ct train`, `export`, `generate` and `evaluate`, as a person types them, on a packed phantom."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.reading import read_volume
from tests.conftest import PackedChest, run_ipdsf
from tests.processes import process_group

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow]

TINY = [
    "--set", "training.width=4", "--set", "training.halvings=2", "--set", "training.discriminator_width=4",
    "--threads", "1", "--device", "cpu",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Trained:
    """A data set with a model on its storage array."""

    packed: PackedChest
    model: Path
    answer: dict[str, object]

    @property
    def test_volume(self) -> Path:
        return self.packed.volumes / "test-1.nii.gz"

    @property
    def where(self) -> list[str]:
        return self.packed.settings


@pytest.fixture(scope="module")
def trained(packed_chest: PackedChest) -> Trained:
    ended = run_ipdsf("ct", "train", "--name", "chest", "--task", "denoise", "--samples", "96", "--json", *TINY,
                      *packed_chest.settings)  # fmt: skip
    return Trained(packed_chest, packed_chest.storage / "models" / "chest-denoise", json.loads(ended.stdout))


def error_of(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 1) -> str:
    assert main([*map(str, words)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_model_lies_on_the_storage_array_under_its_data_set_and_task(trained: Trained) -> None:
    assert trained.answer["model"] == str(trained.model)
    assert (trained.answer["samples"], trained.answer["workers"]) == (96, 0)
    assert {p.name for p in trained.model.iterdir()} >= {
        "model.pt",
        "model.json",
        "checkpoint.pt",
        "history.csv",
        "tensorboard",
    }
    facts = json.loads((trained.model / "model.json").read_text())
    assert facts["trained_on"] == ["train-1", "train-2"]
    assert (facts["task"], facts["horovod"], facts["samples"]) == ("denoise", False, 96)


def test_the_same_command_again_has_nothing_left_to_do(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ct", "train", "--name", "chest", "--task", "denoise", "--samples", "96", "--json", *TINY, *trained.where]

    assert main(words) == 0

    assert json.loads(capsys.readouterr().out)["steps"] == trained.answer["steps"]


def test_exported_cubes_train_without_the_data_set(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ct", "export", "--name", "chest", "-o", str(tmp_path / "cubes"), *trained.where]) == 0
    cubes = CubeSet.load(tmp_path / "cubes")
    assert f"{len(cubes)} cubes in" in capsys.readouterr().out

    words = ["ct", "train", "--cubes", str(tmp_path / "cubes"), "--task", "autoencode", "-o", str(tmp_path / "model")]
    assert main([*words, "--samples", "16", "--json", *TINY]) == 0

    assert json.loads(capsys.readouterr().out)["samples"] == 16
    assert {key.study for key in cubes.keys} == {"train-1", "train-2"}


def test_a_generated_volume_lies_where_its_source_lay_and_says_that_it_was_generated(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clean.nii.gz"

    words = ["ct", "generate", str(trained.test_volume), "--model", "chest-denoise", "-o", str(out), "--device", "cpu"]
    assert main([*words, "--json", *trained.where]) == 0

    facts = json.loads(capsys.readouterr().out)
    source, found = read_volume(trained.test_volume), read_volume(out)
    assert found.grid.shape == source.grid.shape == tuple(facts["shape"])
    assert facts["study"].startswith("ct-")
    assert b"test-1" not in gzip.decompress(out.read_bytes())[:4_000]
    before = out.read_bytes()
    assert "say --overwrite" in error_of(capsys, *words, *trained.where)
    assert out.read_bytes() == before
    np.testing.assert_allclose(found.grid.spacing_mm, source.grid.spacing_mm, rtol=1e-5)
    np.testing.assert_allclose(found.grid.origin_mm, source.grid.origin_mm, atol=1e-3)
    assert [p.kind for p in found.problems] == ["generated"]
    assert -1050 <= found.hu.min() < found.hu.max() <= 450
    assert facts["cubes"] > 0
    assert facts["peak_memory_gb"] > 0


def test_a_generated_series_is_derived_from_its_source_with_identifiers_of_its_own(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "series"
    words = ["ct", "generate", str(trained.test_volume), "--model", str(trained.model), "-o", str(out)]

    assert main([*words, "--format", "dicom", *trained.where]) == 0
    assert "voxels from" in capsys.readouterr().out
    assert read_volume(out).grid.shape == (32, 64, 64)

    before = sorted(p.name for p in out.iterdir())
    assert "goes into a new folder" in error_of(capsys, *words, "--format", "dicom", *trained.where)
    assert sorted(p.name for p in out.iterdir()) == before


def test_an_evaluation_of_two_models_is_one_page_and_one_object_per_case(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ct", "evaluate", str(trained.test_volume), "--model", "chest-denoise", "--horovod", str(trained.model)]
    words += ["--as", "test-1"]

    assert main([*words, "-o", str(tmp_path / "report"), "--slices", "16", "--json", *trained.where]) == 0

    cases = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [case["volume"] for case in cases] == ["test-1", "test-1"]
    assert all(case["shape"] == [16, 64, 64] for case in cases)
    assert cases[0]["window"] == cases[1]["window"]
    names = {p.name for p in (tmp_path / "report").iterdir()}
    assert names == {"cases.json", "curves.png", "figure.png", "index.html", "step_time.png", "table.csv", "table.md"}
    with (tmp_path / "report" / "table.csv").open(newline="") as file:
        assert "test-1" in {row[1] for row in csv.reader(file) if len(row) > 1}


def test_a_person_reads_scores_beside_the_baselines(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["ct", "evaluate", str(trained.test_volume), "--model", "chest-denoise", "--slices", "8", "--as", "test-1"]

    assert main([*words, *trained.where]) == 0

    said = capsys.readouterr().out
    assert "test-1, chest-denoise:" in said
    assert "noisy, untouched:" in said


def test_a_volume_counts_once_in_an_evaluation_whatever_it_is_called(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copy(trained.test_volume, tmp_path / "second patient.nii.gz")
    words = ["ct", "evaluate", str(trained.test_volume), copy, "--model", "chest-denoise", "--as", "a", "--as", "b"]

    said = error_of(capsys, *words, "--slices", "8", *trained.where)

    assert "second patient.nii.gz holds the same voxels as" in said
    assert "name each volume once" in said


def test_a_volume_the_model_was_trained_on_says_nothing_about_it_whatever_its_name(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = shutil.copy(trained.packed.volumes / "train-1.nii.gz", tmp_path / "any other name.nii.gz")

    said = error_of(capsys, "ct", "evaluate", seen, "--model", "chest-denoise", *trained.where)

    assert "it is train-1, on which the model was trained" in said


def test_what_is_missing_is_named_with_what_would_make_it(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    volume, where = trained.test_volume, trained.where

    assert "`ipdsf ct train` makes one" in error_of(capsys, "ct", "evaluate", volume, "--model", "none", *where)
    assert "no model" in error_of(capsys, "ct", "evaluate", volume, *where)
    compared = ("ct", "evaluate", volume, "--model", "chest-denoise", "--no-adversary", "chest-denoise")
    assert "was trained with an adversary" in error_of(capsys, *compared, *where)
    assert "nothing.nii does not exist" in error_of(capsys, "ct", "evaluate", "nothing.nii", "--model", "x", *where)
    assert "ipdsf ct pack" in error_of(capsys, "ct", "train", "--name", "unpacked", *where)
    assert "--output FOLDER" in error_of(capsys, "ct", "train", "--cubes", trained.model, code=2)


def test_a_file_that_is_no_model_is_refused_by_name(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.pt").write_bytes(b"not a model")
    out = tmp_path / "out.nii.gz"

    said = error_of(capsys, "ct", "generate", trained.test_volume, "--model", tmp_path, "-o", out, *trained.where)

    assert "model.pt is no file of this project, or a damaged one" in said
    assert not out.exists()


def test_a_training_on_cubes_of_another_data_set_leaves_the_model_of_the_first(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained.model / "model.pt").read_bytes()
    words = ["ct", "pack", "--name", "other", "--train", str(trained.test_volume), *trained.where]
    assert main(words) == 0
    capsys.readouterr()

    said = error_of(capsys, "ct", "train", "--name", "other", "-o", trained.model, "--task", "denoise", "--samples",
                    "8", *TINY, *trained.where)  # fmt: skip

    assert "is of another training (" in said
    assert "enhancement_sha256: " in said
    assert "name another folder" in said
    assert (trained.model / "model.pt").read_bytes() == before


@pytest.mark.long
def test_sigterm_ends_a_training_with_a_checkpoint_from_which_it_goes_on(trained: Trained, tmp_path: Path) -> None:
    words = [
        "ct",
        "train",
        "--name",
        "chest",
        "--task",
        "denoise",
        "-o",
        str(tmp_path / "m"),
        "--json",
        *TINY,
        *trained.where,
    ]
    command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *words, "--samples", "100000000",
               "--set", "training.epochs=1000000"]  # fmt: skip
    with process_group(command, stderr=subprocess.DEVNULL) as training:
        deadline = time.monotonic() + 120
        while not (tmp_path / "m" / "history.csv").exists() or (tmp_path / "m" / "history.csv").stat().st_size < 2000:
            assert training.poll() is None, "the training ended by itself"
            assert time.monotonic() < deadline
            with contextlib.suppress(subprocess.TimeoutExpired):
                training.wait(0.1)  # who only asks again takes a core from it
        training.send_signal(signal.SIGTERM)
        said, _ = training.communicate(timeout=60)

    assert training.returncode == 0
    stopped = json.loads(said)
    assert stopped["ended"] == "stopped"
    resumed = json.loads(run_ipdsf(*words, "--samples", str(stopped["samples"] + 8)).stdout)
    assert resumed["steps"] == stopped["steps"] + 1
