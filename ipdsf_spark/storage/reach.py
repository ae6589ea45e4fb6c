"""Which client reaches a place of the storage array."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.files import Files, LocalFiles
from ipdsf_spark.storage.hdfs import HdfsFiles, is_in_hdfs
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.object_store import ObjectFiles, is_in_object_store

REACHED: Final = "a folder of this machine or a mounted one, s3://, s3a:// and hdfs:// are what is reached"


def files_of(place: Location) -> Files:
    """The storage array of a place.

    Raises:
        InputError: it is in a file system that is not reached.
    """
    if place.path is not None:
        return LocalFiles()
    if is_in_object_store(place):
        return ObjectFiles()
    if is_in_hdfs(place):
        return HdfsFiles()
    raise InputError(f"{place}: {REACHED}")
