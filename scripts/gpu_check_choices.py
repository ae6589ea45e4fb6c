"""What an update costs in every choice of precision, layout, batch, graph and compiler, for `gpu_check_parts.py`."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np
import torch
from gpu_check_shared import TINY, TINY_NETWORKS, said

from ipdsf_spark.config import load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.training.choices import memory_layout, pair_maker, update_of
from ipdsf_spark.training.collective import Solo
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.device_pairs import DevicePairs, HostPairs
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.source import CopiedCubes, Portion

WARM_UP: Final = 4
Choice = dict[str, Any]


def choices(args: argparse.Namespace) -> None:
    """Eager updates in every precision, layout and batch; then pairs made by the host against the device."""
    layouts = ("channels_last", "plain")
    rows = [
        choice_of(batch, precision, layout)
        for batch in sorted(args.size.batches, reverse=True)
        for precision in (("fp32",) if args.device == "cpu" else ("bf16", "fp32"))
        for layout in layouts
    ]
    found = _each(args, sorted(rows, key=lambda row: row["batch"] not in (32, 64)))  # what decides comes first
    _pairs_per_s(args)
    said(rows=found)


def captured(args: argparse.Namespace) -> None:
    """Updates as one CUDA graph."""
    rows = [
        choice_of(b, "bf16", layout, captures=1) for b in args.size.batches for layout in ("channels_last", "plain")
    ]
    said(rows=_each(args, sorted(rows, key=lambda row: row["batch"] not in (32, 64))))


def compiled(args: argparse.Namespace) -> None:
    """Updates of compiled networks; each compiles for half a minute first."""
    batches = [b for b in (64, 128) if b in args.size.batches] or args.size.batches[:1]
    said(rows=_each(args, [choice_of(b, "bf16", "channels_last", compiles=1) for b in batches]))


def choice_of(batch: int, precision: str, layout: str, *, captures: int = 0, compiles: int = 0) -> Choice:
    """One way to train."""
    return {"batch": batch, "precision": precision, "layout": layout, "captures": captures, "compiles": compiles}


def name_of(choice: Choice) -> str:
    """For the table."""
    extra = "".join(f" {word}" for word in ("captures", "compiles") if choice[word])
    return f"batch {choice['batch']} {choice['precision']} {choice['layout']}{extra}"


def _each(args: argparse.Namespace, rows: list[Choice]) -> dict[str, Choice]:
    found: dict[str, Choice] = {}
    for row in rows:
        if time.monotonic() > args.until:
            break
        try:
            found[name_of(row)] = {**row, **_measured_choice(args, row)}
        except Exception as error:  # a choice that this device or library cannot make is an answer
            found[name_of(row)] = {**row, "error": f"{type(error).__name__}: {error}"[:300]}
        print(f"{name_of(row)}: {found[name_of(row)].get('cubes_per_s', found[name_of(row)].get('error'))}", flush=True)
        said(rows=found)
    return found


def words_of(choice: Choice) -> list[str]:
    """The choice as overrides of the configuration."""
    return [
        f"training.batch={choice['batch']}",
        f"training.precision={choice['precision']}",
        f"training.channels_last={str(choice['layout'] == 'channels_last').lower()}",
        f"training.captures={str(bool(choice['captures'])).lower()}",
        f"training.compiles={str(bool(choice['compiles'])).lower()}",
    ]


def _settings(args: argparse.Namespace, choice: Choice) -> TrainSettings:
    overrides = [*words_of(choice), *(TINY_NETWORKS if args.size is TINY else ())]
    return settings_of(load(overrides=overrides), device=args.device)


def _measured_choice(args: argparse.Namespace, choice: Choice) -> dict[str, float]:
    """Cubes a second of pairs made on the device and an update, for about a second."""
    settings, device = _settings(args, choice), torch.device(args.device)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    cubes = CubeSet.load(args.folder / "cubes")
    source = CopiedCubes(cubes, seed=0, order_seed=0, validation_share=0.0)
    nets = Networks.new(
        settings.generator,
        settings.discriminator,
        settings.optimiser,
        device=device,
        channels_last=memory_layout(settings, device) is torch.channels_last_3d,
        compiles=settings.compiles,
    )
    pairs, update = pair_maker(source, settings, device), update_of(nets, settings, Solo())
    layout = memory_layout(settings, device)
    hu = torch.from_numpy(cubes.take(np.arange(settings.batch))).to(device)
    tensors = (hu,) if not isinstance(pairs, HostPairs) else pairs.prepared(_portion(source, settings))

    def step(position: int) -> None:
        made = pairs.finished(tensors, epoch=0, position=position)
        condition, target = (t.contiguous(memory_format=layout) for t in made)
        update(condition, target)

    begin = time.perf_counter()
    for position in range(WARM_UP):
        step(position)
    warmed = time.perf_counter()
    taken: list[float] = []
    while time.perf_counter() < warmed + args.size.seconds_per_choice or len(taken) < 3:
        started = time.perf_counter()
        step(WARM_UP + len(taken))  # its report waits for the device
        taken.append(time.perf_counter() - started)
    median = statistics.median(taken)
    answer = {"cubes_per_s": round(settings.batch / median, 1), "step_ms": round(1000 * median, 2)}
    answer |= {"warm_up_s": round(warmed - begin, 1)}
    if device.type == "cuda":
        answer["device_peak_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return answer


def _portion(source: CopiedCubes, settings: TrainSettings) -> Portion:
    return next(source.portions(batch=settings.batch, rank=0, size=1, epoch=0, position=0))


def _pairs_per_s(args: argparse.Namespace) -> None:
    """How many pairs a second one thread of the host makes, how many the device, how many cubes are read."""
    source = CopiedCubes(CubeSet.load(args.folder / "cubes"), seed=0, order_seed=0, validation_share=0.0)
    settings, device = _settings(args, choice_of(min(64, max(args.size.batches)), "fp32", "plain")), args.device
    host = HostPairs(source.enhancement, settings.pairs)
    there = DevicePairs(source.enhancement, settings.pairs, torch.device(device))
    portion = _portion(source, settings)
    sent = tuple(t.to(device) for t in there.prepared(portion))

    def on_device() -> None:
        there.finished(sent, epoch=0, position=0)
        if device == "cuda":
            torch.cuda.synchronize()

    reading = source.portions(batch=settings.batch, rank=0, size=1, epoch=0, position=0)
    said(
        host_pairs_per_s=_per_second(lambda: host.prepared(portion), args, settings.batch),
        device_pairs_per_s=_per_second(on_device, args, settings.batch),
        cubes_read_per_s=_per_second(lambda: next(reading), args, settings.batch),
    )


def _per_second(call: Callable[[], object], args: argparse.Namespace, number: int) -> float:
    call()
    begin, count = time.perf_counter(), 0
    while time.perf_counter() < begin + args.size.seconds_per_choice:
        call()
        count += 1
    return round(number * count / (time.perf_counter() - begin), 1)
