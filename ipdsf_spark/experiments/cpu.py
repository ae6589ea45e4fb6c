"""CPU seconds of a process and what it has started, without the broker, which is neither side's."""

from __future__ import annotations

from collections.abc import Collection

import psutil

from ipdsf_spark.devkafka import EmbeddedKafka


def cpu_s(process: psutil.Process, *, without: Collection[int] = ()) -> float:
    """CPU seconds of a process and all its living descendants.

    Args:
        process: the root.
        without: process ids that are left out with all their descendants.
    """
    if process.pid in without:
        return 0.0
    try:
        times = process.cpu_times()
        children = process.children()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system) + sum(cpu_s(child, without=without) for child in children)


def processes_of(kafka: EmbeddedKafka) -> frozenset[int]:
    """Process ids of a broker that this process has started."""
    return frozenset(node.pid for node in kafka.nodes)
