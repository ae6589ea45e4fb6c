"""The agent ended at every step of its work, one after the other: nothing lost, nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from edge_node import Node, records_of
from test_growth import MESSAGE, log

from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.sender import Sender
from ipdsf_spark.edge.store import Store

STEPS: Final[tuple[tuple[type, str], ...]] = (
    (Store, "stage"),
    (Store, "commit"),
    (Journal, "_write"),
    (Sender, "_produce"),
    (Sender, "_finish"),
    (Store, "move"),
)


class Killed(BaseException):
    """Nothing of the agent handles this, as it would not handle SIGKILL."""


@contextmanager
def killed_at(step: int) -> Iterator[None]:
    """The agent ends before or after one of its steps, the `step`-th of all."""
    passed = 0

    def ends_here(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **more: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed == step:
                raise Killed
            result = real(*args, **more)
            passed += 1
            if passed == step:
                raise Killed
            return result

        return act

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, ends_here(getattr(owner, name)))
        yield


@pytest.mark.kafka
def test_an_agent_ended_at_any_step_neither_loses_nor_repeats(connected: Node) -> None:
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
        agent = connected.agent()
        was_killed = False
        with killed_at(step):
            try:
                connected.passes(agent)
            except Killed:
                was_killed = True
        if agent.sender._producer is not None:  # a process that is gone sends no more
            agent.sender._producer.purge()
            agent.sender._producer.flush(5.0)
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
