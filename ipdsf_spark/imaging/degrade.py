"""What a test volume is degraded to, and what methods without a network make of it: the same for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.baselines import interpolated, smoothed
from ipdsf_spark.ct.degradation import SIGMA, Task, noisy, pixelated
from ipdsf_spark.ct.window import unwindowed
from ipdsf_spark.gan.checkpoint import Model
from ipdsf_spark.gan.cosine import transform_coded

Float32 = NDArray[np.float32]
NOISE_SEED = 0


@dataclass(frozen=True)
class Degradation:
    """How a test volume is degraded, on the scale of the HU window."""

    task: Task
    sigma: float = SIGMA
    factor: int = 2
    is_low_dose: bool = False  # noise with the spectrum of a scanner instead of the white noise that was trained on
    code: tuple[int, int] | None = None  # of an autoencoder: edge of its blocks, numbers that it has for each

    @classmethod
    def of_model(cls, model: Model, *, sigma: float = SIGMA) -> Degradation:
        """What a model was trained to undo."""
        settings = model.generator.settings
        code = (2**settings.halvings, settings.code_channels) if settings.code_channels else None
        return cls(model.facts["task"], sigma, int(model.facts.get("factor", 2)), code=code)

    @property
    def name(self) -> str:
        """For tables."""
        return {
            "autoencode": "none",
            "denoise": f"{'low-dose ' if self.is_low_dose else ''}noise, σ = {self.sigma:g} of the window",
            "depixelate": f"{self.factor}× pixels",
            "refine": f"{self.factor}× pixels and noise, σ = {self.sigma:g} of the window",
        }[self.task]

    def applied(self, share: Float32) -> Float32:
        """The whole volume degraded, so that neighbouring cubes agree."""
        rng = np.random.default_rng(NOISE_SEED)
        if self.task == "denoise" and self.is_low_dose:
            from ipdsf_spark.ct.low_dose import spectral_noise  # loads scikit-image, which nothing else here needs

            depth, rows, columns = share.shape
            noise = spectral_noise((depth, rows, columns), rng, sigma=self.sigma)
            return np.asarray(np.clip(share + noise, 0.0, 1.0))
        if self.task == "denoise":
            return noisy(share, rng, sigma=self.sigma)
        if self.task == "refine":
            return noisy(pixelated(share, self.factor), rng, sigma=self.sigma)
        return pixelated(share, self.factor) if self.task == "depixelate" else share

    def baselines(self, share: Float32, degraded: Float32, *, with_strong: bool = False) -> Mapping[str, Float32]:
        """What undoes it without a network, and the degraded volume itself.

        Args:
            share: the true volume, from which pixels are made.
            degraded: what the model gets.
            with_strong: with the classical methods as well, which take their time.
        """
        found: dict[str, Float32] = {}
        if self.task == "denoise":
            found = {"noisy, untouched": degraded, "3-D Gaussian, σ = 1 voxel": smoothed(degraded)}
        if self.task == "depixelate":
            found = {"nearest": degraded, "trilinear": interpolated(share, self.factor)}
        if self.task == "autoencode" and self.code:
            edge, number = self.code
            found = {f"cosine transform, {edge**3 / number:g} voxels a number": transform_coded(share, edge, number)}
        return found | (self._strong_baselines(share, degraded) if with_strong else {})

    def _strong_baselines(self, share: Float32, degraded: Float32) -> dict[str, Float32]:
        from ipdsf_spark.ct.strong_baselines import back_projected, non_local_means, spline, total_variation

        if self.task == "denoise":
            return {
                "total variation": total_variation(degraded, self.sigma),
                "non-local means": non_local_means(degraded, self.sigma),
            }
        if self.task == "depixelate":
            return {
                "cubic spline": spline(share, self.factor),
                "iterative back-projection": back_projected(share, self.factor),
            }
        return {}

    def degraded_hu(self, degraded: Float32, window_hu: tuple[int, int]) -> Float32:
        """HU of what was degraded."""
        return unwindowed(degraded, window_hu)
