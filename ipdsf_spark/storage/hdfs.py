"""The storage array in HDFS, by hdfs-native: neither a JVM nor libhdfs is needed for it. Spark writes there by itself.

Name services, their name nodes and how one logs in stand in the files of HADOOP_CONF_DIR, as for every tool of Hadoop;
HADOOP_USER_NAME names the user of a cluster without Kerberos.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ipdsf_spark.errors import InputError, PrerequisiteError
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.naming import first_line, naming

SCHEMES: Final = ("hdfs", "viewfs")
CHUNK: Final = 4 * 2**20
# Of a name node that is named by host and port: no other can take over, and ten times as many take three minutes.
ALONE: Final = {"dfs.client.failover.max.attempts": "3"}


def is_in_hdfs(place: Location) -> bool:
    """Whether a place is in HDFS."""
    return place.url.partition("://")[0].lower() in SCHEMES


def path_of(place: Location) -> str:
    """/folder/file, as HDFS names it: without empty parts; nothing is percent-encoded."""
    return "/" + "/".join(part for part in place.url.partition("://")[2].split("/")[1:] if part)


def client_of(place: Location) -> Any:
    """The client of the cluster in which a place is.

    Raises:
        PrerequisiteError: hdfs-native is not installed.
        InputError: the URL names a cluster that is none.
    """
    scheme, _, rest = place.url.partition("://")
    with _named("reach", place):
        return _client(scheme.lower(), rest.partition("/")[0], os.getpid())


@lru_cache(maxsize=8)
def _client(scheme: str, cluster: str, process: int) -> Any:
    """Of this process: its threads do not come along when one is forked."""
    try:
        from hdfs_native import Client
    except ImportError as error:
        raise PrerequisiteError(f"{scheme}:// is read with hdfs-native: install ipdsf-spark[hdfs] ({error})") from error
    # Without a cluster it is fs.defaultFS that counts.
    return Client(f"{scheme}://{cluster}" if cluster else None, ALONE if ":" in cluster else None)


def kind_of(place: Location) -> str:
    """What a place is: "File", "Directory", or nothing.

    Raises:
        InputError: HDFS cannot be reached.
    """
    with _named("reach", place):
        try:
            return "Directory" if client_of(place).get_file_info(path_of(place)).isdir else "File"
        except FileNotFoundError:
            return ""


def opened(place: Location) -> Any:
    """A file, to be read at any position."""
    return client_of(place).read(path_of(place))


def created(place: Location) -> Any:
    """A file, to be written from its beginning; what was there is no more."""
    client = client_of(place)
    from hdfs_native import WriteOptions

    return client.create(path_of(place), WriteOptions(overwrite=True))


def fetch(place: Location, target: Path) -> None:
    """Copy a file, or a folder with all that is in it, to this machine.

    Args:
        place: in HDFS.
        target: path that is not there yet.

    Raises:
        InputError: nothing is there, or it cannot be read or written.
    """
    kind = kind_of(place)
    if not kind:
        raise InputError(f"{place} does not exist")
    with _named("fetch", place):
        if kind == "File":
            _fetch_file(place, target)
            return
        for found in client_of(place).list_status(path_of(place), True):
            if not found.isdir:
                below = PurePosixPath(found.path).relative_to(path_of(place))
                _fetch_file(place / str(below), target / below)


def _fetch_file(place: Location, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(opened(place), file, CHUNK)


class HdfsFiles:
    """`Files` in HDFS."""

    def exists(self, place: Location) -> bool:
        """Whether there is anything."""
        return bool(kind_of(place))

    def make_folder(self, place: Location) -> None:
        """A folder and its parents."""
        with _named("make", place):
            client_of(place).mkdirs(path_of(place), create_parent=True)

    def files(self, place: Location) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""
        return {PurePosixPath(found.path).name: found.length for found in self._listed(place) if not found.isdir}

    def folders(self, place: Location) -> list[str]:
        """Names of the folders in a folder; empty if there is none."""
        return sorted(PurePosixPath(found.path).name for found in self._listed(place) if found.isdir)

    def move(self, source: Location, target: Location) -> None:
        """Rename a file; what was at the target is replaced in the same moment."""
        with _named("write", target):
            client_of(target).rename(path_of(source), path_of(target), overwrite=True)

    def delete(self, place: Location) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""
        with _named("remove", place):
            client_of(place).delete(path_of(place), recursive=True)

    def delete_if_empty(self, folder: Location) -> None:
        """A folder that holds nothing; nothing happens to any other."""
        if kind_of(folder) == "Directory" and not any(self._listed(folder)):
            with _named("remove", folder):  # not what has come into it since
                client_of(folder).delete(path_of(folder), recursive=False)

    def read(self, place: Location) -> bytes:
        """The content of a file."""
        with _named("read", place):
            return bytes(opened(place).read())

    def write(self, place: Location, content: bytes) -> None:
        """A file, whole or not at all."""
        folder, _, name = place.url.rpartition("/")
        part = Location(f"{folder}/.{name}.part", None)
        with _named("write", place), created(part) as stream:
            stream.write(content)
        self.move(part, place)

    def _listed(self, folder: Location) -> Iterator[Any]:
        with _named("read", folder):
            try:
                yield from client_of(folder).list_status(path_of(folder))
            except FileNotFoundError:
                return


def _named(doing: str, place: Location) -> AbstractContextManager[None]:
    return naming(f"{doing} {place}", _reason_of)


def _reason_of(error: Exception) -> str:
    """What HDFS says, without the frames of the name node."""
    return first_line(error).partition("\\n")[0]
