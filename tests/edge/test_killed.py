"""The agent killed at every step of its work, one after the other: nothing lost, nothing twice."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter

import pytest
from edge_node import Node, records_of
from killed_agent import NO_SUCH_STEP, STEPS, killed_at
from test_growth import MESSAGE, log


@pytest.mark.long
@pytest.mark.kafka
def test_an_agent_killed_at_any_step_neither_loses_nor_repeats(connected: Node) -> None:
    clean = multiprocessing.get_context("forkserver")  # this process has threads of Kafka's clients
    clean.set_forkserver_preload(["ipdsf_spark.edge.agent"])
    written = []
    connected.write("day.dat", log(1))
    first = connected.agent()
    assert connected.passes(first)
    first.close()
    step = 0
    was_killed = True
    while was_killed:
        step += 1
        written.append(b"file of step %d" % step)
        connected.write(f"{step}.dat", written[-1])
        connected.append("day.dat", b"-2026-07-01 00:%02d:00\r\n" % step + MESSAGE)
        process = clean.Process(target=killed_at, args=(step, connected))
        process.start()
        process.join(60)
        assert process.exitcode in {-signal.SIGKILL, NO_SUCH_STEP}
        was_killed = process.exitcode != NO_SUCH_STEP
        connected.clocks.passes(100.0)
        again = connected.agent()
        assert connected.passes(again)
        again.close()

    records = records_of(connected)
    assert step > 2 * len(STEPS)
    assert Counter(each.value for each in records if each.headers["file"] != "day.dat") == Counter(written)
    parts = sorted((int(each.headers["offset"]), each.value) for each in records if each.headers["file"] == "day.dat")
    assert b"".join(value for _, value in parts) == (connected.watched / "day.dat").read_bytes()
    numbers = [int(each.headers["seq"]) for each in records]
    assert numbers == sorted(set(numbers))
