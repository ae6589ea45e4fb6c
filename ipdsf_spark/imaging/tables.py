"""The table of an evaluation in the form of the IPDSF table: a row per patient, without and with Horovod."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.imaging.cases import Case, Scores

NONE: Final = "–"


@dataclass(frozen=True)
class Table:
    """A title, a header and rows of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown."""
        lines = [f"**{self.title}**", "", _line(self.header), _line(["---"] * len(self.header))]
        return "\n".join([*lines, *map(_line, self.rows)])

    def csv(self) -> str:
        """As CSV, with the title in the first column."""
        text = io.StringIO()
        csv.writer(text).writerows([["table", *self.header], *([self.title, *row] for row in self.rows)])
        return text.getvalue()


def quality_table(without: Sequence[Case], with_horovod: Sequence[Case], *, is_enhanced: bool = False) -> Table:
    """PSNR and SSIM of every volume, and their mean; the difference where both are there.

    Args:
        without: cases of the model trained without Horovod.
        with_horovod: of the one trained with it.
        is_enhanced: in enhanced space instead of the HU window.
    """
    names = list(dict.fromkeys(case.volume for case in (*without, *with_horovod)))
    a, b = ({c.volume: c.enhanced if is_enhanced else c.window for c in cases} for cases in (without, with_horovod))
    rows = [_quality_row(name, a.get(name), b.get(name)) for name in names]
    if len(names) > 1:
        rows.append(_quality_row("mean", _mean(list(a.values())), _mean(list(b.values()))))
    any_case = (*without, *with_horovod)[0]
    low, high = any_case.window_hu
    space = "enhanced levels in [-1, 1], data range 2" if is_enhanced else f"HU in [{low}, {high}], data range 1"
    header = ("patient", "PSNR without [dB]", "SSIM without", "PSNR with [dB]", "SSIM with", "ΔPSNR [dB]", "ΔSSIM")
    return Table(f"After stitching, {space}", header, tuple(rows))


def baseline_table(cases: Sequence[Case]) -> Table | None:
    """The trivial baselines beside the models, in the HU window; None for tasks without any."""
    firsts = {case.volume: case for case in reversed(cases)}
    if not any(case.baselines for case in cases):
        return None
    rows = []
    for name in dict.fromkeys(case.volume for case in cases):
        rows += [(name, label, *_texts(scores)) for label, scores in firsts[name].baselines.items()]
        rows += [(name, f"model {c.model}", *_texts(c.window)) for c in cases if c.volume == name]
    return Table("Beside what needs no network, HU window", ("patient", "what", "PSNR [dB]", "SSIM"), tuple(rows))


def cost_table(cases: Sequence[Case]) -> Table:
    """Size, seams and time of every case."""
    rows = tuple(
        (
            c.volume,
            c.model,
            " × ".join(map(str, c.shape)),
            " × ".join(f"{s:g}" for s in c.spacing_mm),
            str(c.num_cubes),
            f"{c.seam_ratio:.3f}",
            f"{c.seconds:.1f}",
        )
        for c in cases
    )
    header = ("patient", "model", "voxels z × y × x", "spacing [mm]", "cubes", "seam ratio", "time [s]")
    return Table("Generation (a seam ratio of 1 is none; up to 1.1 is accepted)", header, rows)


def reach_table(rows: Sequence[tuple[str, dict[str, float | None]]]) -> Table:
    """When curves first reach levels."""
    names = list(rows[0][1])
    texts = tuple(
        (what, *(NONE if seconds[n] is None else f"{seconds[n]:.0f}" for n in names)) for what, seconds in rows
    )
    return Table("Time to reach [s of training]", ("smoothed curve", *names), texts)


def _quality_row(name: str, a: Scores | None, b: Scores | None) -> tuple[str, ...]:
    if a is None or b is None or not (math.isfinite(a.psnr_db) and math.isfinite(b.psnr_db)):
        change = (NONE, NONE)
    else:
        change = (f"{b.psnr_db - a.psnr_db:+.2f}", f"{b.ssim - a.ssim:+.4f}")
    return (name, *_texts(a), *_texts(b), *change)


def _texts(scores: Scores | None) -> tuple[str, str]:
    return (NONE, NONE) if scores is None else (f"{scores.psnr_db:.2f}", f"{scores.ssim:.4f}")


def _mean(scores: Sequence[Scores]) -> Scores | None:
    if not scores:
        return None
    return Scores(float(np.mean([s.psnr_db for s in scores])), float(np.mean([s.ssim for s in scores])))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
