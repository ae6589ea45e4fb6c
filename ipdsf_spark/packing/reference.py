"""A data set by name: what the driver finds out and hands to every worker."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

from pyspark.sql import SparkSession

from ipdsf_spark.config import Config
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.local_copy import DatasetReference
from ipdsf_spark.packing.manifest import ENHANCEMENT_FILE, MANIFEST_FILE, Manifest
from ipdsf_spark.storage.hadoop import Storage, url_of


def reference_of(
    config: Config, name: str, *, split: str = "train", spark: SparkSession | None = None
) -> DatasetReference:
    """A split of a packed data set.

    Args:
        config: [storage].
        name: of the data set.
        split: "train" or "test".
        spark: needed where the storage array is no mounted path.

    Raises:
        InputError: there is no such data set, or it is damaged.
    """
    root = url_of(config.storage.root, "cubes", name)
    texts = {}
    for file in (MANIFEST_FILE, ENHANCEMENT_FILE):
        url = f"{root}/{file}"
        try:
            texts[file] = _text(url, spark)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"there is no data set {name!r} at {url} ({error}); `ipdsf ct pack` makes one") from error
    manifest = Manifest.from_json(texts[MANIFEST_FILE], origin=f"{root}/{MANIFEST_FILE}")
    enhancement = Enhancement.from_json(texts[ENHANCEMENT_FILE])
    if enhancement.sha256 != manifest.enhancement_sha256:
        raise InputError(f"{root}/{ENHANCEMENT_FILE} is not the one the data set was packed with")
    return DatasetReference(root, manifest, enhancement, split)


def is_mounted(root: str) -> bool:
    """Whether the storage array is a path of this machine."""
    return urlparse(url_of(root)).scheme == "file"


def _text(url: str, spark: SparkSession | None) -> str:
    parsed = urlparse(url)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path)).read_text(encoding="utf-8")
    if spark is None:
        raise InputError(f"{url} is no mounted path: start with --workers, so that Spark can read it")
    return Storage(spark).read(url)
