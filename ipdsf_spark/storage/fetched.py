"""Volumes by URL: what lies in an object store or in HDFS, as files of this machine for as long as it is worked on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage import hdfs, object_store
from ipdsf_spark.storage.location import Location, location_of

READABLE: Final = "volumes are read from paths of this machine, file://, s3:// or s3a:// and hdfs:// URLs"


def require_volume(said: str) -> None:
    """Refuse what is not there, or not reached, before anything is begun.

    Raises:
        InputError: it is neither file nor folder, or in a file system that volumes are not read from.
    """
    place = _readable(said)
    is_there = _client_of(place).kind_of(place) if place.path is None else place.path.exists()
    if not is_there:
        raise InputError(f"{place} does not exist")


@contextmanager
def fetched(said: str) -> Iterator[Path]:
    """A volume's file or folder on this machine; a copy of what lies elsewhere is removed at the end.

    Args:
        said: path or URL.

    Raises:
        InputError: it is not there, out of reach, or in a file system that volumes are not read from.
    """
    place = _readable(said)
    if place.path is not None:
        yield place.path
        return
    with tempfile.TemporaryDirectory(prefix="ipdsf-ct-") as folder:
        copy = Path(folder) / place.url.rpartition("/")[2]
        _client_of(place).fetch(place, copy)
        yield copy


def _readable(said: str) -> Location:
    if not said.strip():  # a variable that was not set: not the folder one happens to stand in
        raise InputError("the path of a volume is empty")
    place = location_of(said)
    if place.path is None and not (object_store.is_in_object_store(place) or hdfs.is_in_hdfs(place)):
        raise InputError(f"{place}: {READABLE}")
    return place


def _client_of(place: Location) -> ModuleType:
    return hdfs if hdfs.is_in_hdfs(place) else object_store
