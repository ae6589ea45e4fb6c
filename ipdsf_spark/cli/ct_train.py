"""`ipdsf ct train`: the 3-D conditional GAN, by one process or by Horovod on Spark."""

from __future__ import annotations

import argparse
import csv
import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration, here
from ipdsf_spark.cli.spark_job import run_job
from ipdsf_spark.config import Config, load, with_overrides
from ipdsf_spark.config.checks import require
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.progress import counting, progress_bar
from ipdsf_spark.storage.location import location_of, require_name

if TYPE_CHECKING:
    from ipdsf_spark.training.loop import Progress

EXAMPLES: Final = """examples:
  ipdsf ct train --name chest --task denoise --minutes 20        one process, no Spark
  ipdsf ct train --name chest --task denoise --workers 2         two Horovod processes on Spark
  ipdsf ct train --name chest --workers 4 --elastic              goes on when a worker is lost
  ipdsf ct train --name chest --task depixelate --set training.factor=4 --model chest-x4
  ipdsf ct train --cubes exported --task autoencode -o model     numpy and torch alone, a GPU if there is one
  tensorboard --logdir STORAGE/models/chest-denoise/tensorboard

The same command again resumes; --anew begins anew. Ctrl-C or SIGTERM end after a checkpoint. Training ends by itself
when the validation PSNR has not risen by training.min_gain_db in training.patience validations, or at a limit.
"""
POLL_S: Final = 0.5


def add_verb(verbs: Any) -> None:
    """The verb."""
    help_line = "train the 3-D conditional GAN, by one process or by Horovod on Spark"
    parser = verbs.add_parser(
        "train",
        help=help_line,
        description=help_line,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_train_arguments(parser)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `ipdsf ct train` and of its Spark job."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--name", help="of a packed data set")
    source.add_argument("--cubes", type=here, metavar="FOLDER", help="cubes written by `ipdsf ct export`")
    parser.add_argument("--task", choices=("autoencode", "denoise", "depixelate"), help="(default: training.task)")
    parser.add_argument("--no-adversary", action="store_true", help="L1 alone, without a discriminator")
    parser.add_argument("--workers", type=int, default=0, metavar="K", help="Horovod processes; 0 = without (default)")
    parser.add_argument("--elastic", action="store_true", help="go on when a worker is lost")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="per worker on a CPU (default: its share)")
    parser.add_argument("--device", default="", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    parser.add_argument("--minutes", type=float, metavar="M", help="of training to stop after (training.minutes)")
    parser.add_argument("--samples", type=int, default=0, metavar="N", help="cubes to stop after")
    parser.add_argument("--model", help="name of the model (default: NAME-TASK, with -l1 where there is no adversary)")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="(default: storage.root/models/MODEL)")
    parser.add_argument("--anew", action="store_true", help="begin anew: an earlier training in the folder is replaced")
    parser.add_argument(
        "--master", help="Spark master (default: the cluster that MASTER or spark-submit names, else this machine)"
    )
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Train."""
    config = _config(args)
    require(args.threads >= 0, "--threads", "at least 0", args.threads)
    if args.workers < 0 or (args.elastic and args.workers < 1) or (args.cubes and args.workers):
        raise ConfigError("--elastic needs --workers 1 or more; --cubes is for one process without Spark")
    folder = _folder(args, config)
    progress = _by_horovod(args, config, folder) if args.workers else _alone(args, config, folder)
    best = progress.kept_psnr_db
    facts = {
        "model": str(folder),
        "ended": progress.reason,
        "steps": progress.step,
        "samples": progress.samples,
        "seconds": round(progress.seconds, 1),
        "samples_per_s": round(progress.samples / progress.seconds, 2) if progress.seconds else None,
        "best_validation_psnr_db": round(best, 2) if math.isfinite(best) else None,
        "model_step": progress.kept_step or progress.step,
        "adversary": config.training.is_adversarial,
        "workers": args.workers,
    }
    print(json.dumps(facts) if args.json else _readable(facts))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the Spark job."""
    return run_job(
        "train_cgan",
        "a 3-D conditional GAN on CT cubes, by Horovod on Spark",
        add_train_arguments,
        run,
        argv,
        epilog=EXAMPLES.replace("ipdsf ct train", "./spark-submit.sh train_cgan"),
        is_logging=False,
    )


def _config(args: argparse.Namespace) -> Config:
    said = []
    if args.task:
        said.append(f"training.task={args.task}")
    if args.no_adversary:
        said.append("training.is_adversarial=false")
    if args.minutes is not None:
        said.append(f"training.minutes={float(args.minutes)}")
    return with_overrides(load(*args.config, overrides=args.set), said)


def _folder(args: argparse.Namespace, config: Config) -> Path:
    if args.name:
        require_name(args.name, of="data set")
    if args.output:
        place = location_of(args.output)
        if place.path is None:
            raise ConfigError(f"models are written to a folder of this machine or a mounted one, not to {place}")
        return place.path
    if args.cubes and not args.model:
        raise ConfigError("where does the model go? Say --output FOLDER or --model NAME")
    return model_folder(config, args.model or _default_name(args, config))


def _default_name(args: argparse.Namespace, config: Config) -> str:
    return f"{args.name}-{config.training.task}" + ("" if config.training.is_adversarial else "-l1")


