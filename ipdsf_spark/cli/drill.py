"""`ipdsf drill`: faults really done to a network on this machine, and a table of what they cost."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ipdsf_spark.drill.outcome import Outcome

EPILOG: Final = """examples:
  ipdsf drill --list                                    the faults, by name
  ipdsf drill --short                                   a few of them, small: two minutes
  ipdsf drill --only driver-killed broker-killed        these
  ipdsf drill --record drills.json --output docs        all, with the record and docs/drills.md written

Each fault has brokers, a job and senders of its own, below the folder for temporary files; nothing that runs already is
touched. A record that is there keeps the rows of drills that are not done now. Exit code 1 if something was lost,
repeated, or did not end.
"""
PAGE: Final = "drills.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--list", action="store_true", help="say which drills there are, then end")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these drills (default: all)")
    parser.add_argument("--short", action="store_true", help="small loads, short faults, and of all drills only a few")
    parser.add_argument("-o", "--output", metavar="FOLDER", help=f"write {PAGE} there")
    parser.add_argument("--record", metavar="FILE", help="JSON record; rows of drills that are not done now stay")
    parser.add_argument("--logs", metavar="FOLDER", help="keep the output of every process there")
    parser.add_argument("--json", action="store_true", help="one JSON object per drill on standard output")


def run(args: argparse.Namespace) -> int:
    """Do the drills."""
    from ipdsf_spark.drill import DRILLS, drills, outcome, table
    from ipdsf_spark.drill import run as do

    if args.list:
        width = max(len(drill.name) for drill in DRILLS)
        for drill in DRILLS:
            print(f"{drill.name:<{width}}  {drill.fault}: {drill.how}")
        return 0
    chosen = drills.named(args.only)
    if args.short and not args.only:
        chosen = [drill for drill in chosen if drill.is_short]
    record = Path(args.record).expanduser() if args.record else None
    held = outcome.read_record(record) if record else []
    for folder in (*([record.parent] if record else []), *(Path(each).expanduser() for each in [args.output] if each)):
        folder.mkdir(parents=True, exist_ok=True)  # minutes before there is something to write
    order = [drill.name for drill in DRILLS]
    done: list[Outcome] = []

    def end(one: Outcome) -> None:
        done.append(one)
        _say(args, one)
        rows = outcome.merged(held, done, order)  # after each, so that what is done is kept whatever comes
        if record:
            outcome.write_record(record, rows)
        if args.output:
            folder = Path(args.output).expanduser()
            folder.mkdir(parents=True, exist_ok=True)
            name = record.name if record else "(none)"
            (folder / PAGE).write_text(table.markdown(rows, record=name, drills=order), encoding="utf-8")

    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell has started this with signals ignored
        signal.signal(number, signal.default_int_handler)
    do(
        chosen,
        is_short=args.short,
        keep=Path(args.logs).expanduser() if args.logs else None,
        on_begin=lambda drill: print(f"{drill.name}: {drill.fault} ...", file=sys.stderr, flush=True),
        on_end=end,
    )
    return 0 if all(each.is_held for each in done) else 1


def _say(args: argparse.Namespace, one: Outcome) -> None:
    if args.json:
        print(json.dumps(one.as_json(), ensure_ascii=False), flush=True)
        return
    if one.found is None:
        print(f"  did not end: {one.failure}", flush=True)
        return
    account = one.found.account
    print(
        f"  {account.sent} {one.unit} sent, {account.lost} lost, {account.repeated} repeated, "
        f"{account.quarantined} in quarantine; {one.seconds:.0f} s {one.failure}".rstrip(),
        flush=True,
    )
