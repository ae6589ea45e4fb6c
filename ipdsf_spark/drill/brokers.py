"""Faults of Kafka's brokers and of the way to them."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Final

from ipdsf_spark.devkafka.namespaces import FarHost
from ipdsf_spark.devkafka.processes import children_of, send_signal
from ipdsf_spark.devkafka.spread import SpreadKafka
from ipdsf_spark.drill.ground import HEAP_MB, Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.kafka.topics import admin

CUT: Final = "cut"


def broker_killed(ground: Ground) -> Found:
    """One of two brokers is killed under load, and comes back only after everything is well."""
    job = ground.stream()
    warmed_up(ground, job)
    before = ground.send(TURNS)
    ground.kafka.stop_node(2, how=signal.SIGKILL)
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job)
    ground.kafka.start_node(2)
    return found


def broker_emptied(ground: Ground) -> Found:
    """One of two brokers is killed, loses its disk, and comes back with an empty one."""
    job = ground.stream()
    warmed_up(ground, job)
    before = ground.send(TURNS)
    ground.kafka.stop_node(1, how=signal.SIGKILL)
    data = next(Path(node.directory) for node in ground.kafka.nodes if node.id == 1) / "data"
    shutil.rmtree(data)
    ground.kafka.start_node(1)
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job)
    await_copies(ground)
    return found


def network_silent(ground: Ground) -> Found:
    """Nothing answers any more, and no connection is closed: what a cut line looks like from both ends."""
    job = ground.stream(is_supervised=True)
    warmed_up(ground, job)
    during = ground.send(TURNS)
    frozen = [pid for node in ground.kafka.nodes for pid in children_of(node.pid, or_self=True)]
    lasts_s = 10.0 if ground.is_short else 120.0
    for pid in frozen:
        send_signal(pid, signal.SIGSTOP)
    try:
        ground.deadline.pause(lasts_s)
    finally:
        for pid in frozen:
            send_signal(pid, signal.SIGCONT)
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(during, after, job=job)
    return found.with_remark(how_it_went_on(ground))


def network_cut(ground: Ground) -> Found:
    """The link to the broker's host is down for minutes: what is sent goes nowhere, and nobody says so."""
    far = ground.stack.enter_context(FarHost())
    kafka = ground.stack.enter_context(SpreadKafka(ground.folder / "far", (far.host,), heap_mb=HEAP_MB))
    ground.topics(CUT, bootstrap=kafka.bootstrap_servers, copies=1)
    job = ground.stream(network=CUT, is_supervised=True)
    warmed_up(ground, job)
    during = ground.send(TURNS)
    far.cut()
    try:
        ground.deadline.pause(10.0 if ground.is_short else 120.0)
    finally:
        far.mend()
    ground.mark()
    after = ground.send(TURNS)
    return ground.recovered(during, after, job=job).with_remark(how_it_went_on(ground))


def how_it_went_on(ground: Ground) -> str:
    """For the table."""
    if ground.num_restarts:
        return f"the job ended {ground.num_restarts} time(s) and was started again by its supervisor"
    return "the job went on by itself"


def await_copies(ground: Ground) -> None:
    """Wait until every broker has its copy of every partition again."""
    kafka = ground.config.kafka
    client = admin(kafka, kafka.bootstrap_servers)

    def is_sound() -> bool:
        listed = client.list_topics(timeout=10.0).topics.values()
        return all(len(part.isrs) == len(part.replicas) for topic in listed for part in topic.partitions.values())

    ground.deadline.until(is_sound, "every partition to have both copies")
