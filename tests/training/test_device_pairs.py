"""Pairs made beside the networks are of the same kind as those made by the host."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.degradation import Task
from ipdsf_spark.errors import InputError
from ipdsf_spark.training.choices import pair_maker
from ipdsf_spark.training.device_pairs import DevicePairs, HostPairs
from ipdsf_spark.training.loop import Trainer
from ipdsf_spark.training.pairs import PairSettings
from ipdsf_spark.training.source import CopiedCubes, Portion
from tests.training.test_loop import SMALL

pytestmark = pytest.mark.training
CPU = torch.device("cpu")


def portion(cubes: CubeSet) -> Portion:
    numbers = np.arange(len(cubes))
    return Portion(cubes.take(numbers), list(cubes.keys), epoch=0, position=len(numbers))


def both(cubes: CubeSet, settings: PairSettings, *, position: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for maker in (HostPairs(cubes.enhancement, settings), DevicePairs(cubes.enhancement, settings, CPU)):
        made = maker.finished(maker.prepared(portion(cubes)), epoch=0, position=position)
        pairs.append((made[0].numpy(), made[1].numpy()))
    return pairs


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("task", ["depixelate", "refine"])
def test_without_chance_both_make_the_same_pairs(phantom_cubes: CubeSet, factor: int, task: Task) -> None:
    host, device = both(phantom_cubes, PairSettings(task, (0.0, 0.0), factor, is_flipped=False))

    np.testing.assert_array_equal(host[1], device[1])
    # A mean half-way between two whole HU, as every eighth mean of eight is, may be rounded either way.
    hu = [phantom_cubes.enhancement.restored(condition) for condition, _ in (host, device)]
    assert np.abs(hu[0] - hu[1]).max() <= 1.01


def test_noise_has_the_same_strength_and_the_window_clips_it_alike(phantom_cubes: CubeSet) -> None:
    host, device = both(phantom_cubes, PairSettings("denoise", sigma=(0.05, 0.05), is_flipped=False))

    np.testing.assert_array_equal(host[1], device[1])
    errors = [(condition - target).ravel() for condition, target in (host, device)]
    assert np.std(errors[1]) == pytest.approx(np.std(errors[0]), rel=0.02)
    assert np.quantile(errors[1], [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(errors[0], [0.1, 0.5, 0.9]), abs=0.02)


def test_a_cube_is_laid_down_anew_in_every_step_and_its_condition_with_it(phantom_cubes: CubeSet) -> None:
    settings = PairSettings("autoencode")
    maker = DevicePairs(phantom_cubes.enhancement, settings, CPU)
    sent = maker.prepared(portion(phantom_cubes))
    targets = [maker.finished(sent, epoch=0, position=p)[1].numpy()[:, 0] for p in (0, 0, 8)]
    plain = phantom_cubes.enhancement.enhanced(portion(phantom_cubes).hu)

    np.testing.assert_array_equal(targets[0], targets[1])
    assert not np.array_equal(targets[0], targets[2])
    for cube, turned in zip(plain, targets[0], strict=True):
        ways = [
            np.flip(laid, [axis for axis in range(3) if flips >> axis & 1])
            for laid in (cube, cube.transpose(0, 2, 1))
            for flips in range(8)
        ]
        assert any(np.array_equal(turned, way) for way in ways)


def test_workers_draw_different_noise(phantom_cubes: CubeSet) -> None:
    settings = PairSettings("denoise", is_flipped=False)
    conditions = []
    for rank in (0, 1):
        maker = DevicePairs(phantom_cubes.enhancement, settings, CPU, rank=rank)
        conditions.append(maker.finished(maker.prepared(portion(phantom_cubes)), epoch=0, position=0)[0])

    assert not torch.equal(conditions[0], conditions[1])


def test_a_training_whose_device_makes_the_pairs_resumes_bit_for_bit(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    settings = dataclasses.replace(SMALL, samples=32, pairs_made_by="device")
    whole = Trainer(phantom_cubes, settings, tmp_path / "whole")
    whole.run()
    Trainer(phantom_cubes, dataclasses.replace(settings, samples=16), tmp_path / "parts").run()
    resumed = Trainer(phantom_cubes, settings, tmp_path / "parts")
    assert resumed.resume()
    resumed.run()

    expected = dict(whole.nets.tensors())
    assert {n for n, t in resumed.nets.tensors() if not torch.equal(t, expected[n])} == set()


def test_a_cpu_leaves_the_pairs_to_numpy_and_has_no_graphs(phantom_cubes: CubeSet, tmp_path: Path) -> None:
    source = CopiedCubes(phantom_cubes, seed=0, order_seed=0, validation_share=0.0)

    assert isinstance(pair_maker(source, SMALL, CPU), HostPairs)
    with pytest.raises(InputError, match="one worker on a GPU"):
        Trainer(phantom_cubes, dataclasses.replace(SMALL, captures=True), tmp_path)
    with pytest.raises(InputError, match="made by auto, host, device"):
        dataclasses.replace(SMALL, pairs_made_by="elsewhere")
