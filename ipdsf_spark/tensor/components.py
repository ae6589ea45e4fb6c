"""Components as others can read them: weights and profiles of unit size, strengths that carry the size.

The factors of a decomposition are known up to a factor per component; here the weights of the sites and the profile of
the gates have a root mean square of 1, the mean weight is positive, and the strength of a slice carries what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor.network import NetworkTensor

Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Components:
    """R components of I sites and K cells.

    Attributes:
        weights: (I, R) of the sites, in the order of the model's.
        profiles: (K, R) in units of the cells: what a strength of 1 at a weight of 1 adds to `center`.
        center: (K,) of the cells.
        scale: (R,) factor from the model's strengths to those of these components.
    """

    weights: Float64
    profiles: Float64
    center: Float64
    scale: Float64


def components_of(model: NetworkTensor) -> Components:
    """The model's components now; without rows before it is warm."""
    size_a, size_b = (np.sqrt(np.mean(np.square(part), axis=0)) if len(part) else _ones(model) for part in
                      (model.a, model.b))  # fmt: skip
    size_a, size_b = (np.where(size > 0.0, size, 1.0) for size in (size_a, size_b))
    sign = np.where(model.a.sum(axis=0) < 0.0, -1.0, 1.0)
    return Components(
        weights=model.a * sign / size_a,
        profiles=model.b / size_b * model.spread[:, None],
        center=model.center.copy(),
        scale=sign * size_a * size_b,
    )


def _ones(model: NetworkTensor) -> Float64:
    return np.ones(model.settings.rank)
