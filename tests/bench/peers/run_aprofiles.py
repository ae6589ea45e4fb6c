"""A-Profiles: its daily command's steps with that command's numbers, and `pbl()` alone as its documentation shows it.

The command itself takes no CL31 or CL51 (its list of instruments), so its steps are called one by one; cloud detection
is by its default, the trained model, for all.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import aprofiles
import numpy as np
from reporting import Found, run

warnings.simplefilter("ignore")


def heights(path: Path) -> Found:
    of_command = aprofiles.reader.ReadProfiles(str(path)).read()
    of_command.extrapolate_below(z=260.0, inplace=True)
    of_command.clouds("dec", time_avg=1, zmin=300.0, thr_noise=5.0, thr_clouds=4.0)
    of_command.foc(zmin_cloud=300.0)
    of_command.pbl(zmin=300.0, zmax=3000.0, under_clouds=True, min_snr=1.5)
    of_example = aprofiles.reader.ReadProfiles(str(path)).read()
    of_example.pbl(zmin=100.0, zmax=3000.0)
    return {
        name: (profiles.data.time.values, np.asarray(profiles.data.pbl.values, float))
        for name, profiles in (("its command's steps", of_command), ("its example of pbl()", of_example))
    }


run(heights)
