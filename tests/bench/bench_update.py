"""What precision, memory layout and gradient checkpointing cost or save in one adversarial update.

python tests/bench/bench_update.py [--device cuda] [--cube 32] [--batch 8] [--threads 1] [--record FILE]

Every variant runs in a process of its own, in turns; memory is the process's peak on a CPU, the allocator's on a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from recording import append, entry_of

VARIANTS = {
    "float32, contiguous": [],
    "float32, channels last": ["--channels-last"],
    "bfloat16, contiguous": ["--mixed"],
    "bfloat16, channels last": ["--channels-last", "--mixed"],
    "float32, channels last, checkpointing": ["--channels-last", "--recompute"],
}
WARM_UP = 3


def measure(args: argparse.Namespace) -> dict[str, float | str]:
    """One variant, in this process."""
    import torch

    from ipdsf_spark.gan.discriminator import DiscriminatorSettings
    from ipdsf_spark.gan.generator import GeneratorSettings
    from ipdsf_spark.gan.networks import Networks, OptimiserSettings
    from ipdsf_spark.gan.update import UpdateSettings, adversarial_update
    from ipdsf_spark.training.memory import keep_freed_memory

    device = torch.device(args.device)
    if device.type == "cpu":
        keep_freed_memory()
        torch.set_num_threads(args.threads)
    nets = Networks.new(
        GeneratorSettings(recomputes=args.recompute),
        DiscriminatorSettings(),
        OptimiserSettings(),
        device=device,
        channels_last=args.channels_last,
    )
    layout = torch.channels_last_3d if args.channels_last else torch.contiguous_format
    shape = (args.batch, 1, args.cube, args.cube, args.cube)
    target = torch.rand(shape, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)
    target = target.to(device).contiguous(memory_format=layout)
    condition = (target + 0.1).contiguous(memory_format=layout)
    settings = UpdateSettings(is_mixed=args.mixed)
    taken = []
    for _ in range(WARM_UP + args.steps):
        started = time.perf_counter()
        adversarial_update(nets, condition, target, settings)
        nets.apply_deferred()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    peak = (
        torch.cuda.max_memory_allocated() / 2**20
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"ms": 1e3 * statistics.median(taken[WARM_UP:]), "peak_mb": peak, "device": name}


def main() -> None:
    """Print a table, and append it as one JSON line to the file given by --record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cube", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--record", type=Path)
    for switch in ("--channels-last", "--mixed", "--recompute", "--one"):
        parser.add_argument(switch, action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    common = [sys.executable, __file__, "--one", "--device", args.device]
    for option in ("cube", "batch", "steps", "threads"):
        common += [f"--{option}", str(getattr(args, option))]
    for _ in range(args.turns):
        for name, switches in VARIANTS.items():
            said = subprocess.run([*common, *switches], check=True, capture_output=True, text=True).stdout
            found[name].append(json.loads(said))
    results = {
        name: {"ms_per_cube": round(min(t["ms"] for t in turns) / args.batch, 2)}
        | {"peak_mb": round(min(t["peak_mb"] for t in turns))}
        for name, turns in found.items()
    }
    for name, values in results.items():
        print(f"{name:40} {values['ms_per_cube']:8.2f} ms per cube {values['peak_mb']:8.0f} MB")
    if args.record:
        append(
            args.record,
            entry_of(
                "update",
                device=next(iter(found.values()))[0]["device"],
                cube=args.cube,
                batch=args.batch,
                threads=args.threads,
                results=results,
            ),
        )


if __name__ == "__main__":
    main()
