"""`ipdsf ct evaluate`: how good a model is on patients it has not seen."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration, here
from ipdsf_spark.cli.ct_generate import model_path
from ipdsf_spark.cli.ct_reading import add_choices, reading_choices
from ipdsf_spark.config import Config, load
from ipdsf_spark.config.checks import require
from ipdsf_spark.ct.pseudonyms import is_key_of
from ipdsf_spark.errors import InputError
from ipdsf_spark.progress import counting, progress_bar
from ipdsf_spark.storage.fetched import fetched, require_volume
from ipdsf_spark.storage.location import location_of, require_name
from ipdsf_spark.storage.lock import is_lock, locked
from ipdsf_spark.storage.naming import naming
from ipdsf_spark.storage.reach import files_of

if TYPE_CHECKING:
    from ipdsf_spark.imaging.report import Trained

EXAMPLES: Final = """examples:
  ipdsf ct evaluate test/* --model chest-denoise -o report
  ipdsf ct evaluate test/* --model chest-solo --horovod chest-two -o report     the table with and without Horovod
  ipdsf ct evaluate test/* --model chest-denoise --no-adversary chest-denoise-l1 -o report    what the adversary costs
  ipdsf ct evaluate test/Lung_Dx-A0002 --model chest-denoise --slices 64 --json

Volumes are degraded as the model's task says (numpy seed 0), generated from cubes, stitched, and compared with what
they were: PSNR and SSIM in the HU window and in enhanced space, beside the baselines that need no network. The folder
holds table.md, table.csv, curves.png, figure.png and index.html, with everything on one page.
"""


def add_verb(verbs: Any) -> None:
    """The verb."""
    help_line = "PSNR and SSIM of models after stitching, beside the baselines, on one page"
    parser = verbs.add_parser(
        "evaluate",
        help=help_line,
        description=help_line,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="clean volumes of patients not trained on")
    parser.add_argument("--model", help="model trained without Horovod: name, folder or file")
    parser.add_argument("--horovod", metavar="MODEL", help="model trained with Horovod")
    parser.add_argument(
        "--no-adversary", dest="alone", metavar="MODEL", help="model trained by the L1 term alone, beside them"
    )
    parser.add_argument("-o", "--output", type=here, metavar="FOLDER", help="for the report")
    parser.add_argument(
        "--slices", type=int, default=0, metavar="N", help="from the middle, in whole blocks of 8 (default: all)"
    )
    parser.add_argument("--sigma", type=float, default=0.05, help="noise of denoise, share of the window (default .05)")
    parser.add_argument("--device", default="", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    add_choices(parser)
    parser.add_argument(
        "--as",
        dest="names",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="of the volumes (default: from their content)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report in the folder")
    parser.add_argument(
        "--trained-on-too", action="store_true", help="also volumes and patients that the model was trained on"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per case on standard output")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate one or two models."""
    config = load(*args.config, overrides=args.set)
    if not args.model and not args.horovod:
        raise InputError("no model: say --model, --horovod, or both; --no-adversary stands beside them")
    require(0 <= args.sigma <= 1, "--sigma", "a share of the window, 0 … 1", args.sigma)
    require(args.slices >= 0, "--slices", "0 or more", args.slices)
    for path in args.paths:
        require_volume(path)
    if args.names and len(args.names) != len(args.paths):
        raise InputError(f"{len(args.names)} name(s) for {len(args.paths)} volume(s): --as gives one for each")
    for name in args.names:
        require_name(name, of="volume")
        if args.names.count(name) > 1:
            raise InputError(f"two volumes cannot both be called {name!r}")
    if not args.output:
        return _evaluate(args, config)
    require_report_folder(args.output, overwrites=args.overwrite)
    with locked(location_of(str(args.output)), "evaluating"):
        require_report_folder(args.output, overwrites=args.overwrite)  # now that no other can write into it
        return _evaluate(args, config)


def _evaluate(args: argparse.Namespace, config: Config) -> int:
    from dataclasses import asdict

    from ipdsf_spark.imaging.cases import CASES_FILE, save_cases
    from ipdsf_spark.imaging.report import write_report

    without = _trained(args, config, args.model) if args.model else None
    with_horovod = _trained(args, config, args.horovod) if args.horovod else None
    alone = _trained(args, config, args.alone, is_adversarial=False) if args.alone else None
    cases = [case for trained in (without, with_horovod, alone) if trained for case in trained.cases]
    if args.output:
        with naming(f"write the report to {args.output}", _spoken, kinds=OSError):  # a full disk names no file
            args.output.mkdir(parents=True, exist_ok=True)
            save_cases(args.output / CASES_FILE, cases)
            page = write_report(args.output, without, with_horovod, alone)
    for case in cases:
        beaten = " - beats every baseline" if case.baselines and case.beats_baselines else ""
        line = f"{case.volume}, {case.model}: {case.window.psnr_db:.2f} dB / {case.window.ssim:.4f}{beaten}"
        print(json.dumps(asdict(case)) if args.json else line)
        if not args.json:
            for name, b in case.baselines.items():
                print(f"  {name}: {b.psnr_db:.2f} dB / {b.ssim:.4f}")
    if args.output and not args.json:
        print(f"report: {page}")
    return 0


def _spoken(error: Exception) -> object:
    where = f" ({Path(error.filename).name})" if isinstance(error, OSError) and error.filename else ""
    return f"{getattr(error, 'strerror', None) or error}{where}"


def require_report_folder(folder: Path, *, overwrites: bool) -> None:
    """Refuse a folder in which a report would replace something.

    Raises:
        InputError: it is a file, or holds files of a report's names and no report, or a report that is to stay.
    """
    from ipdsf_spark.imaging.cases import CASES_FILE

    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; a report needs a folder")
    there = sorted(path.name for path in folder.iterdir() if not is_lock(path.name))
    if not there or (overwrites and CASES_FILE in there):
        return
    if CASES_FILE in there:
        raise InputError(f"{folder} holds a report: name another folder, or say --overwrite")
    raise InputError(f"{folder} holds {there[0]} and no report: name a new folder")


def _pseudonym_key(config: Config, facts: Mapping[str, Any]) -> bytes:
    """The key by which the model's training patients became pseudonyms; says so where it is not at hand."""
    kind, _, check = str(facts.get("pseudonyms", "")).partition(":")
    if not check:
        return b""
    if kind == "key":
        key, wanted = os.environ.get(config.ct.pseudonym_key_env, "").encode(), config.ct.pseudonym_key_env
    else:
        place = location_of(config.storage.root, "cubes", str(facts.get("dataset", "")), "salt")
        wanted = f"the salt of data set {facts.get('dataset')!r}, {place}"
        try:
            key = files_of(place).read(place).strip()
        except InputError:
            key = b""
    if not is_key_of(str(facts["pseudonyms"]), key):
        print(
            f"remark: without {wanted}, volumes are held against the training by their content, not by their patient",
            file=sys.stderr,
        )
        return b""
    return key


def _trained(args: argparse.Namespace, config: Config, said: str, *, is_adversarial: bool = True) -> Trained:
    from ipdsf_spark.ct.identity import content_of, made_name
    from ipdsf_spark.ct.reading import read_volume
    from ipdsf_spark.gan.checkpoint import load_model
    from ipdsf_spark.gan.inference import Predictor
    from ipdsf_spark.imaging.degrade import Degradation
    from ipdsf_spark.imaging.evaluate import central, evaluate
    from ipdsf_spark.imaging.generate import Generation
    from ipdsf_spark.imaging.report import Trained
    from ipdsf_spark.imaging.seen import seen_in_training

    where = model_path(config, said)
    model = load_model(where)
    generation = Generation.of(Predictor(model, args.device or None))
    facts = model.facts
    if not is_adversarial and facts.get("adversary", True):
        raise InputError(f"{said} was trained with an adversary: `ipdsf ct train --no-adversary` makes one without")
    degradation = Degradation.of_model(model, sigma=args.sigma)
    num_workers = int(facts.get("num_workers", 1)) if facts.get("horovod") else 0
    cases, slices = [], []
    judged: dict[str, str] = {}  # which volume was the first with its content
    key = _pseudonym_key(config, facts)
    for number, path in enumerate(args.paths):
        with fetched(path) as local:
            read = read_volume(local, study="volume", pseudonym_key=key, **reading_choices(args))
        content = content_of(read.hu)
        if content in judged:
            raise InputError(f"{path} holds the same voxels as {judged[content]}: name each volume once")
        judged[content] = path
        name = args.names[number] if args.names else made_name(content)
        volume = dataclasses.replace(read, study=name)
        for problem in volume.problems:
            print(f"remark: {path}: {problem}", file=sys.stderr)
        if not args.names:
            print(f"{path} is called {name}", file=sys.stderr)
        reason = seen_in_training(facts, volume)
        if reason and not args.trained_on_too:
            raise InputError(f"{path} is no test of {said}: {reason}; --trained-on-too takes it all the same")
        _, rows, columns = volume.grid.shape
        total = generation.plan((len(central(volume.hu, args.slices)), rows, columns)).num_cubes
        with progress_bar(total=total, desc=volume.study, unit=" cubes") as bar:
            case, middle = evaluate(
                generation,
                volume,
                degradation,
                model=where.name,
                num_workers=num_workers,
                num_slices=args.slices,
                on_cubes=counting(bar),
            )
        cases.append(case)
        slices.append(middle)
    return Trained(cases, slices, where if where.is_dir() else where.parent, dict(facts))
