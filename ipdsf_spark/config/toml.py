"""TOML as people write it: whatever is wrong with it is a `ConfigError`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from ipdsf_spark.errors import ConfigError


def text_of(path: Path, what: str) -> str:
    """The text of a file.

    Args:
        path: of it.
        what: it is, for the error.

    Raises:
        ConfigError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {what} {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def parsed(text: str, where: str) -> dict[str, Any]:
    """The tables of a text.

    The parser of the standard library says more than its own error: a number of more than 4300 digits is a plain
    `ValueError`, and what is nested too deep a `RecursionError`.

    Args:
        text: TOML.
        where: it stands, for the error.

    Raises:
        ConfigError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{where} holds a number that nobody needs: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{where} is nested too deep") from error


def written(value: object) -> str:
    """A text, number, truth or list as TOML has it: as JSON, which may hold one letter that TOML forbids.

    Raises:
        ConfigError: a text is not Unicode, such as a path of other bytes.
    """
    said = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if any("\ud800" <= letter <= "\udfff" for letter in said):
        raise ConfigError(f"{value!r} cannot stand in a configuration, which is UTF-8: choose another name")
    return said
