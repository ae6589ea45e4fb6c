"""The strip under a curtain: what hid the layer, and how good the height is."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.layers.mixing_height import Layers
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.plots import style
from ipdsf_spark.plots.curtain_marks import LARGE, Size, interval_of

SKY: Final = (
    (Quality.PRECIPITATION, "rain or snow", "#3b6ea8"),
    (Quality.FOG, "fog", "#b08968"),
    (Quality.CLOUD_CAPPED, "cloud", "#9aa3ad"),
)
STATE: Final = (
    ("final", style.FINAL),
    ("ambiguous", "#8fb8d8"),
    ("provisional", style.PROVISIONAL),
    ("no height", style.NO_VALUE),
)


def draw_strip(axes: Any, layers: Layers, size: Size) -> None:
    """Under the curtain: the sky above, the state of the height below."""
    width = interval_of(layers).item()
    spans = [(start.item(), width) for start in layers.time - interval_of(layers) // 2]
    axes.broken_barh(spans, (0, 0.86), facecolors=state_colours(layers), linewidth=0)
    bars: dict[tuple[int, int, str], list[Any]] = {}  # by part, number of parts and colour: few artists, not hundreds
    for span, flags in zip(spans, sky_of(layers), strict=True):
        for part, (_, _, colour) in enumerate(flags):
            bars.setdefault((part, len(flags), colour), []).append(span)
    for (part, parts, colour), those in bars.items():
        share = 0.86 / parts
        axes.broken_barh(those, (1 + part * share, share), facecolors=colour, linewidth=0)
    axes.set_ylim(-0.1, 2.0)
    axes.set_yticks([0.43, 1.43], ["height", "sky"] if size is LARGE else ["", ""])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0, labelsize=0.8 * size.text, colors=style.FAINT_INK)


def sky_of(layers: Layers) -> list[list[tuple[Quality, str, str]]]:
    """What hid the layer in every interval; fog and rain may come together, and both hide a cloud."""
    found = [[entry for entry in SKY if bits & entry[0]] for bits in layers.quality.tolist()]
    return [[entry for entry in flags if entry[0] != Quality.CLOUD_CAPPED] or flags for flags in found]


def state_colours(layers: Layers) -> list[str]:
    """Of every height: final, ambiguous, provisional, or none."""
    colour = dict(STATE)
    return [
        colour["no height"]
        if np.isnan(height)
        else colour["provisional"]
        if provisional
        else colour["ambiguous" if bits & Quality.AMBIGUOUS else "final"]
        for height, provisional, bits in zip(layers.mixing_height_m, layers.provisional, layers.quality, strict=True)
    ]
