"""`ipdsf quarantine list|show|replay`."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka.quarantine import Quarantined, read, resend

EPILOG = """examples:
  ipdsf quarantine list                            one line per stretch that gave no profile
  ipdsf quarantine list --site oslo --json
  ipdsf quarantine show 'ceilometer.files-12-345|7889'   reason and the first bytes
  ipdsf quarantine replay --site oslo              send the original bytes again
"""
SHOWN_BYTES = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("action", choices=["list", "show", "replay"], help="reasons; one record; send again")
    parser.add_argument("id", nargs="*", help="as `list` prints it; all if none is named")
    parser.add_argument("--site", help="only this site")
    parser.add_argument("--reason", help="only reasons that contain this text")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration file, may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override, may repeat")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """List, show or send again."""
    config = load(*args.config, overrides=args.set)
    bootstrap = resolve_bootstrap(config)
    items = [item for item in read(config.kafka, bootstrap) if _is_meant(item, args)]
    missing = set(args.id) - {item.id for item in items}
    if missing:
        raise InputError(f"nothing in quarantine is called {', '.join(sorted(missing))}; see `ipdsf quarantine list`")
    if args.action == "replay":
        count = resend(config.kafka, bootstrap, items)
        print(json.dumps({"sent": count}) if args.json else f"sent {count} again")
        return 0
    for item in items:
        print(json.dumps(_as_object(item)) if args.json else _line(item))
        if args.action == "show":
            print("" if args.json else f"{_dump(item.raw[:SHOWN_BYTES])}\n")
    if not items and not args.json:
        print("nothing in quarantine" if not (args.site or args.reason) else "nothing in quarantine fits")
    return 0


def _is_meant(item: Quarantined, args: argparse.Namespace) -> bool:
    return (
        (not args.id or item.id in args.id)
        and (args.site is None or item.site == args.site)
        and (args.reason is None or args.reason in item.reason)
    )


def _as_object(item: Quarantined) -> dict[str, object]:
    return {
        "id": item.id,
        "site": item.site,
        "file": item.file,
        "reason": item.reason,
        "position": item.position,
        "start": item.start,
        "bytes": len(item.raw),
        "quarantined": datetime.fromtimestamp(item.published_ms / 1000, UTC).isoformat(timespec="seconds"),
    }


def _line(item: Quarantined) -> str:
    return f"{item.id}  {item.site}  {item.file}  {len(item.raw)} bytes: {item.reason}"


def _dump(raw: bytes, *, width: int = 16) -> str:
    lines = []
    for start in range(0, len(raw), width):
        row = raw[start : start + width]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * width}} {text}")
    return "\n".join(lines)
