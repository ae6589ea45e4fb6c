"""`ipdsf bench`: the experiments of the IPDSF presentation on this machine, its claims beside what was found."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.cli.arguments import add_verb
from ipdsf_spark.errors import ConfigError

EXAMPLES: Final = """examples:
  ipdsf bench latency                         18,000 files at 200 per second, 1, 2 and 4 consumers
  ipdsf bench latency --files 600 --rate 60 --consumers 1 2 --sides consumers --warm-up 3
  ipdsf bench throughput --partitions 50 150 --consumers 1 4 16 64
  ipdsf bench hosts --link-mbit 100 --consumers 1 8 32
  ipdsf bench sites --sites 10 1000 12000
  ipdsf bench training --workers 1 2 --samples 8000
  ipdsf bench all --small -o out/bench        every experiment in a form that takes minutes
  ipdsf bench page -o out/bench               the page of what was measured, drawn again

A result that lies in the folder is shown, not measured again, unless --again is given. The page is index.html.
"""
HELP: Final[dict[str, str]] = {
    "latency": "total time, excess over the time of sending, and percentiles against the number of consumers",
    "throughput": "files per second against consumers for several numbers of partitions, idle consumers included",
    "hosts": "two hosts and a shaped link: one broker, two brokers, and one that dies (Linux, root)",
    "sites": "sites live at a file a minute, and a backlog against plain consumers and default Spark",
    "training": "training without and with Horovod: time to thresholds, quality, efficiency",
}
SMALL: Final[dict[str, dict[str, Any]]] = {
    "latency": {"files": 2_000, "files_per_s": 100.0, "consumers": (1, 2), "warm_up_s": 6.0, "sites": 1_500},
    "throughput": {"partitions": (50, 150), "consumers": (1, 4, 64), "files": 8_000, "analysed": 1_000,
                   "analysts": (1, 2)},
    "hosts": {"partitions": (50,), "consumers": (1, 8), "files": 4_000},
    "sites": {"sites": (10, 1_000, 6_000), "seconds": 20.0, "backlog": 3_000, "default_backlog": 400,
              "limit_s": 150.0, "warm_up": 1_000},
    "training": {"samples": 640, "width": 8, "volumes": 2, "shape": (32, 96, 96), "spacing_mm": (8.0, 3.7, 3.7),
                 "slices": 16, "ema_decay": 0.95, "warm_up_samples": 160, "limit_s": 240.0},
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a verb, and the setting that it is."""

    flag: str
    setting: str
    help: str
    how: Mapping[str, Any]


def _number(flag: str, setting: str, text: str, kind: type = int) -> Option:
    return Option(flag, setting, text, {"type": kind, "metavar": "N"})


def _numbers(flag: str, setting: str, text: str) -> Option:
    return Option(flag, setting, text, {"type": int, "nargs": "+", "metavar": "N"})


