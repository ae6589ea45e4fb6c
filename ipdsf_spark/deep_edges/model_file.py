"""A trained network as a file: weights and what they were trained as, without pickled code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ipdsf_spark.deep_edges.network import REACH, EdgeNetwork
from ipdsf_spark.errors import InputError, said_of_arrays

FORMAT: Final = "ipdsf edge network 1"
_ABOUT: Final = "about"


def to_bytes(network: EdgeNetwork, about: dict[str, Any]) -> bytes:
    """Weights as 32-bit floats in an npz, with a JSON text of what they are."""
    arrays: dict[str, Any] = {name: value.numpy() for name, value in network.state_dict().items()}
    text = json.dumps({"format": FORMAT, "reach": REACH, **about})
    file = io.BytesIO()
    np.savez_compressed(file, **arrays | {_ABOUT: np.array(text)})
    return file.getvalue()


def from_bytes(raw: bytes, *, name: str = "model") -> tuple[EdgeNetwork, dict[str, Any]]:
    """The network that `to_bytes` wrote, and what it is.

    Raises:
        InputError: these bytes are no such model.
    """
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop(_ABOUT)))
        if about.get("format") != FORMAT:
            raise ValueError(f"written as {about.get('format')!r}, this is {FORMAT!r}")
        network = EdgeNetwork(arrays["fine.0.weight"].shape[1])
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"{name} is no model of edges: {said_of_arrays(error)}") from error
    return network.eval(), about


def probability_of(network: EdgeNetwork) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network as a function of arrays: features (C, T, K) to probabilities (2, T, K - 1)."""

    def probability(features: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            found = torch.sigmoid(network(torch.from_numpy(np.ascontiguousarray(features))[None]))[0]
        return np.asarray(found.numpy())

    return probability
