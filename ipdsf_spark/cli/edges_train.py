"""`ipdsf edges train`: a network that learns edges from simulated days, and how it fares on kinds held back."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

from ipdsf_spark.deep_edges import model_file
from ipdsf_spark.deep_edges.training import Image, TrainingSettings, train
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.edges.examples import examples
from ipdsf_spark.lidar.edges.settings import LEARNED
from ipdsf_spark.lidar.simulator.hard_kinds import KINDS
from ipdsf_spark.progress import progress_bar

FIRST_SEED: Final = 1000  # days of training; benchmarks judge on others


def train_network(args: argparse.Namespace) -> int:
    """Simulate, train, write."""
    if not args.output:
        raise ConfigError("ipdsf edges train needs -o FILE")
    if args.days < 1 or args.steps < 1 or args.seconds <= 0:
        raise ConfigError("--days, --steps and --seconds are above 0")
    seeds = range(FIRST_SEED + args.seed * args.days, FIRST_SEED + (args.seed + 1) * args.days)
    is_silent = not sys.stderr.isatty()
    kinds = progress_bar(KINDS, unit="kind", desc="days", disable=is_silent, leave=False)
    images = [Image(*example) for name in kinds for example in examples([name], seeds, LEARNED)]
    start = time.process_time()
    losses: list[float] = []
    with progress_bar(total=args.steps, unit="step", desc="training", disable=is_silent, leave=False) as progress:

        def tell(step: int, loss: float) -> None:
            losses.append(loss)
            progress.update()
            progress.set_postfix_str(f"loss {loss:.3f}")

        network = train(images, TrainingSettings(num_steps=args.steps, seconds=args.seconds, seed=args.seed), tell)
    about = {"kinds": list(KINDS), "seeds": list(seeds), "steps": len(losses), "seed": args.seed}
    path = Path(args.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_file.to_bytes(network, about))
    num = sum(part.numel() for part in network.parameters())
    newest = losses[-max(len(losses) // 10, 1) :]
    print(f"{num} parameters, {len(images)} simulated days, {len(losses)} steps")
    print(f"  processor    {time.process_time() - start:.0f} s of training")
    print(f"  loss         {sum(newest) / len(newest):.4f}, mean of the last tenth")
    print(f"  wrote        {path}")
    return 0
