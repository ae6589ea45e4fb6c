"""The storage array through Hadoop: a mounted path, HDFS or an object store, by one name.

Only the driver of a Spark job uses it; it needs the job's JVM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from ipdsf_spark.errors import InputError


def url_of(root: str, *parts: str) -> str:
    """A URL below the root of the storage array; plain paths become ``file://`` URLs."""
    base = root if "://" in root else Path(root).expanduser().absolute().as_uri()
    return "/".join([base.rstrip("/"), *parts])


class Storage:
    """Files and folders by URL."""

    def __init__(self, spark: SparkSession) -> None:
        jvm: Any = spark.sparkContext._jvm
        self._path = jvm.org.apache.hadoop.fs.Path
        self._charset = jvm.java.nio.charset.StandardCharsets.UTF_8
        self._io = jvm.org.apache.commons.io.IOUtils
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()

    def exists(self, url: str) -> bool:
        """Whether there is anything at `url`."""
        return bool(self._system(url).exists(self._path(url)))

    def make_folder(self, url: str) -> None:
        """A folder and its parents.

        Raises:
            InputError: it cannot be made.
        """
        try:
            is_made = self._system(url).mkdirs(self._path(url))
        except Exception as error:  # py4j wraps whatever the file system throws
            raise InputError(f"cannot make {url} on the storage array: {_reason(error)}") from error
        if not is_made:
            raise InputError(f"cannot make {url} on the storage array")

    def files(self, url: str) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""
        if not self.exists(url):
            return {}
        found = self._system(url).listStatus(self._path(url))
        return {str(f.getPath().getName()): int(f.getLen()) for f in found if f.isFile()}

    def move(self, source: str, target: str) -> None:
        """Rename within the storage array; what was at the target is replaced."""
        system = self._system(target)
        system.delete(self._path(target), False)
        if not system.rename(self._path(source), self._path(target)):
            raise InputError(f"cannot move {source} to {target} on the storage array")

    def delete(self, url: str) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""
        self._system(url).delete(self._path(url), True)

    def read(self, url: str) -> str:
        """The text of a file.

        Raises:
            InputError: it cannot be read.
        """
        try:
            stream = self._system(url).open(self._path(url))
            try:
                return str(self._io.toString(stream, self._charset))
            finally:
                stream.close()
        except Exception as error:  # py4j wraps whatever the file system throws
            raise InputError(f"cannot read {url}: {_reason(error)}") from error

    def write(self, url: str, text: str) -> None:
        """A text file, whole or not at all."""
        part = f"{url}.part"
        try:
            stream = self._system(url).create(self._path(part), True)
            try:
                stream.write(bytearray(text.encode("utf-8")))
            finally:
                stream.close()
        except Exception as error:  # py4j wraps whatever the file system throws
            raise InputError(f"cannot write {url}: {_reason(error)}") from error
        self.move(part, url)

    def _system(self, url: str) -> Any:
        return self._path(url).getFileSystem(self._configuration)


def _reason(error: Exception) -> str:
    java = getattr(error, "java_exception", None)
    return str(java.getMessage() if java is not None else error)
