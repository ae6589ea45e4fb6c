"""Who is who without saying who: patients' identifiers become pseudonyms on the driver, and splits follow patients.

    key     of the environment: one patient has one pseudonym in every data set made with it
    salt    without a key: random numbers kept beside the data set (`salt`), never in its cubes or in a model

Executors see pseudonyms only and need no secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.dicom_groups import group_slices
from ipdsf_spark.ct.dicom_header import is_dicom, read_headers
from ipdsf_spark.ct.folders import entries_of
from ipdsf_spark.ct.pseudonyms import is_key_of
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import Manifest
from ipdsf_spark.packing.volumes import Wanted

SALT_BYTES: Final = 32


def new_salt() -> str:
    """Random numbers by which the identifiers of a data set become pseudonyms."""
    return secrets.token_hex(SALT_BYTES)


def key_of(environment: str) -> bytes:
    """The key in an environment variable; empty if there is none."""
    return os.environ.get(environment, "").encode()


def key_for(manifest: Manifest, environment: str, salt: str) -> bytes:
    """The key by which the pseudonyms of a data set were made.

    Args:
        manifest: of the data set.
        environment: variable with the key.
        salt: content of the data set's salt file; empty if there is none.

    Raises:
        InputError: it is not at hand.
    """
    kind = manifest.pseudonyms.partition(":")[0]
    key = key_of(environment) if kind == "key" else salt.strip().encode()
    if is_key_of(manifest.pseudonyms, key):
        return key
    if kind == "key":
        raise InputError(
            f"data set {manifest.name!r} was packed with another key for pseudonyms than that in {environment}: "
            "with it, volumes of one patient could come into both splits"
        )
    raise InputError(
        f"the salt of data set {manifest.name!r} is missing or another one: without it, volumes of one patient could "
        "come into both splits"
    )


@dataclass(frozen=True)
class Pseudonyms:
    """Of one patient; both empty where the files name none.

    Attributes:
        is_missing: the files are DICOM, which has a place for a patient's identifier, and name none.
        patient: of the identifier in one form of writing, case and blanks apart.
        as_written: letter by letter, as data sets of earlier versions have it.
    """

    patient: str = ""
    as_written: str = ""
    is_missing: bool = False


def pseudonyms_of(path: Path, key: bytes, *, series: int | str | None = None) -> Pseudonyms:
    """The pseudonyms of the patient of a DICOM file or folder.

    Args:
        path: of the volume.
        key: by which identifiers become pseudonyms.
        series: SeriesNumber or SeriesInstanceUID to take, where there are several.
    """
    files = sorted(p for p in entries_of(path) if p.is_file()) if path.is_dir() else [path]
    headers = []
    for file in files:
        with contextlib.suppress(InputError, OSError):  # the executor that reads the volume says what is wrong with it
            headers += read_headers(file, pseudonym_key=key) if is_dicom(file) else []
    if len({header.patient for header in headers}) > 1:  # of others' images that lie beside the volume
        with contextlib.suppress(InputError):
            headers = list(group_slices(headers, series=series).headers)
    named = (Pseudonyms(header.patient, header.patient_as_written) for header in headers if header.patient)
    return next(named, Pseudonyms(is_missing=bool(headers)))


def one_each(found: Sequence[Pseudonyms], known: Collection[str]) -> list[str]:
    """One pseudonym for each patient of several volumes: that by which a data set knows him, where it does.

    Args:
        found: of each volume.
        known: patients of the data set.
    """
    earlier = {p.patient: p.as_written for p in found if p.as_written in known}
    return [p.patient if p.patient in known else earlier.get(p.patient, p.patient) for p in found]


def with_splits(wanted: Sequence[Wanted], known: Mapping[str, str]) -> list[Wanted]:
    """Volumes whose split was left open get that of their patient's other volumes, where there are any.

    Args:
        wanted: with pseudonyms.
        known: splits of patients in the data set.
    """
    splits = {**{w.patient: w.split for w in wanted if w.patient and w.split}, **known}
    return [w if w.split else dataclasses.replace(w, split=splits.get(w.patient, "")) for w in wanted]


def require_whole_patients(volumes: Iterable[tuple[str, str, str]]) -> None:
    """Refuse a patient in both splits.

    Args:
        volumes: (name or path for the message, patient, split).

    Raises:
        InputError: there is one.
    """
    seen: dict[str, dict[str, str]] = {}
    for name, patient, split in volumes:
        seen.setdefault(patient, {}).setdefault(split, name)
    torn = [names for names in seen.values() if len(names) > 1]
    if torn:
        pairs = "; ".join(" and ".join(f"{name} ({split})" for split, name in names.items()) for names in torn[:5])
        raise InputError(
            f"{len(torn)} patient(s) would be in both splits: {pairs}. Give all volumes of a patient the same split"
        )
