"""The network as a tensor: as good as a whole recomputation, whatever is missing or wrong, in constant memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from synthetic_network import SyntheticNetwork, plain_masked_als, relative_error, synthetic_network

from ipdsf_spark.tensor import NetworkTensor, TensorSettings
from ipdsf_spark.tensor.batch import masked_cp, rebuilt


def run(network: SyntheticNetwork, rank: int, **changed: object) -> tuple[NetworkTensor, np.ndarray]:
    """The model after all slices, and what it made of each (T, I, K)."""
    model = NetworkTensor(TensorSettings(rank=rank, is_centered=False, **changed), network.seen.shape[2])  # type: ignore[arg-type]
    fitted = [model.update(index, network.sites, values).fitted for index, values in enumerate(network.seen)]
    return model, np.array(fitted)


@pytest.mark.parametrize(
    ("rank", "missing", "outliers"), [(4, 0.3, 0.1), (4, 0.7, 0.2), (6, 0.5, 0.1), (8, 0.3, 0.2), (8, 0.5, 0.1)]
)
def test_the_stream_is_within_ten_percent_of_a_recomputation_that_is_told_the_outliers(
    rank: int, missing: float, outliers: float
) -> None:
    rng = np.random.default_rng(rank)
    network = synthetic_network(rank, (120, 30, 40), rng, missing=missing, outliers=outliers)
    _, fitted = run(network, rank)
    newest = slice(95, 120)
    oracle = plain_masked_als(np.where(network.is_outlier, np.nan, network.seen)[newest], rank, sweeps=10)

    ours = relative_error(fitted[newest], network.truth[newest])
    best = relative_error(oracle, network.truth[newest])

    assert ours < best + 0.10


def test_a_batch_without_holes_is_decomposed_to_its_noise(rng: np.random.Generator) -> None:
    network = synthetic_network(3, (40, 20, 25), rng, missing=0.0, outliers=0.0)
    found = rebuilt(*masked_cp(network.seen, 3))

    assert relative_error(found, network.truth) < 0.04
    assert relative_error(network.seen, network.truth) > 0.04


def test_memory_and_state_do_not_grow_with_the_number_of_slices(rng: np.random.Generator) -> None:
    network = synthetic_network(3, (120, 12, 15), rng, missing=0.3, outliers=0.05)
    model = NetworkTensor(TensorSettings(rank=3, warm_up=20), 15)
    sizes = []
    for index, values in enumerate(network.seen):
        model.update(index, network.sites, values)
        if index >= 20:
            sizes.append(len(model.to_bytes()))

    assert max(sizes) - min(sizes) < 64  # digits of counters only


@settings(max_examples=4, phases=(Phase.generate,))
@given(cut=st.integers(0, 59), seed=st.integers(0, 99))
def test_a_model_that_was_saved_goes_on_as_if_it_had_not(cut: int, seed: int) -> None:
    network = synthetic_network(2, (60, 6, 8), np.random.default_rng(seed), missing=0.3, outliers=0.1)
    model, _ = run(network, 2, warm_up=20)
    other = NetworkTensor(TensorSettings(rank=2, is_centered=False, warm_up=20), 8)
    for index, values in enumerate(network.seen):
        if index == cut:
            other = NetworkTensor.from_bytes(other.to_bytes())
        other.update(index, network.sites, values)

    assert other.to_bytes() == model.to_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: b"XXXX" + raw[4:],
        lambda raw: raw[:4] + b"\x63" + raw[5:],
        lambda raw: raw[:60] + b"\x00" + raw[61:],
    ],
    ids=["cut", "empty", "foreign", "newer", "flipped"],
)
def test_damaged_or_foreign_bytes_are_refused_by_name(damage: object) -> None:
    raw = NetworkTensor(TensorSettings(rank=2), 8).to_bytes()

    with pytest.raises(ValueError, match="tensor"):
        NetworkTensor.from_bytes(damage(raw))  # type: ignore[operator]


def test_a_site_that_comes_later_is_learnt_and_one_that_left_is_forgotten(rng: np.random.Generator) -> None:
    network = synthetic_network(3, (180, 14, 20), rng, missing=0.2, outliers=0.0)
    model = NetworkTensor(TensorSettings(rank=3, is_centered=False, most_silent=60, warm_up=30), 20)
    errors = []
    for index, values in enumerate(network.seen):
        # site 12 begins at slice 60, site 13 ends there
        rows = [row for row in range(14) if row < 12 or (row == 12) == (index >= 60)]
        seen = model.update(index, [network.sites[row] for row in rows], values[rows])
        if index >= 60:
            errors.append(relative_error(seen.fitted[-1], network.truth[index, 12]))

    assert np.mean(errors[-20:]) < 0.15
    assert "site-13" not in model.sites and len(model.sites) == 13
    assert all(len(part) == 13 for part in (model.a, model.scale, model.filling.totals, model.alarms.sums))


def test_a_slice_with_nothing_in_it_changes_no_factor_and_is_filled_from_the_season(rng: np.random.Generator) -> None:
    network = synthetic_network(2, (80, 8, 10), rng, missing=0.1, outliers=0.0)
    model, _ = run(network, 2, warm_up=20)
    a, b = model.a.copy(), model.b.copy()

    seen = model.update(80, network.sites, np.full((8, 10), np.nan))

    np.testing.assert_array_equal(model.a, a)
    np.testing.assert_array_equal(model.b, b)
    assert np.isfinite(seen.fitted).all()
    assert relative_error(seen.fitted, network.truth[79]) < 0.2


def test_a_single_absurd_value_or_infinity_leaves_the_model_as_it_is(rng: np.random.Generator) -> None:
    network = synthetic_network(3, (100, 12, 15), rng, missing=0.2, outliers=0.0)
    spoilt = network.seen.copy()
    spoilt[60:70, 3, 4] = 1e30
    spoilt[60:70, 5, 6] = np.inf
    _, undisturbed = run(network, 3, warm_up=30)
    _, fitted = run(SyntheticNetwork(network.truth, spoilt, network.is_outlier), 3, warm_up=30)

    assert relative_error(fitted[60:], undisturbed[60:]) < 0.05


@pytest.mark.parametrize(
    ("index", "sites", "shape", "what"),
    [(5, ["a", "b"], (2, 7), "shape"), (5, ["a", "a"], (2, 8), "twice"), (0, ["a"], (1, 8), "in order"),
     (5, ["a", "b", "c", "d"], (4, 8), "most_sites")],
)  # fmt: skip
def test_a_slice_that_does_not_fit_is_refused_by_name(
    index: int, sites: list[str], shape: tuple[int, int], what: str
) -> None:
    model = NetworkTensor(TensorSettings(rank=2, most_sites=3), 8)
    model.update(0, ["a"], np.zeros((1, 8)))

    with pytest.raises(ValueError, match=what):
        model.update(index, sites, np.zeros(shape))


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"memory": 0.5}, {"held_out": 2.0}, {"warm_up": 1}, {"period": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TensorSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("constant", [0.0, -6.0])
def test_a_network_that_shows_the_same_everywhere_or_nothing_is_no_error(constant: float) -> None:
    model = NetworkTensor(TensorSettings(rank=3, warm_up=5), 6)
    for index in range(4):
        model.update(index, ["a", "b"], np.full((2, 6), np.nan))
    for index in range(4, 20):
        seen = model.update(index, ["a", "b"], np.full((2, 6), constant))

    assert np.allclose(seen.fitted, constant, atol=1e-3)


def test_filling_is_offered_where_it_beats_the_hourly_climatology_and_only_there() -> None:
    rng = np.random.default_rng(4)
    network = synthetic_network(3, (360, 8, 10), rng, missing=0.3, outliers=0.0)
    coupled, _ = run(network, 3, warm_up=30, held_out=0.1)
    # sites that have nothing in common but their hour of day: only the climatology knows them
    hours = np.repeat(rng.normal(size=(24, 8, 10)), 12, axis=0)
    flat = np.concatenate([hours, hours, hours])[:400] + 0.05 * rng.normal(size=(400, 8, 10))
    alone, _ = run(SyntheticNetwork(flat, flat, flat > np.inf), 2, warm_up=30, held_out=0.1)

    assert coupled.filling.is_offered
    assert coupled.filling.errors[0] < 0.7 * coupled.filling.errors[1]
    assert not alone.filling.is_offered


@pytest.mark.slow
def test_on_noise_without_structure_the_factors_stay_bounded_while_all_sites_come_and_go() -> None:
    rng = np.random.default_rng(0)
    model = NetworkTensor(TensorSettings(rank=6, most_silent=20), 8)
    longest = []
    for index in range(2400):
        present = np.flatnonzero(rng.random(3) < 0.6)
        sites = [f"s{index // 30}-{number}" for number in present]
        model.update(index, sites, rng.normal(size=(len(sites), 8)))
        if model.is_warm:
            longest.append(float(np.sqrt(np.mean(np.square(model.b), axis=0)).max()))

    assert max(longest) < 10.0
    assert max(longest[-400:]) < 3.0 * max(longest[:400])
    assert np.isfinite(model.a).all() and np.isfinite(model.season.daily).all()


def test_balanced_factors_are_the_same_model(rng: np.random.Generator) -> None:
    network = synthetic_network(3, (80, 6, 10), rng, missing=0.3, outliers=0.0)
    model, _ = run(network, 3)
    s, a, b = model.strengths.copy(), model.a * 7.0, model.b / 3.0
    forecast = model.season.forecast(80)

    of_s, of_a, of_b = model._balanced(s, a, b)

    np.testing.assert_allclose(rebuilt(of_s, of_a, of_b), rebuilt(s, a, b), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose((of_a * model.season.forecast(80)) @ of_b.T, (a * forecast) @ b.T, rtol=1e-9, atol=1e-12)
