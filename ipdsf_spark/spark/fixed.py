"""What a checkpoint fixes: written beside it when it begins, compared whenever it goes on."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import ConfigError

FILE: Final = "parameters.txt"
CHECKSUM: Final = "crc32"
RESTORE: Final = (
    "bring the folder of the checkpoint back from a copy, or move it away: the stream then begins at "
    "stream.starting_offsets"
)


def held_parameters(directory: Path) -> dict[str, str]:
    """What was written beside the checkpoint; empty if there is none.

    Raises:
        ConfigError: the file is not what was written.
    """
    path = directory / FILE
    try:
        text = path.read_text(encoding="utf-8")
        held = dict(line.split("=", 1) for line in text.splitlines())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is damaged ({error}): {RESTORE}") from error
    if not held or held.pop(CHECKSUM, told := checksum_of(held)) != told:
        raise ConfigError(f"{path} is damaged ({CHECKSUM} is not that of its lines): {RESTORE}")
    return held


def checksum_of(parameters: Mapping[str, str]) -> str:
    """By which a line that was cut or lost is noticed; files of before have none."""
    lines = "".join(f"{name}={value}\n" for name, value in parameters.items() if name != CHECKSUM)
    return f"{zlib.crc32(lines.encode()):08x}"


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
    lines = {CHECKSUM: checksum_of(told), **told}  # first: what is lost at the end is noticed
    part.write_text("".join(f"{name}={value}\n" for name, value in lines.items()), encoding="utf-8")
    part.replace(directory / FILE)
