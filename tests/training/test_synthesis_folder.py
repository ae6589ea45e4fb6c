"""The folder of chests of nobody: nothing of others is replaced, parts are of one training, and a stop is a stop."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter
from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import locked
from ipdsf_spark.training import synthesis
from ipdsf_spark.training.synthesis_folder import require_own_synthesis
from tests.training.exported_phantoms import exported

pytestmark = pytest.mark.training
SMALL = ["width=4", "halvings=2", "discriminator_width=4", "batch=4"]


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("cubes") / "a", range(3))


def train(cubes: Path, out: Path, *words: str, samples: int = 8) -> int:
    settings = (word for setting in SMALL for word in ("--set", f"training.{setting}"))
    common = ["--samples", str(samples), "--threads", "1", "--device", "cpu", *settings]
    return main(["ct", "train-synthesis", "--cubes", str(cubes), "-o", str(out), *common, *words])


@pytest.fixture(scope="module")
def trained(cubes: Path) -> Path:
    assert train(cubes, cubes.parent / "model") == 0
    return cubes.parent / "model"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "name", ["chests.npz", "guard.npz", "synthesis.json", ".mid-cubes/scan.dcm", "mid/scan.dcm", "scan.dcm"]
)
@pytest.mark.parametrize("words", [[], ["--anew"]])
def test_a_folder_with_something_else_in_it_is_refused_and_left_as_it_is(
    cubes: Path, tmp_path: Path, name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"precious")

    assert train(cubes, tmp_path, *words) == 1

    assert "nothing was touched" in capsys.readouterr().err
    assert content(tmp_path) == {name: b"precious"}


def test_other_volumes_leave_chests_and_guard_of_the_networks_that_are_there(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(model)

    assert train(exported(tmp_path / "b", range(10, 13)), model) == 1

    assert "is of another training" in capsys.readouterr().err
    assert content(model) == before


def test_a_training_goes_on_beside_notes_and_over_a_table_that_was_cut_off(cubes: Path, model: Path) -> None:
    (model / "notes.txt").write_text("mine")
    (model / "guard.npz").write_bytes((model / "guard.npz").read_bytes()[:100])

    assert train(cubes, model, samples=12) == 0

    require_own_synthesis(model)
    assert (model / "notes.txt").read_text() == "mine"


def test_a_folder_in_which_another_training_runs_is_refused_before_anything_is_written(
    cubes: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(model)
    with locked(location_of(str(model)), "training chests of nobody"):
        assert train(cubes, model, "--anew") == 1

    assert "is in use (training chests of nobody" in capsys.readouterr().err
    assert content(model) == before


def stopping_at(stage: str, *, in_step: bool) -> Callable[..., Any]:
    """`train_alone` that gets a SIGTERM in the first step of a stage, or after its last."""

    def train_alone(work: Any, on_step: Callable[[Any], None]) -> Any:
        is_told = [not in_step or not work.folder.endswith(stage)]

        def step(told: Any) -> None:
            on_step(told)
            if not is_told[0]:
                is_told[0] = True
                os.kill(os.getpid(), signal.SIGTERM)

        progress = TRAIN_ALONE(work, on_step=step)
        if not in_step and work.folder.endswith(stage):
            os.kill(os.getpid(), signal.SIGTERM)
        return progress

    return train_alone


TRAIN_ALONE = synthesis.train_alone


@pytest.mark.parametrize("in_step", [True, False])
def test_a_signal_in_the_first_stage_ends_the_training_and_the_same_command_goes_on(
    cubes: Path,
    tmp_path: Path,
    in_step: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, before = tmp_path / "out", signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patched:
        patched.setattr(synthesis, "train_alone", stopping_at("mid", in_step=in_step))
        assert train(cubes, out, samples=80) == 0
    assert "the same command goes on" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"mid", "chests.npz", "guard.npz"}
    assert signal.getsignal(signal.SIGTERM) == before

    assert train(cubes, out, samples=80) == 0
    assert (out / "fine" / "model.pt").is_file()
    assert (out / "synthesis.json").is_file()


def test_no_training_data_stays_in_the_model_where_a_stage_fails(
    cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(work: Any, on_step: object) -> Any:
        assert len(CubeSet.load(Path(work.cubes))) > 0
        raise InputError("the disk is full")

    monkeypatch.setattr(synthesis, "train_alone", failing)

    assert train(cubes, tmp_path / "out") == 1

    assert not (tmp_path / "out").exists()


def test_a_disk_that_is_full_when_coarser_cubes_are_written_is_named_with_the_place(
    cubes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardWriter, "add", full)

    assert train(cubes, tmp_path / "out") == 1

    assert f"cannot write cubes to {tmp_path / 'out' / '.mid-cubes'}: No space left" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["chests.npz", "guard.npz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_part_of_the_model_is_named(
    model: Path, tmp_path: Path, part: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (model / part).read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(byte ^ 255 for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
    damaged = {"cut": whole[:middle], "flipped": flipped, "foreign": b"PK"}[damage]
    (model / part).write_bytes(damaged)

    words = ["--shape", "24", "40", "44", "--device", "cpu", "-o", str(tmp_path / "volumes")]
    assert main(["ct", "synthesize", "--model", str(model), *words]) == 1

    assert part in capsys.readouterr().err
