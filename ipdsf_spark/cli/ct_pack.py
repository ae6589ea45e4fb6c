"""`ipdsf ct pack` and `ipdsf ct export`: volumes to Petastorm cubes, and cubes to plain files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration, add_verb, here
from ipdsf_spark.cli.ct_reading import add_choices, reading_choices
from ipdsf_spark.cli.spark_job import run_job
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.progress import counting, progress_bar

if TYPE_CHECKING:
    from ipdsf_spark.packing.manifest import Study

PACK_EXAMPLES: Final = """examples:
  ipdsf ct pack --name chest --train a.nii.gz b.nrrd series/ --test other/
  ipdsf ct pack --name chest studies/*                        the patient decides the split, one in five is for testing
  ipdsf ct pack --name chest new/ --json                      adds what is new, leaves the rest as it is
  ipdsf ct pack --name big studies/* --set ct.cube_size=64 --set ct.overlap=16
  ipdsf ct pack --name chest studies/* --set storage.root=/mnt/array

Volumes are packed in parallel, one Spark task each. The data set changes only when all are packed.
"""
EXPORT_EXAMPLES: Final = """examples:
  ipdsf ct export --name chest -o cubes                       for a machine with numpy and torch alone
  ipdsf ct export --name chest --split test -o held-out --json
"""


def add_verbs(verbs: Any) -> None:
    """Both verbs."""
    pack = add_verb(verbs, "pack", "CT volumes to one Petastorm data set of cubes, by Spark", PACK_EXAMPLES)
    add_pack_arguments(pack)
    export = add_verb(verbs, "export", "the cubes of a data set as plain files", EXPORT_EXAMPLES)
    export.add_argument("--name", required=True, help="of the data set")
    export.add_argument("--split", default="train", choices=("train", "test"), help="(default train)")
    export.add_argument("-o", "--output", required=True, type=here, metavar="FOLDER", help="new folder for the cubes")
    export.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(export)


def add_pack_arguments(pack: argparse.ArgumentParser) -> None:
    """Arguments of `ipdsf ct pack` and of its Spark job."""
    pack.add_argument("paths", nargs="*", metavar="PATH", help="volumes whose patients decide the split")
    pack.add_argument("--name", required=True, help="of the data set")
    pack.add_argument("--train", nargs="+", default=[], metavar="PATH", help="volumes to train on")
    pack.add_argument("--test", nargs="+", default=[], metavar="PATH", help="volumes never to train on")
    pack.add_argument("--test-share", type=float, default=0.2, metavar="SHARE", help="of the patients (default 0.2)")
    pack.add_argument(
        "--as", dest="names", nargs="+", action="extend", default=[], metavar="NAME",
        help="names of the volumes, in the order train, test, others (default: made from their content)",
    )  # fmt: skip
    add_choices(pack)
    pack.add_argument(
        "--rebuild-manifest", action="store_true", help="make a lost or damaged manifest again from the files beside it"
    )
    pack.add_argument("--skip-bad", action="store_true", help="leave unreadable volumes out instead of refusing all")
    pack.add_argument("--master", help="Spark master (default: all cores of this machine)")
    pack.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(pack)


def run_pack(args: argparse.Namespace) -> int:
    """Pack volumes."""
    from ipdsf_spark.packing.pack import pack, wanted_volumes
    from ipdsf_spark.packing.reference import place_of
    from ipdsf_spark.packing.session import imaging_session
    from ipdsf_spark.packing.volumes import Reading

    config = load(*args.config, overrides=args.set)
    if not 0 <= args.test_share < 1:
        raise ConfigError(f"--test-share must be 0 or more and below 1, got {args.test_share:g}")
    place_of(config, args.name)  # a wrong name is told before Spark starts
    if args.rebuild_manifest:
        return _rebuild(args, config)
    wanted = wanted_volumes(args.train, args.test, args.paths, args.names)
    if not wanted:
        raise InputError("no volumes: name some, or use --train and --test")
    with (
        imaging_session("ipdsf-pack", master=args.master) as spark,
        progress_bar(total=len(wanted), desc="packing", unit=" volumes") as bar,
    ):

        def progress(done: int, of: int) -> None:
            bar.total = of
            bar.update(done - bar.n)

        report = pack(
            spark,
            config,
            args.name,
            wanted,
            test_share=args.test_share,
            skips_bad=args.skip_bad,
            reading=Reading(**reading_choices(args)),
            on_progress=progress,
        )
    for label, lines in (("left out", report.left_out), ("skipped", report.skipped), ("remark", report.remarks)):
        for line in lines:
            print(f"{label}: {line}", file=sys.stderr)
    facts = {
        "dataset": args.name,
        "volumes": len(report.manifest.studies),
        "added": list(report.added.values()),
        "names": report.added,
        "left_out": list(report.left_out),
        "skipped": list(report.skipped),
        "remarks": list(report.remarks),
        "cubes": report.manifest.num_cubes,
        "cubes_added": report.num_cubes,
        "row_groups": report.num_row_groups,
        "cubes_per_row_group": round(report.manifest.num_cubes / max(1, report.num_row_groups), 1),
        "megabytes": round(sum(s.bytes for s in report.manifest.studies.values()) / 2**20, 2),
        "bytes_per_cube": round(report.bytes / report.num_cubes) if report.num_cubes else None,
        "cubes_per_s": round(report.num_cubes / report.seconds, 1),
        "seconds": round(report.seconds, 1),
        "train": [s.name for s in report.manifest.studies.values() if s.split == "train"],
        "test": [s.name for s in report.manifest.studies.values() if s.split == "test"],
    }
    print(json.dumps(facts) if args.json else _readable(facts, report.manifest.studies.values()))
    return 0


def _rebuild(args: argparse.Namespace, config: Config) -> int:
    from ipdsf_spark.packing.publishing import complete_interrupted
    from ipdsf_spark.packing.rebuilding import rebuild
    from ipdsf_spark.packing.reference import place_of
    from ipdsf_spark.storage.lock import locked
    from ipdsf_spark.storage.reach import files_of

    root = place_of(config, args.name)
    files = files_of(root)
    if not files.exists(root):
        raise InputError(f"there is no data set {args.name!r} at {root}")
    with locked(root, "rebuilding the manifest", files):
        complete_interrupted(files, root)
        manifest, left_out = rebuild(files, root, args.name)
    for reason in left_out:
        print(f"left out: {reason}", file=sys.stderr)
    facts = {"dataset": args.name, "volumes": len(manifest.studies), "cubes": manifest.num_cubes}
    said = (
        f"{args.name} holds {manifest.num_cubes} cubes of {len(manifest.studies)} volume(s); its manifest is made again"
    )
    print(json.dumps({**facts, "left_out": list(left_out)}) if args.json else said)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write cubes as plain files."""
    from ipdsf_spark.packing.local_copy import export
    from ipdsf_spark.packing.reference import reference_of

    config = load(*args.config, overrides=args.set)
    reference = reference_of(config, args.name, split=args.split)
    with progress_bar(total=reference.num_cubes, desc="exporting", unit=" cubes") as bar:
        num_cubes = export(reference, args.output, on_progress=counting(bar))
    told = f"{num_cubes} cubes in {args.output}"
    print(json.dumps({"cubes": num_cubes, "split": args.split, "out": str(args.output)}) if args.json else told)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the Spark job."""
    return run_job(
        "pack_cubes",
        "CT volumes to one Petastorm data set of cubes",
        add_pack_arguments,
        run_pack,
        argv,
        epilog=PACK_EXAMPLES.replace("ipdsf ct pack", "./spark-submit.sh pack_cubes"),
        is_logging=False,
    )


def _readable(facts: dict[str, Any], studies: Iterable[Study]) -> str:
    rows = [("volume", "split", "slices × rows × columns", "cubes", "air left out", "MB")]
    for s in sorted(studies, key=lambda s: (s.split, s.name)):
        shape = " × ".join(map(str, s.shape))
        rows.append((s.name, s.split, shape, str(s.num_cubes), str(s.num_air_left_out), f"{s.bytes / 2**20:.1f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    added = (
        f"{facts['cubes_added']} cubes of {len(facts['added'])} volumes in {facts['seconds']:g} s "
        f"({facts['cubes_per_s']:g} cubes/s, {facts['bytes_per_cube']} bytes each)"
        if facts["cubes_added"]
        else "nothing new"
    )
    holds = (
        f"{facts['dataset']} holds {facts['cubes']} cubes in {facts['row_groups']} row groups of about "
        f"{facts['cubes_per_row_group']:g} cubes, {facts['megabytes']:g} MB"
    )
    return "\n".join([*table, f"{added}; {holds}"])
