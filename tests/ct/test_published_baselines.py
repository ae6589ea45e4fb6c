"""The trivial baselines of shared/docs CT.md, reproduced to their printed precision.

Central slices, at most 64 and a whole number of blocks of eight; HU window [-1000, 400] scaled to 0 … 1, data range 1;
noise of seed 0. PSNR in dB to one decimal, SSIM (7³ windows) to three; one unit of the last is allowed, because one
of the 48 numbers (.4937, printed .493) was cut and not rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ipdsf_spark.ct.baselines import interpolated, smoothed
from ipdsf_spark.ct.degradation import noisy, pixelated
from ipdsf_spark.ct.metrics import quality
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.window import windowed

Share = NDArray[np.float32]


def with_noise(share: Share) -> Share:
    return noisy(share, np.random.default_rng(0))


COLUMNS: dict[str, Callable[[Share], Share]] = {
    "noise": with_noise,
    "smoothed": lambda share: smoothed(with_noise(share)),
    "nearest 2": lambda share: pixelated(share, 2),
    "trilinear 2": lambda share: interpolated(share, 2),
    "nearest 4": lambda share: pixelated(share, 4),
    "trilinear 4": lambda share: interpolated(share, 4),
}
TABLE = {
    "train/CMB-CRC-MSB-01068.nii.gz": "27.6/.528 24.7/.546 24.3/.819 24.7/.792 20.7/.682 21.2/.672",
    "train/LIDC-IDRI-0001.nii.gz": "27.3/.493 29.2/.656 28.2/.912 29.7/.910 23.1/.777 24.3/.781",
    "train/LungFCP-01-0001.nii.gz": "27.0/.491 32.0/.755 30.7/.923 33.1/.926 25.2/.802 26.7/.817",
    "test/Lung_Dx-A0002": "27.0/.596 25.4/.716 24.3/.886 25.1/.877 19.9/.722 20.6/.719",
}


def central(hu: NDArray[np.int16]) -> NDArray[np.int16]:
    depth = min(64, len(hu) // 8 * 8)
    first = (len(hu) - depth) // 2
    return hu[first : first + depth]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "column"),
    [
        ("test/Lung_Dx-A0002", "noise"),
        ("train/CMB-CRC-MSB-01068.nii.gz", "trilinear 2"),
        ("train/LIDC-IDRI-0001.nii.gz", "smoothed"),
        ("train/LungFCP-01-0001.nii.gz", "nearest 4"),
    ],
)
def test_every_patient_reproduces_the_psnr_of_its_row_and_the_ssim_of_one_column(
    real_data: Path, case: str, column: str
) -> None:
    """SSIM takes seconds and PSNR none; that either is what it is called, other tests prove."""
    share = windowed(central(read_volume(real_data / "ct" / case).hu))
    printed = dict(zip(COLUMNS, TABLE[case].split(), strict=True))

    for name, method in COLUMNS.items():
        psnr_db, ssim = (float(text) for text in printed[name].split("/"))
        restored = method(share)
        error = float(np.square(restored - share).mean(dtype=np.float64))
        assert -10 * math.log10(error) == pytest.approx(psnr_db, abs=0.051), name
        if name == column:
            found = quality(restored, share, data_range=1.0)
            assert found.psnr_db == pytest.approx(psnr_db, abs=0.051)
            assert found.ssim == pytest.approx(ssim, abs=0.001), name
