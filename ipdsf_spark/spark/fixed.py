"""What a checkpoint fixes: written beside it when it begins, compared whenever it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import ConfigError

FILE: Final = "parameters.txt"


def held_parameters(directory: Path) -> dict[str, str]:
    """What was written beside the checkpoint; empty if there is none."""
    path = directory / FILE
    if not path.exists():
        return {}
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def require_same(
    directory: Path, held: Mapping[str, str], wanted: Mapping[str, str], *, unstated: str, way_on: str
) -> None:
    """Refuse what a checkpoint cannot change.

    Args:
        directory: of the checkpoint.
        held: its parameters; empty for a new one.
        wanted: those of the configuration.
        unstated: value of a parameter that an older version did not write.
        way_on: what is right instead, for the message.

    Raises:
        ConfigError: the configuration asks for something else.
    """
    changed = [
        f"{name} was {held.get(name, unstated)}, is {value}"
        for name, value in wanted.items()
        if held and held.get(name, unstated) != value
    ]
    if changed:
        raise ConfigError(
            f"the checkpoint in {directory} was written with other parameters ({'; '.join(changed)}): {way_on}"
        )


def keep_parameters(directory: Path, told: Mapping[str, str]) -> None:
    """Write them, whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    part = (directory / FILE).with_suffix(".part")
    part.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    part.replace(directory / FILE)
