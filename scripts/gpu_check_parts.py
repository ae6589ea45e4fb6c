"""The parts of `gpu_check.py`, each in a process of its own: python3 scripts/gpu_check_parts.py PART FOLDER.

What a part has measured goes to standard output as it is known, one JSON object after the word MEASURED.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np
import torch
from numpy.typing import NDArray

from ipdsf_spark.cli.main import main as ipdsf
from ipdsf_spark.config import load
from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter, publish
from ipdsf_spark.ct.cubes import CubePlan, cubes_of, is_air, is_kept_for_training
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.volume import Grid, Volume
from ipdsf_spark.ct.writing import filling
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.gan.networks import Networks
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import evaluate
from ipdsf_spark.imaging.generate import Generation
from ipdsf_spark.training.choices import memory_layout, pair_maker, update_of
from ipdsf_spark.training.collective import Solo
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.device_pairs import DevicePairs, HostPairs
from ipdsf_spark.training.settings import TrainSettings
from ipdsf_spark.training.source import CopiedCubes, Portion

TINY_NETWORKS: Final = ("training.width=4", "training.halvings=2", "training.discriminator_width=4")
SETTLING_STEPS: Final = 10
WARM_UP: Final = 4
Choice = dict[str, Any]


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
PERIOD: Final = 40  # slices of the phantom that fills the large volume


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


def said(**facts: Any) -> None:
    """Tell the check what is known."""
    _tell[0](facts)


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


def cpu(args: argparse.Namespace) -> None:
    """Cubes a second of the same training on two cores of this machine, and on all."""
    for name, threads in (("two_cores", 2), ("all_cores", args.workers)):
        folder = args.folder / f"cpu-{name}"
        words = ["--samples", "16"] if args.size is TINY else ["--minutes", str(max(0.08, args.seconds / 60 / 4))]
        _train(
            args, folder, "cpu", ["--threads", str(threads), *words], ["training.batch=4"] if args.size is TINY else []
        )
        said(**{f"{name}_cubes_per_s": _rate_of(folder)[0], f"{name}_threads": threads})


def choices(args: argparse.Namespace) -> None:
    """Eager updates in every precision, layout and batch; then pairs made by the host against the device."""
    layouts = ("channels_last", "plain")
    rows = [
        _choice(batch, precision, layout)
        for batch in sorted(args.size.batches, reverse=True)
        for precision in (("fp32",) if args.device == "cpu" else ("bf16", "fp32"))
        for layout in layouts
    ]
    found = _each(args, sorted(rows, key=lambda row: row["batch"] not in (32, 64)))  # what decides comes first
    _pairs_per_s(args)
    said(rows=found)


def captured(args: argparse.Namespace) -> None:
    """Updates as one CUDA graph."""
    rows = [_choice(b, "bf16", layout, captures=1) for b in args.size.batches for layout in ("channels_last", "plain")]
    said(rows=_each(args, sorted(rows, key=lambda row: row["batch"] not in (32, 64))))


def compiled(args: argparse.Namespace) -> None:
    """Updates of compiled networks; each compiles for half a minute first."""
    batches = [b for b in (64, 128) if b in args.size.batches] or args.size.batches[:1]
    said(rows=_each(args, [_choice(b, "bf16", "channels_last", compiles=1) for b in batches]))


def _choice(batch: int, precision: str, layout: str, *, captures: int = 0, compiles: int = 0) -> Choice:
    return {"batch": batch, "precision": precision, "layout": layout, "captures": captures, "compiles": compiles}


def _name(choice: Choice) -> str:
    extra = "".join(f" {word}" for word in ("captures", "compiles") if choice[word])
    return f"batch {choice['batch']} {choice['precision']} {choice['layout']}{extra}"


def _each(args: argparse.Namespace, rows: list[Choice]) -> dict[str, Choice]:
    found: dict[str, Choice] = {}
    for row in rows:
        if time.monotonic() > args.until:
            break
        try:
            found[_name(row)] = {**row, **_measured_choice(args, row)}
        except Exception as error:  # a choice that this device or library cannot make is an answer
            found[_name(row)] = {**row, "error": f"{type(error).__name__}: {error}"[:300]}
        print(f"{_name(row)}: {found[_name(row)].get('cubes_per_s', found[_name(row)].get('error'))}", flush=True)
        said(rows=found)
    return found


def _words(choice: Choice) -> list[str]:
    """The choice as overrides of the configuration."""
    return [
        f"training.batch={choice['batch']}",
        f"training.precision={choice['precision']}",
        f"training.channels_last={str(choice['layout'] == 'channels_last').lower()}",
        f"training.captures={str(bool(choice['captures'])).lower()}",
        f"training.compiles={str(bool(choice['compiles'])).lower()}",
    ]


def _settings(args: argparse.Namespace, choice: Choice) -> TrainSettings:
    overrides = [*_words(choice), *(TINY_NETWORKS if args.size is TINY else ())]
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
    settings, device = _settings(args, _choice(min(64, max(args.size.batches)), "fp32", "plain")), args.device
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


def train(args: argparse.Namespace) -> None:
    """`ipdsf ct train --cubes`, with the fastest choice."""
    choice, rates = json.loads(args.choice), json.loads(args.cpu)
    steady = ["training.patience=0", "training.validate_every=100000", "training.warm_up_samples=20000"]
    if args.size is TINY:
        steady = ["training.validate_every=100"]
    said(choice=_name(choice))
    words = ["--minutes", str(args.minutes)] if args.size is not TINY else ["--samples", "40"]
    _train(args, args.folder / "model", args.device, words, [*_words(choice), *steady, "training.epochs=100000"])
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
    plain = [*_words(_choice(min(8, min(args.size.batches)), "fp32", "plain")), *steady]
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
        **({"device_peak_gb": _device_peak_gb()} if args.device == "cuda" else {}),
    )


def host_peak_gb() -> float:
    """Of this process."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def _device_peak_gb() -> float:
    return round(torch.cuda.max_memory_reserved() / 2**30, 2)


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


def held_out(folder: Path, size: Size) -> Iterator[Volume]:
    """The phantoms that `data` kept whole."""
    for path in sorted(folder.glob("held-out-*.npy")):
        yield Volume(np.load(path), Grid(size.shape, size.spacing_mm), study=path.stem)


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
    _tell[0] = tell
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
