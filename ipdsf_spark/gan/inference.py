"""Cubes through a trained generator, in batches, on whatever device there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import Model
from ipdsf_spark.gan.devices import require_device
from ipdsf_spark.gan.precision import is_bf16_fast


class Predictor:
    """A model on a device.

    Args:
        model: a trained generator.
        device: torch device; CUDA where there is one by default.
        is_mixed: bfloat16 convolutions; by default where the hardware multiplies in it.

    Raises:
        InputError: the GPU that is asked for is not there.
    """

    def __init__(self, model: Model, device: str | None = None, *, is_mixed: bool | None = None) -> None:
        require_device(device or "")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.is_mixed = is_bf16_fast(self.device) if is_mixed is None else is_mixed
        self.facts = model.facts
        self._generator = model.generator.to(self.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def predict(self, cubes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Enhanced levels (B, S, S, S) of degraded cubes → those of clean ones, within [-1, 1].

        Raises:
            InputError: a level is no number.
        """
        if not np.isfinite(cubes).all():
            raise InputError("a cube with levels that are no number (NaN or infinite) cannot be predicted from")
        levels: NDArray[Any] = (
            self.predicted(torch.from_numpy(np.ascontiguousarray(cubes))[:, None])[:, 0].cpu().numpy()
        )
        return np.ascontiguousarray(levels, dtype=np.float32)

    def predicted(self, cubes: Tensor) -> Tensor:
        """The same of tensors (B, 1, S, S, S), which stay on the device."""
        batch = cubes.to(self.device).contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_mixed):
            predicted: Tensor = self._generator(batch).float().clamp(-1.0, 1.0)
        return predicted
