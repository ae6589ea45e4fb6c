"""The presentation's own figures of training, and the arithmetic that its words leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipdsf_spark.experiments.arithmetic import efficiency, speed_up

GPUS: Final = 4
CLAIMED_SPEED_UP: Final = 4.0


@dataclass(frozen=True)
class PresentedTime:
    """Hours to stabilise, as the presentation gives them, and what follows.

    Attributes:
        what: is stable.
        without_h, with_h: on one GPU without Horovod, on four with it.
        speed_up: their ratio.
        efficiency: of it, by GPU.
    """

    what: str
    without_h: float
    with_h: float
    speed_up: float
    efficiency: float


@dataclass(frozen=True)
class PresentedQuality:
    """PSNR and SSIM of a patient, as the presentation gives them.

    Attributes:
        patient: by number.
        psnr_without_db, psnr_with_db, ssim_without, ssim_with: without and with Horovod.
        lost_db: with Horovod.
    """

    patient: int
    psnr_without_db: float
    psnr_with_db: float
    ssim_without: float
    ssim_with: float
    lost_db: float


_HOURS: Final = (("accuracy", 27.0, 19.0), ("discriminator loss", 85.0, 65.0), ("generator loss", 22.0, 13.0))
_PATIENTS: Final = (
    (1, 36.0, 34.0, 0.98, 0.98),
    (2, 36.8, 32.6, 0.98, 0.97),
    (3, 37.5, 33.4, 0.98, 0.97),
    (4, 34.9, 33.9, 0.98, 0.98),
)

TIMES: Final = tuple(
    PresentedTime(what, without, together, speed_up(without, together), efficiency(without, together, GPUS))
    for what, without, together in _HOURS
)
QUALITIES: Final = tuple(
    PresentedQuality(patient, a, b, ssim_a, ssim_b, a - b) for patient, a, b, ssim_a, ssim_b in _PATIENTS
)


def mean_lost_db() -> float:
    """Mean PSNR that the presentation's patients lose with Horovod [dB]."""
    return sum(quality.lost_db for quality in QUALITIES) / len(QUALITIES)
