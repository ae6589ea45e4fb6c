"""The runs of the experiment with two hosts."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ipdsf_spark.config import Config
from ipdsf_spark.devkafka.namespaces import TwoHosts
from ipdsf_spark.devkafka.spread import SpreadKafka
from ipdsf_spark.errors import PrerequisiteError
from ipdsf_spark.experiments.bank import fill
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.group import ConsumerGroup, Mark, Seat
from ipdsf_spark.experiments.hosts import LEADERS, NEAREST, ONE, DeathRow, FillRow, HostsRow, HostsSettings
from ipdsf_spark.experiments.result import Found, Table

LIMIT_S: Final = 180.0
QUIET_S: Final = 6.0  # without a file, after which a group whose broker died has come to an end


def measure(settings: HostsSettings, bench: Bench) -> Found:
    """Run by run; where hosts cannot be made, the reason instead of figures."""
    rows: list[HostsRow] = []
    fills: list[FillRow] = []
    deaths: list[DeathRow] = []
    notes = (
        f"two network namespaces of one machine, {settings.link_mbit:g} Mbit/s in each direction: cores and disk are "
        "shared, so only what the link does is that of two machines",
    )
    try:
        for partitions in settings.partitions:
            _one_broker(settings, bench, partitions, rows, fills)
            _two_brokers(settings, bench, partitions, rows, fills, deaths)
    except PrerequisiteError as error:
        notes = (f"not measured: {error}",)
        bench.say(notes[0])
    tables = (
        Table.of("hosts", "Consumers on two hosts", rows, kind=HostsRow),
        Table.of("writing", "Writing from the first host", fills, kind=FillRow),
        Table.of("death", "The broker of the second host is killed", deaths, kind=DeathRow),
    )
    return Found(tables, notes)


def _one_broker(
    settings: HostsSettings, bench: Bench, partitions: int, rows: list[HostsRow], fills: list[FillRow]
) -> None:
    folder = bench.scratch / "hosts"
    shutil.rmtree(folder, ignore_errors=True)
    with TwoHosts(settings.link_mbit) as two, SpreadKafka(folder, two.hosts[:1]) as kafka:
        config = _filled(settings, bench, two, kafka, partitions, ONE, fills)
        for consumers in settings.consumers:
            rows.append(_read(settings, bench, two, config, ONE, consumers))
    shutil.rmtree(folder, ignore_errors=True)


def _two_brokers(
    settings: HostsSettings,
    bench: Bench,
    partitions: int,
    rows: list[HostsRow],
    fills: list[FillRow],
    deaths: list[DeathRow],
) -> None:
    folder = bench.scratch / "hosts"
    shutil.rmtree(folder, ignore_errors=True)
    with TwoHosts(settings.link_mbit) as two, SpreadKafka(folder, two.hosts) as kafka:
        config = _filled(settings, bench, two, kafka, partitions, LEADERS, fills)
        for brokers in (LEADERS, NEAREST):
            for consumers in settings.consumers:
                rows.append(_read(settings, bench, two, config, brokers, consumers))
        if partitions == settings.partitions[0]:
            deaths.append(_death(settings, bench, two, kafka, config))
    shutil.rmtree(folder, ignore_errors=True)


def _filled(
    settings: HostsSettings,
    bench: Bench,
    two: TwoHosts,
    kafka: SpreadKafka,
    partitions: int,
    brokers: str,
    fills: list[FillRow],
) -> Config:
    bench.say(f"{brokers.partition(',')[0]}, {partitions} partitions: writing {settings.files:,} files")
    bank = bench.bank()
    with two.hosts[0].entered():
        replicas = len(kafka.hosts)
        config, _ = bench.topics(
            f"hosts{partitions}", kafka.bootstrap_servers, partitions=partitions, replicas=replicas
        )
        before = sum(two.sent_bytes())
        done = fill(config, bank, sites=settings.sites, count=settings.files, partitioning="round_robin")
        sent_mb = (sum(two.sent_bytes()) - before) / 1e6
    fills.append(
        FillRow(brokers.partition(",")[0], partitions, done.sent - done.failed, done.sent / done.seconds, sent_mb)
    )
    return config


def _group(two: TwoHosts, config: Config, brokers: str, consumers: int, name: str) -> ConsumerGroup:
    seats = [
        Seat(
            [f"{letter}-{number}" for number in range(consumers)],
            {"client.rack": host.name} if brokers == NEAREST else {},
            host.entered,
        )
        for letter, host in zip("ab", two.hosts, strict=True)
    ]
    return ConsumerGroup(config.kafka.bootstrap_servers, config.kafka.files_topic, name, "transfer", seats)


def _read(
    settings: HostsSettings, bench: Bench, two: TwoHosts, config: Config, brokers: str, consumers: int
) -> HostsRow:
    name = f"{brokers.replace(' ', '-').replace(',', '')}-{consumers}"
    group = _group(two, config, brokers, consumers, name)
    with group, bench.counting(settings.files, f"{brokers}, 2 x {consumers} consumers") as say:
        with two.hosts[0].entered():
            group.await_assignment(config.kafka.partitions)
        before = two.sent_bytes()
        began_s = group.go()
        mark = group.await_files(settings.files, until_s=began_s + LIMIT_S, say=say)
        sent = [after - first for after, first in zip(two.sent_bytes(), before, strict=True)]
        members = group.finish()
    seconds = mark.seconds - began_s
    rates = [_rate_of(members, seat, began_s) for seat in (0, 1)]
    capacity = settings.link_mbit * 1e6 / 8 * seconds
    row = HostsRow(
        brokers,
        config.kafka.partitions,
        consumers,
        mark.files,
        seconds,
        mark.files / seconds if seconds > 0 else 0.0,
        rates[0],
        rates[1],
        sum(sent) / 1e6,
        max(sent) / capacity if capacity > 0 else 0.0,
    )
    bench.say(_line(row))
    return row


def _rate_of(members: Sequence[dict[str, Any]], seat: int, began_s: float) -> float:
    own = [member for member in members if member["seat"] == seat and member["received"]]
    if not own:
        return 0.0
    return float(sum(member["received"] for member in own) / (max(member["last_s"] for member in own) - began_s))


def _death(settings: HostsSettings, bench: Bench, two: TwoHosts, kafka: SpreadKafka, config: Config) -> DeathRow:
    group = _group(two, config, LEADERS, 2, "death")
    with group, bench.counting(settings.files, "a broker dies") as say:
        with two.hosts[0].entered():
            group.await_assignment(config.kafka.partitions)
        began_s = group.go()
        before = group.await_files(settings.files // 4, until_s=began_s + LIMIT_S, say=say)
        kafka.kill(1)
        silent_s = _await_end(group, before, settings.files, began_s + LIMIT_S)
        members = group.finish()
    counted = offsets_of(members)
    read = len(counted)
    row = DeathRow(
        settings.files,
        before.files,
        read,
        settings.files - read,
        sum(number > 1 for number in counted.values()),
        silent_s,
    )
    bench.say(f"broker killed after {before.files:,} files: {read:,} of {settings.files:,} read, {row.lost} lost, "
              f"{row.repeated} repeated, silent for {silent_s:.1f} s")  # fmt: skip
    return row


def _await_end(group: ConsumerGroup, before: Mark, files: int, until_s: float) -> float:
    """Wait until all is read and nothing more comes; returns the longest time without a file."""
    last, silent_s = replace(before), 0.0
    while time.monotonic() < until_s:
        mark = group.mark()
        if mark.files > last.files:
            silent_s = max(silent_s, mark.seconds - last.seconds)
            last = mark
        elif mark.files >= files and time.monotonic() - last.seconds > QUIET_S:
            break
        time.sleep(0.05)
    return silent_s


def offsets_of(members: Sequence[dict[str, Any]]) -> dict[tuple[int, int], int]:
    """How often each record was read, by partition and offset."""
    counted: dict[tuple[int, int], int] = {}
    for member in members:
        for partition, stretches in member["offsets"].items():
            for begin, end in stretches:
                for offset in range(begin, end):
                    place = (int(partition), offset)
                    counted[place] = counted.get(place, 0) + 1
    return counted


def _line(row: HostsRow) -> str:
    return (
        f"{row.brokers}, {row.partitions} partitions, 2 x {row.consumers}: {row.files_per_s:,.0f} files/s "
        f"({row.first_files_per_s:,.0f} and {row.second_files_per_s:,.0f}), {row.link_mb:,.0f} MB over the link"
    )
