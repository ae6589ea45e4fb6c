"""How new volumes become part of a data set, so that an interruption at any moment loses nothing.

    .staging/ID/cubes/part-…        what the Spark job wrote
    .staging/ID/publish.json        the whole change, written when every volume is known to be good

From then on the change is made step by step, each of which can be made again: files moved, records and metadata
written, the manifest replaced, the staging folder removed. A packing that finds a change that was begun completes it; a
staging folder without a change is what an interrupted Spark job left, and is removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import (
    CUBES_FOLDER,
    ENHANCEMENT_FILE,
    MANIFEST_FILE,
    SALT_FILE,
    STAGING_FOLDER,
    STUDIES_FOLDER,
    Manifest,
    Study,
)
from ipdsf_spark.packing.metadata import COMMON_METADATA, common_metadata
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location

CHANGE_FORMAT: Final = "ipdsf-change/1"
CHANGE_FILE: Final = "publish.json"
RECORD_FORMAT: Final = "ipdsf-study/1"


@dataclass(frozen=True)
class Change:
    """What a packing makes of a data set.

    Attributes:
        manifest: of the data set when it is made.
        enhancement: content of its file.
        salt: content of its file; empty where there is a key.
        moves: new files, by the name of the part file.
    """

    manifest: Manifest
    enhancement: str
    salt: str
    moves: dict[str, str]

    def to_json(self) -> str:
        """To be read by `from_json`."""
        values = {"manifest": self.manifest.to_json(), "enhancement": self.enhancement, "salt": self.salt}
        return json.dumps({"format": CHANGE_FORMAT, **values, "moves": self.moves})

    @classmethod
    def from_json(cls, text: bytes, *, origin: str) -> Change:
        """What `to_json` wrote.

        Raises:
            InputError: damaged, or of another format.
        """
        try:
            values = json.loads(text)
            if values["format"] != CHANGE_FORMAT:
                raise InputError(f"{origin} is of format {values['format']!r}; this version reads {CHANGE_FORMAT}")
            manifest = Manifest.from_json(values["manifest"], origin=origin)
            return cls(manifest, str(values["enhancement"]), str(values["salt"]), dict(values["moves"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{origin} is no change of a data set, or a damaged one ({error})") from error


def publish(files: Files, root: Location, staging: Location, change: Change) -> None:
    """Make a change of a data set.

    Args:
        files: the storage array.
        root: the data set's folder.
        staging: folder with the part files.
        change: to be made.

    Raises:
        InputError: it could not be completed; the next packing will.
    """
    try:
        files.write(staging / CHANGE_FILE, change.to_json().encode())
    except InputError:
        with contextlib.suppress(InputError):
            files.delete(staging)  # nothing was begun, and the disk may be full
            files.delete_if_empty(root / STAGING_FOLDER)
        raise
    _complete(files, root, staging, change)


def complete_interrupted(files: Files, root: Location) -> tuple[str, ...]:
    """Complete changes that were begun, and remove what interrupted Spark jobs left; returns the volumes taken up.

    Raises:
        InputError: a change cannot be completed.
    """
    taken: list[str] = []
    for staging in _stagings(files, root):
        if files.exists(staging / CHANGE_FILE):
            origin = str(staging / CHANGE_FILE)
            change = Change.from_json(files.read(staging / CHANGE_FILE), origin=origin)
            _complete(files, root, staging, change)
            taken += [s.name for s in change.manifest.studies.values() if s.file in change.moves.values()]
        else:
            files.delete(staging)
    files.delete_if_empty(root / STAGING_FOLDER)
    return tuple(taken)


def record_of(manifest: Manifest, study: Study) -> bytes:
    """What is kept of a volume beside the manifest, from which the manifest can be made again."""
    values: dict[str, Any] = {"format": RECORD_FORMAT, "study": dataclasses.asdict(study)}
    whole = dataclasses.replace(manifest, studies={})
    return json.dumps({**values, "manifest": whole.to_json()}, indent=1).encode()


def record_place(root: Location, study: Study) -> Location:
    """Where a volume's record lies."""
    return root / STUDIES_FOLDER / f"{study.file.removesuffix('.parquet')}.json"


def _complete(files: Files, root: Location, staging: Location, change: Change) -> None:
    cubes = root / CUBES_FOLDER
    files.make_folder(cubes)
    files.make_folder(root / STUDIES_FOLDER)
    for part, file in sorted(change.moves.items()):
        source = staging / CUBES_FOLDER / part
        if files.exists(source):
            files.move(source, cubes / file)
        elif not files.exists(cubes / file):
            raise InputError(f"{source} is missing: the interrupted packing in {staging} cannot be completed")
    studies: Sequence[Study] = list(change.manifest.studies.values())
    for study in studies:
        if study.file in change.moves.values():
            files.write(record_place(root, study), record_of(change.manifest, study))
    described = common_metadata(cubes, studies, change.manifest.parameters.cube_size)
    files.write(cubes / COMMON_METADATA, described)
    files.write(root / ENHANCEMENT_FILE, change.enhancement.encode())
    if change.salt:
        files.write(root / SALT_FILE, change.salt.encode())
    files.write(root / MANIFEST_FILE, change.manifest.to_json().encode())
    files.delete(staging)
    files.delete_if_empty(root / STAGING_FOLDER)


def _stagings(files: Files, root: Location) -> list[Location]:
    return [root / STAGING_FOLDER / name for name in files.folders(root / STAGING_FOLDER)]
