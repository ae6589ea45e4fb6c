"""The classes of a gate, and what to keep in mind when using them.

The classes are those of a ceilometer alone: no radar, no forecast model. They follow Cloudnet's target classification
(Illingworth et al. 2007, Bull. Amer. Meteor. Soc. 88, 883; Tuononen et al. 2019, Atmos. Chem. Phys. 19, 1985) as far as
one lidar can, with classes of their own for what it cannot see.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final


class Target(IntEnum):
    """Class of a gate (written as CF flag_values)."""

    CLEAR = 0  # signal of air alone, or none above the noise where a cloud would be seen
    LIQUID = 1  # cloud droplets, supercooled ones included
    ICE = 2  # ice cloud, falling ice and snow
    DRIZZLE_OR_RAIN = 3
    FOG = 4  # droplets from the ground up
    AEROSOL = 5
    ATTENUATED = 6  # the beam is lost in what lies below: anything may be here
    CLIPPED = 7  # the instrument writes zeros, or another floor, where its signal is weak
    UNDETERMINED = 8  # missing, below the lowest trustworthy gate, or a return that no rule decides


class TargetFlag(IntFlag):
    """Notes on the classes of an interval or profile; all but the last two leave the classes usable."""

    PHASE_BY_TEMPERATURE = 1  # depolarisation is not measured or not usable: ice is told by an assumed temperature
    TYPICAL_CALIBRATION = 2  # thresholds use a typical calibration of this instrument
    FACTORY_CALIBRATION = 4  # the maker's scale, never compared at this site
    LOW_LASER = 8  # below 40 % of laser power depolarisation is not used
    SHORT_RANGE = 16  # the range ends below 4 km: high cloud is not looked for
    FEW_PROFILES = 32  # less than half of the interval was measured
    CLOUD_BELOW_OVERLAP = 64  # a return begins below the lowest trustworthy gate: its base is an upper bound
    FOG = 128  # seen in the profile
    PRECIPITATION = 256  # seen in the profile
    NOISE_UNKNOWN = 512  # the profile does not show its noise, so faint returns are not looked for
    NO_WAVELENGTH = 1024  # unknown wavelength: the return of air alone is taken as that at 1064 nm
    NO_LEVEL = 2048  # the signal has no absolute value and no typical calibration is known: nothing can be told
    NO_GATE = 4096  # no gate holds a value


NAMES: Final = tuple(target.name.lower() for target in Target)  # by value
_FLAGS: Final = tuple((int(flag), str(flag.name).lower()) for flag in TargetFlag)  # bits of an enum cost a microsecond


def names(bits: int) -> list[str]:
    """Lower-case names of the set bits, lowest bit first."""
    return [name for flag, name in _FLAGS if bits & flag]
