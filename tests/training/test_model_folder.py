"""A model's folder: only what a training wrote is ever replaced or removed, and one training at a time writes there."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter, publish
from ipdsf_spark.errors import InputError, IpdsfError
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.training.folder import remove_training, require_own
from ipdsf_spark.training.loop import Trainer
from ipdsf_spark.training.worker import Work, train_alone
from tests.training.test_loop import SMALL

pytestmark = pytest.mark.training
FEW = dataclasses.replace(SMALL, samples=8, batch=4)


@pytest.fixture(scope="module")
def stored(phantom_cubes: CubeSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cubes of the phantom as a folder."""
    import numpy as np

    folder = tmp_path_factory.mktemp("cubes") / "set"
    writer = ShardWriter(folder, 0)
    writer.add(phantom_cubes.take(np.arange(len(phantom_cubes))), list(phantom_cubes.keys))
    writer.finish()
    publish(folder, phantom_cubes.enhancement, size=phantom_cubes.size, shards=1, facts={"dataset": "phantom"})
    return folder


@pytest.fixture
def model(phantom_cubes: CubeSet, tmp_path: Path) -> Path:
    """A folder in which a short training has ended."""
    torch.set_num_threads(1)
    Trainer(phantom_cubes, FEW, tmp_path / "model").run()
    return tmp_path / "model"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "files",
    [
        {"slice-1.dcm": b"DICM"},
        {"history.csv": b"date,what\n2026,moved\n"},
        {"model.pt": b"another project's"},
        {"checkpoint.pt": b""},
        {"model.json": b'{"format": "other"}'},
        {"tensorboard/events.out.tfevents.1": b"of something else"},
        {"sub/model.pt": b"deep"},
    ],
)
@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_holds_no_training_is_refused_and_left_as_it_is(
    stored: Path, tmp_path: Path, files: dict[str, bytes], anew: bool
) -> None:
    for name, raw in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    before = content(tmp_path)

    with pytest.raises(InputError, match="no training of this project"):
        train_alone(Work(FEW, str(tmp_path), str(stored), anew=anew))

    assert content(tmp_path) == before


def test_a_training_beside_something_else_is_resumed_but_not_made_anew(stored: Path, model: Path) -> None:
    (model / "notes.txt").write_text("mine")
    before = content(model)

    require_own(model)
    with pytest.raises(InputError, match=r"notes\.txt beside a training: nothing was removed"):
        train_alone(Work(FEW, str(model), str(stored), anew=True))

    assert content(model) == before


def test_beginning_anew_removes_what_a_training_wrote_and_only_that(model: Path) -> None:
    (model / ".model.pt.part").write_bytes(b"cut")
    remove_training(model)

    assert list(model.iterdir()) == []


def test_an_earlier_model_stays_until_the_new_training_has_made_a_step(stored: Path, model: Path) -> None:
    before = content(model)
    impossible = dataclasses.replace(FEW, batch=500)

    with pytest.raises(InputError, match="do not fill one step"):
        train_alone(Work(impossible, str(model), str(stored), anew=True))
    with pytest.raises(InputError, match="no whole set of cubes"):
        train_alone(Work(FEW, str(model), str(stored / "nowhere"), anew=True))
    assert content(model) == before

    other = dataclasses.replace(FEW, samples=12, seed=5)
    assert train_alone(Work(other, str(model), str(stored), anew=True)).step == 3
    assert content(model)["model.pt"] != before["model.pt"]


