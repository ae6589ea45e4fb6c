"""CP decomposition of a few slices at once with missing cells and outliers: the start of the stream."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor.products import outer_rows, solve_rows
from ipdsf_spark.tensor.robust import SIGMA_PER_MEDIAN, bisquare, huber, inflation

Float64 = NDArray[np.float64]
Factors = tuple[Float64, Float64, Float64]

SWEEPS: Final = 12  # alternating least squares between two updates of the weights
ROUNDS: Final = 6  # updates of the weights
STARTS: Final = 4  # alternating least squares ends in local minima: the best of so many starts is refined
CLIPPED_AT: Final = 3.0  # scales; the first sweeps see values no larger
TOLERANCE: Final = 1e-5  # relative change of the error at which sweeps end
RIDGE: Final = 1e-6


def masked_cp(values: Float64, rank: int, *, is_robust: bool = True) -> Factors:
    """Factors of values[t, i, k] ≈ Σ_r s_tr a_ir b_kr, over the cells that are not NaN.

    Alternating least squares; with `is_robust` reweighted by Huber's and at last by the bisquare function. Factors of
    sites and gates have columns of equal length, so that neither runs away.

    Args:
        values: (T, I, K), NaN where missing.
        rank: R.
        is_robust: whether outliers lose their weight.

    Returns:
        s (T, R), a (I, R), b (K, R).
    """
    mask = np.isfinite(values)
    filled = np.where(mask, values, 0.0)
    if not is_robust:
        return _sweeps(filled, mask.astype(np.float64), _start(filled, mask, rank, 0), 6 * SWEEPS)
    limit = CLIPPED_AT * _scale(np.abs(filled), mask)
    clipped = np.clip(filled, -limit, limit) if limit > 0.0 else filled
    starts = [_refined(filled, clipped, mask, _start(clipped, mask, rank, seed), 2) for seed in range(STARTS)]
    best = min(starts, key=lambda factors: _scale(np.abs(filled - rebuilt(*factors)), mask))
    return _refined(filled, filled, mask, best, ROUNDS)


def _refined(filled: Float64, first: Float64, mask: NDArray[np.bool_], factors: Factors, rounds: int) -> Factors:
    """Sweeps with weights by the errors of the model before; the first round on `first` with equal weights."""
    weights, values = mask.astype(np.float64), first
    for number in range(rounds):
        if number or first is filled:
            error = np.abs(filled - rebuilt(*factors))
            scale = _scale(error, mask)
            if scale <= 0.0:
                break
            z = error / scale
            weights, values = np.where(mask, huber(z) if number < 2 else bisquare(z), 0.0), filled
        factors = _sweeps(values, weights, factors, SWEEPS)
    return factors


def _scale(size: Float64, mask: NDArray[np.bool_]) -> float:
    return SIGMA_PER_MEDIAN * float(np.median(size[mask])) if mask.any() else 0.0


def rebuilt(s: Float64, a: Float64, b: Float64) -> Float64:
    """(T, I, K) values of the model."""
    return np.asarray((s[:, None, :] * a[None, :, :]) @ b.T)


def _start(filled: Float64, mask: NDArray[np.bool_], rank: int, seed: int) -> Factors:
    """Leading directions of the unfolded slices, for seeds above 0 mixed: they span the factors but are not they."""
    num_slices, num_sites, num_gates = filled.shape
    rng = np.random.default_rng(seed)
    share = max(float(mask.mean()), 1e-6)

    def leading(unfolded: Float64) -> Float64:
        vectors = np.linalg.eigh(unfolded @ unfolded.T)[1][:, ::-1][:, :rank]
        mixing = np.eye(vectors.shape[1], rank) if seed == 0 else rng.normal(0.0, 1.0, (vectors.shape[1], rank))
        mixed = vectors @ mixing
        return np.asarray(mixed * np.sqrt(len(unfolded) / rank) + rng.normal(0.0, 0.05, (len(unfolded), rank)))

    a = leading(filled.transpose(1, 0, 2).reshape(num_sites, -1) / share)
    b = leading(filled.transpose(2, 0, 1).reshape(num_gates, -1) / share)
    return np.ones((num_slices, rank)), a, b


def refined(
    values: Float64, scale: Float64, factors: Factors, priors: Factors, *, rounds: int, ridge: float
) -> tuple[Factors, Float64]:
    """Factors brought closer to a window of slices, from where they are: one sweep per round, weights by Huber.

    Args:
        values: (T, I, K), NaN where missing.
        scale: (I, K) of the errors.
        factors: s (T, R), a (I, R), b (K, R) to begin with.
        priors: what rows are drawn to where the window says little.
        rounds: sweeps.
        ridge: relative weight of the priors.

    Returns:
        the factors, and the weights (T, I, K) of the last round.
    """
    mask = np.isfinite(values)
    filled = np.where(mask, values, 0.0)
    weights = mask.astype(np.float64)
    for _ in range(rounds):
        z = np.abs(filled - rebuilt(*factors)) / scale
        weights = np.where(mask, huber(z / inflation(z[mask])), 0.0)
        factors = _sweep(filled, weights, factors, priors, ridge)
    return factors, weights


def _sweep(filled: Float64, weights: Float64, factors: Factors, priors: Factors, ridge: float) -> Factors:
    """Each factor once, the others given."""
    s, a, b = factors
    weighted = weights * filled
    s = solve_rows(*normal_equations(weights, weighted, 0, _khatri_rao(a, b)), priors[0], ridge)
    a = solve_rows(*normal_equations(weights, weighted, 1, _khatri_rao(s, b)), priors[1], ridge)
    b = solve_rows(*normal_equations(weights, weighted, 2, _khatri_rao(s, a)), priors[2], ridge)
    return s, a, b


def _sweeps(filled: Float64, weights: Float64, factors: Factors, sweeps: int) -> Factors:
    before, nothing = np.inf, np.zeros(factors[0].shape[1])
    num_sites, num_gates = filled.shape[1:]
    for _ in range(sweeps):
        s, a, b = _sweep(filled, weights, factors, (nothing, nothing, nothing), RIDGE)
        length_a, length_b = (np.maximum(np.linalg.norm(each, axis=0), 1e-300) for each in (a, b))
        of_a, of_b = np.sqrt(num_sites), np.sqrt(num_gates)
        factors = s * (length_a / of_a * length_b / of_b), a / length_a * of_a, b / length_b * of_b
        error = float(np.sqrt(np.sum(weights * (filled - rebuilt(*factors)) ** 2)))
        if before - error <= TOLERANCE * error:
            break
        before = error
    return factors


def _khatri_rao(one: Float64, other: Float64) -> Float64:
    return np.asarray((one[:, None, :] * other[None, :, :]).reshape(-1, one.shape[1]))


def normal_equations(weights: Float64, weighted: Float64, mode: int, products: Float64) -> tuple[Float64, Float64]:
    """Matrices (n, R, R) and right sides (n, R) of one factor's rows, given the product of the other two."""
    rank = products.shape[1]
    rows = weights.shape[mode]
    unfolded = np.moveaxis(weights, mode, 0).reshape(rows, -1)
    matrices = (unfolded @ outer_rows(products)).reshape(-1, rank, rank)
    return matrices, np.moveaxis(weighted, mode, 0).reshape(rows, -1) @ products


def window_equations(
    values: Float64, weights: Float64, factors: Factors, forgetting: float
) -> tuple[Float64, Float64, Float64, Float64]:
    """Normal equations of sites and gates over a window whose older slices count less, newest last."""
    s, a, b = factors
    age = np.arange(len(values))[::-1]
    faded = weights * (forgetting**age)[:, None, None]
    weighted = faded * np.where(np.isfinite(values), values, 0.0)
    of_sites = normal_equations(faded, weighted, 1, _khatri_rao(s, b))
    of_gates = normal_equations(faded, weighted, 2, _khatri_rao(s, a))
    return *of_sites, *of_gates
