"""A chest of nobody for the page: trained on the volumes of the demonstration, drawn, and shown beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.likeness import measured_chest
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.imaging.tables import Table

SHAPE: Final = ("48", "128", "128")
CUBES: Final = 16  # that each stage sees: seconds, to show the mechanism
NETWORK: Final = ("--set", "training.width=4", "--set", "training.discriminator_width=4", "--set", "training.batch=2")
WINDOW_HU: Final = (-1000.0, 400.0)
NUM_BESIDE: Final = 3


@dataclass(frozen=True)
class SynthesisReport:
    """What the page shows.

    Attributes:
        picture: relative to the page.
        table: of sizes and tissues, beside the volumes it was trained on.
        sentence: how near it came to them.
    """

    picture: str
    table: Table
    sentence: str


def steps(name: str, out: Path) -> list[list[str | Path]]:
    """The commands: a model from the packed volumes, and one volume."""
    model = "nobody"
    return [
        ["train-synthesis", "--name", name, "--model", model, "--samples", str(CUBES), "--threads", "1", *NETWORK],
        ["synthesize", "--model", model, "--shape", *SHAPE, "-o", str(out / "nobody")],
    ]


def show(training: Sequence[Path], out: Path, read: Callable[[Path], Volume] = read_volume) -> SynthesisReport:
    """Draw the synthesised volume beside those of its training, and measure both.

    Args:
        training: the volumes.
        out: folder that holds `nobody`; the picture goes there.
        read: reads a volume.
    """
    (facts,) = json.loads((out / "nobody" / "synthesis.json").read_text(encoding="utf-8"))["volumes"]
    volumes = [read(Path(facts["out"])), *(read(path) for path in training[:NUM_BESIDE])]
    labels = ["of nobody", *(f"training volume {k + 1}" for k in range(len(volumes) - 1))]
    _draw(volumes, labels, out / "nobody.png")
    measured = [measured_chest(np.clip(v.hu, *WINDOW_HU), v.grid.spacing_mm) for v in volumes]
    rows = tuple((what, *(_said(what, one[what]) for one in measured)) for what in measured[0])
    sentence = (
        f"Nearest training volume: {facts['nearest_training_chest']:.4f} of the window, root mean square over 8³ block "
        f"means (nearer than {facts['copy_limit']:.4f} would be a copy and is not written). Parts nearer to a training "
        f"cube than cubes of different patients are: {facts['copied_share_of_cubes']:.1%}. Each stage saw {CUBES} "
        "cubes: this shows the mechanism, and its anatomy is poor."
    )
    return SynthesisReport(f"{out.name}/nobody.png", Table("A chest of nobody", ("", *labels), rows), sentence)


def _said(what: str, value: float) -> str:
    return f"{value:.1%}" if what.startswith("share") else f"{value:,.0f}"


def _draw(volumes: Sequence[Volume], labels: Sequence[str], path: Path) -> None:
    """The middle axial slice of each above its middle coronal one, head up."""
    from ipdsf_spark.plots import style

    figure = style.figure(2.4 * len(volumes), 4.6)
    places = figure.subplots(2, len(volumes), squeeze=False)
    for column, (volume, label) in enumerate(zip(volumes, labels, strict=True)):
        z, y, x = volume.grid.spacing_mm
        pictures: list[tuple[NDArray[Any], float]] = [
            (volume.hu[volume.hu.shape[0] // 2], y / x),
            (volume.hu[::-1, volume.hu.shape[1] // 2], z / x),
        ]
        for place, (picture, aspect) in zip(places[:, column], pictures, strict=True):
            place.imshow(picture, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], aspect=aspect)
            place.set_axis_off()
        places[0, column].set_title(label, fontsize=8, color=style.INK, loc="left")
    style.save(figure, path)
