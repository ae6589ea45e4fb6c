"""`ipdsf quarantine list|show|replay|report`."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipdsf_spark.cli.arguments import add_configuration, add_verb, examples_for
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.logs import one_line
from ipdsf_spark.sites import site_named, sites_of

if TYPE_CHECKING:
    from ipdsf_spark.kafka.quarantine import Index, Quarantined, Selection, Values
    from ipdsf_spark.kafka.replay import Look
    from ipdsf_spark.lidar.site import Site

EPILOG = """examples:
  ipdsf quarantine report                          how many, by day, site and reason
  ipdsf quarantine list --site oslo --since 7d     one line per file that gave less than it holds
  ipdsf quarantine list --reason checksum --json
  ipdsf quarantine show ceilometer.files-12-345    reasons and the first bytes
  ipdsf quarantine show ceilometer.files-12-345 -o bad    the file itself, into the folder bad
  ipdsf quarantine replay --site oslo --check      decode here; send what gives profiles now, dated as it was
  ipdsf quarantine replay --since 12h --dry-run    what would be sent

Times are those of quarantining, UTC: 2026-06-21, 2026-06-21T12:00, or back from now: 90m, 12h, 7d.
"""
ACTIONS = {
    "list": "one line per file that gave less than it holds",
    "show": "reasons and contents",
    "replay": "send files again, as they came and dated as they were",
    "report": "how many, by day, site and reason",
}
SHOWN_BYTES = 512
LONGEST_NAME = 200  # bytes
UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, purpose in ACTIONS.items():
        _add_action(add_verb(actions, name, purpose, examples_for(EPILOG, "quarantine", name)), name)


def _add_action(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("id", nargs="*", metavar="ID", help="as `list` prints it; all if none is named")
    parser.add_argument("--site", metavar="ID", help="only this site")
    parser.add_argument("--reason", metavar="TEXT", help="only reasons that contain this text")
    parser.add_argument("--since", metavar="TIME", help="only what was quarantined at that time or later")
    parser.add_argument("--until", metavar="TIME", help="only what was quarantined before that time")
    if name != "report":
        parser.add_argument("--limit", type=int, metavar="N", help="only the newest N")
    if name == "show":
        parser.add_argument("-o", "--output", metavar="DIR", help="also write each file into this folder")
    if name == "replay":
        parser.add_argument("--check", action="store_true", help="decode here first, and send what gives profiles")
        parser.add_argument("--again", action="store_true", help="also what was replayed before")
        parser.add_argument("--dry-run", action="store_true", help="say what would be sent")
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """List, show, count or send again."""
    from ipdsf_spark.devkafka import resolve_bootstrap
    from ipdsf_spark.kafka.quarantine import Selection, budget_warning, index_of

    config = load(*args.config, overrides=args.set)
    now = datetime.now(UTC)
    limit = None if args.action == "report" else args.limit
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit must be at least 1, is {limit}")
    since_ms, until_ms = time_ms(args.since, "--since", now), time_ms(args.until, "--until", now)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise ConfigError(f"--since must be before --until, is {args.since} and {args.until}")
    selection = Selection(
        ids=tuple(args.id),
        site=args.site,
        reason=args.reason,
        since_ms=since_ms,
        until_ms=until_ms,
        limit=limit,
    )
    bootstrap = resolve_bootstrap(config)
    with index_of(config.kafka, bootstrap, since_ms=selection.since_ms) as index:
        if warning := budget_warning(config.kafka, index.num_bytes):
            print(f"ipdsf quarantine: {warning}", file=sys.stderr)
        if args.action == "list":
            return _list(index, selection, args)
        if args.action == "report":
            return _report(index, selection, args)
        if args.action == "show":
            return _show(index, selection, args, config, bootstrap)
        return _replay(index, selection, args, config, bootstrap)


def time_ms(text: str | None, option: str, now: datetime) -> int | None:
    """A time of the command line [ms since 1970].

    Args:
        text: ISO 8601, UTC unless it says otherwise, or a number of m, h or d back from `now`.
        option: named in the error.
        now: the present time.

    Raises:
        ConfigError: it is no time.
    """
    if text is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})([mhd])", text.strip()):
        try:
            moment = now - timedelta(**{UNITS[found[2]]: int(found[1])})
        except OverflowError as error:
            raise ConfigError(f"{option} lies before all calendars, is {text!r}") from error
    else:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise ConfigError(f"{option} must be like 2026-06-21, 2026-06-21T12:00 or 7d, is {text!r}") from error
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _list(index: Index, selection: Selection, args: argparse.Namespace) -> int:
    num = 0
    for num, letter in enumerate(index.letters(selection), start=1):  # noqa: B007
        print(json.dumps(_as_object(letter)) if args.json else _line(letter))
    return _say_if_none(num, selection, args)


def _report(index: Index, selection: Selection, args: argparse.Namespace) -> int:
    num = 0
    for num, line in enumerate(index.report(selection), start=1):
        if args.json:
            print(json.dumps(asdict(line)))
            continue
        if num == 1:
            print(f"{'day':<10}  {'files':>7}  {'pieces':>7}  {'MB':>8}  {'replayed':>8}  site: reason")
        size = line.num_bytes / 1e6
        print(
            f"{line.day}  {line.num_letters:>7}  {line.num_stretches:>7}  {size:>8.2f}  {line.num_replayed:>8}  "
            f"{one_line(line.site)}: {one_line(line.reason)}"
        )
    return _say_if_none(num, selection, args)


def _show(index: Index, selection: Selection, args: argparse.Namespace, config: Config, bootstrap: str) -> int:
    from ipdsf_spark.kafka.quarantine import Values, stretches_of

    folder = Path(args.output) if args.output else None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    num = 0
    with Values(config.kafka, bootstrap) as values:
        for num, letter in enumerate(index.letters(selection), start=1):  # noqa: B007
            raw, problem = _value(values, letter)
            path = _written(folder, letter, raw) if folder is not None and raw is not None else None
            if args.json:
                shown: dict[str, Any] = {
                    "stretches": stretches_of(letter),
                    "value_bytes": None if raw is None else len(raw),
                    "value_hex": None if raw is None else raw[:SHOWN_BYTES].hex(),
                    "problem": problem,
                    "written": None if path is None else str(path),
                }
                print(json.dumps(_as_object(letter) | shown))
                continue
            print(_line(letter))
            for start, length, reason in stretches_of(letter):
                print(f"  {length} bytes from {start}: {one_line(reason)}")
            print(f"  {problem}\n" if raw is None else f"{_dump(raw[:SHOWN_BYTES])}\n")
            if path is not None:
                print(f"  written to {path}\n")
    return _say_if_none(num, selection, args)


def _replay(index: Index, selection: Selection, args: argparse.Namespace, config: Config, bootstrap: str) -> int:
    from ipdsf_spark.kafka.replay import replay

    sites = sites_of(config) if args.check else {}

    def tell(letter: Quarantined, reason: str) -> None:
        print(one_line(f"not sent: {letter.id}  {letter.site}  {letter.file}: {reason}"), file=sys.stderr)

    done = replay(
        config.kafka,
        bootstrap,
        index.letters(selection),
        look=(lambda raw, letter: _look(raw, letter, sites)) if args.check else None,
        again=args.again,
        is_rehearsal=args.dry_run,
        on_refused=tell,
    )
    # With --check, files that are still rejected are its answer; without, each of them was to be sent.
    code = 1 if done.num_refused and not args.check else 0
    if args.json:
        told = {"sent": done.num_sent, "profiles": done.num_profiles if args.check else None}
        told |= {"still_rejected": done.num_refused, "replayed_before": done.num_again, "same_file": done.num_same}
        print(json.dumps(told | {"dry_run": args.dry_run}))
        return code
    parts = [f"{'would send' if args.dry_run else 'sent'} {done.num_sent} file(s) again"]
    if args.check:
        parts.append(f"{done.num_profiles} profile(s) decoded from them here")
    if done.num_refused:
        parts.append(f"{done.num_refused} not sent")
    if done.num_same:
        parts.append(f"{done.num_same} further letter(s) about the same files")
    if done.num_again:
        parts.append(f"{done.num_again} left alone, replayed before (--again sends them once more)")
    print("; ".join(parts))
    return code


def _look(raw: bytes, letter: Quarantined, sites: Mapping[str, Site]) -> Look:
    """Decode a file as the stream will, with the clock of its site's logger; what counts are profiles with a time."""
    import numpy as np

    from ipdsf_spark.kafka.replay import Look
    from ipdsf_spark.lidar.instruments import decode

    sent = np.datetime64(letter.sent_ms or letter.published_ms, "ms").astype("datetime64[us]")
    try:
        clock = site_named(sites, letter.site).clock
    except ConfigError as error:  # the stream would say the same
        return Look(0, str(error))
    try:
        decoded = decode(raw, name=letter.file, received=sent, clock=clock)
    except Exception as error:  # a reader's mistake is one file's misfortune
        return Look(0, f"the reader failed: {type(error).__name__}: {error}")
    num_timed = sum(int(np.count_nonzero(~np.isnat(block.time))) for block in decoded.blocks if block.range_m.size)
    reason = decoded.rejected[0].reason if decoded.rejected else ""
    return Look(num_timed, reason or "no profile with backscatter and a time of its own")


