"""JSON schemas of every record that the stream publishes, one file per kind.

    record_schema("layers")          the schema of records of that kind, JSON Schema 2020-12
    KINDS                            all of them

Values of products and sites are JSON of that form. An average is an Arrow row, described as it reads in JSON; a dead
letter's schema is that of its headers, all of them text.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Final

KINDS: Final = (
    *("layers", "layers_hourly", "air_quality", "edges", "targets", "calibration", "forecast"),
    *("site", "averages", "dead_letter"),
    *("network", "network_components", "network_site", "network_alarm", "network_fill"),
)


def record_schema(kind: str) -> dict[str, Any]:
    """The schema of a kind of records.

    Raises:
        KeyError: there is no such kind.
    """
    if kind not in KINDS:
        raise KeyError(f"no schema of {kind!r}; there are {', '.join(KINDS)}")
    found: dict[str, Any] = json.loads(resources.files(__name__).joinpath(f"{kind}.json").read_text("utf-8"))
    return found
