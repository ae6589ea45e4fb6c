"""Mass of PM2.5 from extinction near the ground: humidity, efficiency, and a site's own regression."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ipdsf_spark.lidar.aerosol.flags import AirFlag
from ipdsf_spark.lidar.aerosol.inversion import LayerExtinction
from ipdsf_spark.lidar.aerosol.near_surface import known_humidity
from ipdsf_spark.lidar.aerosol.types import AerosolType, aerosol_type
from ipdsf_spark.lidar.air_quality.humidity import DEFAULT_GAMMA, HIGH_HUMIDITY, growth_gamma, growth_kappa
from ipdsf_spark.lidar.air_quality.regression import SiteLine

MICROGRAMS: Final = 1e6  # per g
HIGHEST_MASS: Final = 5000.0  # µg/m3; more has not been measured anywhere
UNKNOWN_HUMIDITY_SIGMA: Final = 0.35  # relative spread of the growth factor over 40 to 90 %


@dataclass(frozen=True)
class AirSettings:
    """What turns a profile into an index.

    Attributes:
        aerosol: name of the type of aerosol assumed, one of `AEROSOL_TYPES`.
        lidar_ratio_sr: measured at the site, instead of the type's; None = the type's.
        growth: ``"gamma"`` or ``"kappa"``: form of the growth with humidity.
        gamma: exponent of the first form.
        assumed_humidity: relative humidity where none is known, 0 to 1; the estimate then carries a flag.
        layer_top_m: upper end of the layer near the ground.
        interval_s: length of the averages.
        completeness: share of an hour's intervals that its mean needs.
        line: the site's regression, or None.
    """

    aerosol: str = "continental"
    lidar_ratio_sr: float | None = None
    growth: str = "gamma"
    gamma: float = DEFAULT_GAMMA
    assumed_humidity: float = 0.7
    layer_top_m: float = 300.0
    interval_s: int = 300
    completeness: float = 0.75
    line: SiteLine | None = field(default=None)

    def __post_init__(self) -> None:
        """Check once what would otherwise fail at the first file.

        Raises:
            ValueError: a setting is impossible.
        """
        aerosol_type(self.aerosol)
        if self.growth not in ("gamma", "kappa"):
            raise ValueError(f"growth is 'gamma' or 'kappa', not {self.growth!r}")
        if not 0.0 <= self.assumed_humidity <= 1.0:
            raise ValueError(f"assumed_humidity is a share from 0 to 1, not {self.assumed_humidity}")
        if not 0.0 < self.completeness <= 1.0:
            raise ValueError(f"completeness is a share above 0 and at most 1, not {self.completeness}")
        if not 60 <= self.interval_s <= 3600 or 3600 % self.interval_s:
            raise ValueError(f"interval_s must divide an hour and be at least 60, not {self.interval_s}")
        if self.lidar_ratio_sr is not None and not 5.0 <= self.lidar_ratio_sr <= 200.0:
            raise ValueError(f"a lidar ratio lies between 5 and 200 sr, not {self.lidar_ratio_sr}")

    @property
    def kind(self) -> AerosolType:
        """The type of aerosol."""
        return aerosol_type(self.aerosol)

    @property
    def num_intervals(self) -> int:
        """Intervals of an hour."""
        return 3600 // self.interval_s


@dataclass(frozen=True)
class Mass:
    """PM2.5 of one interval.

    Attributes:
        value: [µg/m3].
        noise: standard deviation by the noise of the signal, which averages out over an hour.
        systematic: standard deviation by what stays the same for hours: lidar ratio, calibration, efficiency, humidity.
        flags: notes added here.
    """

    value: float
    noise: float
    systematic: float
    flags: AirFlag


def mass_of(extinction: LayerExtinction, wavelength_nm: float, relative_humidity: float, settings: AirSettings) -> Mass:
    """PM2.5 = 10^6 α / (k f(RH)), then the site's line where there is one.

    Args:
        extinction: near the ground.
        wavelength_nm: of the laser.
        relative_humidity: 0 to 1; NaN or impossible where unknown.
        settings: type of aerosol, growth, regression.
    """
    flags, spread = AirFlag(0), settings.kind.efficiency_sigma
    humidity = known_humidity(relative_humidity)
    if math.isnan(humidity):
        humidity, flags = settings.assumed_humidity, flags | AirFlag.NO_HUMIDITY
        spread = float(np.hypot(spread, UNKNOWN_HUMIDITY_SIGMA))
    elif humidity > HIGH_HUMIDITY:
        flags |= AirFlag.HIGH_HUMIDITY
    kind = settings.kind
    if settings.growth == "kappa":
        growth = growth_kappa(humidity, kind.kappa)
    else:
        growth = growth_gamma(humidity, settings.gamma)
    per_extinction = MICROGRAMS / (kind.efficiency_at(wavelength_nm) * growth)
    value, noise = extinction.mean * per_extinction, extinction.noise * per_extinction
    by_optics = float(np.hypot(extinction.lidar_ratio, extinction.calibration)) * per_extinction
    systematic = float(np.hypot(by_optics, spread * value))
    if settings.line is None:
        flags |= AirFlag.WITHOUT_REGRESSION
    else:
        line = settings.line
        if not line.lowest <= value <= line.highest:
            flags |= AirFlag.EXTRAPOLATED
        # What the fit left over contains the unknown optics of the site; they are not added a second time. It does not
        # contain a humidity that was known then and is not now.
        is_missed = bool(flags & AirFlag.NO_HUMIDITY) and line.made_of is not None and line.made_of.has_humidity
        missed = UNKNOWN_HUMIDITY_SIGMA * line.slope * value if is_missed else 0.0
        value, noise, systematic = line.at(value), abs(line.slope) * noise, float(np.hypot(line.rmse, missed))
    if value > HIGHEST_MASS or value < -3.0 * float(np.hypot(noise, systematic)) - 5.0:
        flags |= AirFlag.IMPLAUSIBLE
    return Mass(value, noise, systematic, flags)
