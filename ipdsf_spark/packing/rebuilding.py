"""A manifest made again from what lies beside it: the records of the volumes, held against their Parquet files."""

from __future__ import annotations

import dataclasses
import json
from typing import Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import (
    CUBES_FOLDER,
    ENHANCEMENT_FILE,
    MANIFEST_FILE,
    STUDIES_FOLDER,
    Manifest,
    Study,
)
from ipdsf_spark.packing.metadata import COMMON_METADATA, common_metadata
from ipdsf_spark.packing.publishing import RECORD_FORMAT
from ipdsf_spark.packing.reading import filesystem_of, footer_of
from ipdsf_spark.packing.reference import enhancement_at
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location

BEGUN: Final = ("dataset.json.part", ".dataset.json.part")  # a manifest whose writer was killed


def rebuild(files: Files, root: Location, name: str) -> tuple[Manifest, tuple[str, ...]]:
    """Make the manifest of a data set again; returns it, and what was left out with the reason.

    Nothing is removed: a file that no record describes, or that is not what its record says, stays where it is.

    Raises:
        InputError: there is nothing to make it from, or the files contradict each other.
    """
    frames, studies, left_out = _known(files, root)
    present = files.files(root / CUBES_FOLDER)
    good: dict[str, Study] = {}
    for study in studies:
        reason = _wrong(root, study, present)
        if reason:
            left_out.append(reason)
        elif study.name in good and good[study.name].file != study.file:
            raise InputError(f"two files claim the volume {study.name!r}: {good[study.name].file} and {study.file}")
        else:
            good[study.name] = study
    described = {study.file for study in studies}
    left_out += [
        f"{file}: no record says what it is" for file in present if file.endswith(".parquet") and file not in described
    ]
    if not good:
        raise InputError(f"no manifest can be made for {root}: " + ("; ".join(left_out) or "there are no volumes"))
    frame = frames[-1]
    others = [f for f in frames if (f.parameters, f.enhancement_sha256) != (frame.parameters, frame.enhancement_sha256)]
    if others:
        raise InputError(f"the volumes in {root} were packed with different parameters: nothing was changed")
    studies = [dataclasses.replace(s, num_row_groups=_row_groups(root, s)) for s in good.values()]
    manifest = dataclasses.replace(frame, name=name, studies={s.name: s for s in studies})
    enhancement_at(files, root, manifest)
    size = manifest.parameters.cube_size
    files.write(root / CUBES_FOLDER / COMMON_METADATA, common_metadata(root / CUBES_FOLDER, studies, size))
    files.write(root / MANIFEST_FILE, manifest.to_json().encode())
    for begun in BEGUN:
        files.delete(root / begun)
    return manifest, tuple(left_out)


def _known(files: Files, root: Location) -> tuple[list[Manifest], list[Study], list[str]]:
    """Manifests without volumes, volumes, and what could not be read: from records, and from any manifest there is."""
    frames: list[Manifest] = []
    studies: dict[str, Study] = {}
    left_out: list[str] = []
    for name in (MANIFEST_FILE, *BEGUN):
        if not files.exists(root / name):
            continue
        try:
            whole = Manifest.from_json(files.read(root / name).decode(), origin=name)
        except (InputError, UnicodeDecodeError) as error:
            left_out.append(str(error))
            continue
        frames.append(dataclasses.replace(whole, studies={}))
        studies |= {study.file: study for study in whole.studies.values()}
    for name in files.files(root / STUDIES_FOLDER):
        if name.startswith(".") or not name.endswith(".json"):
            continue
        try:
            values = json.loads(files.read(root / STUDIES_FOLDER / name))
            if values["format"] != RECORD_FORMAT:
                raise ValueError(f"format {values['format']!r}")
            study = Study.of(values["study"])
            frames.append(Manifest.from_json(values["manifest"], origin=name))
            studies[study.file] = study
        except (InputError, ValueError, KeyError, TypeError) as error:
            left_out.append(f"{STUDIES_FOLDER}/{name} is damaged ({error})")
    if not frames:
        hint = "; ".join(left_out) or f"{STUDIES_FOLDER} holds no record of a volume"
        raise InputError(f"no manifest can be made for {root}: {hint}; {ENHANCEMENT_FILE} and Parquet files stay")
    return frames, list(studies.values()), left_out


def _wrong(root: Location, study: Study, present: dict[str, int]) -> str:
    """What is wrong with the file of a volume; empty if nothing is."""
    if study.file not in present:
        return f"{study.name}: {study.file} is missing"
    if present[study.file] != study.bytes:
        return f"{study.name}: {study.file} has {present[study.file]} bytes, {study.bytes} are right"
    try:
        place = root / CUBES_FOLDER / study.file
        rows = footer_of(place, filesystem_of(place)).num_rows
    except InputError as error:
        return f"{study.name}: {error}"
    return (
        "" if rows == study.num_cubes else f"{study.name}: {study.file} has {rows} cubes, {study.num_cubes} are right"
    )


def _row_groups(root: Location, study: Study) -> int:
    place = root / CUBES_FOLDER / study.file
    return int(footer_of(place, filesystem_of(place)).num_row_groups)
