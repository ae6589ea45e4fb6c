"""The parts of `gpu_check.py`, each in a process of its own: python3 scripts/gpu_check_parts.py PART FOLDER.

What a part has measured goes to standard output as it is known, one JSON object after the word MEASURED.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np
import torch
from gpu_check_choices import captured, choice_of, choices, compiled, name_of, words_of
from gpu_check_shared import (
    FULL,
    TINY,
    TINY_NETWORKS,
    Tell,
    data,
    device_peak_gb,
    held_out,
    host_peak_gb,
    like_a_card_of,
    said,
    tell_to,
    to_standard_output,
)

from ipdsf_spark.cli.main import main as ipdsf
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.volume import Grid
from ipdsf_spark.ct.writing import filling
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import evaluate
from ipdsf_spark.imaging.generate import Generation

SETTLING_STEPS: Final = 10
PERIOD: Final = 40  # slices of the phantom that fills the large volume


def machine(args: argparse.Namespace) -> None:
    """Versions, and what the device is."""
    facts = {"python": sys.version.split()[0], "numpy": np.__version__, "torch": torch.__version__}
    said(**facts, threads=torch.get_num_threads(), cuda=torch.version.cuda)
    if args.device == "cuda":
        about = torch.cuda.get_device_properties(0)
        said(
            name=about.name,
            memory_gb=round(about.total_memory / 2**30, 1),
            multiprocessors=about.multi_processor_count,
            capability=".".join(map(str, torch.cuda.get_device_capability(0))),
            cudnn=torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            is_bf16=torch.cuda.is_bf16_supported(),
        )


def cpu(args: argparse.Namespace) -> None:
    """Cubes a second of the same training on two cores of this machine, and on all."""
    for name, threads in (("two_cores", 2), ("all_cores", args.workers)):
        folder = args.folder / f"cpu-{name}"
        words = ["--samples", "16"] if args.size is TINY else ["--minutes", str(max(0.08, args.seconds / 60 / 4))]
        _train(
            args, folder, "cpu", ["--threads", str(threads), *words], ["training.batch=4"] if args.size is TINY else []
        )
        said(**{f"{name}_cubes_per_s": _rate_of(folder)[0], f"{name}_threads": threads})


def train(args: argparse.Namespace) -> None:
    """`ipdsf ct train --cubes`, with the fastest choice."""
    choice, rates = json.loads(args.choice), json.loads(args.cpu)
    steady = ["training.patience=0", "training.validate_every=100000", "training.warm_up_samples=20000"]
    if args.size is TINY:
        steady = ["training.validate_every=100"]
    said(choice=name_of(choice))
    words = ["--minutes", str(args.minutes)] if args.size is not TINY else ["--samples", "40"]
    _train(args, args.folder / "model", args.device, words, [*words_of(choice), *steady, "training.epochs=100000"])
    rate, starved = _rate_of(args.folder / "model")
    facts = load_model(args.folder / "model").facts
    said(
        cubes_per_s=rate,
        samples=facts["samples"],
        training_s=facts["training_s"],
        validation_psnr_db=facts["best_validation_psnr_db"],
        share_of_time_waiting_for_cubes=starved,
        **{
            f"times_{k}": round(rate / max(rates[f"{k}_cubes_per_s"], 1e-9), 1)
            for k in ("two_cores", "all_cores")
            if f"{k}_cubes_per_s" in rates
        },
    )


def _train(args: argparse.Namespace, folder: Path, device: str, words: list[str], overrides: list[str]) -> None:
    overrides = [*overrides, *(TINY_NETWORKS if args.size is TINY else ())]
    sets = [word for override in overrides for word in ("--set", override)]
    common = ["ct", "train", "--cubes", str(args.folder / "cubes"), "-o", str(folder), "--task", "denoise"]
    if code := ipdsf([*common, "--device", device, *words, *sets]):
        raise SystemExit(code)


def _rate_of(folder: Path) -> tuple[float, float]:
    """Cubes a second after the first steps, and the share of that time the networks waited for cubes."""
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    steady = rows[min(SETTLING_STEPS, len(rows) // 2) :]
    seconds = max(steady[-1]["seconds"] - steady[0]["seconds"], 1e-9)
    waited = sum(row["data_s"] for row in steady[1:])
    return round((steady[-1]["samples"] - steady[0]["samples"]) / seconds, 1), round(waited / seconds, 4)


def as_cpu(args: argparse.Namespace) -> None:
    """What two cores reach in ten minutes: the same training to as many cubes, in their precision and batch."""
    cubes_per_s = float(json.loads(args.cpu).get("two_cores_cubes_per_s", 10.0))
    samples = 16 if args.size is TINY else round(600 * cubes_per_s)
    steady = ["training.patience=0", "training.validate_every=100000", "training.epochs=100000"]
    plain = [*words_of(choice_of(min(8, min(args.size.batches)), "fp32", "plain")), *steady]
    _train(args, args.folder / "model-as-cpu", args.device, ["--samples", str(samples), "--minutes", "0.75"], plain)
    said(samples=load_model(args.folder / "model-as-cpu").facts["samples"], asked=samples)
    _judge(args, "model-as-cpu")


def generate(args: argparse.Namespace) -> None:
    """A full-size volume through the trained model, from HU in memory to whole HU on the disk."""
    depth, height, width = args.size.full
    spacing = (300.0 / PERIOD, 360.0 / height, 360.0 / width)
    chest = chest_phantom((min(PERIOD, depth), height, width), seed=3, spacing_mm=spacing).volume.hu
    hu = np.concatenate([chest] * -(-depth // len(chest)))[:depth].astype(np.int16)
    generation = Generation.of(Predictor(load_model(args.folder / "model"), args.device))
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for turn in ("first", "again"):
        begin = time.monotonic()
        with (args.folder / "volume.raw").open("wb") as file:
            for slab in filling(Grid(args.size.full, spacing), generation.volume(hu)):
                file.write(slab.tobytes())
        seconds = round(time.monotonic() - begin, 2)
        said(**{"seconds" if turn == "first" else "seconds_again": seconds})
        if args.size is TINY or time.monotonic() + seconds > args.until:
            break
    said(
        shape=list(hu.shape),
        cubes=generation.plan(args.size.full).num_cubes,
        host_peak_gb=host_peak_gb(),
        **({"device_peak_gb": device_peak_gb()} if args.device == "cuda" else {}),
    )


def judge(args: argparse.Namespace) -> None:
    """PSNR and SSIM on phantoms the model has not seen, beside what needs no network."""
    _judge(args, "model")


def _judge(args: argparse.Namespace, model: str) -> None:
    generation = Generation.of(Predictor(load_model(args.folder / model), args.device))
    cases: dict[str, Any] = {}
    for volume in held_out(args.folder, args.size):
        if time.monotonic() > args.until:
            break
        case, _ = evaluate(
            generation,
            volume,
            Degradation("denoise"),
            model=model,
            num_workers=0,
            num_slices=32,
            with_strong=False,
            with_nodules=False,
        )
        cases[volume.study] = {
            "psnr_db": case.window.psnr_db,
            "ssim": case.window.ssim,
            "seam_ratio": case.seam_ratio,
            "seconds": round(case.seconds, 2),
            "baselines": {name: [scores.psnr_db, scores.ssim] for name, scores in case.baselines.items()},
            "mae_hu": dict(case.measures["model"].mae_hu),
        }
        mean = {k: statistics.fmean(c[k] for c in cases.values()) for k in ("psnr_db", "ssim")}
        said(cases=cases, psnr_db=round(mean["psnr_db"], 2), ssim=round(mean["ssim"], 4), data_range=1.0)


RUNS: Final[dict[str, Callable[[argparse.Namespace], None]]] = {
    "machine": machine,
    "data": data,
    "cpu": cpu,
    "choices": choices,
    "captured": captured,
    "compiled": compiled,
    "train": train,
    "generate": generate,
    "evaluate": judge,
    "as_cpu": as_cpu,
}


def main(argv: Sequence[str] | None = None, tell: Tell = to_standard_output) -> None:
    """Run one part; `tell` gets what it measures."""
    tell_to(tell)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=RUNS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--seconds", type=float, default=60.0, help="after which nothing new is begun")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--choice", default="{}")
    parser.add_argument("--cpu", default="{}")
    parser.add_argument("--memory-gb", type=float, default=0.0)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(argv)
    if args.device == "cuda":
        like_a_card_of(args.memory_gb)
    args.size = TINY if args.tiny else FULL
    args.until = time.monotonic() + args.seconds * 0.8
    args.workers = len(os.sched_getaffinity(0))
    if args.tiny:
        torch.set_num_threads(1)
    RUNS[args.part](args)


if __name__ == "__main__":
    main()
