"""`ipdsf ct generate`: a full-size volume from a trained model."""

from __future__ import annotations

import argparse
import json
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from ipdsf_spark.cli.ct_pack import add_configuration, counting
from ipdsf_spark.cli.ct_train import model_folder
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import InputError

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
    parser.add_argument("-o", "--out", required=True, type=Path, metavar="PATH", help="NIfTI file, or DICOM folder")
    parser.add_argument("--format", choices=("nifti", "dicom"), default="nifti", help="(default nifti)")
    parser.add_argument("--overlap", type=int, metavar="VOXELS", help="of neighbouring cubes (default: as packed)")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="cubes at once (default 16)")
    parser.add_argument("--device", default="", choices=("", "cpu", "cuda"), help="(default: a GPU where there is one)")
    parser.add_argument("--series", type=int, metavar="N", help="DICOM series number to take where there are several")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(parser)


def model_path(config: Config, said: str) -> Path:
    """Where a model lies, by path or by name.

    Raises:
        InputError: nowhere.
    """
    if Path(said).exists():
        return Path(said)
    named = model_folder(config, said)
    if not named.exists():
        raise InputError(f"there is no model {said!r}, neither as a path nor at {named}; `ipdsf ct train` makes one")
    return named


def run(args: argparse.Namespace) -> int:
    """Generate a volume."""
    from ipdsf_spark.ct.dicom_writing import write_dicom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.reading import read_volume
    from ipdsf_spark.ct.writing import write_nifti
    from ipdsf_spark.gan.checkpoint import load_model
    from ipdsf_spark.gan.inference import Predictor
    from ipdsf_spark.imaging.generate import Generation

    config = load(*args.config, overrides=args.set)
    where = model_path(config, args.model)
    if args.batch < 1:
        raise InputError(f"--batch must be 1 or more, got {args.batch}")
    if args.out.exists() and args.format == "dicom":
        raise InputError(f"{args.out} exists: a DICOM series goes into a new folder")
    generation = Generation.of(Predictor(load_model(where), args.device or None), overlap=args.overlap)
    volume = read_volume(args.path, series=args.series)
    task = str(generation.predictor.facts.get("task", "generate"))
    provenance = Provenance(
        made_by=task,
        made_at=datetime.now(UTC),
        model=where.name,
        enhancement=generation.enhancement.sha256,
        source=volume.study,
    )
    plan = generation.plan(volume.grid.shape)
    started = time.monotonic()
    with tqdm(total=plan.num_cubes, desc="generating", unit=" cubes") as bar:
        slabs = generation.volume(volume.hu, batch=args.batch, on_cubes=counting(bar))
        if args.format == "nifti":
            write_nifti(args.out, volume.grid, slabs, provenance)
        else:
            write_dicom(args.out, volume.grid, slabs, provenance, source=volume.source)
    facts = {
        "out": str(args.out),
        "task": task,
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
        f"{facts['peak_memory_gb']:g} GB at most: {args.out}"
    )
    return 0
