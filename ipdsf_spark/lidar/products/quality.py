"""Quality bits that travel with every boundary layer height (SCIENCE notes §7.5; written as CF flag_masks)."""

from __future__ import annotations

from enum import IntFlag


class Quality(IntFlag):
    """Why a height is missing, or what to keep in mind when using it."""

    CLOUD_CAPPED = 1  # the layer reaches a cloud base
    PRECIPITATION = 2  # rain or snow: no height
    FOG = 4  # fog or full obscuration: no height
    NEAR_RANGE_EDGE = 8  # the drop lies at or below the lowest trustworthy gates: no height from it
    LOW_SNR = 16  # no drop stands out of the noise: no height
    AMBIGUOUS = 32  # another layer top is nearly as likely
    GAP_FILLED = 64  # the path was carried over missing profiles
    PROVISIONAL = 128  # a final value will replace this one
    FEW_PROFILES = 256  # less than half of the averaging interval was measured
    UNCALIBRATED = 512  # absolute thresholds used a typical calibration of this instrument
    NO_SUN = 1024  # the site has no coordinates: no diurnal ceiling
    RESIDUAL_LAYER = 2048  # at dusk: a drop this high may be the residual layer's already, no height from it


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest bit first."""
    return [flag.name.lower() for flag in Quality if bits & flag and flag.name is not None]
