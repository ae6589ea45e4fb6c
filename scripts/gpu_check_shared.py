"""What the checks on a GPU share: phantoms small and large, how a part tells what it measured, memory.

Numpy, torch and scipy are enough.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np
import torch
from numpy.typing import NDArray

from ipdsf_spark.ct.cube_set import ShardWriter, publish
from ipdsf_spark.ct.cubes import CubePlan, cubes_of, is_air, is_kept_for_training
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.volume import Grid, Volume

TINY_NETWORKS: Final = ("training.width=4", "training.halvings=2", "training.discriminator_width=4")


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    num_training: int
    num_held_out: int
    cube: int
    full: tuple[int, int, int]
    batches: tuple[int, ...]
    seconds_per_choice: float


FULL: Final = Size((128, 256, 256), (2.4, 1.4, 1.4), 16, 4, 32, (600, 512, 512), (8, 16, 32, 64, 128), 0.7)
TINY: Final = Size((24, 48, 48), (12.0, 7.0, 7.0), 2, 1, 16, (40, 64, 64), (4,), 0.05)


Tell = Callable[[dict[str, Any]], object]


def like_a_card_of(memory_gb: float) -> None:
    """Let this process have no more of the GPU than a card of that size has; 0 is all.

    What the driver holds for the process before torch takes anything counts too, as it would on such a card.
    """
    if memory_gb:
        free, total = torch.cuda.mem_get_info()
        held = (total - free) / 2**30
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, memory_gb - held) * 2**30 / total))


def to_standard_output(facts: dict[str, Any]) -> None:
    """How a part in a process of its own says what it measured."""
    print("MEASURED " + json.dumps(facts), flush=True)


_tell: list[Tell] = [to_standard_output]


def tell_to(tell: Tell) -> None:
    """Who gets from now on what is known."""
    _tell[0] = tell


def said(**facts: Any) -> None:
    """Tell the check what is known."""
    _tell[0](facts)


def data(args: argparse.Namespace) -> None:
    """Phantoms: cubes of some as an exported set, others kept whole to judge with."""
    size = args.size
    seeds = [100 + k for k in range(size.num_training)] + list(range(size.num_held_out))
    begin = time.monotonic()
    with ProcessPoolExecutor(args.workers, mp_context=get_context("fork")) as pool:
        volumes = list(pool.map(_phantom, [(size, seed) for seed in seeds]))
    training = dict(zip(seeds[: size.num_training], volumes, strict=False))
    enhancement = Enhancement.fit({f"phantom-{seed}": HuHistogram.of(hu) for seed, hu in training.items()})
    writer = ShardWriter(args.folder / "cubes", 0)
    overlap = size.cube // 4
    for seed, hu in training.items():
        for key, cube in cubes_of(hu, CubePlan(size.shape, size.cube, overlap), f"phantom-{seed}"):
            if is_kept_for_training(key, is_air=is_air(cube), air_share_kept=0.1):
                writer.add(cube[None], [key])
    num_cubes = writer.finish()
    sizes = {"shape": list(size.shape), "spacing_mm": list(size.spacing_mm)}
    volumes_of = [{"name": f"phantom-{seed}", **sizes} for seed in training]
    facts = {"dataset": "phantoms", "overlap": overlap, "volumes": volumes_of}
    publish(args.folder / "cubes", enhancement, size=size.cube, shards=1, facts=facts)
    for seed, hu in zip(seeds[size.num_training :], volumes[size.num_training :], strict=True):
        np.save(args.folder / f"held-out-{seed}.npy", hu)
    said(phantoms=len(seeds), shape=size.shape, cubes=num_cubes, seconds=round(time.monotonic() - begin, 1))


def _phantom(what: tuple[Size, int]) -> NDArray[np.int16]:
    size, seed = what
    return chest_phantom(size.shape, seed=seed, spacing_mm=size.spacing_mm).volume.hu.astype(np.int16)


def host_peak_gb() -> float:
    """Of this process."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def device_peak_gb() -> float:
    """That torch held of the GPU."""
    return round(torch.cuda.max_memory_reserved() / 2**30, 2)


def held_out(folder: Path, size: Size) -> Iterator[Volume]:
    """The phantoms that `data` kept whole."""
    for path in sorted(folder.glob("held-out-*.npy")):
        yield Volume(np.load(path), Grid(size.shape, size.spacing_mm), study=path.stem)
