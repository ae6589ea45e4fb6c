"""What a test volume is degraded to, and what the trivial baselines make of it: the same for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.baselines import interpolated, smoothed
from ipdsf_spark.ct.degradation import SIGMA, Task, noisy, pixelated
from ipdsf_spark.ct.window import unwindowed

Float32 = NDArray[np.float32]
NOISE_SEED = 0


@dataclass(frozen=True)
class Degradation:
    """How a test volume is degraded, on the scale of the HU window."""

    task: Task
    sigma: float = SIGMA
    factor: int = 2

    @property
    def name(self) -> str:
        """For tables."""
        return {
            "autoencode": "none",
            "denoise": f"noise, σ = {self.sigma:g} of the window",
            "depixelate": f"{self.factor}× pixels",
        }[self.task]

    def applied(self, share: Float32) -> Float32:
        """The whole volume degraded, so that neighbouring cubes agree."""
        if self.task == "denoise":
            return noisy(share, np.random.default_rng(NOISE_SEED), sigma=self.sigma)
        return pixelated(share, self.factor) if self.task == "depixelate" else share

    def baselines(self, share: Float32, degraded: Float32) -> Mapping[str, Float32]:
        """What undoes it without a network, and the degraded volume itself."""
        if self.task == "denoise":
            return {"noisy, untouched": degraded, "3-D Gaussian, σ = 1 voxel": smoothed(degraded)}
        if self.task == "depixelate":
            return {"nearest": degraded, "trilinear": interpolated(share, self.factor)}
        return {}

    def degraded_hu(self, degraded: Float32, window_hu: tuple[int, int]) -> Float32:
        """HU of what was degraded."""
        return unwindowed(degraded, window_hu)
