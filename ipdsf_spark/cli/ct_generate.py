"""`ipdsf ct generate`: a full-size volume from a trained model."""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.cli.arguments import add_configuration, here
from ipdsf_spark.cli.ct_reading import add_choices, reading_choices
from ipdsf_spark.cli.ct_train import model_folder
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import InputError
from ipdsf_spark.progress import counting, progress_bar
from ipdsf_spark.storage.fetched import fetched
from ipdsf_spark.storage.location import require_name

NIFTI_SUFFIXES: Final = (".nii", ".nii.gz")
EXAMPLES: Final = """examples:
  ipdsf ct generate noisy/ --model chest-denoise -o clean.nii.gz
  ipdsf ct generate noisy.nii.gz --model STORAGE/models/chest-denoise -o clean.nii.gz --device cuda
  ipdsf ct generate series/ --model chest-denoise -o clean --format dicom   a derived series, with new identifiers

What comes out says in its header that it was generated, by which model and from which study. HU outside the window the
model was trained in (air to soft tissue) come out as the ends of the window.
"""


def add_verb(verbs: Any) -> None:
    """The verb."""
    help_line = "a full-size volume from cubes of a trained model"
    parser = verbs.add_parser(
        "generate",
        help=help_line,
        description=help_line,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help="the volume the model works on")
    parser.add_argument("--model", required=True, help="name, folder or file of a model")
    parser.add_argument("-o", "--output", required=True, type=here, metavar="PATH", help="NIfTI file, or DICOM folder")
    parser.add_argument("--format", choices=("nifti", "dicom"), default="nifti", help="(default nifti)")
    parser.add_argument("--overwrite", action="store_true", help="replace a NIfTI file, never the source")
    parser.add_argument("--overlap", type=int, metavar="VOXELS", help="of neighbouring cubes (default: as packed)")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="cubes at once (default: 16, on a GPU 128)")
    parser.add_argument("--device", default="", choices=("cpu", "cuda"), help="(default: a GPU where there is one)")
    add_choices(parser)
    parser.add_argument("--as", dest="name", metavar="NAME", help="of the volume (default: made from its content)")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(parser)


def model_path(config: Config, said: str) -> Path:
    """Where a model lies, by path or by name.

    Raises:
        InputError: nowhere.
    """
    if not said.strip():
        raise InputError("the name of the model is empty")
    if Path(said).exists():
        return Path(said)
    if Path(said).name != said:
        raise InputError(f"there is no model at {said}")
    named = model_folder(config, said)
    if not named.exists():
        raise InputError(f"there is no model {said!r}, neither as a path nor at {named}; `ipdsf ct train` makes one")
    return named


def require_target(source: Path, out: Path, *, format_: str, overwrites: bool) -> None:
    """Refuse a target that would replace something, before anything is computed.

    Args:
        source: the volume that is worked on: never replaced, nor is anything written into its folder.
        out: NIfTI file or DICOM folder.
        format_: "nifti" or "dicom".
        overwrites: whether a NIfTI file that is there may be replaced.

    Raises:
        InputError: it must not be written.
    """
    if format_ == "nifti" and not out.name.lower().endswith(NIFTI_SUFFIXES):
        raise InputError(f"{out}: a NIfTI file ends in .nii or .nii.gz; a DICOM series is asked for by --format dicom")
    target, measured = out.resolve(), source.resolve()
    if os.path.lexists(out) and source.exists() and out.exists() and out.samefile(source):
        raise InputError(f"{out} is the volume itself: a source is never replaced")
    if source.is_dir() and measured in target.parents:
        raise InputError(f"{out} lies in the folder of the source, which is never written to")
    if os.path.lexists(out):
        if format_ == "dicom":
            raise InputError(f"{out} exists: a DICOM series goes into a new folder")
        if not overwrites:
            raise InputError(f"{out} exists: name another file, or say --overwrite")
        if not out.is_file():
            raise InputError(f"{out} is no file and is not replaced")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out.absolute().parent} is no folder; it must be there before something is written into it")


def run(args: argparse.Namespace) -> int:
    """Generate a volume."""
    from ipdsf_spark.ct.dicom_writing import write_dicom
    from ipdsf_spark.ct.identity import content_of, made_name
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.reading import read_volume
    from ipdsf_spark.ct.writing import write_nifti
    from ipdsf_spark.gan.checkpoint import load_model
    from ipdsf_spark.gan.inference import Predictor
    from ipdsf_spark.imaging.generate import Generation

    config = load(*args.config, overrides=args.set)
    where = model_path(config, args.model)
    if args.batch < 0:
        raise InputError(f"--batch must be 0 or more, got {args.batch}")
    choices = reading_choices(args)
    if args.name:
        require_name(args.name, of="volume")
    with fetched(args.path) as path:
        require_target(path, args.output, format_=args.format, overwrites=args.overwrite)
        generation = Generation.of(Predictor(load_model(where), args.device or None), overlap=args.overlap)
        volume = read_volume(path, study=args.name or "volume", **choices)
    study = args.name or made_name(content_of(volume.hu))
    remarks = [str(problem) for problem in volume.problems]
    for remark in remarks:
        print(f"remark: {remark}", file=sys.stderr)
    task = str(generation.predictor.facts.get("task", "generate"))
    provenance = Provenance(
        made_by=task,
        made_at=datetime.now(UTC),
        model=where.name,
        enhancement=generation.enhancement.sha256,
        source=study,
    )
    plan = generation.plan(volume.grid.shape)
    started = time.monotonic()
    with progress_bar(total=plan.num_cubes, desc="generating", unit=" cubes") as bar:
        slabs = generation.volume(volume.hu, batch=args.batch, on_cubes=counting(bar))
        if args.format == "nifti":
            write_nifti(args.output, volume.grid, slabs, provenance, replaces=args.overwrite)
        else:
            write_dicom(args.output, volume.grid, slabs, provenance, source=volume.source)
    facts = {
        "out": str(args.output),
        "study": study,
        "task": task,
        "remarks": remarks,
        "shape": list(volume.grid.shape),
        "cubes": plan.num_cubes,
        "seconds": round(time.monotonic() - started, 1),
        "device": str(generation.predictor.device),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    shape = " × ".join(map(str, volume.grid.shape))
    print(
        json.dumps(facts)
        if args.json
        else f"{shape} voxels from {plan.num_cubes} cubes in {facts['seconds']:g} s on {facts['device']}, "
        f"{facts['peak_memory_gb']:g} GB at most: {args.output}"
    )
    return 0
