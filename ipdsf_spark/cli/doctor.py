"""`ipdsf doctor`: what is set up, what answers and what does not, one line each."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ipdsf_spark import __version__
from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import BrokerError, ConfigError, InputError, IpdsfError, PrerequisiteError

EPILOG: Final = """examples:
  ipdsf doctor                                    this machine, and the Kafka that is configured
  ipdsf doctor --config conf/cluster.toml --json  one JSON object per check
  ipdsf doctor --without-kafka                    this machine only

Exit code 1 if a check fails. Nothing is changed: no topic is made, no record is sent.
"""
LEAST_FREE_BYTES: Final = 1_000_000_000
MOST_AHEAD_S: Final = 60.0  # a newest record later than this clock by more: the clock is slow
LEADERLESS: Final = "partition(s) without leader"
SOON_DAYS: Final = 14
ENGINES: Final = ("pyspark", "pandas", "pyarrow", "confluent_kafka", "jinja2")


@dataclass(frozen=True)
class Finding:
    """What a check found: its name, whether that is good, and what it is."""

    check: str
    is_good: bool
    said: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument("--without-kafka", action="store_true", help="do not ask Kafka")
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Check everything; a check that fails keeps no other from being made."""
    config = load(*args.config, overrides=args.set)
    checks: list[tuple[str, Callable[[Config], str]]] = [
        ("python", _python),
        ("java", _java),
        ("engines", _engines),
        ("certificate", _certificate),
        ("sites", _sites),
        ("operators", _operators),
        ("disks", _disks),
        ("checkpoint", _checkpoint),
    ]
    if not args.without_kafka:
        checks += [("kafka", _kafka), ("topics", _topics), ("clock", _clock)]
    is_good = is_answered = True
    for name, check in checks:
        finding = found(name, check, config) if is_answered else Finding(name, False, "not asked: see kafka")
        if name == "kafka":  # whoever does not answer is waited for once
            is_answered = finding.is_good or LEADERLESS in finding.said
        is_good = is_good and finding.is_good
        line = f"{'ok  ' if finding.is_good else 'FAIL'} {name:<12} {finding.said}"
        print(json.dumps(vars(finding)) if args.json else line, flush=True)
    return 0 if is_good else 1


def found(name: str, check: Callable[[Config], str], config: Config) -> Finding:
    """What a check says, or the named error that it ends with."""
    try:
        return Finding(name, True, check(config))
    except (IpdsfError, ModuleNotFoundError, OSError) as error:
        return Finding(name, False, str(error))
    except Exception as error:  # a mistake of ours in one check must not hide what the others find
        return Finding(name, False, f"this check itself failed: {type(error).__name__}: {error}")


def _python(config: Config) -> str:
    return f"{sys.version.split()[0]}, ipdsf {__version__}, {os.cpu_count()} cores"


def _java(config: Config) -> str:
    from ipdsf_spark.devkafka import fetch

    jars = fetch.cache_directory()
    has_jars = f"jars of the embedded broker in {jars}" if jars.is_dir() else "the embedded broker is not fetched yet"
    return f"{fetch.java_command()}; {has_jars}"


def _engines(config: Config) -> str:
    missing = [name for name in ENGINES if importlib.util.find_spec(name) is None]
    if missing:
        raise PrerequisiteError(f"no {', '.join(missing)}: pip install 'ipdsf-spark[streaming]'")
    return ", ".join(ENGINES)


def _operators(config: Config) -> str:
    from ipdsf_spark.stream.live import stage_of

    return ", ".join(f"{operator.name} {operator.version}" for operator in stage_of(config).operators)


def _certificate(config: Config) -> str:
    from ipdsf_spark.kafka.certificate import validity_of

    path = config.kafka.ssl_certificate_location
    if not path:
        return f"none configured as PEM; kafka.security_protocol is {config.kafka.security_protocol}"
    validity = validity_of(path)
    if validity is None:
        raise ConfigError(f"{path}: no certificate can be read there")
    now = datetime.now(UTC)
    if wrong := validity.said(now):
        raise ConfigError(f"{path}: {wrong}")
    days = (validity.end - now).days
    if days < SOON_DAYS:
        raise ConfigError(f"{path} ends in {days} day(s), at {validity.end:%Y-%m-%d %H:%M} UTC: issue a new one")
    return f"{path} holds for {days} days"


