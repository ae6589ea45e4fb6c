"""`ipdsf checkpoint inspect`: how far the stream has come, and what it remembers of every site."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import InputError
from ipdsf_spark.logs import one_line
from ipdsf_spark.spark.checkpoint import Inspected, inspected

EPILOG: Final = """examples:
  ipdsf checkpoint inspect              batches, offsets, what cannot be changed; read from Spark's logs, without Spark
  ipdsf checkpoint inspect --state      and the state of every site, read through Spark's own state source
  ipdsf checkpoint inspect --json

Exit code 1 if something in it cannot be read. Nothing is changed; the job may run meanwhile.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("action", choices=["inspect"], help="look at the checkpoint of the live query")
    parser.add_argument("--state", action="store_true", help="also every site's state (starts Spark)")
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Look."""
    config = load(*args.config, overrides=args.set)
    seen = inspected(config)
    if seen is None:
        raise InputError(f"no checkpoint in {config.stream.directory}: no job has run there (stream.directory)")
    if not args.json:
        print("\n".join(_lines(seen)), flush=True)  # first: Spark takes its time, and may not read the state
    states = list(_states(config, seen)) if args.state else []
    if args.json:
        print(json.dumps(asdict(seen) | ({"sites": states} if args.state else {})))
    elif states:
        print("\n".join(one_line(_line(state)) for state in states))
    return 1 if seen.problems or any("problem" in state for state in states) else 0


def _lines(seen: Inspected) -> Iterator[str]:
    yield f"checkpoint {seen.directory}"
    when = (
        f", planned {datetime.fromtimestamp(seen.planned_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
        if seen.planned_ms
        else ""
    )
    again = "" if seen.last_planned == seen.last_committed else ": the last one is done again at the next start"
    yield f"batch {seen.last_planned} planned, {seen.last_committed} committed{when}{again}"
    yield f"state in {seen.state_partitions} partition(s), fixed with it"
    for name, value in seen.parameters.items():
        yield f"fixed: {name} = {value}"
    for place, offset in seen.offsets.items():
        yield f"next offset of {place}: {offset}"
    for problem in seen.problems:
        yield f"PROBLEM {problem}"


def _line(state: dict[str, Any]) -> str:
    if "problem" in state:
        return f"PROBLEM state of {state['site']}: {state['problem']}"
    operators = ", ".join(f"{name} v{version} {size} B" for name, (version, size) in state["operators"].items())
    return (
        f"site {state['site']}: {state['bytes']} B in partition {state['partition']}, "
        f"{state['counts']['profiles']} profiles; {operators}"
    )


def _states(config: Config, seen: Inspected) -> Iterator[dict[str, Any]]:
    """Every site's state, by site."""
    if seen.last_committed < 0:
        return
    from ipdsf_spark.spark.state_source import stored_states
    from ipdsf_spark.stream.site_state import SiteState

    for site, partition, raw in stored_states(config, seen.directory):
        told: dict[str, Any] = {"site": site, "partition": partition, "bytes": len(raw)}
        try:
            state = SiteState.from_bytes(raw)
        except ValueError as error:
            yield told | {"problem": str(error)}
            continue
        yield told | {
            "counts": asdict(state.counts),
            "last_sent_ms": state.last_sent_ms,
            "is_final": state.is_final,
            "tail_bytes": len(state.tail),
            "operators": {name: (version, len(held)) for name, (version, held) in state.operators.items()},
        }
