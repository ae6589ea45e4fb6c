"""What a model says of the data it was trained on: names, pseudonyms and hashes, never paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FROM_SET: Final = ("dataset", "overlap", "pseudonyms")


def data_facts(
    stated: Mapping[str, Any], *, studies: tuple[str, ...] = (), overlap: int | None = None
) -> dict[str, Any]:
    """Facts for the model.

    Args:
        stated: what the set of cubes says of itself (`DatasetReference.facts`, `set.json`).
        studies: names of its volumes, for sets of earlier versions that do not say them.
        overlap: of cubes, for the same.
    """
    volumes = list(stated.get("volumes", ()))
    return {
        **{name: stated[name] for name in FROM_SET if name in stated},
        "dataset_sha256": stated.get("sha256", ""),
        "overlap": stated.get("overlap", overlap),
        "trained_on": [volume["name"] for volume in volumes] or sorted(studies),
        "trained_on_volumes": volumes,
    }
