"""The storage array in a bucket of an object store (S3 and what speaks like it), by pyarrow: no JVM is needed for it.

There is no rename and no folder. A PUT replaces an object whole or not at all, so files are written in place; what is
moved is copied, which replaces the target in one step too, and then removed. Files of more than 5 GB cannot be copied.

Credentials, region and endpoint are those of every tool of S3: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE or
the machine's role; AWS_REGION; AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL for a store of one's own.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.naming import naming

SCHEMES: Final = ("s3", "s3a")
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
TIMEOUT_S: Final = 20.0
CHUNK: Final = 4 * 2**20


def is_in_object_store(place: Location) -> bool:
    """Whether a place is an object of S3."""
    return place.url.partition("://")[0].lower() in SCHEMES


def key_of(place: Location) -> str:
    """bucket/key, as pyarrow names objects.

    Raises:
        InputError: the URL names no bucket, or holds credentials, which would come into logs.
    """
    bucket, _, key = place.url.partition("://")[2].partition("/")
    if "@" in bucket:
        raise InputError(f"{place}: credentials stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, not in a URL")
    if not bucket:
        raise InputError(f"{place} names no bucket")
    return f"{bucket}/{key}".rstrip("/")


def endpoint() -> str:
    """URL of a store of one's own; empty for that of AWS."""
    return next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), "")


def region() -> str:
    """As the environment says; empty where it does not."""
    return next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), "")


def filesystem() -> Any:
    """The file system of the object store."""
    return _filesystem(endpoint(), region(), os.environ.get("AWS_ACCESS_KEY_ID", ""))


@lru_cache(maxsize=4)
def _filesystem(endpoint: str, region: str, access_key: str) -> Any:
    from pyarrow import fs

    scheme, _, host = endpoint.rpartition("://")
    own = {"endpoint_override": host.rstrip("/"), "scheme": scheme or "https"} if endpoint else {}
    where = {"region": region or "us-east-1"} if region or endpoint else {}
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=3)
    return fs.S3FileSystem(retry_strategy=retries, connect_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S, **own, **where)


def kind_of(place: Location) -> str:
    """What a place is: "File", "Directory", or nothing.

    Raises:
        InputError: the store cannot be reached.
    """
    with _named("reach", place):
        kind = str(filesystem().get_file_info(key_of(place)).type.name)
        return "" if kind == "NotFound" else kind


def fetch(place: Location, target: Path) -> None:
    """Copy a file, or a folder with all that is in it, to this machine.

    Args:
        place: of the store.
        target: path that is not there yet.

    Raises:
        InputError: nothing is there, or it cannot be read or written.
    """
    from pyarrow import fs

    kind = kind_of(place)
    if not kind:
        raise InputError(f"{place} does not exist")
    with _named("fetch", place):
        if kind == "File":
            _fetch_file(key_of(place), target)
            return
        for info in filesystem().get_file_info(fs.FileSelector(key_of(place), recursive=True)):
            below = PurePosixPath(info.path[len(key_of(place)) + 1 :])
            if ".." in below.parts or below.is_absolute():
                raise InputError(f"{place} holds an object called {below}, which no folder can hold")
            if info.is_file:
                _fetch_file(info.path, target / below)


def _fetch_file(key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with filesystem().open_input_stream(key, compression=None) as stream, target.open("xb") as file:
        shutil.copyfileobj(stream, file, CHUNK)


class ObjectFiles:
    """`Files` in a bucket."""

    def exists(self, place: Location) -> bool:
        """Whether there is anything."""
        return bool(kind_of(place))

    def make_folder(self, place: Location) -> None:
        """Nothing: a folder is there when something is in it."""
        key_of(place)

    def files(self, place: Location) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""
        return {info.base_name: info.size for info in self._listed(place) if info.is_file}

    def folders(self, place: Location) -> list[str]:
        """Names of the folders in a folder; empty if there is none."""
        return sorted(info.base_name for info in self._listed(place) if not info.is_file)

    def move(self, source: Location, target: Location) -> None:
        """Copy a file, which replaces what was at the target in one step, and remove the source."""
        with _named("write", target):
            filesystem().copy_file(key_of(source), key_of(target))
        self.delete(source)

    def delete(self, place: Location) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""
        kind = kind_of(place)
        with _named("remove", place):
            if kind == "File":
                filesystem().delete_file(key_of(place))
            elif kind == "Directory":
                filesystem().delete_dir(key_of(place))

    def delete_if_empty(self, folder: Location) -> None:
        """What stands for a folder that holds nothing; nothing happens to any other."""
        if not self._listed(folder):
            self.delete(folder)

    def read(self, place: Location) -> bytes:
        """The content of a file."""
        with _named("read", place), filesystem().open_input_stream(key_of(place), compression=None) as stream:
            return bytes(stream.read())

    def write(self, place: Location, content: bytes) -> None:
        """A file, whole or not at all: it is there when the store has all of it."""
        with _named("write", place), filesystem().open_output_stream(key_of(place), compression=None) as stream:
            stream.write(content)

    def _listed(self, folder: Location) -> list[Any]:
        from pyarrow import fs

        with _named("read", folder):
            found = filesystem().get_file_info(fs.FileSelector(key_of(folder), allow_not_found=True))
            return sorted(found, key=lambda info: str(info.base_name))


def _named(doing: str, place: Location) -> AbstractContextManager[None]:
    return naming(f"{doing} {place}", _reason_of)


def _reason_of(error: Exception) -> str:
    """What the store says, in one line and without what it quotes of a login."""
    said = " ".join((str(error) or type(error).__name__).split())
    return re.sub(r"(?i)(AccessKeyId|SecretAccessKey|Signature)\W+\S+", r"\1 …", said)