OPTIONS: Final[dict[str, tuple[Option, ...]]] = {
    "latency": (
        _number("--files", "files", "files to send"),
        _number("--rate", "files_per_s", "files per second of the whole network", float),
        _numbers("--consumers", "consumers", "numbers of consumers, one run each"),
        Option("--sides", "sides", "who consumes", {"nargs": "+", "choices": ("consumers", "stream")}),
        _number("--sites", "sites", "sites of the network"),
        _number("--partitions", "partitions", "of the files topic"),
        _number("--warm-up", "warm_up_s", "seconds of sending that are not measured", float),
    ),
    "throughput": (
        _numbers("--partitions", "partitions", "numbers of partitions, a topic each"),
        _numbers("--consumers", "consumers", "numbers of consumers that read and count, a run each"),
        Option(
            "--partitionings",
            "partitionings",
            "how files are dealt to partitions",
            {"nargs": "+", "choices": ("round_robin", "by_site")},
        ),
        _number("--files", "files", "files in each topic"),
        _numbers("--analysts", "analysts", "numbers of consumers that run the analytic tasks, a run each"),
        _number("--analysed", "analysed", "files that they analyse"),
    ),
    "hosts": (
        _numbers("--partitions", "partitions", "numbers of partitions, a topic each"),
        _numbers("--consumers", "consumers", "numbers of consumers on each host, a run each"),
        _number("--files", "files", "files in each topic"),
        _number("--link-mbit", "link_mbit", "rate of the link in each direction, Mbit/s", float),
    ),
    "sites": (
        _numbers("--sites", "sites", "numbers of sites, a run each"),
        _number("--seconds", "seconds", "of sending at each number", float),
        _number("--partitions", "partitions", "of the files topic"),
        _number("--backlog", "backlog", "files that are drained"),
        _number("--default-backlog", "default_backlog", "files that default Spark drains"),
        _number("--warm-up", "warm_up", "files before those that are timed"),
        _number("--limit", "limit_s", "seconds after which draining is given up", float),
    ),
    "training": (
        _number("--samples", "samples", "cubes that each training sees"),
        _numbers("--workers", "workers", "numbers of Horovod workers, a training each"),
        _number("--batch", "batch", "cubes in a step of all workers together"),
        _number("--width", "width", "channels of the generator at full size"),
        _number("--volumes", "volumes", "phantoms to train on"),
        _number("--patients", "patients", "phantoms to judge with"),
        _number("--limit", "limit_s", "seconds after which a training is given up", float),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every `ipdsf bench` verb."""
    parser.epilog = EXAMPLES
    verbs = parser.add_subparsers(dest="bench_verb", metavar="VERB", required=True)
    for name, help_line in HELP.items():
        verb = add_verb(verbs, name, help_line, EXAMPLES)
        for option in OPTIONS[name]:
            verb.add_argument(option.flag, dest=option.setting, help=option.help, **option.how)
        _add_common(verb)
    _add_common(add_verb(verbs, "all", "every experiment, one after the other", EXAMPLES))
    page = add_verb(verbs, "page", "draw what was measured again, and the page", EXAMPLES)
    page.add_argument(
        "-o", "--output", default="out/bench", metavar="DIR", help="folder of the results (default out/bench)"
    )
    page.add_argument("--into", type=Path, metavar="FILE", help="write the tables between the marks of a document too")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", action="store_true", help="a form that takes minutes; options still count")
    parser.add_argument("--again", action="store_true", help="measure again what lies in the folder")
    parser.add_argument(
        "-o", "--output", default="out/bench", metavar="DIR", help="folder of results and page (default out/bench)"
    )
    parser.add_argument("--scratch", metavar="DIR", help="for brokers and data sets (default: a temporary folder)")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")
    parser.add_argument("--json", action="store_true", help="the results as JSON, one object per experiment")


def run(args: argparse.Namespace) -> int:
    """Run one `ipdsf bench` verb."""
    from ipdsf_spark.experiments.page import write_into
    from ipdsf_spark.experiments.run import present

    out = Path(args.output).expanduser()
    if args.bench_verb != "page":
        _measure(args, list(HELP) if args.bench_verb == "all" else [args.bench_verb], out)
    print(f"open {present(out)}", file=sys.stderr)
    if args.bench_verb == "page" and args.into:
        write_into(args.into, out)
    return 0


def _measure(args: argparse.Namespace, experiments: list[str], out: Path) -> None:
    from ipdsf_spark.experiments.bench import Bench
    from ipdsf_spark.experiments.run import has_same_settings, perform, present

    chosen = {experiment: _settings(args, experiment) for experiment in experiments}
    out.mkdir(parents=True, exist_ok=True)  # minutes before there is something to write
    with tempfile.TemporaryDirectory(prefix="ipdsf-bench-") as temporary:
        bench = Bench(Path(args.scratch or temporary), is_quiet=args.json, overrides=args.set)
        for experiment, settings in chosen.items():
            words = ["ipdsf", *sys.argv[1:]]
            result, is_new = perform(experiment, settings, bench, out, words=words, again=args.again)
            if is_new:
                bench.say(f"{experiment}: measured in {result.seconds:.0f} s")
            else:
                other = "" if has_same_settings(result, settings) else " with other settings"
                bench.say(f"{experiment}: measured{other} on {result.provenance.date}; --again measures it anew")
            if args.json:
                print(json.dumps(json.loads((out / f"{experiment}.json").read_text(encoding="utf-8"))))
            else:
                _print(result)
            present(out)  # what is there after an interruption is on the page


def _settings(args: argparse.Namespace, experiment: str) -> Any:
    from ipdsf_spark.experiments.run import settings_class

    settings = settings_class(experiment)()
    if args.small:
        settings = dataclasses.replace(settings, **SMALL[experiment])
    told = {option.setting: getattr(args, option.setting, None) for option in OPTIONS[experiment]}
    given = {name: value for name, value in told.items() if value is not None}  # 0 is no way of saying nothing
    for name, value in given.items():
        numbers = value if isinstance(value, list) else [value]
        if any(not isinstance(number, str) and not 0 < number < math.inf for number in numbers):
            raise ConfigError(f"{name} must be above 0, got {value}")
    return dataclasses.replace(
        settings, **{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    )


def _print(result: Any) -> None:
    from ipdsf_spark.experiments.result import readable, shown, verdict

    for table in readable(result):
        print(f"{table.title}\n  {'  '.join(table.columns)}")
        for row in table.rows:
            print("  " + "  ".join(shown(cell) for cell in row))
    for claim in result.claims:
        print(f"{verdict(claim)}: {claim.said}\n  {claim.found}")
    for note in result.notes:
        print(note)
