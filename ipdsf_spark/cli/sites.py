"""`ipdsf sites`: what the stream last said of every site, and whether every profile is accounted for."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka.sites import SiteStatus, read_sites, take_out, total_of
from ipdsf_spark.logs import one_line

EPILOG: Final = """examples:
  ipdsf sites                       one line per site: newest profile, counts, what is wrong
  ipdsf sites --older-than 30       only sites whose newest file was sent more than 30 minutes ago
  ipdsf sites old-roof --forget     a site that was taken down: its last word is taken out of the topic
  ipdsf sites --json                one JSON object per site, and one for all together

profiles = used + duplicate + late + foreign, for every site and in total; exit code 1 if that does not hold, or
if nothing was said of a site that is named. The counts are part of a site's state: they hold under repeated tasks
and go on over restarts. Records of ids that never gave a profile stand in the quarantine only.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("site", nargs="*", help="only these sites (default: all)")
    parser.add_argument("--older-than", type=float, metavar="MINUTES", help="only sites that have been silent so long")
    parser.add_argument("--forget", action="store_true",
                        help="take the named sites out of the topic, and so off the status page")  # fmt: skip
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print the sites and their totals."""
    if args.older_than is not None and not args.older_than >= 0:
        raise ConfigError(f"--older-than must be 0 or more minutes, is {args.older_than}")
    if args.forget and not args.site:
        raise ConfigError("--forget takes the sites that are named, and none is")
    config = load(*args.config, overrides=args.set)
    bootstrap = resolve_bootstrap(config)
    sites = read_sites(config.kafka, bootstrap)
    unheard = [name for name in dict.fromkeys(args.site) if name not in {site.site for site in sites}]
    for name in unheard:
        close = difflib.get_close_matches(name, [site.site for site in sites], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        print(f"ipdsf sites: the stream has said nothing of a site {name!r}{hint}", file=sys.stderr)
    if args.forget:
        return _forget(args, config, bootstrap, [site.site for site in sites if site.site in args.site])
    now_ms = datetime.now(UTC).timestamp() * 1000
    shown = [
        site
        for site in sites
        if (not args.site or site.site in args.site)
        and (args.older_than is None or now_ms - site.sent_ms > 60_000 * args.older_than)
    ]
    total = total_of(shown)
    is_balanced = all(site.is_balanced for site in shown)
    for site in shown:
        print(json.dumps(asdict(site)) if args.json else one_line(line_of(site)))
    if args.json:
        print(json.dumps({"sites": len(shown), **total, "is_balanced": is_balanced}))
    else:
        num = {name: f"{count} {name}" for name, count in total.items()}
        print(
            f"{len(shown)} site(s): {num['profiles']} = {num['used']} + {num['duplicate']} + {num['late']} + "
            f"{num['foreign']}; {total['rejected']} stretch(es) rejected"
        )
        if not is_balanced:
            print(one_line("COUNTS DO NOT ADD UP: " + ", ".join(site.site for site in shown if not site.is_balanced)))
    return 0 if is_balanced and not unheard else 1


def _forget(args: argparse.Namespace, config: Config, bootstrap: str, named: list[str]) -> int:
    """Take out those of the named sites that are there; 0 if all were."""
    take_out(config.kafka, bootstrap, named)
    for site in named:
        print(json.dumps({"site": site, "is_forgotten": True}) if args.json else f"{site} is forgotten")
    return 0 if len(named) == len(set(args.site)) else 1


def line_of(site: SiteStatus) -> str:
    """One line a person can read."""
    wrong = [
        *(["silent"] if site.is_silent else []),
        *(f"{getattr(site, name)} {name}" for name in ("rejected", "late", "foreign", "faults") if getattr(site, name)),
        *site.flags,
        *site.alarms,
    ]
    newest = site.time or "no profile yet"
    return f"{site.site:<20} {newest:<21} {site.instrument:<16} {site.used:>9} used  {', '.join(wrong)}".rstrip()
