"""What an evaluation found, one case per volume and model, as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError

FORMAT: Final = "ipdsf-cases/2"
OLDER_FORMATS: Final = ("ipdsf-cases/1",)  # without measures and nodules
MODEL: Final = "model"  # its key among measures, beside those of the baselines
CASES_FILE: Final = "cases.json"


@dataclass(frozen=True)
class Scores:
    """PSNR and SSIM in one space."""

    psnr_db: float
    ssim: float


@dataclass(frozen=True)
class Measures:
    """What reviewers ask for beside PSNR and SSIM, in the HU window."""

    ms_ssim: float | None  # data range 1; None where slices are too small
    vif: float | None
    mae_hu: Mapping[str, float]  # by tissue; tissues that the volume has not are left out
    histogram_hu: float  # Wasserstein distance
    noise_hu: float  # standard deviation of what differs from the true volume
    noise_frequency_per_mm: float  # mean over its power spectrum


@dataclass(frozen=True)
class NoduleScores:
    """What is left of planted nodules of one kind, means over their places."""

    diameter_mm: float
    contrast_hu: float
    num_places: int
    contrast: float  # share of the planted contrast
    diameter: float | None  # share of the planted diameter; None where no edge is left
    edge_mm: float | None  # from 10 to 90 %


@dataclass(frozen=True)
class Case:
    """One test volume and one model, after stitching."""

    volume: str
    task: str
    degradation: str
    model: str
    num_workers: int  # Horovod processes that trained the model; 0 = without Horovod
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    window_hu: tuple[int, int]
    window: Scores  # in the HU window, data range 1
    enhanced: Scores  # in enhanced space, data range 2
    baselines: Mapping[str, Scores]  # in the HU window
    seam_ratio: float
    seconds: float
    num_cubes: int
    measures: Mapping[str, Measures] = field(default_factory=dict)  # of `MODEL` and of every baseline
    nodules: Mapping[str, tuple[NoduleScores, ...]] = field(default_factory=dict)  # true volume, degraded, model

    @property
    def beats_baselines(self) -> bool:
        """Whether PSNR and SSIM are above those of every baseline."""
        return all(self.window.psnr_db > b.psnr_db and self.window.ssim > b.ssim for b in self.baselines.values())


def save_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write cases as JSON, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    content = {"format": FORMAT, "cases": [dataclasses.asdict(case) for case in cases]}
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def load_cases(path: Path) -> list[Case]:
    """What `save_cases` wrote.

    Raises:
        InputError: not there, damaged, or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] not in (FORMAT, *OLDER_FORMATS):
            raise InputError(f"{path} is of format {content['format']!r}; this version reads {FORMAT}")
        return [_case(values) for values in content["cases"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no results of an evaluation, or damaged ones ({error})") from error


def _case(values: dict[str, object]) -> Case:
    plain = dict(values)
    for name in ("shape", "spacing_mm", "window_hu"):
        plain[name] = tuple(plain[name])  # type: ignore[arg-type]
    for name in ("window", "enhanced"):
        plain[name] = Scores(**plain[name])  # type: ignore[arg-type]
    plain["baselines"] = {n: Scores(**s) for n, s in plain["baselines"].items()}  # type: ignore[attr-defined]
    measures: Any = plain.get("measures", {})
    plain["measures"] = {name: Measures(**found) for name, found in measures.items()}
    nodules: Any = plain.get("nodules", {})
    plain["nodules"] = {name: tuple(NoduleScores(**one) for one in found) for name, found in nodules.items()}
    return Case(**plain)  # type: ignore[arg-type]
