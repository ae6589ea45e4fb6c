"""Chests of nobody at coarse scale: a distribution like that of the training chests, and no copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.ct.chests import Chest, ChestModel, chest_of, placed, signature
from ipdsf_spark.ct.likeness import CubeGuard, cube_signatures, measured_chest, neighbours, two_sample_tests
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.errors import InputError

WINDOW = (-1000, 400)
SPACING = (9.6, 7.2, 7.2)


def phantom(seed: int) -> np.ndarray:
    return np.clip(chest_phantom((32, 50, 50), seed=seed, spacing_mm=SPACING).volume.hu, *WINDOW)


@pytest.fixture(scope="module")
def training() -> list[Chest]:
    return [chest_of(phantom(100 + k), SPACING, WINDOW, edge=32) for k in range(16)]


@pytest.fixture(scope="module")
def model(training: list[Chest]) -> ChestModel:
    return ChestModel.fit(training, WINDOW)


def test_a_chest_put_back_where_it_was_is_the_volume_but_for_what_interpolation_takes() -> None:
    hu = phantom(5)

    again = placed(chest_of(hu, SPACING, WINDOW), (32, 50, 50), WINDOW)

    assert np.sqrt(np.mean((again - hu) ** 2)) < 0.1 * hu.std()
    assert measured_chest(again, SPACING)["body side to side, mm"] == pytest.approx(
        measured_chest(hu, SPACING)["body side to side, mm"], abs=2 * SPACING[2]
    )


def test_drawn_chests_have_the_mean_and_the_variety_of_the_training_chests(
    model: ChestModel, training: list[Chest]
) -> None:
    drawn = [model.drawn(np.random.default_rng(k)) for k in range(100)]

    own, made = (np.stack([chest.sizes for chest in group]) for group in (training, drawn))
    np.testing.assert_allclose(made.mean(axis=0), own.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(made.std(axis=0), own.std(axis=0), rtol=0.3, atol=1e-9)
    known = neighbours(drawn, training, model.signatures)
    assert known.diversity == pytest.approx(known.held_out_diversity, rel=0.15)


def test_no_drawn_chest_is_a_copy_and_a_training_chest_is_one(model: ChestModel, training: list[Chest]) -> None:
    drawn = [model.nearest(model.drawn(np.random.default_rng(k))) for k in range(20)]

    assert min(drawn) > model.copy_limit
    assert max(model.nearest(chest) for chest in training) < model.copy_limit


def test_the_same_random_numbers_draw_the_same_chest_after_saving(model: ChestModel, tmp_path: Path) -> None:
    model.save(tmp_path / "chests.npz")

    again = ChestModel.load(tmp_path / "chests.npz").drawn(np.random.default_rng(3))

    expected = model.drawn(np.random.default_rng(3))
    np.testing.assert_allclose(again.picture, expected.picture, atol=0.02)  # stored as float16
    np.testing.assert_allclose(again.sizes, expected.sizes)


def test_two_chests_are_too_few_and_air_is_no_chest(training: list[Chest], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 volumes and more"):
        ChestModel.fit(training[:2], WINDOW)
    with pytest.raises(InputError, match="no body"):
        chest_of(np.full((8, 8, 8), -1000.0), SPACING, WINDOW)
    (tmp_path / "chests.npz").write_bytes(b"cut")
    with pytest.raises(InputError, match="should hold a distribution of chests and is something else") as told:
        ChestModel.load(tmp_path / "chests.npz")
    assert "pickle" not in str(told.value)


def test_two_groups_of_one_distribution_agree_and_a_shifted_one_is_told() -> None:
    rng = np.random.default_rng(0)
    groups = [[{"lung volume, ml": v} for v in rng.normal(mean, 1, 40)] for mean in (0, 0, 2)]

    assert two_sample_tests(groups[0], groups[1])["lung volume, ml"]["p"] > 0.05
    assert two_sample_tests(groups[0], groups[2])["lung volume, ml"]["p"] < 1e-4


def test_a_cube_of_a_training_volume_is_known_and_one_of_another_patient_is_not() -> None:
    volumes = [cube_signatures(phantom(100 + k), 16, WINDOW) for k in range(6)]
    guard = CubeGuard.of(volumes)

    assert guard.copied_share(volumes[0]) == 1.0
    assert guard.copied_share(cube_signatures(phantom(3), 16, WINDOW)) <= 0.05
    assert guard.copied_share(np.zeros((0, 512), np.float32)) == 0.0


def test_a_signature_is_the_mean_of_blocks() -> None:
    picture = np.repeat(np.repeat(np.repeat(np.arange(512.0).reshape(8, 8, 8), 4, 0), 4, 1), 4, 2).astype(np.float32)

    np.testing.assert_allclose(signature(Chest(picture, np.zeros(7))), np.arange(512))
