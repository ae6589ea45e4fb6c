"""A network with known components, holes and outliers, and the plainest decomposition there is to compare with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SyntheticNetwork:
    """truth and seen are (T, I, K); seen has holes (NaN) and outliers (where `is_outlier`)."""

    truth: np.ndarray
    seen: np.ndarray
    is_outlier: np.ndarray

    @property
    def sites(self) -> list[str]:
        return [f"site-{number}" for number in range(self.truth.shape[1])]


def synthetic_network(
    rank: int, shape: tuple[int, int, int], rng: np.random.Generator, *, missing: float, outliers: float
) -> SyntheticNetwork:
    """Components whose strengths have a day and a slow drift; noise of 5 %, outliers of three to seven spreads."""
    num_slices, num_sites, num_gates = shape
    time = np.arange(num_slices)[:, None]
    phase, cycles = rng.random(rank), 1 + np.arange(rank) % 3
    drift = 0.015 * np.cumsum(rng.normal(size=(num_slices, rank)), axis=0)
    strengths = 1.5 * rng.normal(size=rank) + np.sin(2 * np.pi * (cycles * time / 288 + phase)) + drift
    a, b = rng.normal(size=(num_sites, rank)), rng.normal(size=(num_gates, rank))
    truth = np.einsum("tr,ir,kr->tik", strengths, a, b)
    spread = truth.std()
    seen = truth + 0.05 * spread * rng.normal(size=truth.shape)
    is_outlier = rng.random(truth.shape) < outliers
    seen[is_outlier] += (rng.choice([-1, 1], truth.shape) * rng.uniform(3, 7, truth.shape) * spread)[is_outlier]
    seen[rng.random(truth.shape) < missing] = np.nan
    return SyntheticNetwork(truth, seen, is_outlier)


def plain_masked_als(values: np.ndarray, rank: int, sweeps: int = 60, seed: int = 0) -> np.ndarray:
    """Masked CP by the book: every row of every factor by its own least-squares problem."""
    rng = np.random.default_rng(seed)
    factors = [rng.normal(size=(size, rank)) for size in values.shape]
    mask = np.isfinite(values)
    for _ in range(sweeps):
        for mode in range(3):
            one, other = (factors[axis] for axis in range(3) if axis != mode)
            products = (one[:, None, :] * other[None, :, :]).reshape(-1, rank)
            unfolded, known = (np.moveaxis(each, mode, 0).reshape(values.shape[mode], -1) for each in (values, mask))
            for row in range(values.shape[mode]):
                cells = known[row]
                ridge = 1e-9 * np.eye(rank)
                left = products[cells].T @ products[cells] + ridge
                factors[mode][row] = np.linalg.solve(left, products[cells].T @ unfolded[row, cells])
    return np.einsum("tr,ir,kr->tik", *factors)


def relative_error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))
