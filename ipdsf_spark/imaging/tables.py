"""The table of an evaluation in the form of the IPDSF table: a row per patient, without and with Horovod."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.ct.intervals import MIN_PATIENTS, paired_interval
from ipdsf_spark.ct.tissues import TISSUES_HU
from ipdsf_spark.imaging.cases import MODEL, Case, Measures, NoduleScores, Scores

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


def quality_table(
    without: Sequence[Case], with_horovod: Sequence[Case], alone: Sequence[Case] = (), *, is_enhanced: bool = False
) -> Table:
    """PSNR and SSIM of every volume, and their mean; the difference where both are there.

    Args:
        without: cases of the model trained without Horovod.
        with_horovod: of the one trained with it.
        alone: of one trained without an adversary; where there are any, what the adversary costs stands beside it.
        is_enhanced: in enhanced space instead of the HU window.
    """
    sides = (without, with_horovod, alone)
    names = list(dict.fromkeys(case.volume for cases in sides for case in cases))
    a, b, c = ({case.volume: case.enhanced if is_enhanced else case.window for case in cases} for cases in sides)
    rows = [_quality_row(name, a.get(name), b.get(name)) for name in names]
    if alone:
        rows = [row + _cost_of_adversary(a.get(n) or b.get(n), c.get(n)) for n, row in zip(names, rows, strict=True)]
    if len(names) > 1:
        means = [_mean(list(scores.values())) for scores in (a, b, c)]
        rows.append(
            _quality_row("mean", *means[:2]) + (_cost_of_adversary(means[0] or means[1], means[2]) if alone else ())
        )
    any_case = next(case for cases in sides for case in cases)
    low, high = any_case.window_hu
    space = "enhanced levels in [-1, 1], data range 2" if is_enhanced else f"HU in [{low}, {high}], data range 1"
    span = "L = 2" if is_enhanced else "L = 1"  # data range beside each figure
    header: tuple[str, ...] = (
        "patient",
        f"PSNR without [dB], {span}",
        f"SSIM without, {span}",
        f"PSNR with [dB], {span}",
        f"SSIM with, {span}",
        "ΔPSNR [dB]",
        "ΔSSIM",
    )
    if alone:
        header += (f"PSNR L1 alone [dB], {span}", f"SSIM L1 alone, {span}", "adversary ΔPSNR [dB]", "adversary ΔSSIM")
    return Table(f"After stitching, {space}", header, tuple(rows))


def baseline_table(cases: Sequence[Case]) -> Table | None:
    """The baselines beside the models, in the HU window; None for tasks without any."""
    firsts = {case.volume: case for case in reversed(cases)}
    if not any(case.baselines for case in cases):
        return None
    rows = []
    for name in dict.fromkeys(case.volume for case in cases):
        rows += [(name, label, *_texts(scores)) for label, scores in firsts[name].baselines.items()]
        rows += [(name, f"model {c.model}", *_texts(c.window)) for c in cases if c.volume == name]
    header = ("patient", "what", "PSNR [dB], L = 1", "SSIM, L = 1")
    return Table("Beside what needs no network, HU window", header, tuple(rows))


def likeness_table(cases: Sequence[Case]) -> Table | None:
    """MS-SSIM, VIF, histograms and noise of the models and of every baseline; None where they were not measured."""
    rows = [
        (
            case.volume,
            name,
            _number(found.ms_ssim, 4),
            _number(found.vif, 3),
            _number(found.histogram_hu, 1),
            _number(found.noise_hu, 1),
            _number(found.noise_frequency_per_mm, 3),
        )
        for case, name, found in _measured(cases)
    ]
    header = (
        "patient",
        "what",
        "MS-SSIM, L = 1",
        "VIF, L = 1",
        "histograms [HU]",
        "error σ [HU]",
        "its frequency [1/mm]",
    )
    return Table("Likeness, histogram and noise, HU window", header, tuple(rows)) if rows else None


def tissue_table(cases: Sequence[Case]) -> Table | None:
    """Mean absolute error by tissue; None where it was not measured."""
    rows = [
        (case.volume, name, *(_number(found.mae_hu.get(tissue), 1) for tissue in TISSUES_HU))
        for case, name, found in _measured(cases)
    ]
    limits = (f"{tissue}, {_range(low, high)}" for tissue, (low, high) in TISSUES_HU.items())
    title = "Mean absolute error by tissue [HU], by the true HU within the window"
    return Table(title, ("patient", "what", *limits), tuple(rows)) if rows else None


def nodule_table(cases: Sequence[Case]) -> Table | None:
    """What is left of planted nodules; None where none were planted."""
    rows = [
        (
            case.volume,
            f"model {case.model}" if name == MODEL else name,
            f"{one.diameter_mm:.0f} mm, {one.contrast_hu:+.0f} HU",
            str(one.num_places),
            _number(one.contrast, 2),
            _number(one.diameter, 2),
            _number(one.edge_mm, 1),
        )
        for case, name, found in _planted(cases)
        for one in found
    ]
    header = ("patient", "what", "planted", "places", "contrast left", "diameter left", "edge 10–90 % [mm]")
    return Table("Planted nodules (1 is all of it)", header, tuple(rows)) if rows else None


def interval_table(without: Sequence[Case], with_horovod: Sequence[Case], alone: Sequence[Case] = ()) -> Table | None:
    """Differences over patients with their 95 % intervals; None for a single patient."""
    rows = []
    for label, cases in (("without", without), ("with", with_horovod), ("L1 alone", alone)):
        for name in dict.fromkeys(name for case in cases for name in case.baselines):
            both = [(case.baselines[name], case.window) for case in cases if name in case.baselines]
            rows.append(_interval_row(f"model ({label}) over {name}", both))
    for label, first, second in (
        ("with Horovod over without", without, with_horovod),
        ("with an adversary over L1 alone", alone, without or with_horovod),
    ):
        b = {case.volume: case.window for case in second}
        if pairs := [(case.window, b[case.volume]) for case in first if case.volume in b]:
            rows.append(_interval_row(label, pairs))
    if max(map(len, (without, with_horovod, alone))) < 2 or not rows:
        return None
    header = ("difference", "patients", "ΔPSNR [dB], L = 1", "95 % interval", "ΔSSIM, L = 1", "95 % interval")
    title = f"Over patients (paired bootstrap; fewer than {MIN_PATIENTS} have no interval)"
    return Table(title, header, tuple(rows))


def _interval_row(what: str, pairs: Sequence[tuple[Scores, Scores]]) -> tuple[str, ...]:
    cells = [what, str(len(pairs))]
    for attribute, digits in (("psnr_db", 2), ("ssim", 4)):
        first, second = ([float(getattr(pair[k], attribute)) for pair in pairs] for k in (0, 1))
        if not all(map(math.isfinite, (*first, *second))):
            cells += [NONE, NONE]
            continue
        found = paired_interval(first, second)
        cells.append(_signed(found.mean, digits))
        is_known = found.low is not None and found.high is not None
        cells.append(f"{_signed(found.low, digits)} … {_signed(found.high, digits)}" if is_known else NONE)
    return tuple(cells)


def _measured(cases: Sequence[Case]) -> list[tuple[Case, str, Measures]]:
    """Of each patient the baselines once, then every model."""
    found = []
    for volume in dict.fromkeys(case.volume for case in cases):
        own = [case for case in cases if case.volume == volume]
        found += [(own[0], name, values) for name, values in own[0].measures.items() if name != MODEL]
        found += [(case, f"model {case.model}", case.measures[MODEL]) for case in own if MODEL in case.measures]
    return found


def _planted(cases: Sequence[Case]) -> list[tuple[Case, str, tuple[NoduleScores, ...]]]:
    """Of each patient the true and the degraded volume once, then every model."""
    found = []
    for volume in dict.fromkeys(case.volume for case in cases):
        own = [case for case in cases if case.volume == volume]
        found += [(own[0], name, scores) for name, scores in own[0].nodules.items() if name != MODEL]
        found += [(case, MODEL, case.nodules[MODEL]) for case in own if MODEL in case.nodules]
    return found


def _range(low: float, high: float) -> str:
    if math.isinf(low):
        return f"below {high:.0f}"
    return f"from {low:.0f}" if math.isinf(high) else f"{low:.0f} … {high:.0f}"


def _signed(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


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
    return (name, *_texts(a), *_texts(b), *_change(a, b))


def _cost_of_adversary(adversarial: Scores | None, alone: Scores | None) -> tuple[str, ...]:
    return (*_texts(alone), *_change(alone, adversarial))


def _change(a: Scores | None, b: Scores | None) -> tuple[str, str]:
    if a is None or b is None or not (math.isfinite(a.psnr_db) and math.isfinite(b.psnr_db)):
        return NONE, NONE
    return _signed(b.psnr_db - a.psnr_db, 2), _signed(b.ssim - a.ssim, 4)


def _texts(scores: Scores | None) -> tuple[str, str]:
    return (NONE, NONE) if scores is None else (f"{scores.psnr_db:.2f}", f"{scores.ssim:.4f}")


def _mean(scores: Sequence[Scores]) -> Scores | None:
    if not scores:
        return None
    return Scores(float(np.mean([s.psnr_db for s in scores])), float(np.mean([s.ssim for s in scores])))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
