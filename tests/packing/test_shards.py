"""Cubes read from the data set while training: equal steps, each cube once, another order every epoch, exact resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import load
from ipdsf_spark.ct.cubes import cut
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.pack import PackReport
from ipdsf_spark.packing.reference import reference_of
from ipdsf_spark.training.loop import Trainer
from ipdsf_spark.training.shards import ShardedCubes
from ipdsf_spark.training.source import Portion
from tests.packing.conftest import SavePhantom
from tests.training.test_loop import SMALL

pytestmark = pytest.mark.training
SEVERAL = dataclasses.replace(SMALL, samples=48, validate_every=16, checkpoint_every_s=1e6)


@pytest.fixture
def sharded(packed_here: Callable[..., PackReport], phantom_file: SavePhantom, tmp_path: Path) -> ShardedCubes:
    """Twelve row groups of four volumes, two of them held out."""
    volumes = [phantom_file(tmp_path / f"{k}.nii.gz", k) for k in range(4)]
    packed_here(tmp_path / "st", train=volumes, names=tuple(f"v{k}" for k in range(4)))
    reference = reference_of(load(overrides=[f"storage.root={tmp_path / 'st'}"]), "d")
    return ShardedCubes(reference, seed=0, validation_share=0.2)


def epoch_of(source: ShardedCubes, rank: int, size: int, epoch: int, batch: int = 3) -> list[Portion]:
    steps = source.epoch_end(epoch, batch=batch, size=size) // (batch * size)
    return list(islice(source.portions(batch=batch, rank=rank, size=size, epoch=epoch, position=0), steps))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_workers_take_equal_steps_and_no_cube_comes_twice_in_an_epoch(sharded: ShardedCubes, size: int) -> None:
    workers = [epoch_of(sharded, rank, size, 0) for rank in range(size)]
    keys = [key for portions in workers for portion in portions for key in portion.keys]

    assert len({len(portions) for portions in workers}) == 1
    assert len(set(keys)) == len(keys) > 0.3 * sharded.num_cubes
    assert not set(keys) & set(sharded.validation.keys)
    assert {portion.epoch for portions in workers for portion in portions} == {0}


def test_every_cube_is_the_one_of_its_key_and_epochs_have_other_orders(sharded: ShardedCubes, tmp_path: Path) -> None:
    first, second = epoch_of(sharded, 0, 1, 0), epoch_of(sharded, 0, 1, 1)
    volumes = {f"v{k}": read_volume(tmp_path / f"{k}.nii.gz").hu for k in range(4)}
    for portion in first:
        for cube, key in zip(portion.hu, portion.keys, strict=True):
            assert np.array_equal(cube, cut(volumes[key.study], key, 32))

    order = [key for portion in first for key in portion.keys]
    assert order != [key for portion in second for key in portion.keys]
    assert order != sorted(order)
    assert len({key.study for key in order[:12]}) > 1


def test_a_resumed_reading_goes_on_with_the_next_cube_wherever_it_stopped(sharded: ShardedCubes) -> None:
    for rank in range(2):
        whole = list(islice(sharded.portions(batch=3, rank=rank, size=2, epoch=0, position=0), 16))
        for done in range(1, 12):
            at = whole[done - 1]
            again = sharded.portions(batch=3, rank=rank, size=2, epoch=at.epoch, position=at.position)
            for found, expected in zip(islice(again, 4), whole[done:], strict=False):
                assert (found.keys, found.epoch, found.position) == (expected.keys, expected.epoch, expected.position)


def test_a_training_on_shards_is_resumed_bit_for_bit_and_is_none_on_copied_cubes(
    sharded: ShardedCubes, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    whole = Trainer(sharded, SEVERAL, tmp_path / "whole")
    whole.run()
    Trainer(sharded, dataclasses.replace(SEVERAL, samples=20), tmp_path / "parts").run()
    resumed = Trainer(sharded, SEVERAL, tmp_path / "parts")
    resumed.resume()
    resumed.run()

    expected = dict(whole.nets.tensors())
    assert {n for n, t in resumed.nets.tensors() if not torch.equal(t, expected[n])} == set()
    copied = sharded.validation
    with pytest.raises(InputError, match="feed: 'shards' there, 'copy' here"):
        Trainer(copied, SEVERAL, tmp_path / "whole").resume()


def test_too_few_row_groups_for_the_workers_are_named(sharded: ShardedCubes) -> None:
    with pytest.raises(InputError, match=r"10 row groups of 72 cubes do not fill one step of 11 worker"):
        sharded.require_one_step(batch=1, size=11)


def test_too_few_row_groups_are_told_before_workers_begin(
    packed_here: Callable[..., PackReport],
    phantom_file: SavePhantom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packed_here(tmp_path / "st", train=[phantom_file(tmp_path / "a.nii", 1, slices=16)], names=("a",))
    monkeypatch.setattr("ipdsf_spark.packing.session.imaging_session", lambda *_, **__: nullcontext(None))
    monkeypatch.setattr("ipdsf_spark.training.horovod_workers.train_on_spark", lambda *_: pytest.fail("workers began"))
    monkeypatch.setattr("ipdsf_spark.packing.reading.RowGroups.read", lambda *_: pytest.fail("cubes were read"))
    words = ["ct", "train", "--name", "d", "--task", "denoise", "--workers", "9", "-o", str(tmp_path / "model")]
    settings = [f"storage.root={tmp_path / 'st'}", "training.feed=shards", "training.batch=1"]

    assert main(words + [word for each in settings for word in ("--set", each)]) == 1
    assert "do not fill one step of 9 worker" in capsys.readouterr().err
