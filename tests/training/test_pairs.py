"""From HU to what the networks see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubeKey
from ipdsf_spark.ct.window import windowed
from ipdsf_spark.errors import InputError
from ipdsf_spark.training.pairs import PairSettings, pairs_of

PLAIN = PairSettings(task="autoencode", is_flipped=False)


def made(cubes: CubeSet, settings: PairSettings, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(len(cubes))
    return pairs_of(cubes.take(numbers), list(cubes.keys), cubes.enhancement, settings, epoch=epoch)


def test_autoencode_asks_for_the_cube_itself(phantom_cubes: CubeSet) -> None:
    condition, target = made(phantom_cubes, PLAIN)

    assert np.array_equal(condition, target)
    assert np.array_equal(target, phantom_cubes.enhancement.enhanced(phantom_cubes.take(np.arange(len(phantom_cubes)))))


def test_noise_has_the_strength_that_was_asked_for_where_the_window_does_not_clip(phantom_cubes: CubeSet) -> None:
    settings = PairSettings(task="denoise", sigma=(0.05, 0.05), is_flipped=False)
    condition, target = made(phantom_cubes, settings)
    share = windowed(phantom_cubes.enhancement.restored(condition)) - windowed(
        phantom_cubes.enhancement.restored(target)
    )
    inside = np.abs(windowed(phantom_cubes.enhancement.restored(target)) - 0.5) < 0.25

    assert share[inside].std() == pytest.approx(0.05, rel=0.02)
    assert share[inside].mean() == pytest.approx(0.0, abs=0.001)


def test_a_depixelated_condition_is_constant_in_blocks(phantom_cubes: CubeSet) -> None:
    condition, _ = made(phantom_cubes, dataclasses.replace(PLAIN, task="depixelate", factor=4))
    blocks = condition.reshape(-1, 4, 4, 4, 4, 4, 4)

    assert np.array_equal(blocks, np.broadcast_to(blocks[:, :, :1, :, :1, :, :1], blocks.shape))


@pytest.mark.parametrize("task", ["autoencode", "denoise", "depixelate"])
def test_a_pair_depends_on_its_key_and_epoch_and_on_nothing_else(phantom_cubes: CubeSet, task: str) -> None:
    settings = PairSettings(task=task)  # type: ignore[arg-type]
    condition, target = made(phantom_cubes, settings)
    single = pairs_of(
        phantom_cubes.take(np.array([5])), [phantom_cubes.keys[5]], phantom_cubes.enhancement, settings, epoch=0
    )

    assert np.array_equal(condition[5], single[0][0])
    assert np.array_equal(target[5], single[1][0])
    assert not np.array_equal(condition, made(phantom_cubes, settings, epoch=1)[0])


def test_flips_never_exchange_the_bodys_axis_with_another(phantom_cubes: CubeSet) -> None:
    staircase = np.broadcast_to(np.arange(16, dtype=np.int16)[:, None, None] * 10, (16, 16, 16))
    settings = dataclasses.replace(PLAIN, is_flipped=True)
    seen = set()
    for epoch in range(40):
        _, target = pairs_of(staircase[None], [CubeKey("s", 0, 0, 0)], phantom_cubes.enhancement, settings, epoch=epoch)
        assert np.ptp(target[0], axis=(1, 2)).max() == 0  # every slice is still uniform
        seen.add(bool(target[0, 0, 0, 0] < target[0, -1, 0, 0]))

    assert seen == {True, False}


def test_settings_that_cannot_be_done_are_refused() -> None:
    for wrong in ({"task": "colourise"}, {"sigma": (0.2, 0.1)}, {"factor": 1}):
        with pytest.raises(InputError):
            PairSettings(**wrong)  # type: ignore[arg-type]


def test_noise_is_drawn_from_the_whole_range_of_strengths(phantom_cubes: CubeSet) -> None:
    middle = np.full((200, 16, 16, 16), -300, np.int16)
    keys = [CubeKey("s", k, 0, 0) for k in range(200)]
    settings = PairSettings(task="denoise", sigma=(0.02, 0.1), is_flipped=False)
    condition, _ = pairs_of(middle, keys, phantom_cubes.enhancement, settings, epoch=0)
    strengths = windowed(phantom_cubes.enhancement.restored(condition)).std(axis=(1, 2, 3))

    assert strengths.min() == pytest.approx(0.02, abs=0.003)
    assert strengths.max() == pytest.approx(0.1, abs=0.004)
    assert strengths.mean() == pytest.approx(0.06, abs=0.006)
