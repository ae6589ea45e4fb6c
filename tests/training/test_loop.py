"""The loop: where it ends, how it resumes, what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.losses import psnr_db
from ipdsf_spark.gan.networks import Networks, OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings
from ipdsf_spark.training.history import Step
from ipdsf_spark.training.loop import Trainer
from ipdsf_spark.training.pairs import PairSettings
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.validation import validated

pytestmark = pytest.mark.training

SMALL = TrainSettings(
    pairs=PairSettings(task="denoise"),
    generator=GeneratorSettings(width=4, halvings=2),
    discriminator=DiscriminatorSettings(width=4, halvings=2),
    optimiser=OptimiserSettings(learning_rate=2e-3),
    batch=4,
    samples=80,
    warm_up_samples=16,
    validation_share=0.1,
    validate_every=24,
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rows(folder: Path, name: str = "history.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    whole = Trainer(phantom_cubes, SMALL, tmp_path / "whole")
    whole.run()

    part = Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=40), tmp_path / "parts")
    part.run()
    resumed = Trainer(phantom_cubes, SMALL, tmp_path / "parts")
    assert resumed.resume()
    resumed.run()

    expected = dict(whole.nets.tensors())
    assert {n for n, t in resumed.nets.tensors() if not torch.equal(t, expected[n])} == set()
    losses = [[r["loss_g"] for r in rows(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == losses[1]
    assert [int(r["step"]) for r in rows(tmp_path / "parts")] == list(range(1, 21))
    validated = [[r["psnr_db"] for r in rows(tmp_path / name, "validation.csv")] for name in ("whole", "parts")]
    assert validated[0] == validated[1]


def test_steps_after_the_last_checkpoint_are_taken_again_and_stand_once_in_the_history(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    class PulledThePlug(Exception):
        pass

    def pull(step: Step) -> None:
        if step.step == 13:
            raise PulledThePlug

    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=40), tmp_path).run()  # checkpoint at step 10
    crashing = Trainer(phantom_cubes, SMALL, tmp_path, on_step=pull)
    crashing.resume()
    with pytest.raises(PulledThePlug):
        crashing.run()
    again = Trainer(phantom_cubes, SMALL, tmp_path)
    again.resume()

    assert again.progress.step == 10
    again.run()
    assert [int(r["step"]) for r in rows(tmp_path)] == list(range(1, 21))


@pytest.mark.parametrize(("every_s", "is_saved"), [(0.0, True), (1e6, False)])
def test_checkpoints_are_written_while_it_trains_as_often_as_is_asked_for(
    phantom_cubes: CubeSet, tmp_path: Path, every_s: float, is_saved: bool
) -> None:
    class PulledThePlug(Exception):
        pass

    def pull(step: Step) -> None:
        if step.step == 5:
            raise PulledThePlug

    settings = dataclasses.replace(SMALL, checkpoint_every_s=every_s)
    with pytest.raises(PulledThePlug):
        Trainer(phantom_cubes, settings, tmp_path, on_step=pull).run()
    again = Trainer(phantom_cubes, settings, tmp_path)

    assert again.resume() == is_saved
    assert again.progress.step == (5 if is_saved else 0)


def test_a_training_that_has_ended_does_not_go_on_when_it_is_started_again(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    first = Trainer(phantom_cubes, SMALL, tmp_path)
    first.run()
    again = Trainer(phantom_cubes, SMALL, tmp_path)
    again.resume()

    assert again.run().step == first.progress.step == 20
    assert again.progress.reason == "80 cubes seen"


def test_it_ends_early_when_validation_no_longer_rises(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, samples=0, epochs=10_000, patience=2, min_gain_db=100.0, validate_every=8)

    progress = Trainer(phantom_cubes, settings, tmp_path).run()

    assert progress.reason.startswith("no better validation in 2")
    assert len(rows(tmp_path, "validation.csv")) == 1 + 2  # the first is the best, two are not better


def test_the_model_is_the_best_average_and_says_how_good_it_is(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    falling = dataclasses.replace(
        SMALL,
        optimiser=OptimiserSettings(learning_rate=0.05),
        update=UpdateSettings(ema_decay=0.5),
        warm_up_samples=8,
        validate_every=8,
        samples=96,
    )
    trainer = Trainer(phantom_cubes, falling, tmp_path)
    progress = trainer.run()
    facts = json.loads((tmp_path / "model.json").read_text())
    found = [float(row["psnr_db"]) for row in rows(tmp_path, "validation.csv")]
    assert progress.kept_psnr_db == pytest.approx(max(found), abs=1e-3)
    assert found[-1] < max(found), "this training was to become worse again"

    trainer.nets.average.load_state_dict(load_model(tmp_path).generator.state_dict())
    held_out = trainer.source.validation_numbers
    again = validated(trainer.nets, phantom_cubes, held_out, falling, trainer.collective)
    assert again == pytest.approx(max(found), abs=1e-3)
    assert facts["model_validation_psnr_db"] == pytest.approx(max(found), abs=1e-3)
    assert facts["model_step"] == progress.kept_step < progress.step

    resumed = Trainer(phantom_cubes, dataclasses.replace(falling, samples=104), tmp_path)
    resumed.resume()
    resumed.run()
    assert json.loads((tmp_path / "model.json").read_text())["model_step"] == progress.kept_step


def test_a_training_without_an_adversary_is_another_one(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    alone = dataclasses.replace(SMALL, samples=16, update=UpdateSettings(is_adversarial=False))
    Trainer(phantom_cubes, alone, tmp_path).run()

    assert json.loads((tmp_path / "model.json").read_text())["adversary"] is False
    assert {row["loss_d"] for row in rows(tmp_path)} == {"0"}
    with pytest.raises(InputError, match="adversary: False there, True here"):
        Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=24), tmp_path).resume()


def test_it_ends_after_its_epochs_and_every_epoch_sees_every_cube_but_the_last_few(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SMALL, samples=0, epochs=2, validation_share=0.0, batch=3)

    progress = Trainer(phantom_cubes, settings, tmp_path).run()

    assert progress.reason == "2 epochs"
    assert progress.samples == 2 * 30  # 32 cubes: ten steps of three


def test_a_stop_is_a_checkpoint(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    progress = Trainer(phantom_cubes, SMALL, tmp_path, is_stopped=lambda: True).run()

    assert progress.reason == "stopped"
    resumed = Trainer(phantom_cubes, SMALL, tmp_path)
    assert resumed.resume()
    assert resumed.progress.step == progress.step == 1


def test_a_checkpoint_of_another_task_is_refused_with_the_difference_and_left_alone(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=20), tmp_path).run()
    before = (tmp_path / "checkpoint.pt").read_bytes()
    other = dataclasses.replace(SMALL, pairs=PairSettings(task="depixelate"))

    with pytest.raises(InputError, match=r"of another training .*'denoise'.* there"):
        Trainer(phantom_cubes, other, tmp_path).resume()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_of_a_wider_network_is_refused_by_the_difference_and_not_by_its_tensors(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=20), tmp_path).run()
    wider = dataclasses.replace(SMALL, generator=dataclasses.replace(SMALL.generator, width=2 * SMALL.generator.width))

    with pytest.raises(InputError, match=r"of another training \(generator: .*'width': 4.* there, .*'width': 8.* here"):
        Trainer(phantom_cubes, wider, tmp_path).resume()


def test_other_volumes_that_fill_as_many_cubes_are_another_training(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    few = dataclasses.replace(SMALL, samples=20)
    one, other = ({"trained_on_volumes": [{"name": "ct", "content": content}]} for content in ("a", "b"))
    Trainer(phantom_cubes, few, tmp_path, facts=one).run()

    assert Trainer(phantom_cubes, few, tmp_path, facts=one).resume()
    with pytest.raises(InputError, match="volumes_sha256"):
        Trainer(phantom_cubes, few, tmp_path, facts=other).resume()


@pytest.mark.parametrize("damage", [b"garbage\n", b"x,1\n", b"\xff\xfe\n", b"\0\0\0\0", b'7,"open\n'])
def test_a_row_of_the_history_that_is_none_is_left_out_and_the_training_goes_on(
    phantom_cubes: CubeSet, tmp_path: Path, damage: bytes
) -> None:
    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=20), tmp_path).run()
    for name in ("history.csv", "validation.csv"):
        with (tmp_path / name).open("ab") as file:
            file.write(damage)
    first = (tmp_path / "history.csv").read_bytes().splitlines()[1]
    with (tmp_path / "history.csv").open("ab") as file:  # and some in which nothing but a number is wrong
        file.write(b"x" + first + b"\n" + b"0." + first + b"\n" + b"-" + first + b"\n")

    again = Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=40), tmp_path)
    again.resume()
    again.run()

    assert [int(r["step"]) for r in rows(tmp_path)] == list(range(1, 11))


def test_a_disk_that_is_full_when_a_training_is_resumed_leaves_its_history(
    phantom_cubes: CubeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=20), tmp_path).run()
    before = (tmp_path / "history.csv").read_bytes()

    def replace(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    again = Trainer(phantom_cubes, SMALL, tmp_path)
    again.resume()
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(InputError, match="No space left"):
        again.run()

    assert (tmp_path / "history.csv").read_bytes() == before
    assert not list(tmp_path.glob(".history*"))


def test_a_data_set_with_another_enhancement_than_the_models_is_refused(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    Trainer(phantom_cubes, dataclasses.replace(SMALL, samples=20), tmp_path).run()
    other = dataclasses.replace(phantom_cubes, enhancement=phantom_cubes.enhancement.straight())

    with pytest.raises(InputError, match="enhancement_sha256"):
        Trainer(other, SMALL, tmp_path).resume()


def test_too_few_cubes_are_named_before_anything_is_written(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not fill one step"):
        Trainer(phantom_cubes, dataclasses.replace(SMALL, batch=64), tmp_path / "new").run()
    assert not (tmp_path / "new").exists()


def test_the_model_says_what_it_is(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    Trainer(phantom_cubes, SMALL, tmp_path, facts={"dataset": "phantoms"}).run()
    facts = json.loads((tmp_path / "model.json").read_text())

    assert (facts["task"], facts["dataset"], facts["cube_size"], facts["num_workers"]) == ("denoise", "phantoms", 16, 1)
    assert facts["enhancement_sha256"] == phantom_cubes.enhancement.sha256
    assert facts["ended"] == "80 cubes seen"


def test_an_autoencoder_rises_above_the_transform_it_begins_as_on_a_phantom_it_has_not_seen(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    settings = dataclasses.replace(
        SMALL,
        pairs=PairSettings(task="autoencode"),
        generator=GeneratorSettings(4, 2, "none", is_residual=False, code_channels=4),
        update=UpdateSettings(is_adversarial=False, ema_decay=0.9),
        samples=240,
        epochs=99,
        validation_share=0.0,
    )
    hu = chest_phantom((24, 48, 48), seed=5, spacing_mm=(10.0, 7.0, 7.0)).volume.hu.astype(np.int16)
    other = np.stack([cube for _, cube in cubes_of(hu, CubePlan(hu.shape, 16, 4), "other")])
    level = torch.from_numpy(Enhancement.straight().enhanced(other))[:, None]
    trainer = Trainer(phantom_cubes, settings, tmp_path)

    before = float(psnr_db(trainer.nets.average(level), level))
    trainer.run()
    after = float(psnr_db(trainer.nets.average(level), level))

    assert after > before + 0.1


def test_an_autoencoder_learns_hu_and_not_the_noise_that_equalised_levels_spread(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    autoencode = dataclasses.replace(SMALL, pairs=PairSettings(task="autoencode"))

    for settings, curve in ((autoencode, Enhancement.straight()), (SMALL, phantom_cubes.enhancement)):
        trainer = Trainer(phantom_cubes, settings, tmp_path)
        assert trainer.source.enhancement == trainer.source.validation.enhancement == curve
        assert trainer.facts()["enhancement_sha256"] == curve.sha256


def test_the_learning_rate_rises_over_the_warm_up_and_scales_with_the_global_batch() -> None:
    settings = dataclasses.replace(SMALL, batch=8, warm_up_samples=80)

    assert settings.learning_rate(0, 1) == pytest.approx(2e-3 * 0.1)
    assert settings.learning_rate(10_000, 1) == pytest.approx(2e-3)
    assert settings.learning_rate(10_000, 4) == pytest.approx(4e-3)
    assert dataclasses.replace(settings, scaling="linear").learning_rate(10_000, 4) == pytest.approx(8e-3)


class Threads:
    """Workers in threads, with a real exchange and no engine: what the loop asks of any collective."""

    def __init__(self, size: int) -> None:
        self.barrier, self.lock = threading.Barrier(size, timeout=60), threading.Lock()
        self.given: dict[str, list[object]] = {}

    def gathered(self, name: str, mine: object) -> list[object]:
        with self.lock:
            self.given.setdefault(name, []).append(mine)
        self.barrier.wait()
        everything = list(self.given[name])
        if self.barrier.wait() == 0:
            del self.given[name]
        self.barrier.wait()
        return everything


class Worker:
    """One of them."""

    def __init__(self, together: Threads, rank: int, size: int) -> None:
        self.rank = self.local_rank = rank
        self.size = self.local_size = size
        self._together = together

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        copies = [g.clone() for g in gradients]

        def arrive() -> None:
            everyone = self._together.gathered(name, copies)
            for k, gradient in enumerate(gradients):
                gradient.copy_(sum(theirs[k] for theirs in everyone) / self.size)  # type: ignore[index]

        return arrive

    def total(self, name: str, values: Sequence[float]) -> list[float]:
        return [sum(column) for column in zip(*self._together.gathered(name, list(values)), strict=True)]  # type: ignore[call-overload]

    def share(self, nets: Networks) -> None:
        states = self._together.gathered("share", (self.rank, {n: t.clone() for n, t in nets.tensors()}))
        first = min(states, key=lambda item: item[0])[1]  # type: ignore[index]
        for name, tensor in nets.tensors():
            tensor.copy_(first[name])


def test_two_workers_take_the_steps_of_one_with_twice_the_batch_and_agree_on_the_end(
    phantom_cubes: CubeSet, tmp_path: Path
) -> None:
    exact = dataclasses.replace(SMALL, is_double=True)  # rounding would grow with every step of Adam
    together = Threads(2)
    trainers = [
        Trainer(phantom_cubes, exact, tmp_path / "two", collective=Worker(together, rank, 2)) for rank in range(2)
    ]
    threads = [threading.Thread(target=trainer.run) for trainer in trainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    alone = Trainer(phantom_cubes, dataclasses.replace(exact, batch=8), tmp_path / "one")
    alone.run()

    assert [t.progress.step for t in trainers] == [10, 10]
    assert [t.progress.reason for t in trainers] == ["80 cubes seen"] * 2
    first, second, expected = (dict(t.nets.tensors()) for t in (*trainers, alone))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    for name, tensor in expected.items():
        torch.testing.assert_close(first[name], tensor, atol=1e-9, rtol=1e-7)
    assert [p.name for p in (tmp_path / "two").iterdir()].count("history.csv") == 1
