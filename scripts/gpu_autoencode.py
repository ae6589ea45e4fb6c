"""The autoencoder of 16 voxels a number on a GPU: dB over training time on phantoms it has not seen, in five minutes.

python3 scripts/gpu_autoencode.py [--out FOLDER] [--device cuda|cpu] [--minutes 2.5] [--total 280] [--tiny]

Needs numpy, torch and scipy. Trains with the project's own loop and stops it at doubling times to judge the model; each
later stretch resumes from its checkpoint. Writes autoencode-check.json, anew after each part, and autoencode.png with
the middle slices of a phantom that was held out: as it is, by the cosine transform alone, by the autoencoder.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import gpu_check_shared as shared
import numpy as np
import torch
from gpu_record import Record, middles, picture
from numpy.typing import NDArray

from ipdsf_spark.config import load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.metrics import Quality, quality
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.ct.window import unwindowed, windowed
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.gan.checkpoint import load_model, save_model
from ipdsf_spark.gan.cosine import transform_coded
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.cases import MODEL
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import central, evaluate
from ipdsf_spark.imaging.generate import Generation
from ipdsf_spark.monitoring.provenance import machine, said
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.worker import Work, train_alone, trainer_of

FULL: Final = dataclasses.replace(shared.FULL, num_training=32, num_held_out=4)
NUM_SLICES: Final = 32  # from the middle of each phantom, as in the other check
LAST_PARTS_S: Final = 45.0  # kept for judging
NUM_HALVES: Final = 5  # of the training time; judged after each


class Check:
    """One training and what is known of it."""

    def __init__(self, args: argparse.Namespace, folder: Path, record: Record) -> None:
        self.args, self.folder, self.record = args, folder, record
        self.size = shared.TINY if args.tiny else FULL
        self.rows: list[dict[str, Any]] = []
        self.held_out: list[Volume] = []

    def work(self, minutes: float) -> Work:
        """The training, up to so many minutes of it in all."""
        facts = {"dataset": "phantoms", "overlap": self.size.cube // 4}
        settings = dataclasses.replace(self.settings(), minutes=minutes)
        return Work(settings, str(self.folder / "model"), str(self.folder / "cubes"), facts, device=self.args.device)

    def settings(self) -> TrainSettings:
        """As configured, by the L1 term alone, and without an end of its own."""
        overrides = ["training.task=autoencode", "training.is_adversarial=false", "training.epochs=100000"]
        overrides += ["training.patience=0", "training.validate_every=50000", "training.warm_up_samples=5000"]
        if self.args.tiny:
            overrides += [*shared.TINY_NETWORKS, "training.batch=4", "training.validate_every=100"]
        else:
            overrides.append(f"training.batch={self.args.batch}")
        return settings_of(load(overrides=[*overrides, *self.args.set]), device=self.args.device)

    def start(self) -> None:
        """The network as it begins, and the cosine transform that it begins as."""
        self.held_out = list(shared.held_out(self.folder, self.size))
        trainer = trainer_of(self.work(0.0))
        save_model(self.folder / "start", trainer.nets, trainer.facts())
        generator = trainer.nets.generator.settings
        edge, number = 2**generator.halvings, generator.code_channels
        window = CubeSet.load(self.folder / "cubes").enhancement.window_hu
        coded = [quality(transform_coded(t, edge, number), t, data_range=1.0) for t in map(self.truth, self.held_out)]
        self.record.keep(
            ratio=generator.ratio,
            settings={k: v for k, v in generator.facts.items() if k != "recomputes"},
            judged_on=(
                f"the middle {NUM_SLICES} slices of {len(self.held_out)} phantoms of other seeds, raw with their noise "
                f"of 15 HU; HU window {list(window)}, data range 1"
            ),
            noise_of_15_hu_alone_db=round(20 * math.log10((window[1] - window[0]) / 15), 2),
            cosine_transform=mean_of(coded),
        )
        self.score("start", 0.0, 0)

    def truth(self, volume: Volume) -> NDArray[np.float32]:
        """Shares of the window."""
        hu = central(volume.hu, NUM_SLICES if len(volume.hu) > NUM_SLICES else 0)
        return windowed(hu, CubeSet.load(self.folder / "cubes").enhancement.window_hu)

    def generation(self, model: str) -> Generation:
        """A model on the device."""
        return Generation.of(Predictor(load_model(self.folder / model), self.args.device))

    def decoded(self, generation: Generation, truth: NDArray[np.float32]) -> NDArray[np.float32]:
        """What comes back through the code."""
        window = generation.enhancement.window_hu
        return windowed(np.concatenate(list(generation.volume(unwindowed(truth, window)))), window)

    def score(self, model: str, seconds: float, samples: int) -> None:
        """One more point of the curve."""
        generation = self.generation(model)
        found = []
        for truth in map(self.truth, self.held_out):
            found.append(quality(self.decoded(generation, truth), truth, data_range=1.0))
        self.rows.append({"training_s": round(seconds, 1), "cubes": samples, **mean_of(found)})
        self.record.keep(curve=self.rows)

    def train(self) -> None:
        """To doubling times, each stretch resumed from the one before; ends earlier where time runs out."""
        whole = 60 * self.args.minutes
        for until in (whole / 2**k for k in range(NUM_HALVES, -1, -1)):
            trained = self.rows[-1]["training_s"]
            end = trained + self.record.left_s - LAST_PARTS_S
            if until < trained + 0.02 * whole:
                continue
            if end < trained + 2:
                self.record.keep(cut=f"no time was left after {trained} s of training")
                return
            progress = train_alone(self.work(min(until, end) / 60))
            self.score("model", progress.seconds, progress.samples)

    def judge(self) -> None:
        """Errors by tissue and all other measures, beside the transform alone; and a picture."""
        model = load_model(self.folder / "model")
        generation, degradation = Generation.of(Predictor(model, self.args.device)), Degradation.of_model(model)
        cases = []
        for volume in self.held_out:
            options = {"model": "model", "num_workers": 0, "with_strong": False, "with_nodules": False}
            slices = NUM_SLICES if len(volume.hu) > NUM_SLICES else 0
            case, _ = evaluate(generation, volume, degradation, num_slices=slices, **options)  # type: ignore[arg-type]
            cases.append(case)
            mean = {k: round(statistics.fmean(getattr(c.window, k) for c in cases), 4) for k in ("psnr_db", "ssim")}
            (label,) = case.baselines
            gains = [c.window.psnr_db - c.baselines[label].psnr_db for c in cases]
            self.record.keep(
                volumes=len(cases),
                **mean,
                gain_over_cosine_db=round(statistics.fmean(gains), 2),
                gains_db=[round(gain, 2) for gain in gains],
                mae_hu={name: mean_errors([c.measures[name].mae_hu for c in cases]) for name in (label, MODEL)},
                vif={name: mean_of_known([c.measures[name].vif for c in cases]) for name in (label, MODEL)},
                seam_ratio=round(max(c.seam_ratio for c in cases), 3),
                facts={
                    k: v for k, v in model.facts.items() if k.startswith(("best", "num", "prec", "step", "samples"))
                },
            )
            if self.record.left_s < 10:
                break
        truth = self.truth(self.held_out[0])
        edge, number = degradation.code or (0, 0)
        three = truth, transform_coded(truth, edge, number), self.decoded(generation, truth)
        window = generation.enhancement.window_hu
        picture(self.args.out / "autoencode.png", [middles(unwindowed(share, window)) for share in three])


def mean_of(found: list[Quality]) -> dict[str, Any]:
    """Means, and what each volume has."""
    each = [[round(q.psnr_db, 2), round(q.ssim, 4)] for q in found]
    psnr, ssim = (statistics.fmean(column) for column in zip(*each, strict=True))
    return {"psnr_db": round(psnr, 2), "ssim": round(ssim, 4), "each": each}


def mean_errors(found: list[Mapping[str, float]]) -> dict[str, float]:
    """By tissue, over the volumes that have it."""
    tissues = dict.fromkeys(tissue for one in found for tissue in one)
    return {t: round(statistics.fmean(one[t] for one in found if t in one), 2) for t in tissues}


def mean_of_known(found: list[float | None]) -> float | None:
    """Over the volumes that have a value."""
    known = [value for value in found if value is not None]
    return round(statistics.fmean(known), 4) if known else None


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("autoencode-check"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=2.5, help="of training")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the training")
    parser.add_argument("--total", type=float, default=280.0, metavar="S", help="after which everything has ended")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    args = parser.parse_args()
    record = Record(args.out / "autoencode-check.json", args.total)
    record.keep(
        check="autoencode",
        command=said(["python3", *sys.argv]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions={"numpy": np.__version__, "torch": torch.__version__},
        is_tiny=args.tiny,
    )
    if args.tiny:
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="autoencode-") as scratch:
        check = Check(args, Path(scratch), record)
        workers = len(os.sched_getaffinity(0))
        shared.data(argparse.Namespace(size=check.size, folder=check.folder, workers=workers))
        record.keep(
            data={"training": check.size.num_training, "shape": check.size.shape, "spacing_mm": check.size.spacing_mm},
            name=torch.cuda.get_device_name(0) if args.device == "cuda" else "cpu",  # CUDA begins after the forks
        )
        check.start()
        try:
            check.train()
        except IpdsfError as error:  # a training that diverged keeps its last sound model, which is judged
            record.keep(error=str(error))
        if len(check.rows) > 1:
            check.judge()
        if args.device == "cuda":
            record.keep(device_peak_gb=round(torch.cuda.max_memory_reserved() / 2**30, 2))
    record.keep(ended=True)
    return 1 if "error" in record.found else 0


if __name__ == "__main__":
    sys.exit(main())
