"""The storage array through Hadoop: HDFS or an object store, by URL. Needs the JVM of a Spark session."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from pyspark.sql import SparkSession

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.naming import first_line, naming


class HadoopFiles:
    """`Files` by URL."""

    def __init__(self, spark: SparkSession) -> None:
        jvm: Any = spark.sparkContext._jvm
        self._hadoop = jvm.org.apache.hadoop.fs
        self._io = jvm.org.apache.commons.io.IOUtils
        self._configuration = spark.sparkContext._jsc.hadoopConfiguration()
        gateway: Any = spark.sparkContext._gateway
        self._overwrite = gateway.new_array(self._hadoop.Options.Rename, 1)
        self._overwrite[0] = self._hadoop.Options.Rename.OVERWRITE

    def exists(self, place: Location) -> bool:
        """Whether there is anything."""
        with _named("reach", place):
            return bool(self._system(place).exists(self._path(place)))

    def make_folder(self, place: Location) -> None:
        """A folder and its parents."""
        with _named("make", place):
            is_made = self._system(place).mkdirs(self._path(place))
        if not is_made:
            raise InputError(f"cannot make {place} on the storage array")

    def files(self, place: Location) -> dict[str, int]:
        """Names and bytes of the files in a folder; empty if there is none."""
        with _named("read", place):
            if not self.exists(place):
                return {}
            found = self._system(place).listStatus(self._path(place))
            return {str(f.getPath().getName()): int(f.getLen()) for f in found if f.isFile()}

    def folders(self, place: Location) -> list[str]:
        """Names of the folders in a folder; empty if there is none."""
        with _named("read", place):
            if not self.exists(place):
                return []
            found = self._system(place).listStatus(self._path(place))
            return sorted(str(f.getPath().getName()) for f in found if f.isDirectory())

    def move(self, source: Location, target: Location) -> None:
        """Rename a file; what was at the target is replaced in the same moment, as far as the file system can."""
        with _named("write", target):
            context = self._hadoop.FileContext.getFileContext(self._path(target).toUri(), self._configuration)
            context.rename(self._path(source), self._path(target), self._overwrite)

    def delete(self, place: Location) -> None:
        """A file, or a folder with all that is in it; nothing if it is not there."""
        with _named("remove", place):
            self._system(place).delete(self._path(place), True)

    def delete_if_empty(self, folder: Location) -> None:
        """A folder that holds nothing; nothing happens to any other."""
        with _named("remove", folder):
            system, path = self._system(folder), self._path(folder)
            if system.exists(path) and not len(system.listStatus(path)):
                system.delete(path, False)

    def read(self, place: Location) -> bytes:
        """The content of a file."""
        with _named("read", place):
            stream = self._system(place).open(self._path(place))
            try:
                return bytes(self._io.toByteArray(stream))
            finally:
                stream.close()

    def write(self, place: Location, content: bytes) -> None:
        """A file, whole or not at all."""
        part = Location(f"{place.url}.part", None)
        with _named("write", place):
            self._written(part, content)
        self.move(part, place)

    def _written(self, place: Location, content: bytes) -> None:
        stream = self._system(place).create(self._path(place), True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def _path(self, place: Location) -> Any:
        return self._hadoop.Path(place.url)

    def _system(self, place: Location) -> Any:
        return self._path(place).getFileSystem(self._configuration)


def _named(doing: str, place: Location) -> AbstractContextManager[None]:
    return naming(f"{doing} {place}", reason_of)


def reason_of(error: Exception) -> str:
    """The innermost reason of an error of the JVM, in one line."""
    java: Any = getattr(error, "java_exception", None)
    if java is None:
        return first_line(error)
    for _ in range(20):
        cause = java.getCause()
        if cause is None:
            break
        java = cause
    message = java.getMessage() or java.getClass().getName()
    return str(message).splitlines()[0]
