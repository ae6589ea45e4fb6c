"""Chests of nobody on a GPU, trained and judged against phantoms that were held out, in less than five minutes.

python3 scripts/gpu_synthesis.py [--out FOLDER] [--device cuda|cpu] [--minutes 1] [--memory-gb 11] [--model FOLDER]

Needs numpy, torch and scipy. Writes synthesis-check.json, anew after each part, and pictures of middle slices:
synthesised on the left, phantoms that were held out on the right.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gpu_check_shared as shared
import numpy as np
import torch
from gpu_record import Record, middles, picture
from numpy.typing import NDArray

from ipdsf_spark.config import load
from ipdsf_spark.ct.anatomy import measured_anatomy
from ipdsf_spark.ct.chests import chest_of, placed
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.likeness import cube_signatures, leave_one_out, measured_chest, neighbours, two_sample_tests
from ipdsf_spark.ct.window import HU_WINDOW
from ipdsf_spark.ct.writing import as_int16
from ipdsf_spark.imaging.synthesis import field_spacing, load_synthesis
from ipdsf_spark.monitoring.provenance import said
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.synthesis import FINE_FACTOR, train_synthesis
from ipdsf_spark.training.synthesis_folder import FACTS_FILE

FIRST_SEED = 100
FULL = dataclasses.replace(shared.FULL, num_training=40, num_held_out=16)
TINY = dataclasses.replace(
    shared.TINY, shape=(48, 96, 96), spacing_mm=(6.0, 3.6, 3.6), num_training=4, num_held_out=2, full=(64, 128, 128)
)


def coarse(hu: NDArray[Any]) -> NDArray[np.int16]:
    """At the resolution at which chests are measured, within the window the models know."""
    return np.rint(block_means(np.clip(hu, *HU_WINDOW), FINE_FACTOR)).astype(np.int16)


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("synthesis-check"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--minutes", type=float, default=1.0, help="of each of the two stages")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="judge what was trained before on these phantoms")
    parser.add_argument("--number", type=int, default=16, help="of volumes that are compared")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--warm-up", type=int, default=5000, metavar="N", help="cubes over which the learning rate of a stage rises"
    )
    parser.add_argument("--total", type=float, default=285.0, metavar="S", help="after which no further part is begun")
    parser.add_argument(
        "--memory-gb", type=float, default=0.0, metavar="GB", help="use no more of the GPU than a card of this size has"
    )
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    args = parser.parse_args()
    size = TINY if args.tiny else FULL
    record = Record(args.out / "synthesis-check.json", args.total)
    keep = record.keep
    if args.device == "cuda":
        shared.like_a_card_of(args.memory_gb)
    keep(
        check="synthesis",
        command=said(["python3", *sys.argv]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        torch=torch.__version__,
        device=args.device,
        memory_limit_gb=args.memory_gb or None,
        is_tiny=args.tiny,
    )
    with tempfile.TemporaryDirectory(prefix="synthesis-") as scratch:
        folder = Path(scratch)
        given = argparse.Namespace(size=size, folder=folder, workers=len(os.sched_getaffinity(0)))
        shared.data(given)
        keep(data={"training": size.num_training, "held_out": size.num_held_out, "shape": size.shape})
        overrides = [
            f"training.batch={args.batch}",
            "training.epochs=100000",
            f"training.warm_up_samples={args.warm_up}",
        ]
        if args.tiny:
            overrides = [*shared.TINY_NETWORKS, "training.batch=4"]
        overrides.append(f"training.minutes={args.minutes}")
        settings = settings_of(load(overrides=overrides), device=args.device)
        if args.tiny:
            settings = dataclasses.replace(settings, samples=24)
        model = args.model or folder / "model"
        if args.model is None:
            train_synthesis(folder / "cubes", model, settings, {"dataset": "phantoms"}, device=args.device)
        keep(
            training=json.loads((model / FACTS_FILE).read_text()),
            name=torch.cuda.get_device_name(0) if args.device == "cuda" else "cpu",
        )
        synthesis = load_synthesis(model, args.device)
        held_out = [np.load(path) for path in sorted(folder.glob("held-out-*.npy"))]
        mid_spacing = tuple(step * FINE_FACTOR for step in size.spacing_mm)
        real = [coarse(hu) for hu in held_out]
        real_chests = [chest_of(hu, mid_spacing, HU_WINDOW) for hu in real]
        real_facts = [measured_chest(hu, mid_spacing) for hu in real]
        fine_facts = [measured_chest(np.clip(hu, *HU_WINDOW), size.spacing_mm) for hu in held_out]
        real_anatomy = [measured_anatomy(hu, size.spacing_mm) for hu in held_out]
        made_anatomy: list[dict[str, float]] = []
        made_facts, made_fine, made_chests, stages, guards = [], [], [], [], []
        started = time.monotonic()
        for seed in range(args.number if not args.tiny else 2):
            if record.left_s < 60:
                break
            drawn = synthesis.drawn(size.shape, seed=FIRST_SEED + seed)
            hu = as_int16(np.concatenate(list(synthesis.slabs(drawn, size.shape))))
            spacing = tuple(step * FINE_FACTOR for step in field_spacing(drawn.chest, size.shape))
            made_facts.append(measured_chest(coarse(hu), spacing))
            made_fine.append(measured_chest(hu, field_spacing(drawn.chest, size.shape)))
            made_anatomy.append(measured_anatomy(hu, field_spacing(drawn.chest, size.shape)))
            made_chests.append(chest_of(coarse(hu), spacing, HU_WINDOW))
            guards.append(drawn.copied_share)
            if seed < 4:
                grid = placed(drawn.chest, size.shape, HU_WINDOW)
                stages.append([middles(grid), middles(hu), middles(held_out[seed % len(held_out)])])
        for number, columns in enumerate(stages):
            picture(args.out / f"nobody-{number}.png", columns)
        known = neighbours(made_chests, real_chests, synthesis.chests.signatures)
        limit, cube = synthesis.guard.limit, synthesis.mid.cube_size
        keep(
            number=len(made_facts),
            seconds_each=round((time.monotonic() - started) / max(1, len(made_facts)), 2),
            tests=two_sample_tests(made_facts, real_facts),
            tests_at_full_resolution=two_sample_tests(made_fine, fine_facts),
            tests_of_anatomy=two_sample_tests(made_anatomy, real_anatomy),
            tests_within_held_out=two_sample_tests(real_facts[::2], real_facts[1::2]),
            neighbours=known.facts,
            training_to_training=leave_one_out(synthesis.chests.signatures),
            copy_limit=synthesis.chests.copy_limit,
            copied_share_of_cubes=guards,
            copied_share_of_held_out_cubes=[
                synthesis.guard.copied_share(cube_signatures(hu, cube, HU_WINDOW)) for hu in real
            ],
            cube_limit=limit,
        )
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        drawn = synthesis.drawn(size.full, seed=1000)
        slices = sum(len(as_int16(slab)) for slab in synthesis.slabs(drawn, size.full))
        peak = round(torch.cuda.max_memory_reserved() / 2**30, 2) if args.device == "cuda" else None
        full = {"shape": size.full, "slices": slices, "seconds": round(time.monotonic() - started, 2)}
        keep(full_size={**full, "device_peak_gb": peak, "host_peak_gb": shared.host_peak_gb()})


if __name__ == "__main__":
    main()
