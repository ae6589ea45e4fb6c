"""How much more light particles scatter in humid air than dry."""

from __future__ import annotations

from typing import Final

REFERENCE_HUMIDITY: Final = 0.4  # "dry" to a monitor of PM2.5 that heats its inlet
HIGHEST_HUMIDITY: Final = 0.95  # growth is not followed further: both forms run away towards saturation
HIGH_HUMIDITY: Final = 0.9  # above, the estimate carries a flag
DEFAULT_GAMMA: Final = 0.5


def growth_gamma(relative_humidity: float, gamma: float = DEFAULT_GAMMA) -> float:
    """Extinction at `relative_humidity` over that at 40 %: ((1 - RH) / (1 - 0.4))^-γ (Kasten 1969, Tellus 21, 631).

    Args:
        relative_humidity: 0 to 1; below 40 % the factor is 1, above 95 % that of 95 %.
        gamma: 0 (does not grow) to about 1.
    """
    humidity = min(max(relative_humidity, REFERENCE_HUMIDITY), HIGHEST_HUMIDITY)
    return float(((1.0 - humidity) / (1.0 - REFERENCE_HUMIDITY)) ** -gamma)


def growth_kappa(relative_humidity: float, kappa: float) -> float:
    """The same from hygroscopicity: volume grows as 1 + κ a / (1 - a), cross-section as volume to 2/3.

    Petters and Kreidenweis (2007, Atmos. Chem. Phys. 7, 1961, eq. 2), without the Kelvin term, which matters to
    particles that scatter little.

    Args:
        relative_humidity: 0 to 1, limited as in `growth_gamma`.
        kappa: 0 to about 1.3.
    """

    def volume(activity: float) -> float:
        return 1.0 + kappa * activity / (1.0 - activity)

    humidity = min(max(relative_humidity, REFERENCE_HUMIDITY), HIGHEST_HUMIDITY)
    return float((volume(humidity) / volume(REFERENCE_HUMIDITY)) ** (2.0 / 3.0))