def _sites(config: Config) -> str:
    from ipdsf_spark.sites import sites_of

    sites = sites_of(config)
    others = "any other is taken" if "default" in sites else "any other is refused"
    return f"{len(sites) - ('default' in sites)} site(s) in {config.sites.file}; {others}"


def _disks(config: Config) -> str:
    named = {"stream.directory": config.stream.directory, "stream.archive_directory": config.stream.archive_directory}
    said = []
    for key, directory in named.items():
        if not directory or "://" in directory:
            continue
        place = Path(directory).expanduser().absolute()
        held = next(each for each in (place, *place.parents) if each.exists())
        if not held.is_dir():
            raise InputError(f"{key}: {held} is a file, and a folder is needed")
        free = shutil.disk_usage(held).free
        if not os.access(held, os.W_OK):
            raise InputError(f"{key}: {held} cannot be written to")
        if free < LEAST_FREE_BYTES:
            raise InputError(
                f"{key}: {free / 1e9:.2f} GB free at {held}, at least {LEAST_FREE_BYTES / 1e9:.0f} are needed"
            )
        said.append(f"{free / 1e9:.0f} GB free for {key}")
    return ", ".join(said) or "no local folder is configured"


def _checkpoint(config: Config) -> str:
    from ipdsf_spark.spark.checkpoint import inspected

    seen = inspected(config)
    if seen is None:
        return f"none in {config.stream.directory} yet: the job begins at {config.stream.starting_offsets}"
    if seen.problems:
        raise InputError("; ".join(seen.problems))
    topic = seen.parameters.get("files_topic", config.kafka.files_topic)
    if topic != config.kafka.files_topic:
        raise ConfigError(f"it was written for topic {topic}, kafka.files_topic is {config.kafka.files_topic}")
    asked = {"layers.averaging_s": config.layers.averaging_s, "stream.state_partitions": config.stream.state_partitions}
    for key, value in asked.items():
        held = seen.parameters.get(key.partition(".")[2], str(value))
        if value and held != str(value):  # 0 partitions: those that it has
            raise ConfigError(f"{key} is {value}, it was written with {held}: the job would refuse to go on with it")
    return f"batch {seen.last_committed} of {topic}, {len(seen.offsets)} partition(s)"


def _kafka(config: Config) -> str:
    from ipdsf_spark.devkafka import resolve_bootstrap
    from ipdsf_spark.kafka.health import health

    bootstrap = resolve_bootstrap(config)
    seen = health(config.kafka, bootstrap, timeout_s=10.0)
    if not seen.is_sound:
        raise BrokerError(
            f"{bootstrap}: {len(seen.leaderless)} {LEADERLESS}, {len(seen.under_replicated)} with fewer "
            "copies than they should have (`ipdsf broker status` names them)"
        )
    return f"{bootstrap} answers ({config.kafka.security_protocol})"


def _topics(config: Config) -> str:
    from ipdsf_spark.devkafka import resolve_bootstrap
    from ipdsf_spark.kafka import num_partitions

    kafka = config.kafka
    held = num_partitions(kafka, resolve_bootstrap(config), timeout_s=10.0)
    missing = [name for name in kafka.topics if name not in held]
    if missing:
        raise BrokerError(f"{', '.join(missing)} not there, or not shown to this user; `ipdsf stream` makes them")
    num, configured = held[kafka.files_topic], kafka.partitions
    if num > configured:
        raise ConfigError(
            f"{kafka.files_topic} has {num}, kafka.partitions is {configured}: partitions cannot be taken away, and "
            "the job would refuse to start"
        )
    own = [name for name in held if name.startswith(f"{kafka.files_topic}.")]
    of_sites = f"; {len(own)} topic(s) of single sites" if kafka.topic_per_site else ""
    grows = f" (`ipdsf stream` makes it {configured})" if num < configured else ""
    return f"all five, {num} partition(s) of {kafka.files_topic}{grows}{of_sites}"


def _clock(config: Config) -> str:
    from ipdsf_spark.devkafka import resolve_bootstrap
    from ipdsf_spark.edge.arrived import newest_timestamp_s

    newest_s = newest_timestamp_s(replace(config.kafka, topic_per_site=False), resolve_bootstrap(config), "")
    if newest_s is None:
        return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; no record tells the broker's time yet"
    ahead_s = newest_s - time.time()
    if ahead_s > MOST_AHEAD_S:
        raise BrokerError(
            f"the newest record was stamped {ahead_s:.0f} s after this clock: set this clock, or the broker's"
        )
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; the newest record is {max(0.0, -ahead_s):.0f} s old"
