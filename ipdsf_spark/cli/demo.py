"""`ipdsf demo`: the whole flow on this machine, ending in a page of pictures."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, seed
from ipdsf_spark.config import load
from ipdsf_spark.errors import InputError

if TYPE_CHECKING:
    from ipdsf_spark.demo.imaging import ImagingReport
    from ipdsf_spark.demo.page import Report

EPILOG = """examples:
  ipdsf demo                                eight simulated sites and four phantoms, about five minutes
  ipdsf demo --sites 24 --speed 2           more sites, twice as fast
  ipdsf demo --data recorded/               your own files, one folder per site
  ipdsf demo --only imaging --ct volumes/   your own CT, in the folders train and test or side by side
"""
START = "2026-06-20", "12:00"
HOURS = 36.0  # with a whole day behind it, a site is known to the forecast
# Ten minutes a file and half a minute a profile: as many files as of a day by five minutes.
SAMPLING = ("--minutes", "10", "--cadence", "30")
FILES_PER_SECOND = 40.0
PHANTOM_CUBES = 640
CT_CUBES = 4_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--data", metavar="DIR", help="recorded files, one folder per site (default: simulated ones)")
    parser.add_argument("--sites", type=int, default=8, help="simulated sites (default 8)")
    parser.add_argument("--hours", type=float, default=HOURS, help=f"simulated hours (default {HOURS:g})")
    parser.add_argument("--speed", type=float, default=1.0, help=f"1 = {FILES_PER_SECOND:.0f} files per second")
    parser.add_argument("--seed", type=seed, default=1, help="of the simulation (default 1)")
    parser.add_argument("--ct", metavar="DIR", help="CT volumes for the imaging flow (default: phantoms)")
    parser.add_argument("--only", choices=("streaming", "imaging"), help="one of the two flows (default: both)")
    parser.add_argument(
        "--cubes", type=int, help=f"each training sees (default {PHANTOM_CUBES} of phantoms, {CT_CUBES} of --ct)"
    )
    parser.add_argument(
        "-o", "--output", default="out/demo", metavar="DIR", help="where the page goes (default out/demo)"
    )
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="the numbers of the page as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Both flows, and the page."""
    from ipdsf_spark.demo.imaging import volumes_of

    if args.ct:
        volumes_of(Path(args.ct).expanduser())  # what is missing there is said before the work begins
    if args.only == "imaging":
        return _imaging_alone(args)
    return _both(args, has_imaging=args.only != "streaming")


def _both(args: argparse.Namespace, *, has_imaging: bool) -> int:
    from ipdsf_spark.cli.main import main
    from ipdsf_spark.demo import network
    from ipdsf_spark.demo.page import write_page
    from ipdsf_spark.demo.run import Demonstration, report_of, stream

    out = Path(args.output)
    overrides = list(args.set)
    if args.data:
        data = Path(args.data).expanduser()
        if not data.is_dir():
            raise InputError(f"no folder {data}: --data (DATA=) names recorded files, one folder per site")
    else:
        data = out / "network"
        shutil.rmtree(data, ignore_errors=True)
        if main(_simulate(args, data)):
            return 1
        network.add_broken_files(data, rng=np.random.default_rng(args.seed))
    if (data / "sites.toml").is_file():
        overrides.append(f'sites.file="{(data / "sites.toml").absolute()}"')
    demonstration = Demonstration(
        data=data,
        out=out,
        rate=FILES_PER_SECOND * args.speed,
        num_sites=None,
        title="A ceilometer network, tracked in stream",
        is_simulated=not args.data,
    )
    streamed = stream(demonstration, load(*args.config, overrides=overrides))

    def drawn() -> Report:
        report = report_of(demonstration, streamed, commands=_commands(args, data), is_quiet=has_imaging)
        write_page(report, out)  # stays if the imaging flow fails
        return report

    with ThreadPoolExecutor(1) as beside:  # a training leaves a core for the pictures
        drawing = beside.submit(drawn)
        imaging = _imaging(args) if has_imaging else None
        report = dataclasses.replace(drawing.result(), imaging=imaging)
    page = write_page(report, out)
    if args.json:
        numbers = {"page": str(page), "balance": vars(report.balance), "rmse_final_m": report.rmse_final_m}
        print(json.dumps(numbers | {"latency": vars(report.latency) if report.latency else None}))
    print(f"open {page}", file=sys.stderr)
    return 0 if report.balance.is_complete else 1


def _imaging_alone(args: argparse.Namespace) -> int:
    from ipdsf_spark.demo.page import write_imaging_page

    page = write_imaging_page(_imaging(args), Path(args.output))
    if args.json:
        print(json.dumps({"page": str(page)}))
    print(f"open {page}", file=sys.stderr)
    return 0


def _imaging(args: argparse.Namespace) -> ImagingReport:
    from ipdsf_spark.demo.imaging import ImagingDemonstration
    from ipdsf_spark.demo.imaging import run as demonstrate

    ct = Path(args.ct).expanduser() if args.ct else None
    samples = args.cubes or (CT_CUBES if ct else PHANTOM_CUBES)
    return demonstrate(ImagingDemonstration(ct, Path(args.output) / "ct", samples))


def _simulate(args: argparse.Namespace, data: Path) -> list[str]:
    """The command that makes the network."""
    day, clock = START
    size = ["--sites", str(args.sites), "--hours", f"{args.hours:g}"]
    return ["simulate", "-o", str(data), *size, "--date", day, "--start", clock, *SAMPLING, "--seed", str(args.seed)]


def _commands(args: argparse.Namespace, data: Path) -> list[str]:
    from ipdsf_spark.demo.run import OPERATORS

    return [
        *([] if args.data else [shlex.join(["ipdsf", *_simulate(args, data)])]),
        "ipdsf broker start",
        f"ipdsf stream --set 'stream.operators={json.dumps(OPERATORS)}'   # in a second terminal",
        "ipdsf network                      # in a third",
        f"ipdsf edge --replay {data} --rate {FILES_PER_SECOND * args.speed:.0f}",
        "ipdsf network --map network.svg",
        "ipdsf quarantine list",
    ]