def model_folder(config: Config, name: str) -> Path:
    """Where a model of a name lies: a folder that worker 0 can write.

    Raises:
        InputError: it is no name.
        ConfigError: the storage array is no mounted path.
    """
    place = location_of(config.storage.root, "models", require_name(name, of="model"))
    if place.path is None:
        raise ConfigError(f"models are written to a mounted path, and this is {place}: say --output")
    return place.path


def _alone(args: argparse.Namespace, config: Config, folder: Path) -> Progress:
    from ipdsf_spark.ct.cube_set import CubeSet
    from ipdsf_spark.training.configured import settings_of
    from ipdsf_spark.training.facts import data_facts
    from ipdsf_spark.training.worker import Work, train_alone

    settings = settings_of(config, samples=args.samples, device=args.device)
    cubes, shards = args.cubes, None
    if cubes is None:
        from ipdsf_spark.packing.local_copy import local_copy
        from ipdsf_spark.packing.reference import reference_of

        reference = reference_of(config, args.name)
        if config.training.feed == "shards":
            shards = reference
        else:
            with progress_bar(total=reference.num_cubes, desc="copying cubes", delay=0.5, leave=False) as bar:
                cubes = local_copy(reference, _cache(config), on_progress=counting(bar))
    if shards is not None:
        facts = data_facts(shards.facts)
    else:
        found = CubeSet.load(Path(cubes))
        facts = data_facts(found.manifest, studies=tuple({key.study for key in found.keys}), overlap=config.ct.overlap)
    facts |= {"horovod": False}
    work = Work(settings, str(folder), str(cubes or ""), facts, args.threads, args.device, args.anew, shards)
    with _bar(config, args) as bar:
        return train_alone(work, on_step=lambda step: _show(bar, asdict(step)))


def _by_horovod(args: argparse.Namespace, config: Config, folder: Path) -> Progress:
    from ipdsf_spark.packing.reference import reference_of
    from ipdsf_spark.packing.session import imaging_session
    from ipdsf_spark.spark.master import given_master
    from ipdsf_spark.training.configured import settings_of
    from ipdsf_spark.training.facts import data_facts
    from ipdsf_spark.training.horovod_workers import SparkWork, train_elastically, train_on_spark
    from ipdsf_spark.training.schedule import require_one_step
    from ipdsf_spark.training.shards import ShardedCubes
    from ipdsf_spark.training.worker import Work

    slots = f"local[{args.workers},4]" if args.elastic else f"local[{args.workers}]"
    master = args.master or ("" if given_master() else slots)
    with imaging_session("ipdsf-train", master=master) as spark:
        reference = reference_of(config, args.name)
        settings = settings_of(config, samples=args.samples, device=args.device)
        facts = {**data_facts(reference.facts), "horovod": True}
        work = Work(settings, str(folder), "", facts, args.threads, args.device, args.anew)
        require_one_step(reference.num_cubes, batch=settings.batch, size=args.workers)
        if config.training.feed == "shards":  # before workers are begun
            shards = ShardedCubes(
                reference, seed=settings.seed, validation_share=settings.validation_share, is_read=False
            )
            shards.require_one_step(batch=settings.batch, size=args.workers)
        secrets = (config.kafka.sasl_username_env, config.kafka.sasl_password_env, config.ct.pseudonym_key_env)
        job = SparkWork(work, reference, config.training.cache_directory, config.training.feed, secrets)
        train = train_elastically if args.elastic else train_on_spark
        with _bar(config, args) as bar, HistoryTail(folder / "history.csv", lambda row: _show(bar, row)):
            return train(spark, job, args.workers)


def _cache(config: Config) -> Path:
    return Path(config.training.cache_directory).expanduser()


def _bar(config: Config, args: argparse.Namespace) -> Any:
    return progress_bar(total=args.samples or None, desc=config.training.task, unit=" cubes", smoothing=0.05)


def _show(bar: Any, row: dict[str, Any]) -> None:
    bar.update(int(row["samples"]) - bar.n)
    bar.set_postfix_str(
        f"step {row['step']}, L1 {float(row['loss_l1']):.4f}, D {float(row['loss_d']):.3f}, "
        f"PSNR {float(row['psnr_db']):.1f} dB",
        refresh=False,
    )


class HistoryTail:
    """Shows the last row of a growing history: what workers in other processes do."""

    def __init__(self, path: Path, show: Callable[[dict[str, Any]], None]) -> None:
        self._path, self._show_row = path, show
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="ipdsf-history", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._is_over.wait(POLL_S):
            self._show_last()
        self._show_last()

    def _show_last(self) -> None:
        try:
            with self._path.open(newline="", encoding="utf-8") as file:
                header = file.readline()
                file.seek(max(len(header), self._path.stat().st_size - 4096))
                lines = file.read().splitlines()
        except OSError:
            return  # the first step is still to come
        names = next(csv.reader([header]), [])
        rows = [row for row in csv.reader(lines) if len(row) == len(names)]
        if rows and names:
            self._show_row(dict(zip(names, rows[-1], strict=True)))


def _readable(facts: dict[str, Any]) -> str:
    best = facts["best_validation_psnr_db"]
    said = f" of step {facts['model_step']}, the best in validation with {best:.2f} dB," if best else ""
    return (
        f"{facts['samples']} cubes in {facts['steps']} steps and {facts['seconds']:g} s; "
        f"ended: {facts['ended']}; the model{said} is in {facts['model']}"
    )
