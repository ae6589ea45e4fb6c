"""[sites] where the table of sites lies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SitesConfig:
    """Where the table of sites lies."""

    file: str = "sites.toml"  # relative to the configuration file that names it
