"""Prediction, original and difference of one axial slice, for one or two models: (a)–(c) and (d)–(f)."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ipdsf_spark.plots import style

DIFFERENCE_MAP: Final = "RdBu_r"
REACH_PERCENTILE: Final = 99.5
MIN_REACH_HU: Final = 20.0

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """One model's slice, in HU."""

    label: str  # "without Horovod"
    prediction_hu: Image
    original_hu: Image
    spacing_yx_mm: tuple[float, float]
    window_hu: tuple[float, float]


def comparison_figure(rows: Sequence[Comparison], *, title: str) -> Figure:
    """Three pictures per model, in the proportions of the body, with the difference in HU beside its scale.

    Args:
        rows: one or two models.
        title: the patient and the task.
    """
    figure = style.figure(9.6, 2.85 * len(rows) + 0.35)
    grid = figure.subplots(len(rows), 3, squeeze=False)
    letters = iter(string.ascii_lowercase)
    differences = [row.prediction_hu - row.original_hu for row in rows]
    reach = max(MIN_REACH_HU, *(float(np.percentile(np.abs(d), REACH_PERCENTILE)) for d in differences))
    for axes, row, difference in zip(grid, rows, differences, strict=True):
        low, high = row.window_hu
        aspect = row.spacing_yx_mm[0] / row.spacing_yx_mm[1]
        pictures: list[tuple[str, Image, dict[str, Any]]] = [
            ("prediction", row.prediction_hu, {"cmap": "gray", "vmin": low, "vmax": high}),
            ("original", row.original_hu, {"cmap": "gray", "vmin": low, "vmax": high}),
            ("difference", difference, {"cmap": DIFFERENCE_MAP, "vmin": -reach, "vmax": reach}),
        ]
        for place, (name, image, look) in zip(axes, pictures, strict=True):
            shown = place.imshow(image, aspect=aspect, interpolation="nearest", **look)
            place.set_xticks([])
            place.set_yticks([])
            place.set_title(f"({next(letters)}) {name}, {row.label}", fontsize=7.5, color=style.INK, loc="left")
            for side in place.spines.values():
                side.set_visible(False)
            bar = figure.colorbar(shown, ax=place, fraction=0.042, pad=0.02)
            bar.ax.tick_params(labelsize=6, width=0.4, length=2)
            bar.outline.set_visible(False)
            bar.set_label("HU", fontsize=6)
    figure.suptitle(title, fontsize=8.5, color=style.INK, x=0.01, ha="left")
    figure.tight_layout()
    return figure
