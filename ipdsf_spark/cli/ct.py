"""`ipdsf ct`: CT volumes in, generated CT volumes out; the other verbs stand in `ct_pack`, `ct_train` and so on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli import ct_evaluate, ct_generate, ct_pack, ct_synthesize, ct_train
from ipdsf_spark.cli.arguments import add_verb, examples_for
from ipdsf_spark.cli.ct_reading import add_reading_arguments, named, reading_choices, remarks_of
from ipdsf_spark.errors import InputError
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.storage.fetched import fetched

if TYPE_CHECKING:
    from ipdsf_spark.ct.pictures import PictureScale
    from ipdsf_spark.ct.volume import Volume

EXAMPLES: Final = """examples:
  ipdsf ct info series/                                       what is in a folder of DICOM slices
  ipdsf ct info patient.nii.gz scan.nrrd --json               machine-readable, one line per path
  ipdsf ct info study/ --series 3                             one of several series in a folder, by number or UID
  ipdsf ct info series/ --accept tilt,missing_slices          as it is read when these are accepted
  ipdsf ct info png/ --spacing 2.5 0.7 0.7 --grey -1000 400   pictures, with what they cannot say
  ipdsf ct pack --name chest --train a.nii.gz b/ --test c/    volumes to Petastorm cubes, by Spark
  ipdsf ct train --name chest --task denoise --workers 2      a 3-D conditional GAN, by Horovod on Spark
  ipdsf ct export --name chest -o cubes                       cubes for a machine with numpy and torch alone
  ipdsf ct generate scan/ --model chest-denoise -o clean.nii.gz
  ipdsf ct evaluate c/ --model chest-denoise -o report        PSNR and SSIM beside the baselines, on one page
  ipdsf ct train-synthesis --name chest --minutes 20          what makes chests that belong to nobody
  ipdsf ct synthesize --model chest-nobody --number 2 -o volumes   volumes that belong to nobody