def _value(values: Values, letter: Quarantined) -> tuple[bytes | None, str]:
    try:
        return values.of(letter), ""
    except InputError as error:
        return None, str(error)


def _written(folder: Path, letter: Quarantined, raw: bytes) -> Path:
    """The file under its place and its name, both made harmless; a name is a stranger's text."""
    name = re.sub(r"[^\w.-]+", "_", f"{letter.id}-{letter.file.rsplit('/', 1)[-1]}").lstrip(".")
    if len(name.encode()) > LONGEST_NAME:  # what tells letters apart must not be cut off
        tail = name.encode()[20 - LONGEST_NAME :].decode(errors="ignore")
        name = f"{hashlib.sha256(letter.id.encode()).hexdigest()[:16]}-{tail}"
    path = folder / (name or "file")
    begun = folder / f".{path.name}.part"
    try:
        begun.write_bytes(raw)
        begun.replace(path)
    except OSError as error:
        begun.unlink(missing_ok=True)  # no half file under the name of a whole one
        raise InputError(f"cannot write {path}: {error.strerror}; make room, or name another folder with -o") from error
    return path


def _say_if_none(num: int, selection: Selection, args: argparse.Namespace) -> int:
    if not num and not args.json:
        print("nothing in quarantine" if selection.is_everything else "nothing in quarantine fits")
    return 0


def _as_object(letter: Quarantined) -> dict[str, Any]:
    return {
        "id": letter.id,
        "site": letter.site,
        "file": letter.file,
        "reason": letter.reason,
        "position": letter.position,
        "bytes": letter.size,
        "reference": letter.reference,
        "num_stretches": letter.num_stretches,
        "sent": _iso(letter.sent_ms) if letter.sent_ms else None,
        "quarantined": _iso(letter.published_ms),
        "replayed": letter.replayed or None,
    }


def _line(letter: Quarantined) -> str:
    size = f"refers to {letter.reference}" if letter.reference else f"{letter.size} bytes"
    replayed = f" (replayed {letter.replayed})" if letter.replayed else ""
    text = f"{letter.id}  {_iso(letter.published_ms)}  {letter.site}  {letter.file}  {size}: {letter.reason}{replayed}"
    return one_line(text)


def _iso(time_in_ms: int) -> str:
    seconds = min(time_in_ms / 1000, 253_402_300_799)  # the last year that Python can name
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _dump(raw: bytes, *, width: int = 16) -> str:
    lines = []
    for start in range(0, len(raw), width):
        row = raw[start : start + width]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * width}} {text}")
    return "\n".join(lines) or "(no bytes)"
