"""How a section refuses a value."""

from __future__ import annotations

from ipdsf_spark.errors import ConfigError


def require(condition: bool, name: str, right: str, got: object) -> None:
    """Refuse a value.

    Raises:
        ConfigError: `condition` does not hold; the message names the key and what would be right.
    """
    if not condition:
        raise ConfigError(f"{name} must be {right}, got {got!r}")
