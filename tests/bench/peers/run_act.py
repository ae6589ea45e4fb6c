"""ARM's ACT: both gradient methods as its example has them, on logarithms by its own correction; function defaults."""

from __future__ import annotations

from pathlib import Path

import act
import xarray as xr
from reporting import Found, run


def heights(path: Path) -> Found:
    data = act.corrections.correct_ceil(xr.open_dataset(path).load(), var_name="backscatter")
    found = {}
    for name, function, variable in (
        ("gradient", act.retrievals.pbl_lidar.calculate_gradient_pbl, "pbl_gradient"),
        ("modified gradient", act.retrievals.pbl_lidar.calculate_modified_gradient_pbl, "pbl_mod_gradient"),
    ):
        result = function(data, parm="backscatter")
        found[name] = result.time.values, result[variable].values
    return found


run(heights)
