"""The imaging flow of the demonstration: restoration without and with Horovod, then a chest of nobody.

Every step is the command that a person would type, in a process of its own; the page shows them.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from ipdsf_spark.config import load
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.demo import synthesis
from ipdsf_spark.demo.steps import Steps
from ipdsf_spark.demo.synthesis import SynthesisReport
from ipdsf_spark.errors import InputError
from ipdsf_spark.imaging.cases import CASES_FILE, load_cases
from ipdsf_spark.imaging.tables import Table, baseline_table, quality_table

NAME: Final = "chest"
NUM_WORKERS: Final = 2
PHANTOM_SHAPE: Final = (48, 128, 128)
PHANTOM_SPACING_MM: Final = (6.0, 2.8, 2.8)
TEST_SHARE: Final = 5  # of so many volumes one is for testing, where the folder does not say
Command: TypeAlias = list[str | Path]


@dataclass(frozen=True)
class ImagingDemonstration:
    """What to show.

    Attributes:
        ct: real volumes, either in the folders ``train`` and ``test`` or side by side; None makes phantoms.
        out: where storage array, models and report go; made anew.
        samples: cubes that each training sees.
        num_slices: of every test volume, from the middle.
    """

    ct: Path | None
    out: Path
    samples: int
    num_slices: int = 24


@dataclass(frozen=True)
class ImagingReport:
    """What the page shows of the flow.

    Attributes:
        folder: with the whole report, relative to the page.
        tables: quality without and with Horovod, and beside the baselines.
        commands: by which it was made.
    """

    folder: str
    tables: Sequence[Table]
    commands: Sequence[str]
    synthesis: SynthesisReport | None = None


def run(demonstration: ImagingDemonstration) -> ImagingReport:
    """Run it.

    Raises:
        InputError: there are too few volumes.
        IpdsfError: a command failed.
    """
    out = demonstration.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    train, test = volumes_of(demonstration.ct) if demonstration.ct else _phantoms(out / "volumes")
    where = ["--set", f"storage.root={out / 'storage'}", "--set", f"training.cache_directory={out / 'cache'}"]
    common = ["--name", NAME, "--task", "denoise", "--samples", str(demonstration.samples), "--threads", "1"]
    batch = load().training.batch
    if demonstration.ct is None:  # minutes: a small network, and soon the steps that it learns by
        batch = 4
        settings = ("width=8", f"batch={batch}", "warm_up_samples=100", "learning_rate=8e-4")
        common += [word for setting in settings for word in ("--set", f"training.{setting}")]
    pack: Command = ["pack", "--name", NAME, "--train", *train, "--test", *test]
    alone: Command = ["train", *common, "--model", "alone"]
    # As many cubes in a step of all workers together as in one of the single worker: the same training.
    share = str(max(1, batch // NUM_WORKERS))
    workers = ["--workers", str(NUM_WORKERS), "--set", f"training.batch={share}"]
    with_horovod: Command = ["train", *common, "--model", "horovod", *workers]
    models = ["--model", "alone", "--horovod", "horovod"]
    number = ["--slices", str(demonstration.num_slices)]
    evaluate: Command = ["evaluate", *test, *models, *number, "-o", out / "report"]

    def said(step: Command) -> list[str]:
        return ["ct", *map(str, step), *where]

    nobody = [said(step) for step in synthesis.steps(NAME, out)]
    # The single worker computes on one core: the chest of nobody on another.
    with ThreadPoolExecutor(1) as beside, Steps() as steps:
        steps.run(said(pack))
        chest = beside.submit(steps.run_quietly, nobody)
        steps.run(said(alone))
        sys.stderr.write(chest.result())
        steps.run(said(with_horovod))
        steps.run(said(evaluate))
    shown = [shlex.join(["ipdsf", *words]) for words in (*map(said, (pack, alone, with_horovod, evaluate)), *nobody)]
    cases = load_cases(out / "report" / CASES_FILE)
    of_alone, of_horovod = ([c for c in cases if c.model == name] for name in ("alone", "horovod"))
    tables = [quality_table(of_alone, of_horovod), baseline_table(cases)]
    found = [table for table in tables if table is not None]
    return ImagingReport(f"{out.name}/report", found, shown, synthesis.show(train, out))


def volumes_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """Volumes to train on and to test with: the folders ``train`` and ``test``, or the last fifth by name for testing.

    Raises:
        InputError: there are fewer than one of each.
    """
    if not folder.is_dir():
        raise InputError(
            f"no folder {folder}: --ct (CT=) names CT volumes, in the folders train and test or side by side"
        )
    parts = [sorted(p for p in (folder / split).glob("*") if not p.name.startswith(".")) for split in ("train", "test")]
    if not any(parts):
        everything = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        num_test = max(1, len(everything) // TEST_SHARE)
        parts = [everything[:-num_test], everything[-num_test:]]
    train, test = parts
    if not train or not test:
        raise InputError(
            f"{folder} must hold one volume to train on and one to test with, found {len(train)} and {len(test)}"
        )
    return train, test


def _phantoms(folder: Path) -> tuple[list[Path], list[Path]]:
    provenance = Provenance("phantom", datetime.now(UTC))
    folder.mkdir()
    paths = []
    for seed in range(4):
        volume = chest_phantom(PHANTOM_SHAPE, seed=seed, spacing_mm=PHANTOM_SPACING_MM).volume
        paths.append(write_volume(folder / f"phantom-{seed + 1}.nii.gz", volume, provenance))
    return paths[:3], paths[3:]
