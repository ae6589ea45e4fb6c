"""A round of the agent that SIGKILL ends at one of its steps; apart from the test, so that the process begins fast."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from edge_node import Node

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
NO_SUCH_STEP = 7


def killed_at(step: int, node: Node) -> None:
    """A round of the agent in a process of its own, which SIGKILL ends before or after the `step`-th of its steps."""
    passed = 0

    def reached() -> None:
        nonlocal passed
        passed += 1
        if passed == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def dies_at_it(real: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **more: Any) -> Any:
            reached()
            result = real(*args, **more)
            reached()
            return result

        return act

    for owner, name in STEPS:
        setattr(owner, name, dies_at_it(getattr(owner, name)))
    agent = node.agent()
    node.passes(agent)
    agent.close()
    os._exit(NO_SUCH_STEP)
