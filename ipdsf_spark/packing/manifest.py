"""What is in a packed data set: parameters, patients and files. Written last, so that what it names is whole.

<storage.root>/cubes/<name>/
dataset.json        this
enhancement.json    contrast enhancement, fitted on the training volumes of the first packing
salt                by which patients' identifiers became pseudonyms, where no key was given
cubes/*.parquet     Petastorm: one file per volume, _common_metadata with the Unischema
studies/*.json      what the manifest says of each volume, so that it can be rebuilt
.staging/           of a packing that is under way, or was interrupted
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ipdsf_spark.errors import InputError

FORMAT: Final = "ipdsf-dataset/2"
FORMATS: Final = ("ipdsf-dataset/1", FORMAT)  # the first knew volumes by the name of their folder
MANIFEST_FILE: Final = "dataset.json"
ENHANCEMENT_FILE: Final = "enhancement.json"
SALT_FILE: Final = "salt"
CUBES_FOLDER: Final = "cubes"
STUDIES_FOLDER: Final = "studies"
STAGING_FOLDER: Final = ".staging"


@dataclass(frozen=True)
class Parameters:
    """What all cubes of a data set have in common."""

    cube_size: int
    overlap: int
    window_hu: tuple[int, int]
    linear_share: float
    air_share_kept: float
    seed: int


@dataclass(frozen=True)
class Study:
    """One packed volume."""

    name: str  # given by the user, or made from the content; never that of a file or folder
    patient: str  # pseudonym: keyed hash of the patient's identifier, or of the content where there is none
    split: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    num_cubes: int  # packed
    num_air_left_out: int
    file: str
    bytes: int
    content: str = ""  # hash of the voxels: by this a volume is known
    slices: tuple[str, ...] = ()  # hashes of some of its slices: by these a part of it is known
    num_row_groups: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Study:
        """From the values of JSON."""
        lists = {name: tuple(values.get(name, ())) for name in ("shape", "spacing_mm", "slices")}
        return cls(**{**values, **lists})


@dataclass(frozen=True)
class Manifest:
    """A data set."""

    name: str
    parameters: Parameters
    enhancement_sha256: str
    studies: Mapping[str, Study] = field(default_factory=dict)
    fields: Sequence[Mapping[str, Any]] = ()  # of a row: name, dtype, shape, unit, meaning
    pseudonyms: str = ""  # how they were made: "key" or "salt" with a check value; see `patients`

    @property
    def num_cubes(self) -> int:
        """Packed cubes of all volumes."""
        return sum(study.num_cubes for study in self.studies.values())

    @property
    def sha256(self) -> str:
        """Hash of everything: another one after every change."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def of_split(self, split: str) -> list[Study]:
        """Its volumes by name.

        Raises:
            InputError: there are none.
        """
        found = [self.studies[name] for name in sorted(self.studies) if self.studies[name].split == split]
        if not found:
            raise InputError(f"data set {self.name!r} has no volume in the split {split!r}")
        return found

    def to_json(self) -> str:
        """To be read by `from_json`."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, origin: str) -> Manifest:
        """What `to_json` wrote.

        Raises:
            InputError: damaged, or of another format.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            if values["format"] not in FORMATS:
                raise InputError(f"{origin} is of format {values['format']!r}; this version reads {FORMAT}")
            parameters = values["parameters"]
            parameters["window_hu"] = tuple(parameters["window_hu"])
            studies = {name: Study.of(study) for name, study in values["studies"].items()}
            sha256, fields = str(values["enhancement_sha256"]), tuple(values.get("fields", ()))
            pseudonyms = str(values.get("pseudonyms", ""))
            return cls(str(values["name"]), Parameters(**parameters), sha256, studies, fields, pseudonyms)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{origin} is no manifest of a data set, or a damaged one ({error})") from error
