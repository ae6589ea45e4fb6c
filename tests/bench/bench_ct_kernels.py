"""Speed and memory of the ct room on a volume of 512 × 512 × Z, one process.

python tests/bench/bench_ct_kernels.py [--slices 600] [--cube 32 --overlap 8] [--record results.jsonl]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.metrics import quality_of_hu
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.ct.stitching import seam_ratio, stitched
from ipdsf_spark.ct.volume import Grid
from ipdsf_spark.ct.writing import write_nifti


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--cube", type=int, default=32)
    parser.add_argument("--overlap", type=int, default=8)
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    rows: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        result = work()
        rows[name] = round(time.perf_counter() - begin, 2)
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{name:<46} {rows[name]:8.2f} s   peak {peak_gb:5.2f} GB", flush=True)
        return result

    slab = chest_phantom((16, 512, 512), seed=1, spacing_mm=(2.5, 0.7, 0.7)).volume.hu
    hu = np.concatenate([np.roll(slab, k, axis=1) for k in range(-(-args.slices // 16))])[: args.slices]
    plan = CubePlan((args.slices, 512, 512), args.cube, args.overlap)
    grid = Grid(plan.shape, (2.5, 0.7, 0.7))
    print(f"{args.slices} slices, {plan.num_cubes} cubes of {args.cube}³, {hu.size / 1e6:.0f} M voxels")

    enhancement = timed("fit the enhancement", lambda: Enhancement.fit({"a": HuHistogram.of(hu)}))
    timed("cut all cubes", lambda: sum(1 for _ in cubes_of(hu, plan)))
    timed("cut and enhance all cubes", lambda: sum(1 for _, c in cubes_of(hu, plan) if enhancement.enhanced(c).size))

    def generated() -> Iterator[np.ndarray[Any, Any]]:
        levels = ((key, enhancement.enhanced(cube)) for key, cube in cubes_of(hu, plan))
        return (enhancement.restored(levels_slab) for levels_slab in stitched(plan, levels))

    timed("cut, enhance, stitch, restore", lambda: sum(len(s) for s in generated()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.nii.gz"
        made_by = Provenance("autoencode", datetime.now(UTC))
        timed("the same into .nii.gz", lambda: write_nifti(path, grid, generated(), made_by))
        made = timed("read .nii.gz", lambda: read_volume(path).hu)
    clipped = np.clip(hu, *enhancement.window_hu)
    print(f"largest difference {np.abs(made.astype(np.int32) - clipped).max()} HU")
    timed("PSNR and SSIM in the HU window", lambda: quality_of_hu(made, hu))
    timed("seam ratio", lambda: seam_ratio(made, plan, hu))
    if args.record:
        peak_gb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
        facts = {"bench": "ct_kernels", "date": time.strftime("%Y-%m-%d"), "machine": platform.machine()}
        facts |= {"cores": os.cpu_count(), "slices": args.slices, "cube": args.cube, "overlap": args.overlap}
        with args.record.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**facts, "seconds": rows, "peak_gb": peak_gb}) + "\n")


if __name__ == "__main__":
    main()
