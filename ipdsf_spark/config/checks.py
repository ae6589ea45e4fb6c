"""How a section refuses a value."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.errors import ConfigError

MOST_SHOWN: Final = 100  # letters of a value in an error


def require(condition: bool, name: str, right: str, got: object) -> None:
    """Refuse a value.

    Raises:
        ConfigError: `condition` does not hold; the message names the key and what would be right.
    """
    if not condition:
        raise ConfigError(f"{name} must be {right}, got {shown(got)}")


def shown(value: object) -> str:
    """A value as an error shows it; not all of it where it is long."""
    try:
        said = repr(value)
    except (ValueError, RecursionError):
        return "one too long to show"
    return said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]} …"
