"""`ipdsf ct train-synthesis` and `ipdsf ct synthesize`: full-size volumes that belong to nobody."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration, add_verb, here, seed
from ipdsf_spark.cli.ct_generate import model_path
from ipdsf_spark.cli.ct_train import HistoryTail, model_folder
from ipdsf_spark.config import Config, load, with_overrides
from ipdsf_spark.config.checks import require
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.progress import counting, progress_bar

if TYPE_CHECKING:
    from ipdsf_spark.training.loop import Progress
    from ipdsf_spark.training.worker import Work

TRAIN_EXAMPLES: Final = """examples:
  ipdsf ct train-synthesis --name chest --minutes 20       two stages of 20 minutes, from a packed data set
  ipdsf ct train-synthesis --name chest --minutes 20 --workers 2     both stages by two Horovod processes on Spark
  ipdsf ct train-synthesis --cubes exported -o chest-nobody --minutes 3 --device cuda

The same command again goes on; --anew begins anew. Ctrl-C or SIGTERM end after a checkpoint of the stage under way.
"""
EXAMPLES: Final = """examples:
  ipdsf ct synthesize --model chest-nobody --number 4 -o volumes
  ipdsf ct synthesize --model chest-nobody --number 1 --shape 600 512 512 -o volumes --format dicom

