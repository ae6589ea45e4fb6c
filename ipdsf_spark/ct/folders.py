"""What lies in a folder, for all who look: they must see the same files, also behind links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def entries_of(folder: Path) -> Iterator[Path]:
    """Everything below a folder, also behind links to folders; each folder once, so that links in a circle end.

    A link that leads back to a folder above is not followed: what lies beside the folder is not in it.
    """
    seen = {folder.resolve(), *folder.resolve().parents}
    for here, folders, names in os.walk(folder, followlinks=True):
        yield from (Path(here, name) for name in names)
        real = {name: Path(here, name).resolve() for name in folders}
        above = set(Path(here).resolve().parents)
        folders[:] = [name for name in folders if real[name] not in seen | above]
        seen.update(real.values())
