"""How the estimates were made that a site's line was fitted to: on others the line says nothing."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

CALIBRATION_SHARE: Final = 0.1  # that two calibrations of one instrument may differ by: networks see 8 to 11 %
WAVELENGTH_NM: Final = 10.0  # lasers of one kind lie so near to each other


@dataclass(frozen=True)
class Making:
    """What turns a signal into an estimate of PM2.5.

    Attributes:
        site: id.
        wavelength_nm: of the laser.
        aerosol: name of the type assumed.
        lidar_ratio_sr: measured at the site; None = the type's.
        growth: form of the growth with humidity.
        calibration: factor to m-1 sr-1; None = the file's own scale.
        has_humidity: relative humidity was known.
    """

    site: str
    wavelength_nm: float
    aerosol: str
    lidar_ratio_sr: float | None
    growth: str
    calibration: float | None
    has_humidity: bool

    def differences(self, other: Making) -> list[str]:
        """What another's estimates were made from otherwise; humidity is no such thing, it widens the uncertainty."""
        found = []
        if abs(self.wavelength_nm - other.wavelength_nm) > WAVELENGTH_NM:
            found.append(f"wavelength {self.wavelength_nm:g} nm, here {other.wavelength_nm:g} nm")
        mine, its = (each.calibration or 1.0 for each in (self, other))
        if abs(math.log(mine / its)) > math.log1p(CALIBRATION_SHARE):
            found.append(f"calibration {_told(self.calibration)}, here {_told(other.calibration)}")
        for name in ("site", "aerosol", "lidar_ratio_sr", "growth"):
            one, two = getattr(self, name), getattr(other, name)
            if one != two:
                found.append(f"{name.removesuffix('_sr').replace('_', ' ')} {_told(one)}, here {_told(two)}")
        return found

    def to_values(self) -> dict[str, Any]:
        """Plain values, as `from_values` reads them."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: Any) -> Making:
        """The inverse of `to_values`.

        Raises:
            ValueError: the values are no such thing.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise ValueError(f"made_of must have {', '.join(sorted(names))}")
        try:
            numbers = {
                name: None if values[name] is None else float(values[name])
                for name in ("wavelength_nm", "lidar_ratio_sr", "calibration")
            }
        except (TypeError, ValueError) as error:
            raise ValueError(f"made_of holds what is no number: {error}") from error
        calibration, wavelength_nm = numbers["calibration"], numbers["wavelength_nm"]
        if wavelength_nm is None or (calibration is not None and not 0.0 < calibration < math.inf):
            raise ValueError("made_of needs a wavelength, and a calibration above 0 or none")
        words = {name: str(values[name]) for name in ("site", "aerosol", "growth")}
        return cls(
            **words,
            wavelength_nm=wavelength_nm,
            lidar_ratio_sr=numbers["lidar_ratio_sr"],
            calibration=calibration,
            has_humidity=bool(values["has_humidity"]),
        )


def _told(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
