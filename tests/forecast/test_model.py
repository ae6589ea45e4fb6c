"""The network in numpy against torch, its quantiles, and how it travels."""

from __future__ import annotations

import pickle

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ipdsf_spark.forecast.memory import NUM_FEATURES
from ipdsf_spark.forecast.model import LOWEST_M, ForecastModel, quantiles_m
from ipdsf_spark.forecast.network import ForecastNetwork, pinball_loss, quantiles_of
from ipdsf_spark.forecast.series import LEADS_MIN, QUANTILES

LEADS = len(LEADS_MIN)


def test_a_step_in_numpy_is_that_of_torch(
    network: ForecastNetwork, model: ForecastModel, rng: np.random.Generator
) -> None:
    features = rng.normal(size=(40, 3, NUM_FEATURES)).astype(np.float32)
    last_m, usual_m = rng.uniform(100.0, 2000.0, (40, 3)), rng.uniform(100.0, 2000.0, (40, 3, LEADS))
    with torch.no_grad():
        said, _ = network(torch.from_numpy(features), network.start(3))
        expected_m = quantiles_of(said, torch.from_numpy(last_m), torch.from_numpy(usual_m)).numpy()

    hidden = model.start(3)
    for at in range(40):
        found, hidden = model.step(features[at], hidden)

        np.testing.assert_allclose(found, said[at].numpy(), atol=1e-4)
        np.testing.assert_allclose(
            quantiles_m(found, last_m[at], usual_m[at]), np.maximum(expected_m[at], LOWEST_M), atol=0.1
        )


numbers = arrays(np.float32, (2, LEADS, 5), elements=st.floats(-30.0, 30.0, width=32))


@given(numbers, st.floats(0.0, 5000.0), st.floats(0.0, 5000.0))
def test_quantiles_never_cross_and_no_layer_is_shallower_than_possible(
    said: np.ndarray[tuple[int, ...], np.dtype[np.float32]], last_m: float, usual_m: float
) -> None:
    found = quantiles_m(said, np.full(2, last_m), np.full((2, LEADS), usual_m))

    assert (np.diff(found, axis=-1) >= 0).all()
    assert found.min() >= LOWEST_M


def test_the_pinball_loss_is_least_at_the_quantiles(rng: np.random.Generator) -> None:
    drawn = torch.from_numpy(rng.exponential(300.0, (4000, LEADS)))
    best = torch.quantile(drawn, torch.tensor(QUANTILES, dtype=drawn.dtype), dim=0).T.expand(4000, LEADS, 3)

    for shift in (-40.0, 40.0):
        assert pinball_loss(best, drawn) < pinball_loss(best + shift, drawn)


def test_what_is_not_known_has_no_loss() -> None:
    target_m = torch.full((3, LEADS), float("nan"))

    assert float(pinball_loss(torch.zeros(3, LEADS, 3), target_m)) == 0.0


def test_a_worker_keeps_one_model_however_often_it_is_sent(model: ForecastModel) -> None:
    sent = pickle.dumps(model)

    assert pickle.loads(sent) is pickle.loads(sent)
    assert pickle.loads(sent).sha256 == model.sha256