`ipdsf ct info` ends with 0 when every path holds a volume (its problems are part of the answer), 1 when one does not.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every `ipdsf ct` verb."""
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="ct_verb", metavar="VERB", required=True)
    _add_info(verbs)
    ct_pack.add_verbs(verbs)
    ct_train.add_verb(verbs)
    ct_generate.add_verb(verbs)
    ct_evaluate.add_verb(verbs)
    ct_synthesize.add_verbs(verbs)


def _add_info(verbs: Any) -> None:
    info = add_verb(
        verbs,
        "info",
        "shape, spacing, HU range, padding and problems of volumes",
        examples_for(EXAMPLES, "ct", "info"),
    )
    info.add_argument("paths", nargs="+", metavar="PATH", help="DICOM folder or file, NIfTI, NRRD, MetaImage, pictures")
    info.add_argument("--json", action="store_true", help="one JSON object per path on standard output")
    add_reading_arguments(info)
    info.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="for pictures: mm between pictures, rows, columns",
    )
    info.add_argument(
        "--grey",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="for pictures: HU of the darkest and brightest value",
    )


def run(args: argparse.Namespace) -> int:
    """Run one `ipdsf ct` verb."""
    runs: dict[str, Callable[[argparse.Namespace], int]] = {
        "info": _info,
        "pack": ct_pack.run_pack,
        "export": ct_pack.run_export,
        "train": ct_train.run,
        "generate": ct_generate.run,
        "evaluate": ct_evaluate.run,
        "train-synthesis": ct_synthesize.run_train,
        "synthesize": ct_synthesize.run,
    }
    return runs[args.ct_verb](args)


def _info(args: argparse.Namespace) -> int:
    from ipdsf_spark.ct.reading import read_volume, survey

    scale = _picture_scale(args.spacing, args.grey)
    choices = reading_choices(args)
    num_without = 0
    for path, name in named(args, args.paths):
        with progress_bar(desc=Path(path).name, unit=" slices", leave=False, delay=0.5) as bar:

            def progress(done: int, of: int, bar: Any = bar) -> None:
                bar.total = of
                bar.update(done - bar.n)

            try:
                with fetched(str(path)) as here:
                    if choices["accept"]:
                        volume = read_volume(here, study=name, pictures=scale, progress=progress, **choices)
                    else:
                        volume = survey(here, study=name, series=args.series, pictures=scale, progress=progress)
            except (InputError, OSError) as error:  # the others are told all the same
                num_without += 1
                volume, text = None, error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if volume is None:
            print(f"ipdsf ct: {text if str(path) in text else f'{path}: {text}'}", file=sys.stderr)
            continue
        facts = volume_facts(path, volume, accepted=choices["accept"])
        print(json.dumps(facts, allow_nan=False) if args.json else _readable(facts))
    return 1 if num_without else 0


def volume_facts(path: str | Path, volume: Volume, *, accepted: Collection[str] = ()) -> dict[str, Any]:
    """What `ipdsf ct info` says about a volume; sizes and spacings in array order (z, y, x), positions in LPS."""
    import numpy as np

    hu, grid = volume.hu, volume.grid
    is_padding = hu == volume.padding_hu if volume.padding_hu is not None else None
    measured = hu[~is_padding] if is_padding is not None and not is_padding.all() else hu
    return {
        "path": str(path),
        "study": volume.study,
        "format": volume.source.kind,
        "files": volume.source.num_files,
        "shape": list(grid.shape),
        "spacing_mm": list(grid.spacing_mm),
        "origin_mm": list(grid.origin_mm),
        "direction": [list(axis) for axis in grid.direction],
        "dtype": str(hu.dtype),
        "hu_range": [float(hu.min()), float(hu.max())],
        "hu_range_measured": [float(measured.min()), float(measured.max())],
        "padding": None
        if is_padding is None
        else {"hu": volume.padding_hu, "share": round(float(np.count_nonzero(is_padding)) / hu.size, 6)},
        "is_usable": not any(p.is_serious and p.kind not in accepted for p in volume.problems),
        "problems": remarks_of(volume),
    }


def _readable(facts: dict[str, Any]) -> str:
    z, y, x = facts["shape"]
    spacing = " × ".join(f"{s:g}" for s in facts["spacing_mm"])
    low, high = facts["hu_range"]
    lines = [
        f"{facts['path']}: {facts['format']}, {facts['files']} file(s)",
        f"  slices × rows × columns  {z} × {y} × {x}",
        f"  spacing                  {spacing} mm",
        f"  first voxel (LPS)        {', '.join(f'{v:g}' for v in facts['origin_mm'])} mm",
        f"  HU                       {low:g} … {high:g}",
    ]
    if facts["padding"]:
        low, high = facts["hu_range_measured"]
        padding = facts["padding"]
        lines.append(f"  padding                  {padding['hu']:g} ({padding['share']:.1%} of the voxels)")
        lines.append(f"  HU without padding       {low:g} … {high:g}")
    for problem in facts["problems"]:
        mark = "PROBLEM" if problem["is_serious"] else "note"
        lines.append(f"  {mark} {problem['kind']}: {problem['text']}")
        lines += [f"    {name}" for name in problem["files"][:20]]
        if len(problem["files"]) > 20:
            lines.append(f"    and {len(problem['files']) - 20} more")
    lines.append("  " + ("usable" if facts["is_usable"] else "not usable as it is"))
    return "\n".join(lines)


def _picture_scale(spacing_mm: list[float] | None, grey_hu: list[float] | None) -> PictureScale | None:
    from ipdsf_spark.ct.pictures import PictureScale

    if spacing_mm is None and grey_hu is None:
        return None
    if spacing_mm is None or grey_hu is None:
        raise InputError("pictures need both --spacing Z Y X and --grey BLACK WHITE")
    (z, y, x), (black, white) = spacing_mm, grey_hu
    return PictureScale((z, y, x), black, white)
