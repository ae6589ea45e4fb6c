"""Everything about an evaluation in one folder: tables, curves, the figure, and a page that shows them together.

table.md  table.csv     without and with Horovod, baselines, intervals, likeness, tissues, nodules, cost, time to reach
figure.png              (a)–(f): prediction, original and difference, without and with; by the L1 term alone as well
curves.png              generator loss, discriminator loss and accuracy against time
step_time.png           what the time of a step went to
index.html              all of it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ipdsf_spark.ct.window import unwindowed
from ipdsf_spark.errors import InputError
from ipdsf_spark.imaging.cases import Case
from ipdsf_spark.imaging.evaluate import Slices
from ipdsf_spark.imaging.history import TrainingHistory, read_history, time_to_reach
from ipdsf_spark.imaging.tables import (
    Table,
    baseline_table,
    cost_table,
    interval_table,
    likeness_table,
    nodule_table,
    quality_table,
    reach_table,
    tissue_table,
)
from ipdsf_spark.plots import save
from ipdsf_spark.plots.ct_comparison import Comparison, comparison_figure
from ipdsf_spark.plots.training_curves import Curve, curves_figure, step_time_figure

TEMPLATE: Final = "report.html"
WITHOUT: Final = "without Horovod"
WITH: Final = "with Horovod"
ALONE: Final = "L1 alone"
CURVES: Final = {"loss_g": "generator loss", "loss_d": "discriminator loss", "accuracy_d": "discriminator accuracy"}


@dataclass(frozen=True)
class Trained:
    """One model and what was found with it."""

    cases: Sequence[Case]
    slices: Sequence[Slices]  # one per case
    folder: Path  # of the model, with the history of its training
    facts: dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    file: str
    caption: str


def write_report(
    out: Path, without: Trained | None, with_horovod: Trained | None, alone: Trained | None = None
) -> Path:
    """Write the folder and return its page.

    Args:
        out: the folder.
        without: the model trained without Horovod.
        with_horovod: the one trained with it.
        alone: one trained by the L1 term alone; it has no adversary whose curves could be drawn.

    Raises:
        InputError: there is no case.
    """
    labelled = ((WITHOUT, without), (WITH, with_horovod), (ALONE, alone))
    sides = {label: side for label, side in labelled if side is not None}
    cases = [case for side in sides.values() for case in side.cases]
    if not cases:
        raise InputError("nothing was evaluated: no report")
    out.mkdir(parents=True, exist_ok=True)
    adversarial = {label: side for label, side in sides.items() if label != ALONE}
    histories = {label: h for label, side in adversarial.items() if (h := read_history(side.folder)) is not None}
    a, b, c = (side.cases if side else () for side in (without, with_horovod, alone))
    tables = [
        quality_table(a, b, c),
        baseline_table(cases),
        interval_table(a, b, c),
        likeness_table(cases),
        tissue_table(cases),
        nodule_table(cases),
        quality_table(a, b, c, is_enhanced=True),
        cost_table(cases),
    ]
    if histories:
        tables.append(reach_table(time_to_reach(histories)))
    shown = [table for table in tables if table is not None]
    (out / "table.md").write_text("\n\n".join(table.markdown() for table in shown) + "\n", encoding="utf-8")
    (out / "table.csv").write_text("\n".join(table.csv() for table in shown), encoding="utf-8")
    pictures = [*_figures(out, sides), *_curves(out, histories)]
    return _page(out, cases, sides, shown, pictures)


def _figures(out: Path, sides: dict[str, Trained]) -> list[Picture]:
    """The figure of the first patient as `figure.png`, the others numbered after it."""
    pictures = []
    first = next(iter(sides.values()))
    for number, case in enumerate(first.cases):
        rows = [_comparison(label, side, case.volume) for label, side in sides.items()]
        name = "figure.png" if number == 0 else f"figure-{number + 1}.png"
        title = f"{case.volume}, {case.task} ({case.degradation}), middle slice"
        save(comparison_figure(rows, title=title), out / name)
        pictures.append(Picture(name, title))
    return pictures


def _comparison(label: str, side: Trained, volume: str) -> Comparison:
    number = [case.volume for case in side.cases].index(volume)
    slices, window = side.slices[number], side.cases[number].window_hu
    return Comparison(
        label, unwindowed(slices.prediction, window), unwindowed(slices.original, window), slices.spacing_yx_mm, window
    )


def _curves(out: Path, histories: dict[str, TrainingHistory]) -> list[Picture]:
    if not histories:
        return []
    panels = {
        title: [Curve(label, h["seconds"], h[name], h.smoothed(name)) for label, h in histories.items()]
        for name, title in CURVES.items()
    }
    save(curves_figure(panels), out / "curves.png")
    save(step_time_figure({label: h.step_times_ms() for label, h in histories.items()}), out / "step_time.png")
    return [
        Picture("curves.png", "Losses and accuracy against the time of training; thin: every step, thick: smoothed"),
        Picture("step_time.png", "What the time of a step went to; allreduce is exchange and waiting for each other"),
    ]


def _page(
    out: Path, cases: Sequence[Case], sides: dict[str, Trained], tables: Sequence[Table], pictures: Sequence[Picture]
) -> Path:
    environment = Environment(
        loader=PackageLoader("ipdsf_spark.imaging", ""),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(
        task=cases[0].task,
        degradation=cases[0].degradation,
        patients=list(dict.fromkeys(case.volume for case in cases)),
        models=[(label, side.facts, side.folder.name) for label, side in sides.items()],
        tables=tables,
        pictures=pictures,
        is_best=all(case.beats_baselines for case in cases) and any(case.baselines for case in cases),
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    return path
