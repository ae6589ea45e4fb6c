"""One agent at a time for a site: two would number and send the same files, and clear away each other's copies.

The kernel holds the lock and gives it back when the process ends, however it ends. It lies on the folder itself, so
that a disk that is full or read-only is no hindrance; a disk without such locks, or on which there is no folder yet and
none can be made, goes unlocked, for an agent has to begin there as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipdsf_spark.errors import InputError

logger = logging.getLogger(__name__)


@contextmanager
def alone(root: Path, site: str) -> Iterator[None]:
    """Keep every other agent from the folder of this one.

    Args:
        root: folder of the agent.
        site: whose files it sends.

    Raises:
        InputError: another process works there.
    """
    held, is_found = None, root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if held is not None:
            os.close(held)
        raise InputError(
            f"another agent sends the files of {site} from {root}: leave it to that one, or end it first"
        ) from error
    except OSError as error:
        logger.debug("%s is not locked: %s", root, error)
    try:
        yield
    finally:
        if not is_found:
            with contextlib.suppress(OSError):
                root.rmdir()  # empty: this agent has not begun
        if held is not None:
            os.close(held)