def test_a_file_in_the_place_of_the_folder_is_named(stored: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/model"):
        with pytest.raises(InputError, match="file"):
            train_alone(Work(FEW, str(tmp_path / place), str(stored)))
    assert (tmp_path / "file").read_text() == "mine"


def test_two_trainings_do_not_write_to_one_folder(stored: Path, tmp_path: Path) -> None:
    def second(_: object) -> None:
        with pytest.raises(InputError, match=rf"in use \(training, process {os.getpid()} on "):
            train_alone(Work(FEW, str(tmp_path / "m"), str(stored)))

    train_alone(Work(FEW, str(tmp_path / "m"), str(stored)), on_step=second)

    assert not (tmp_path / "m" / ".ipdsf-lock").exists()


def test_a_folder_that_goes_away_is_named_and_the_training_is_kept(stored: Path, tmp_path: Path) -> None:
    def remove(step: object) -> None:
        if getattr(step, "step", 0) == 3:
            # In one step: what is removed file by file meets the thread of the diary, which goes on writing.
            (tmp_path / "m").rename(tmp_path / "elsewhere")

    long = dataclasses.replace(SMALL, samples=400, epochs=1000, checkpoint_every_s=1e6)
    with pytest.raises(InputError, match="cannot write the history"):
        train_alone(Work(long, str(tmp_path / "m"), str(stored)), on_step=remove)

    resumed = Trainer(CubeSet.load(stored), long, tmp_path / "m")
    assert resumed.resume()
    assert resumed.progress.step >= 3


KILLS = """
import dataclasses, json, os, signal, sys
from pathlib import Path
import torch
import torch.utils.tensorboard
from ipdsf_spark.training.worker import Work, train_alone
from tests.training.test_model_folder import OFTEN

opened = Path.open  # to read changes nothing

def counted(real, number, calls=[0]):
    def call(*given, **named):
        is_change = real is not opened or "w" in str(named.get("mode", given[1:]))
        calls[0] += is_change
        if is_change and calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **named)
    return call

torch.set_num_threads(1)
cubes, *folders = sys.argv[1:]
for folder in folders:
    child = os.fork()  # before anything was computed: torch's threads do not survive it
    if not child:
        number = int(Path(folder).name)
        for owner, name in ((os, "replace"), (os, "rename"), (os, "unlink"), (Path, "open"), (torch, "save")):
            setattr(owner, name, counted(getattr(owner, name), number))
        train_alone(Work(OFTEN, folder, cubes))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
OFTEN = dataclasses.replace(SMALL, samples=20, batch=4, checkpoint_every_s=0.0)


@pytest.mark.long
def test_a_training_killed_at_any_step_of_writing_goes_on_from_a_whole_checkpoint(
    stored: Path, model: Path, tmp_path: Path
) -> None:
    """Killed before changes of files: of its lock, its tables, and each of those that a checkpoint and a model take."""
    folders = [tmp_path / str(number) for number in (1, 2, 4, 6, 7, 8, 9, 10, 11, 13)]
    for folder in folders:
        shutil.copytree(model, folder)
    ended = subprocess.run(
        [sys.executable, "-c", KILLS, str(stored), *map(str, folders)], capture_output=True, text=True, timeout=300
    )

    assert ended.stdout.split() == [str(-signal.SIGKILL)] * len(folders), ended.stderr[-2000:]
    for folder in folders:
        left = Trainer(CubeSet.load(stored), OFTEN, folder)
        assert left.resume()
        assert 2 <= left.progress.step <= 5
        assert load_model(folder).facts["step"] in (left.progress.step - 1, left.progress.step)
        require_own(folder, anew=True)
    assert left.progress.step == 3  # its first checkpoint, after the two steps of before
    again = train_alone(Work(OFTEN, str(folders[-1]), str(stored)))
    assert (again.step, again.samples) == (5, 20)


def test_a_training_that_diverges_is_named_and_leaves_the_last_sound_checkpoint(stored: Path, model: Path) -> None:
    before = content(model)
    wild = dataclasses.replace(
        FEW,
        samples=400,
        epochs=1000,
        optimiser=dataclasses.replace(FEW.optimiser, learning_rate=1e12),
        generator=dataclasses.replace(FEW.generator, norm="none"),
        discriminator=dataclasses.replace(FEW.discriminator, norm="none"),
        warm_up_samples=1,
    )
    tame = dataclasses.replace(wild, optimiser=FEW.optimiser, samples=8)
    Trainer(CubeSet.load(stored), tame, model.parent / "tame").run()
    before = content(model.parent / "tame")

    with pytest.raises(IpdsfError, match=r"diverged by step.*keeps the last checkpoint that was sound"):
        train_alone(Work(wild, str(model.parent / "tame"), str(stored)))

    after = content(model.parent / "tame")
    assert {name: after[name] == before[name] for name in ("checkpoint.pt", "model.pt")} == {
        "checkpoint.pt": True,
        "model.pt": True,
    }


# Absent as an uninstalled package is: no finder knows it, so that a library which only asks goes on without it.
BARE = """
import sys
ABSENT = {
    "SimpleITK", "astral", "confluent_kafka", "horovod", "jinja2", "matplotlib", "netCDF4", "nibabel",
    "pandas", "petastorm", "pyarrow", "pydicom", "pyspark", "scipy", "skimage", "tensorboard", "tqdm",
}
class Bare:
    finders = list(sys.meta_path)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            return None
        return next((spec for finder in self.finders if (spec := finder.find_spec(name, path, target))), None)
sys.meta_path[:] = [Bare()]
from ipdsf_spark.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_training_from_exported_cubes_needs_numpy_and_torch_alone(stored: Path, tmp_path: Path) -> None:
    words = ["ct", "train", "--cubes", str(stored), "-o", str(tmp_path / "m"), "--samples", "8", "--device", "cpu"]
    tiny = ["training.width=4", "training.halvings=2", "training.discriminator_width=4", "training.batch=4"]
    sets = [word for key in tiny for word in ("--set", key)]
    ended = subprocess.run([sys.executable, "-c", BARE, *words, *sets], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "8 cubes in 2 steps" in ended.stdout
    assert load_model(tmp_path / "m").facts["dataset"] == "phantom"
