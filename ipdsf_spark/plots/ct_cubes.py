"""Cubes as a sheet of pictures: what a network is given to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipdsf_spark.plots import style

COLUMNS: Final = 8


def cubes_figure(
    cubes: NDArray[Any], places: Sequence[tuple[int, int, int]], window: tuple[float, float], *, title: str
) -> Figure:
    """The middle slice of every cube, under its place in the volume.

    Args:
        cubes: (B, S, S, S), running to head, back and left.
        places: first voxel (z, y, x) of each in its volume.
        window: grey values of black and white.
        title: of the sheet.
    """
    rows = max(1, -(-len(cubes) // COLUMNS))
    figure = style.figure(1.15 * COLUMNS, 1.3 * rows + 0.4)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, cube, place in zip(grid, cubes, places, strict=False):
        axes.imshow(cube[len(cube) // 2], cmap="gray", vmin=window[0], vmax=window[1], interpolation="nearest")
        axes.set_title("z {} y {} x {}".format(*np.asarray(place)), fontsize=5.5, color=style.FAINT_INK)
    figure.suptitle(title, fontsize=8, color=style.INK, x=0.01, ha="left")
    figure.tight_layout()
    return figure
