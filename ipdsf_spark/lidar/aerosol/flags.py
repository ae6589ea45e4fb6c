"""Why there is no extinction or particle mass, and what to keep in mind where there is."""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class AirFlag(IntFlag):
    """Quality bits of extinction, particle mass and index. The first eight and `DROPLETS` are reasons for no value."""

    UNCALIBRATED = 1  # no calibration to m-1 sr-1 is known for this instrument at this site
    CLOUD = 2  # a cloud base lies within or just above the layer
    PRECIPITATION = 4  # rain or snow
    FOG = 8  # fog or full obscuration
    NO_SIGNAL = 16  # noise, clipped or missing gates where the layer would be
    NO_GATE = 32  # no trustworthy gate, or too few, in the layer near the ground
    ATTENUATED = 64  # the signal is too strong to be aerosol of this lidar ratio: the inversion has no solution
    NO_WAVELENGTH = 128  # the wavelength is unknown or outside 230-1690 nm
    FACTORY_CALIBRATION = 256  # the maker's scale, never compared at this site: may be wrong by a factor
    WITHOUT_WATER_VAPOUR = 512  # absorption by water vapour at about 910 nm is not corrected
    ASSUMED_AEROSOL = 1024  # lidar ratio and mass efficiency are those of an assumed type
    NO_HUMIDITY = 2048  # relative humidity unknown, a typical one was assumed
    HIGH_HUMIDITY = 4096  # above 90 %: growth of the particles is uncertain
    ABOVE_MIXING_LAYER = 8192  # the mixing layer ends below the layer that was looked at
    WITHOUT_REGRESSION = 16384  # no monitor's history at this site: mass from general assumptions
    EXTRAPOLATED = 32768  # outside the values that the site's regression was fitted to
    INCOMPLETE = 65536  # fewer than three quarters of the hour's intervals have a value: no hourly mean
    PROVISIONAL = 131072  # the hour is not over
    NO_NOWCAST = 262144  # fewer than two of the last three hours have a mean: no NowCast, no US index
    IMPLAUSIBLE = 524288  # a value outside any measured one, a negative mean beyond its noise included
    DROPLETS = 1048576  # below a low cloud the signal is as of drizzle or of swollen droplets, and no air is known dry
    BELOW_LOW_CLOUD = 2097152  # a low cloud above: the air may be humid, the particles swollen
    NOISE_UNKNOWN = 4194304  # the profile does not show its noise: the uncertainty lacks it, and weak signal passes


REASONS: Final = AirFlag(255) | AirFlag.DROPLETS  # with one of these there is no value


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest bit first."""
    return [flag.name.lower() for flag in AirFlag if bits & flag and flag.name is not None]
