"""ceilfeat: its pipeline on a file, with its defaults; the height is the first edge that it lists at a time.

That is the top of the region that begins at the ground or, where none does, the lowest edge of what lies above.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import xarray as xr
from ceilfeat.pipeline import process_one
from reporting import Found, run


def heights(path: Path) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        written = process_one(path, Path(folder, "features.nc"))
        with xr.open_dataset(written) as found:
            return {"first layer edge": (found.time.values, found.layers.values[:, 0])}


run(heights)
