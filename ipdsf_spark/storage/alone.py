"""One process at a time for a folder that is worked in for years: an agent's, or the checkpoint of a job.

The kernel holds the lock and gives it back when the process ends, however it ends. It lies on the folder itself, so
that a disk that is full or read-only is no hindrance; a disk without such locks, or on which there is no folder yet and
none can be made, goes unlocked, for whoever is restarted by itself has to begin there as well.
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
def alone(root: Path, taken: str) -> Iterator[None]:
    """Keep every other process from the folder of this one.

    Args:
        root: the folder.
        taken: what to say to whoever comes second.

    Raises:
        InputError: another process works there.
    """
    held, missing = None, [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if held is not None:
            os.close(held)
        raise InputError(f"{taken}: leave it to that one, or end it first") from error
    except OSError as error:
        logger.debug("%s is not locked: %s", root, error)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()  # empty: nothing has begun
        if held is not None:
            os.close(held)
