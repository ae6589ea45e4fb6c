"""The small network of edges: it learns, its file comes back, and in a stream it answers as over the whole day."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ipdsf_spark.deep_edges import model_file
from ipdsf_spark.deep_edges.network import REACH, EdgeNetwork
from ipdsf_spark.deep_edges.training import Image, TrainingSettings, train
from ipdsf_spark.errors import InputError, IpdsfError
from ipdsf_spark.lidar.edges.examples import day_image, example_of
from ipdsf_spark.lidar.edges.learned import NUM_FEATURES, LearnedDetector, features
from ipdsf_spark.lidar.edges.settings import LEARNED
from ipdsf_spark.lidar.edges.tracker import EdgeTracker

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def network() -> EdgeNetwork:
    torch.manual_seed(0)
    return EdgeNetwork(NUM_FEATURES).eval()


def slanted_images() -> list[Image]:
    """Two made images with one slanted fall each."""
    rng = np.random.default_rng(0)
    images = []
    for slope in (0.5, -0.5):
        at = 20 + slope * np.arange(32)[:, None]
        values = np.where(np.arange(40) < at, 1.0, 0.2) + 0.05 * rng.standard_normal((32, 40))
        shown = np.zeros((NUM_FEATURES, 32, 40), np.float32)
        shown[0], shown[2] = values, 1.0
        targets = np.zeros((2, 32, 39), np.float32)
        targets[0] = np.exp(-0.5 * np.square(np.arange(1, 40) - at))
        images.append(Image(shown, targets, np.ones_like(targets)))
    return images


def test_a_few_steps_of_training_find_a_slanted_fall() -> None:
    losses: list[float] = []
    images = slanted_images()

    trained = train(
        images,
        TrainingSettings(num_steps=120, batch=2, num_columns=8, num_heights=40),
        lambda _, loss: losses.append(loss),
    )

    seen = model_file.probability_of(trained)(images[0].features)
    error = seen[0].argmax(axis=1) - images[0].targets[0].argmax(axis=1)
    assert losses[-1] < 0.5 * losses[0]
    assert np.abs(error).max() <= 1
    assert seen[1].max() < 0.5


def test_training_is_the_same_for_the_same_seed() -> None:
    settings = TrainingSettings(num_steps=3, batch=1, num_columns=16, num_heights=40)

    first, second = (model_file.to_bytes(train(slanted_images(), settings), {}) for _ in range(2))

    assert first == second


def test_there_is_nothing_to_learn_from_no_image() -> None:
    with pytest.raises(IpdsfError, match="no image"):
        train([], TrainingSettings())


def test_a_model_file_gives_the_same_answers(network: EdgeNetwork) -> None:
    shown = np.random.default_rng(0).standard_normal((NUM_FEATURES, 20, 30)).astype(np.float32)

    again, about = model_file.from_bytes(model_file.to_bytes(network, {"steps": 7}))

    assert about["steps"] == 7
    assert about["reach"] == REACH
    np.testing.assert_array_equal(model_file.probability_of(network)(shown), model_file.probability_of(again)(shown))


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"\x93NUMPY", b"no model at all"])
def test_other_bytes_are_no_model(raw: bytes) -> None:
    with pytest.raises(InputError, match=r"edges\.npz is no model of edges") as told:
        model_file.from_bytes(raw, name="edges.npz")
    assert "pickle" not in str(told.value)


def test_a_torn_model_file_is_refused(network: EdgeNetwork) -> None:
    raw = model_file.to_bytes(network, {})

    with pytest.raises(InputError, match="is no model of edges"):
        model_file.from_bytes(raw[: len(raw) // 2])


def test_a_column_depends_on_nothing_beyond_its_reach(network: EdgeNetwork) -> None:
    shown = np.random.default_rng(1).standard_normal((NUM_FEATURES, 3 * REACH, 41)).astype(np.float32)
    probability = model_file.probability_of(network)
    at = REACH + 3

    whole = probability(shown)[:, at]
    window = probability(shown[:, at - REACH : at + REACH + 1])[:, REACH]

    assert whole.shape == (2, 40)
    np.testing.assert_allclose(window, whole, atol=1e-5)


def test_the_network_takes_the_place_of_the_classical_detector_in_the_tracker(network: EdgeNetwork) -> None:
    image = day_image("clear", 0, LEARNED)
    detector = LearnedDetector(model_file.probability_of(network), REACH, LEARNED)
    columns = image.columns[120:150]
    at = 15

    found = detector.response(columns, at, image.cells)
    whole = model_file.probability_of(network)(features(columns, image.cells))[:, at]
    is_seen = np.isfinite(columns["beta"][at])

    np.testing.assert_allclose(found.probability, whole * (is_seen[1:] & is_seen[:-1]), atol=1e-5)
    tracker = EdgeTracker(image.day.site, LEARNED, detector)
    assert tracker.linker.lag == 3600 // 300 - REACH


def test_examples_have_targets_where_the_true_edges_are() -> None:
    image = day_image("smoke_aloft", 0, LEARNED)

    example = example_of(image)

    assert example.features.shape == (NUM_FEATURES, len(image.columns), image.cells.num)
    assert example.targets.shape == example.weights.shape == (2, len(image.columns), image.cells.num - 1)
    assert np.isfinite(example.features).all()
    strong = [peak for peak in image.truth[144] if abs(peak["contrast"]) > 0.3]
    assert strong
    for peak in strong:
        at = round(float(peak["height"]) / image.cells.cell_m) - 1
        assert example.targets[0 if peak["sign"] < 0 else 1, 144, at] > 0.8
