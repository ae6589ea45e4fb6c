"""Collis and Russell 1976 (in Hinkley, Laser Monitoring of the Atmosphere, eq. 4.20): backscatter of air.

beta = 5.45 (550 / λ)^4 10^-32 m2 sr-1 per molecule; with 2.55e25 molecules per m3 at sea level and 15 °C.
"""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.simulator.column import molecular


@pytest.mark.parametrize("wavelength_nm", [532.0, 910.0, 1064.0])
def test_air_at_sea_level_scatters_like_its_molecules(wavelength_nm: float) -> None:
    expected = 5.45e-32 * (550.0 / wavelength_nm) ** 4 * 2.55e25

    assert molecular(np.zeros(1), wavelength_nm)[0] == pytest.approx(expected, rel=0.01)
