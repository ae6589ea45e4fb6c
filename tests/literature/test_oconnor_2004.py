"""O'Connor, Illingworth and Hogan 2004, J. Atmos. Ocean. Technol. 21, 777: liquid clouds calibrate a lidar.

The attenuated backscatter of a cloud that extinguishes the beam integrates to 1 / (2 η S), S = 18.8 sr (their eq. 6 and
section 3), whatever its extinction.
"""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.lidar.simulator import INSTRUMENTS, DayPlan, Spell, simulate
from ipdsf_spark.lidar.simulator.column import MULTIPLE_SCATTERING
from ipdsf_spark.lidar.site import Site


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize("extinction_per_m", [0.02, 0.05, 0.1])
def test_an_opaque_liquid_cloud_integrates_to_the_lidar_ratio(name: str, extinction_per_m: float) -> None:
    cloud = Spell("liquid", -12 * 3600, 12 * 3600, 2000.0, 500.0, extinction_per_m)
    plan = DayPlan(backscatter=1e-9, background=0.0, spells=(cloud,))  # almost nothing below the cloud
    noon = np.array(["2026-06-15T11:00"], "datetime64[us]")

    day = simulate(Site("x", 48, 11), noon, rng=np.random.default_rng(0), plan=plan, noise=0.0, instrument=name)
    in_cloud = (day.profiles.range_m > 1900) & (day.profiles.range_m < 2600)
    integral_sr = float(day.profiles.beta[0, in_cloud].sum() * day.profiles.range_resolution_m)

    assert integral_sr * MULTIPLE_SCATTERING == pytest.approx(1 / (2 * 18.8), rel=0.02)
