"""Quality bits that travel with every boundary layer height (written as CF flag_masks)."""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache


class Quality(IntFlag):
    """Why a height is missing, or what to keep in mind when using it."""

    CLOUD_CAPPED = 1  # the layer reaches a cloud base: the base within 300 m of the height, or instead of it
    PRECIPITATION = 2  # rain or snow: no height
    FOG = 4  # fog or full obscuration, seen in the profile: no height
    NEAR_RANGE_EDGE = 8  # the top lies below the lowest trustworthy gate: an upper bound instead of a height
    LOW_SNR = 16  # noise would hide the top where it is expected: no height
    AMBIGUOUS = 32  # two layer tops are nearly as likely: a large uncertainty, or no height
    GAP_FILLED = 64  # carried over missing profiles
    PROVISIONAL = 128  # a final value will replace this one
    FEW_PROFILES = 256  # less than half of the averaging interval was measured
    UNCALIBRATED = 512  # absolute thresholds used a typical calibration of this instrument
    NO_SUN = 1024  # the site has no coordinates: no prior from the sun
    RESIDUAL_LAYER = 2048  # the drop that is seen is a residual layer's, the top is hidden below: no height
    CLIPPED = 4096  # the instrument writes zeros where its signal is weak: nothing is looked for there
    NO_EDGE = 8192  # the signal is good and shows no drop where the top is expected: no height


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest bit first."""
    return list(_names(bits))


@lru_cache(maxsize=1024)
def _names(bits: int) -> tuple[str, ...]:
    return tuple(flag.name.lower() for flag in Quality if bits & flag and flag.name is not None)
