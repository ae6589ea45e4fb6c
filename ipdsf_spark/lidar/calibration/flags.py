"""Why a day has no calibration, and what to keep in mind where it has one."""

from __future__ import annotations

from enum import IntFlag


class CalibrationFlag(IntFlag):
    """Notes on the calibration of a day."""

    NO_SUITABLE_CLOUD = 1  # no opaque liquid cloud between 500 and 2400 m that stayed long enough
    NO_CLEAR_NIGHT = 2  # too little clear night, or too much noise, to see the return of air; not at 910 nm
    WITHOUT_WATER_VAPOUR = 4  # about 910 nm and no precipitable water known: the factor is too large by 6 to 30 %
    ASSUMED_SCATTERING = 8  # no table of multiple scattering for this instrument: a typical one, 15 % uncertain
    SATURATION_POSSIBLE = 16  # a photon counter may saturate in liquid cloud: the factor may be too large
    LOW_LASER = 32  # laser power below 90 % of nominal: not used; below 40 % depolarisation is wrong as well
    DIRTY_WINDOW = 64  # window transmission below 50 %: not used; below 80 %: to be cleaned
    OUTLIER = 128  # the day's value lies beyond three standard deviations of the state: not used
    STEP = 256  # five days agree on another value: the state began anew there
    DRIFT = 512  # alarm: the state left its mean of 90 days by more than 5 % and three of its standard deviations
    YOUNG = 1024  # fewer than ten days with a value: no alarm yet
    NO_WAVELENGTH = 2048  # the wavelength is unknown: water vapour and the return of air are not known either
    RAYLEIGH = 4096  # the day's value comes from the return of air on a clear night
    LIQUID_CLOUD = 8192  # the day's value comes from liquid cloud
    PROVISIONAL = 16384  # the day is not over
    SHORT_RANGE = 32768  # the range ends below 2400 m


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest bit first."""
    return [flag.name.lower() for flag in CalibrationFlag if bits & flag and flag.name is not None]
