"""Where things lie: one text of the configuration as a path of this machine and as a URL for Hadoop.

Hadoop's `Path` takes its text as it is: a blank stays a blank and `%41` stays `%41`. So a plain path never becomes a
percent-encoded URL here, whatever characters it has; only `file://` URLs, which a person may have encoded, are decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from ipdsf_spark.errors import ConfigError, InputError

SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
FILE_URL: Final = re.compile(r"file:(?://(?:localhost)?(?=/)|(?=/(?!/)))", re.IGNORECASE)
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Location:
    """A file or folder of the storage array.

    Attributes:
        url: for Hadoop, nothing percent-encoded.
        path: on this machine; None where only Hadoop reaches it.
    """

    url: str
    path: Path | None

    def __truediv__(self, name: str) -> Location:
        return Location(f"{self.url.rstrip('/')}/{name}", None if self.path is None else self.path / name)

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else re.sub(r"//[^/@]*@", "//", self.url)


def location_of(text: str, *parts: str) -> Location:
    """What a text of the configuration or of a command names, and parts below it.

    Args:
        text: plain path (any characters, `~` for the home folder), `file://` URL, or URL of another file system.
        parts: names of folders and files below it.

    Raises:
        InputError: a file URL that names another host, or the home folder of a user who is none.
    """
    found = FILE_URL.match(text)
    if found:
        location = _local(Path(unquote(text[found.end() :])))
    elif text.lower().startswith("file://"):
        raise InputError(f"{text} names a host; a file URL is file:///path")
    elif SCHEME.match(text):
        location = Location(text.rstrip("/"), None)
    else:
        try:
            location = _local(Path(text).expanduser().absolute())
        except RuntimeError as error:
            raise InputError(f"{text}: whose home folder that is, this machine does not know") from error
    for part in parts:
        location /= part
    return location


def mounted(text: str, key: str) -> Path:
    """A folder of this machine, or one that it has mounted.

    Args:
        text: as for `location_of`.
        key: of the configuration, for the message.

    Raises:
        ConfigError: it is the URL of another file system.
    """
    place = location_of(text)
    if place.path is None:
        raise ConfigError(f"{key} must be a folder of this machine or one that it has mounted, got {place}")
    return place.path


def require_name(name: str, *, of: str) -> str:
    """A name that can be that of a folder and of nothing else.

    Args:
        name: to be checked.
        of: what it names, for the message.

    Raises:
        InputError: it has other characters, or too many.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"the name of a {of} has letters, digits, dots, dashes and underscores and begins with a letter or digit, "
            f"got {name!r}"
        )
    return name


def _local(path: Path) -> Location:
    return Location(f"file://{path}", path)
