"""SIGTERM and Ctrl-C let a streaming job finish its batch."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType

logger = logging.getLogger(__name__)


def stop_on_signals(ask: Callable[[], None]) -> None:
    """Call `ask` on SIGTERM and SIGINT, and tell spark-submit.sh where to send them."""

    def asked(number: int, frame: FrameType | None) -> None:
        logger.warning("signal %s: stopping after this batch", signal.Signals(number).name)
        ask()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, asked)
    if pid_file := os.environ.get("IPDSF_PID_FILE"):
        Path(pid_file).write_text(str(os.getpid()))  # spark-submit.sh sends its SIGTERM here
