"""`ipdsf edges`: edges of the time–height image of files, by the kernels of the stream but without Spark."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.cli.arguments import add_configuration, add_top, check_top, picture_at, seed
from ipdsf_spark.cli.inputs import add_clock_arguments, bytes_of, clock_of, present
from ipdsf_spark.cli.sited_files import by_site, for_each_site, no_profile, profiles_of, report_rejected
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.averages.build import averages_of_all
from ipdsf_spark.lidar.edges.detector import EdgeDetector
from ipdsf_spark.lidar.edges.learned import LearnedDetector
from ipdsf_spark.lidar.edges.lines import EdgeLine, lines_of, newest_rows
from ipdsf_spark.lidar.edges.records import record_of, to_csv
from ipdsf_spark.lidar.edges.settings import LEARNED, EdgeSettings
from ipdsf_spark.lidar.edges.tracker import EdgeRow, EdgeTracker
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.products.quality import names
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site

EXAMPLES: Final = """examples:
  ipdsf edges day/*.nc --plot edges.png             a summary, and the edges on the curtain
  ipdsf edges day/*.nc --site oslo --csv            one line per edge and interval
  ipdsf edges network/ --sites network/sites.toml --csv
                                                    folders called like sites of the table, each on its own
  ipdsf edges day/*.nc --json                       one JSON object per interval: the records of the stream
  ipdsf edges train -o edges.npz                    learn a small network from simulated days (needs torch)
  ipdsf edges day/*.nc --model edges.npz --plot edges.png
                                                    the network's edges instead of the classical ones

An edge is a fall or rise of backscatter with height that goes on through time: tops and bases of layers. Heights are
metres above the instrument, times UTC and the middle of the interval.
"""
TRAIN: Final = "train"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EXAMPLES
    parser.add_argument("paths", nargs="+", metavar="FILE", help="file, folder or glob pattern; or: train")
    place = parser.add_argument_group("the instrument")
    place.add_argument("--site", metavar="ID", help="site of the table; not given: the folder a file lies in names it")
    place.add_argument("--sites", metavar="FILE", help="table of sites (default: the configuration's)")
    place.add_argument("--calibration", type=float, metavar="FACTOR", help="from the file's unit to m-1 sr-1")
    place.add_argument("--min-height", type=float, metavar="M", help="lowest trustworthy height above the instrument")
    place.add_argument("--max-height", type=float, metavar="M", help="highest height searched (default: 4000)")
    add_clock_arguments(place)
    output = parser.add_argument_group("output")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object per interval and line on stdout")
    form.add_argument("--csv", action="store_true", help="CSV on stdout, a line per edge and interval")
    output.add_argument("--plot", metavar="PNG", help="draw the edges on the curtain of backscatter")
    add_top(output, "the picture")
    learned = parser.add_argument_group("the network")
    learned.add_argument("--model", metavar="FILE", help="a network of `ipdsf edges train` instead of Canny's path")
    learned.add_argument("-o", "--output", metavar="FILE", help="train: where the network is written")
    learned.add_argument("--days", type=int, default=3, metavar="N", help="train: days per kind (default: 3)")
    learned.add_argument("--steps", type=int, default=900, metavar="N", help="train: updates at most (default: 900)")
    learned.add_argument(
        "--seconds", type=float, default=420.0, metavar="S", help="train: processor seconds at most (default: 420)"
    )
    learned.add_argument("--seed", type=seed, default=0, metavar="N", help="train: of days, crops and first weights")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Find, print and draw the edges, or train a network."""
    if args.paths == [TRAIN] and not Path(TRAIN).exists():
        from ipdsf_spark.cli.edges_train import train_network  # torch is loaded for this alone

        return train_network(args)
    if args.output:
        raise ConfigError("-o belongs to: ipdsf edges train -o FILE; pictures are written by --plot FILE")
    check_top(args)
    picture = picture_at(args.plot) if args.plot else None
    if args.max_height is not None and not 300.0 <= args.max_height <= 20_000.0:
        raise ConfigError(f"--max-height is from 300 to 20000 m, not {args.max_height}")
    settings, detector = _detector(args)
    groups = by_site(args, args.paths)
    if len(groups) > 1 and picture:
        raise ConfigError(f"--plot is of one site, the files belong to {', '.join(site.id for site, _ in groups)}")
    first = groups[0][0]

    def handle(site: Site, paths: list[str]) -> None:
        _one_site(site, paths, args, settings, detector, picture, is_first=site is first)

    return for_each_site(groups, handle, _say)


def _one_site(
    site: Site,
    paths: Sequence[str],
    args: argparse.Namespace,
    settings: EdgeSettings,
    detector: EdgeDetector | None,
    picture: Path | None,
    *,
    is_first: bool,
) -> None:
    reader = FileReader(clock=clock_of(args, site), now=present())
    kept: list[Profiles] = []
    averages = averages_of_all(_watched(reader, paths, site, kept if picture else None), settings.averaging_s)
    report_rejected(reader, site.id, _say)
    if not averages:
        raise no_profile(reader, paths)
    tracker = EdgeTracker(site, settings, detector)
    rows = newest_rows([*tracker.step(averages), *tracker.flush()])
    lines = lines_of(rows, settings.averaging_s)
    if picture:
        _draw(kept, lines, site, picture, top_m=args.top)
    if args.json:
        for row in rows:
            print(json.dumps(record_of(site.id, row, settings.averaging_s)))
    elif args.csv:
        print(to_csv(site.id, rows, settings.averaging_s, header=is_first), end="")
    else:
        print(summary_of(site, next(iter(reader.files_by_instrument)), rows, lines, settings))
        if picture:
            print(f"  wrote        {picture}")
    sys.stdout.flush()


def _detector(args: argparse.Namespace) -> tuple[EdgeSettings, EdgeDetector | None]:
    if not args.model:
        return EdgeSettings(), None
    from ipdsf_spark.deep_edges import model_file  # torch is loaded for this alone

    network, about = model_file.from_bytes(bytes_of(args.model), name=args.model)
    return LEARNED, LearnedDetector(model_file.probability_of(network), int(about["reach"]), LEARNED)


def _watched(reader: FileReader, paths: Sequence[str], site: Site, kept: list[Profiles] | None) -> Iterator[Profiles]:
    for block in profiles_of(reader, paths, site.id):
        if kept is not None:
            kept.append(block)
        yield block


def _draw(kept: Sequence[Profiles], lines: Sequence[EdgeLine], site: Site, path: Path, *, top_m: float | None) -> None:
    from ipdsf_spark import plots  # a second of imports that other outputs do not need

    figure = plots.curtain(kept, site=site.id, place=site, edges=lines, calibration=site.calibration, top_m=top_m)
    plots.save(figure, path)


def summary_of(
    site: Site, instrument: str, rows: Sequence[EdgeRow], lines: Sequence[EdgeLine], settings: EdgeSettings
) -> str:
    """A paragraph for a person."""
    falls = [line for line in lines if line.sign < 0]
    hours = [len(line.time) * settings.averaging_s / 3600.0 for line in lines]
    counts: dict[str, int] = {}
    for row in rows:
        for name in names(row.quality):
            counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    text = [
        site.id,
        f"  instrument   {instrument}, {len(rows)} intervals",
        f"  edges        {len(falls)} of a decrease with height, {len(lines) - len(falls)} of an increase",
        f"  intervals    {sum(bool(row.edges) for row in rows)} with an edge",
        f"  quality      {told or 'no flag set'}",
    ]
    if hours:
        at = int(np.argmax(hours))
        longest = lines[at]
        span = f"{longest.height_m.min():.0f} to {longest.height_m.max():.0f} m"
        text.insert(4, f"  longest      {hours[at]:.1f} h from {longest.time[0].astype('datetime64[s]')}Z, {span}")
    return "\n".join(text)


def _say(message: str) -> None:
    print(f"ipdsf edges: {message}", file=sys.stderr)
