"""Noise as a scanner makes it at low dose, beside the white noise of the task.

Filtered back-projection multiplies the projections by a ramp, so that noise of the image is weak at low frequencies and
falls again towards the highest because kernels roll off (Kijewski & Judy 1987, Phys. Med. Biol. 32, 565). Two ways:

* `spectral_noise`: Gaussian noise in the image with that spectrum, the same everywhere
* `projected_noise`: Poisson counts behind the body, filtered back, so that noise is strongest where rays were weakest
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from skimage.transform import iradon, radon

WATER_PER_MM: Final = 0.0193  # attenuation of water at 70 keV (NIST)
ELECTRONS_PER_DETECTOR: Final = 5.0  # noise of the electronics, counts
Float32 = NDArray[np.float32]


def spectral_noise(shape: tuple[int, int, int], rng: np.random.Generator, *, sigma: float) -> Float32:
    """Noise [z, y, x] of deviation `sigma` with the spectrum of a ramp under a Hann window, planes independent.

    NPS(f) ∝ f · cos⁴(π f / 2 f_N) up to the Nyquist frequency f_N of the pixels, nothing above.
    """
    depth, rows, columns = shape
    f = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :]) / 0.5
    amplitude = np.sqrt(f) * np.cos(np.pi / 2 * np.minimum(f, 1.0)) ** 2
    # Twice the weight for what a real transform leaves out.
    half = np.full(f.shape[1], 2.0)
    half[0] = 1.0
    if columns % 2 == 0:
        half[-1] = 1.0
    power = float((amplitude**2 * half).sum()) / (rows * columns)
    noise = np.empty(shape, np.float32)
    for k in range(depth):
        white = rng.normal(0.0, 1.0, (rows, columns))
        noise[k] = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(rows, columns)) * (sigma / np.sqrt(power))
    return noise


def projected_noise(
    hu: NDArray[Any], rng: np.random.Generator, *, counts: float, pixel_mm: float, num_angles: int = 180
) -> Float32:
    """Noise [y, x] in HU of one slice, as parallel projections with `counts` photons in air per ray would have it.

    The noise alone is filtered back: reconstruction is linear, so that it may be added to the slice, whose sharpness is
    not touched.
    """
    rows, columns = hu.shape
    edge = int(np.ceil(np.hypot(rows, columns)))
    attenuation = np.zeros((edge, edge))
    top, left = (edge - rows) // 2, (edge - columns) // 2
    attenuation[top : top + rows, left : left + columns] = np.maximum(hu + 1000.0, 0.0) / 1000 * WATER_PER_MM
    angles = np.linspace(0.0, 180.0, num_angles, endpoint=False)
    lengths = radon(attenuation, angles, circle=True) * pixel_mm
    expected = counts * np.exp(-lengths)
    measured = rng.poisson(expected) + rng.normal(0.0, np.sqrt(ELECTRONS_PER_DETECTOR), expected.shape)
    error = np.log(expected) - np.log(np.maximum(measured, 0.5))
    noise = iradon(error, angles, filter_name="hann", circle=True) / pixel_mm / WATER_PER_MM * 1000
    return np.asarray(noise[top : top + rows, left : left + columns], dtype=np.float32)
