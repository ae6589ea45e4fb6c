"""The files that experiments send: an hour of one-minute files of several instruments, shared by a network's sites.

`python -m ipdsf_spark.experiments.bank BOOTSTRAP FOLDER ...` is the sending network, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from ipdsf_spark.config import Config, load
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.simulator.bank import FileBank
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, Replayed, replay

INSTRUMENTS: Final = ("cl51", "cl31", "cl51", "cl31", "chm15k")
BEGIN: Final = "2026-06-21T09:00"


def write_bank(root: Path, *, minutes: int = 60, instruments: Sequence[str] = INSTRUMENTS) -> None:
    """Write a folder per instrument with a file a minute; a bank that is there stays as it is."""
    if root.is_dir():
        return
    width = len(str(minutes))  # names in the order of time, whatever their number
    part = root.with_name(f".{root.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    site = Site("bank", 48.1, 11.6)
    for number, name in enumerate(instruments):
        day = simulate_day(
            site, date(2026, 6, 21), rng=np.random.default_rng(number), instrument=name, scenario="clear"
        )
        bank = FileBank([day], minutes=1)
        folder = part / f"{number}-{name}"
        folder.mkdir(parents=True)
        for minute in range(minutes):
            file = bank.file(folder.name, 0, np.datetime64(BEGIN, "us") + np.timedelta64(minute, "m"))
            (folder / f"{minute:0{width}d}-{file.name}").write_bytes(file.raw)
    part.rename(root)


def feeds_in(root: Path) -> list[Feed]:
    """The bank's folders as feeds."""
    return [Feed(folder.name, sorted(folder.iterdir())) for folder in sorted(root.iterdir())]


def fill(config: Config, bank: Path, *, sites: int, count: int, partitioning: str = "by_site") -> Replayed:
    """Send files as fast as Kafka takes them: a backlog."""
    kafka = config.kafka
    return replay(
        feeds_in(bank),
        kafka,
        kafka.bootstrap_servers,
        rate=1e9,
        num_sites=sites,
        count=count,
        partitioning=partitioning,
        num_partitions=kafka.partitions,
    )


def sender_command(config: Config, bank: Path, *, sites: int, rate: float, count: int, begin: int = 0) -> list[str]:
    """The command of a network that sends at a fixed rate from a process of its own."""
    command = [sys.executable, "-m", __name__, config.kafka.bootstrap_servers, str(bank)]
    command += ["--topic", config.kafka.files_topic, "--partitions", str(config.kafka.partitions)]
    return [*command, "--sites", str(sites), "--rate", str(rate), "--count", str(count), "--begin", str(begin)]


def main(argv: Sequence[str] | None = None) -> int:
    """Send, and say what was sent as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap", help="where Kafka is")
    parser.add_argument("folder", type=Path, help="the bank")
    parser.add_argument("--topic", required=True, help="of the files")
    parser.add_argument("--partitions", type=int, required=True, help="of the topic")
    parser.add_argument("--sites", type=int, required=True, help="of the network")
    parser.add_argument("--rate", type=float, required=True, help="files per second of the whole network")
    parser.add_argument("--count", type=int, required=True, help="files to send")
    parser.add_argument("--begin", type=int, default=0, help="files that were sent before")
    args = parser.parse_args(argv)
    config = load(overrides=[f"kafka.files_topic={args.topic}", f"kafka.partitions={args.partitions}"])
    began_s = time.time()
    done = replay(
        feeds_in(args.folder),
        config.kafka,
        args.bootstrap,
        rate=args.rate,
        num_sites=args.sites,
        count=args.count,
        begin=args.begin,
    )
    told = {"sent": done.sent, "failed": done.failed, "bytes": done.bytes, "seconds": done.seconds, "began_s": began_s}
    sys.stdout.write(json.dumps(told | {"cpu_s": time.process_time()}) + "\n")
    return 0 if not done.failed else 1


if __name__ == "__main__":
    sys.exit(main())