What comes out belongs to no patient and says so in its header. A chest that is nearer to a training chest than half the
distance of the two most alike of them, or that has parts which are copies, is drawn again and never written.
synthesis.json in the folder says of every volume how near it came.
"""
DEFAULT_SHAPE: Final = (128, 256, 256)


def add_verbs(verbs: Any) -> None:
    """Both verbs."""
    train = add_verb(verbs, "train-synthesis", "train what makes chests that belong to nobody", TRAIN_EXAMPLES)
    source = train.add_mutually_exclusive_group(required=True)
    source.add_argument("--name", help="of a packed data set")
    source.add_argument("--cubes", type=here, metavar="FOLDER", help="cubes written by `ipdsf ct export`")
    train.add_argument("--minutes", type=float, metavar="M", help="of each of the two stages (training.minutes)")
    train.add_argument("--samples", type=int, default=0, metavar="N", help="cubes of each stage to stop after")
    train.add_argument("--workers", type=int, default=0, metavar="K", help="Horovod processes; 0 = without (default)")
    train.add_argument("--threads", type=int, default=0, metavar="N", help="per worker on a CPU (default: its share)")
    train.add_argument("--master", help="Spark master (default: the cluster that MASTER names, else this machine)")
    train.add_argument("--device", default="", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    train.add_argument("--model", help="name of the model (default: NAME-nobody)")
    train.add_argument("-o", "--output", type=here, metavar="FOLDER", help="(default: storage.root/models/MODEL)")
    train.add_argument("--anew", action="store_true", help="begin both stages anew")
    train.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(train)
    make = add_verb(verbs, "synthesize", "full-size volumes that belong to nobody", EXAMPLES)
    make.add_argument("--model", required=True, help="name or folder of a model of `train-synthesis`")
    make.add_argument("--number", type=int, default=1, metavar="N", help="of volumes (default 1)")
    make.add_argument("-o", "--output", required=True, type=here, metavar="FOLDER", help="new, or of earlier volumes")
    make.add_argument(
        "--shape", type=int, nargs=3, default=DEFAULT_SHAPE, metavar=("Z", "Y", "X"), help="(default 128 256 256)"
    )
    make.add_argument("--seed", type=seed, default=0, help="of the first volume; the next have the next numbers")
    make.add_argument("--format", choices=("nifti", "dicom"), default="nifti", help="(default nifti)")
    make.add_argument("--device", default="", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    make.add_argument("--json", action="store_true", help="one JSON object per volume on standard output")
    add_configuration(make)


def run_train(args: argparse.Namespace) -> int:
    """Train both stages."""
    require(args.threads >= 0, "--threads", "at least 0", args.threads)
    if args.workers < 0 or (args.cubes and args.workers):
        raise ConfigError("--workers must be 0 or more; --cubes is for one process without Spark")
    said = [f"training.minutes={float(args.minutes)}"] if args.minutes is not None else []
    config = with_overrides(load(*args.config, overrides=args.set), said)
    if not args.output and not args.model and not args.name:
        raise ConfigError("where does the model go? Say --output FOLDER or --model NAME")
    folder = args.output or model_folder(config, args.model or f"{args.name}-nobody")
    train = _by_horovod if args.workers else _alone
    with progress_bar(desc="chests", unit=" cubes") as bar:
        answer = train(args, config, folder, bar)
    answer["model"] = str(folder)
    answer["workers"] = args.workers
    is_whole = answer["ended"] == "both stages"
    hint = "" if is_whole else f" ({answer['ended']}; the same command goes on)"
    print(json.dumps(answer) if args.json else f"chests of nobody from {answer['chests']} volumes{hint}: {folder}")
    return 0


def _alone(args: argparse.Namespace, config: Config, folder: Path, bar: Any) -> dict[str, Any]:
    from ipdsf_spark.ct.cube_set import CubeSet
    from ipdsf_spark.training.configured import settings_of
    from ipdsf_spark.training.facts import data_facts
    from ipdsf_spark.training.synthesis import train_synthesis

    cubes = args.cubes
    if cubes is None:
        from ipdsf_spark.packing.local_copy import local_copy
        from ipdsf_spark.packing.reference import reference_of

        cubes = local_copy(reference_of(config, args.name), Path(config.training.cache_directory).expanduser())
    return train_synthesis(
        Path(cubes),
        folder,
        settings_of(config, samples=args.samples, device=args.device),
        {**data_facts(CubeSet.load(Path(cubes)).manifest), "horovod": False},
        device=args.device,
        threads=args.threads,
        anew=args.anew,
        on_stage=lambda stage: _begin(bar, stage),
        on_step=lambda step: bar.update(step.samples - bar.n),
    )


def _by_horovod(args: argparse.Namespace, config: Config, folder: Path, bar: Any) -> dict[str, Any]:
    from ipdsf_spark.packing.local_copy import local_copy
    from ipdsf_spark.packing.reference import reference_of
    from ipdsf_spark.packing.session import imaging_session
    from ipdsf_spark.spark.master import given_master
    from ipdsf_spark.training.configured import settings_of
    from ipdsf_spark.training.facts import data_facts
    from ipdsf_spark.training.horovod_workers import SparkWork, train_on_spark
    from ipdsf_spark.training.synthesis import train_synthesis

    master = args.master or ("" if given_master() else f"local[{args.workers}]")
    secrets = (config.kafka.sasl_username_env, config.kafka.sasl_password_env, config.ct.pseudonym_key_env)
    with imaging_session("ipdsf-train-synthesis", master=master) as spark:
        reference = reference_of(config, args.name)
        cache = config.training.cache_directory

        def train(stage: str, work: Work) -> Progress:
            job = SparkWork(work, reference, cache, secrets=secrets, is_mid=stage == "mid")
            with HistoryTail(folder / stage / "history.csv", lambda row: bar.update(int(row["samples"]) - bar.n)):
                return train_on_spark(spark, job, args.workers)

        return train_synthesis(
            local_copy(reference, Path(cache).expanduser()),  # the distribution of chests is fitted here
            folder,
            settings_of(config, samples=args.samples, device=args.device),
            {**data_facts(reference.facts), "horovod": True},
            device=args.device,
            threads=args.threads,
            anew=args.anew,
            on_stage=lambda stage: _begin(bar, stage),
            train=train,
        )


def _begin(bar: Any, stage: str) -> None:
    bar.n = 0
    bar.desc = stage


def run(args: argparse.Namespace) -> int:
    """Make volumes of nobody."""
    from ipdsf_spark.ct.dicom_writing import write_dicom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.volume import Grid
    from ipdsf_spark.ct.writing import write_nifti
    from ipdsf_spark.imaging.synthesis import field_spacing, load_synthesis
    from ipdsf_spark.imaging.synthesis_record import record, recorded

    shape = (args.shape[0], args.shape[1], args.shape[2])
    if args.number < 1 or min(shape) < 16:
        raise InputError("--number must be 1 or more, and no side of --shape below 16 voxels")
    where = model_path(load(*args.config, overrides=args.set), args.model)
    names = [f"nobody-{args.seed + k:04d}" for k in range(args.number)]
    suffix = ".nii.gz" if args.format == "nifti" else ""
    for name in names:
        if (args.output / f"{name}{suffix}").exists():
            raise InputError(f"{args.output / name}{suffix} exists: name another folder or another --seed")
    recorded(args.output)  # what is not to be replaced is told before anything is computed
    synthesis = load_synthesis(where, args.device or None)
    args.output.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        started = time.monotonic()
        drawn = synthesis.drawn(shape, seed=args.seed + k)
        spacing = field_spacing(drawn.chest, shape)
        provenance = Provenance(
            "synthesize", datetime.now(UTC), model=where.name, enhancement=synthesis.fine.enhancement.sha256
        )
        path = args.output / f"{name}{suffix}"
        with progress_bar(total=synthesis.fine.plan(shape).num_cubes, desc=name, unit=" cubes") as bar:
            slabs = synthesis.slabs(drawn, shape, on_cubes=counting(bar))
            if args.format == "nifti":
                write_nifti(path, Grid(shape, spacing), slabs, provenance, replaces=False)
            else:
                write_dicom(path, Grid(shape, spacing), slabs, provenance)
        facts = {
            "out": str(path),
            "model": where.name,
            "shape": list(shape),
            "spacing_mm": [round(step, 4) for step in spacing],
            "nearest_training_chest": round(drawn.nearest, 5),
            "copy_limit": round(synthesis.chests.copy_limit, 5),
            "copied_share_of_cubes": round(drawn.copied_share, 4),
            "refused_draws": drawn.refused,
            "seconds": round(time.monotonic() - started, 1),
        }
        # After each: what is there is told of although a later one fails.
        record(args.output, facts, model=where.name)
        print(json.dumps(facts) if args.json else f"{path}: {facts['seconds']:g} s, no copy")
    return 0
