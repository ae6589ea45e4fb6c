"""The files a user names: single ones, folders, glob patterns."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError

LARGEST_FILE_BYTES: Final = 1 << 30
WILDCARDS: Final = frozenset("*?[")


def files_of(paths: Iterable[str]) -> Iterator[str]:
    """Every file that `paths` name, folders with all that lies below them, in order of name."""
    for path in paths:
        if Path(path).is_dir():
            yield from (str(inner) for inner in sorted(Path(path).rglob("*")) if inner.is_file())
        elif WILDCARDS & set(path) and not Path(path).exists():
            yield from sorted(glob.glob(path, recursive=True)) or [path]
        else:
            yield path


def bytes_of(path: str) -> bytes:
    """The bytes of one file.

    Raises:
        InputError: it cannot be read, or is far too large for a ceilometer's.
    """
    try:
        size = Path(path).stat().st_size
        if size > LARGEST_FILE_BYTES:
            raise InputError(f"{path} has {size} bytes; a ceilometer file has at most {LARGEST_FILE_BYTES}")
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
