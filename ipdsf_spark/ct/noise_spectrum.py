"""The noise power spectrum in the plane: how strong noise is, and how fine.

Siewerdsen, Cunningham & Jaffray (2002), Med. Phys. 29, 2655; AAPM TG-233 (Samei et al. 2019), Med. Phys. 46, e735:

    NPS(f_y, f_x) = (Δy Δx / N_y N_x) · mean |DFT(noise - its mean)|²      [HU² mm²]

averaged over square fields and over directions. Its integral over all frequencies is the variance of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError

FIELD: Final = 32  # edge of a field in pixels


@dataclass(frozen=True)
class NoiseSpectrum:
    """Of a volume of noise."""

    frequencies_per_mm: NDArray[np.float64]  # centres of rings
    power_hu2_mm2: NDArray[np.float64]  # mean over a ring
    sigma_hu: float
    mean_frequency_per_mm: float  # weighted with power: white noise has more than noise that was smoothed


def noise_spectrum(noise_hu: NDArray[Any], spacing_yx_mm: tuple[float, float], *, field: int = FIELD) -> NoiseSpectrum:
    """The spectrum of noise [z, y, x], such as a volume minus the true one.

    Raises:
        InputError: no field fits into a slice.
    """
    field = min(field, *noise_hu.shape[1:])
    if field < 4:
        raise InputError(f"a noise spectrum needs slices of 4 × 4 and more, got {noise_hu.shape}")
    rows, columns = (n // field for n in noise_hu.shape[1:])
    total, count = np.zeros((field, field)), 0
    for plane in noise_hu:
        fields = plane[: rows * field, : columns * field].astype(np.float64)
        fields = fields.reshape(rows, field, columns, field).swapaxes(1, 2).reshape(-1, field, field)
        fields -= fields.mean(axis=(1, 2), keepdims=True)
        total += (np.abs(np.fft.fft2(fields)) ** 2).sum(axis=0)
        count += len(fields)
    dy, dx = spacing_yx_mm
    power = total / count * dy * dx / field**2
    f_y, f_x = np.fft.fftfreq(field, dy), np.fft.fftfreq(field, dx)
    radius = np.hypot(f_y[:, None], f_x[None, :])
    cell = 1 / (field * dy) / (field * dx)
    step = max(1 / (field * dy), 1 / (field * dx))
    ring = np.rint(radius / step).astype(int).ravel()
    in_ring = np.bincount(ring)
    kept = np.flatnonzero(in_ring)[1:]  # without the mean, which was taken out
    mean = power.sum()
    return NoiseSpectrum(
        frequencies_per_mm=np.bincount(ring, radius.ravel())[kept] / in_ring[kept],
        power_hu2_mm2=np.bincount(ring, power.ravel())[kept] / in_ring[kept],
        sigma_hu=float(np.sqrt(mean * cell)),
        mean_frequency_per_mm=float((power * radius).sum() / mean) if mean > 0 else 0.0,
    )
