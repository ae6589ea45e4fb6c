"""Where queries keep their progress."""

from __future__ import annotations

from pathlib import Path

from ipdsf_spark.config import Config


def checkpoint_directory(config: Config) -> Path:
    """The folder of all queries; each has one of its own below it."""
    return Path(config.stream.directory).expanduser() / "checkpoint"
