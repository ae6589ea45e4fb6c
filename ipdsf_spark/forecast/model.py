"""A trained forecast without torch: its weights as arrays, one step of the LSTM in numpy, and quantiles in metres.

    i, f, o = σ(W x + U h + b),  g = tanh(W x + U h + b),  c ← f c + i g,  h ← o tanh(c)   (Hochreiter 1997, Gers 2000)

Of every lead the head gives five numbers: how far the median lies from persistence towards the climatology, how much of
the climatology's change until then it shares, a departure from there, and the widths below and above, which are
positive, so that quantiles never cross. So the network need only learn what persistence and the usual course of the day
do not know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.forecast.filling import NUM_REASONS, widened
from ipdsf_spark.forecast.memory import FEATURES_VERSION, NUM_FEATURES
from ipdsf_spark.forecast.series import LEADS_MIN, QUANTILES
from ipdsf_spark.lidar.profiles import Float64

Array = NDArray[np.float32]
DEPARTURE_M: Final = 300.0  # of a departure or width of 1
LOWEST_M: Final = 20.0  # no mixing layer is shallower
NUM_OUTPUTS: Final = 5  # per lead
FACTORS: Final = "filled_factors"
FACTORS_SHAPE: Final = (NUM_REASONS, 2)


@dataclass(frozen=True, eq=False)
class ForecastModel:
    """Weights and what is known about them.

    Attributes:
        input_weights: per layer (4H, in), gates in the order i, f, g, o.
        hidden_weights: per layer (4H, H).
        biases: per layer (4H,).
        head_weights: (5 L, H).
        head_bias: (5 L,).
        filled_factors: (R, 2) of the widths below and above the median of a filled gap, by why it is one (`filling`).
        sha256: of the file that they came from.
        facts: how it was trained.
    """

    input_weights: tuple[Array, ...]
    hidden_weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    head_weights: Array
    head_bias: Array
    filled_factors: Array = field(default_factory=lambda: np.ones(FACTORS_SHAPE, np.float32))
    sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_layers(self) -> int:
        """LSTM layers, one upon the other."""
        return len(self.biases)

    @property
    def width(self) -> int:
        """Numbers that a layer remembers."""
        return int(self.hidden_weights[0].shape[1])

    @property
    def num_weights(self) -> int:
        """All of them."""
        parts = (*self.input_weights, *self.hidden_weights, *self.biases, self.head_weights, self.head_bias)
        return sum(part.size for part in parts)

    def start(self, num_sites: int) -> Array:
        """(2, layers, S, H) the hidden state before anything was seen."""
        return np.zeros((2, self.num_layers, num_sites, self.width), np.float32)

    def step(self, features: Array, hidden: Array) -> tuple[Array, Array]:
        """One interval of S sites.

        Args:
            features: (S, F).
            hidden: (2, layers, S, H) of the interval before; not changed.

        Returns:
            (S, L, 5) what the head says, and the new hidden state.
        """
        width, new = self.width, np.empty_like(hidden)
        x = features
        for layer, bias in enumerate(self.biases):
            gates = x @ self.input_weights[layer].T + hidden[0, layer] @ self.hidden_weights[layer].T + bias
            sigmoid = _sigmoid(gates)
            cell = sigmoid[:, width : 2 * width] * hidden[1, layer]
            cell += sigmoid[:, :width] * np.tanh(gates[:, 2 * width : 3 * width])
            new[1, layer] = cell
            x = sigmoid[:, 3 * width :] * np.tanh(cell)
            new[0, layer] = x
        said = x @ self.head_weights.T + self.head_bias
        return said.reshape(len(said), -1, NUM_OUTPUTS), new

    def quantiles_m(self, said: Array, features: NDArray[Any], last_m: Float64, usual_m: Float64,
                    highest_m: float = math.inf) -> Float64:  # fmt: skip
        """(S, L, 3) quantiles of a step; those of filled gaps widened. Other arguments as `quantiles_m` below.

        Args:
            said: (S, L, 5) of the step.
            features: (S, F) that it was made of.
            last_m: (S,).
            usual_m: (S, L).
            highest_m: the highest mixing height that is searched for at the sites; no quantile lies above it.
        """
        found = widened(quantiles_m(said, last_m, usual_m), features, self.filled_factors, LOWEST_M)
        return np.asarray(np.minimum(found, highest_m))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels to a worker once per query; a worker keeps one model however many tasks it runs."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _kept, (self.sha256, named) if self.sha256 else ("", named)


_KEPT: Final[dict[str, ForecastModel]] = {}


def _kept(sha256: str, named: Mapping[str, Any]) -> ForecastModel:
    if not sha256:
        return ForecastModel(**named)
    return _KEPT.setdefault(sha256, ForecastModel(**named))


def quantiles_m(said: Array, last_m: Float64, usual_m: Float64) -> Float64:
    """(S, L, 3) heights that are undershot with probabilities `QUANTILES`; they never cross.

    Args:
        said: (S, L, 5) of the head.
        last_m: (S,) persistence.
        usual_m: (S, L) climatology.
    """
    shares = _sigmoid(said[..., :2].astype(np.float64))
    median_m = last_m[:, None] + shares[..., 0] * (usual_m - last_m[:, None])
    median_m += shares[..., 1] * (usual_m - usual_m[:, :1]) + DEPARTURE_M * said[..., 2]
    widths_m = DEPARTURE_M * np.logaddexp(0.0, said[..., 3:].astype(np.float64))
    found = np.stack([median_m - widths_m[..., 0], median_m, median_m + widths_m[..., 1]], axis=-1)
    return np.asarray(np.maximum(found, LOWEST_M))


def required_shapes(num_layers: int, width: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays in a file of weights."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        shapes[f"input_weights_{layer}"] = (4 * width, width if layer else NUM_FEATURES)
        shapes[f"hidden_weights_{layer}"] = (4 * width, width)
        shapes[f"bias_{layer}"] = (4 * width,)
    outputs = NUM_OUTPUTS * len(LEADS_MIN)
    return shapes | {"head_weights": (outputs, width), "head_bias": (outputs,)}


def layout() -> dict[str, Any]:
    """What a model and this code must agree upon."""
    return {"features": FEATURES_VERSION, "leads_min": list(LEADS_MIN), "quantiles": list(QUANTILES)}


def model_of(arrays: Mapping[str, Array], num_layers: int, sha256: str, facts: Mapping[str, Any]) -> ForecastModel:
    """The model of a file's arrays, named as in `required_shapes`; `FACTORS` may lack and are 1 then."""

    def each(name: str) -> tuple[Array, ...]:
        return tuple(arrays[f"{name}_{layer}"] for layer in range(num_layers))

    return ForecastModel(
        each("input_weights"),
        each("hidden_weights"),
        each("bias"),
        arrays["head_weights"],
        arrays["head_bias"],
        arrays.get(FACTORS, np.ones(FACTORS_SHAPE, np.float32)),
        sha256,
        facts,
    )


def arrays_of(parts: Sequence[tuple[Array, Array, Array]], head: tuple[Array, Array]) -> dict[str, Array]:
    """The arrays of a file of weights, from (input, hidden, bias) of every layer and (weights, bias) of the head."""
    arrays: dict[str, Array] = {}
    for layer, (input_weights, hidden_weights, bias) in enumerate(parts):
        arrays[f"input_weights_{layer}"] = input_weights
        arrays[f"hidden_weights_{layer}"] = hidden_weights
        arrays[f"bias_{layer}"] = bias
    return arrays | {"head_weights": head[0], "head_bias": head[1]}


def _sigmoid(x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))
