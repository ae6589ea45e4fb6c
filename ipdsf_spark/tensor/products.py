"""Normal equations of masked CP, without ever building the Khatri-Rao product of a whole slice.

With weights w_ik (0 where a cell is missing) and h_ik = a_i ∘ b_k:

    Σ w h h' = Σ_i (a_i a_i') ∘ C_i,  C_i = Σ_k w_ik b_k b_k'      one matrix product I x K x R²
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


def outer_rows(factor: Float64) -> Float64:
    """(n, R²) outer product of every row with itself."""
    rank = factor.shape[1]
    return (factor[:, :, None] * factor[:, None, :]).reshape(-1, rank * rank)


def solve_rows(matrices: Float64, right: Float64, prior: Float64, ridge: float) -> Float64:
    """(n, R) solutions of (M_i + λ_i I) x_i = r_i + λ_i prior_i, λ_i = ridge times the mean diagonal of M_i.

    Args:
        matrices: (n, R, R), positive semidefinite.
        right: (n, R).
        prior: (n, R) or (R,): what a row is where nothing is known about it.
        ridge: relative; a row without any data is its prior.
    """
    rank = right.shape[1]
    weight = ridge * np.trace(matrices, axis1=1, axis2=2) / rank
    # Rows that nothing is known about must be solvable too.
    weight = np.maximum(weight, 1e-12)[:, None]
    eye = np.eye(rank)[None, :, :]
    solved = np.linalg.solve(matrices + weight[:, :, None] * eye, (right + weight * prior)[:, :, None])
    return np.asarray(solved[:, :, 0])
