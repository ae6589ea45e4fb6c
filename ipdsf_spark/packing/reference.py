"""A data set by name: what the driver finds out and hands to every worker."""

from __future__ import annotations

from ipdsf_spark.config import Config
from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.local_copy import DatasetReference
from ipdsf_spark.packing.manifest import CUBES_FOLDER, ENHANCEMENT_FILE, MANIFEST_FILE, STAGING_FOLDER, Manifest
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location, location_of, require_name
from ipdsf_spark.storage.reach import files_of


def reference_of(config: Config, name: str, *, split: str = "train") -> DatasetReference:
    """A split of a packed data set.

    Args:
        config: [storage].
        name: of the data set.
        split: "train" or "test".

    Raises:
        InputError: there is no such data set, or it is damaged.
    """
    place = place_of(config, name)
    files = files_of(place)
    manifest = manifest_at(files, place, name)
    return DatasetReference(place, manifest, enhancement_at(files, place, manifest), split)


def place_of(config: Config, name: str) -> Location:
    """Where a data set lies.

    Raises:
        InputError: its name is none.
    """
    return location_of(config.storage.root, "cubes", require_name(name, of="data set"))


def manifest_at(files: Files, place: Location, name: str) -> Manifest:
    """The manifest of a data set.

    Raises:
        InputError: there is no such data set, or its manifest is missing or damaged.
    """
    url = place / MANIFEST_FILE
    if not files.exists(url):
        left = left_without_manifest(files, place)
        raise InputError(
            f"data set {name!r} has no manifest at {url}, but {left}"
            if left
            else f"there is no data set {name!r} at {url}; `ipdsf ct pack` makes one"
        )
    try:
        return Manifest.from_json(files.read(url).decode(), origin=str(url))
    except UnicodeDecodeError as error:
        raise InputError(f"{url} is no manifest of a data set, or a damaged one") from error


def left_without_manifest(files: Files, place: Location) -> str:
    """What lies in the folder of a data set that has no manifest, with what can be done; empty if nothing does."""
    if files.exists(place / STAGING_FOLDER):
        return "a packing was interrupted: `ipdsf ct pack` with the same name completes it or begins it again"
    cubes = [name for name in files.files(place / CUBES_FOLDER) if name.endswith(".parquet")]
    parts = [name for name in files.files(place) if name.startswith(("dataset.json.", ".dataset.json."))]
    if not cubes and not parts:
        return ""
    found = f"{len(cubes)} Parquet file(s)" if cubes else parts[0]
    return f"{found}: `ipdsf ct pack --rebuild-manifest` makes it again from what is there; nothing was changed"


def enhancement_at(files: Files, place: Location, manifest: Manifest) -> Enhancement:
    """The contrast enhancement of a data set.

    Raises:
        InputError: it is missing, damaged, or not the one the data set was packed with.
    """
    url = place / ENHANCEMENT_FILE
    try:
        enhancement = Enhancement.from_json(files.read(url).decode())
    except UnicodeDecodeError as error:
        raise InputError(f"{url} is damaged") from error
    if enhancement.sha256 != manifest.enhancement_sha256:
        raise InputError(f"{url} is not the one the data set was packed with")
    return enhancement
