"""CT volumes to one Petastorm data set: a Spark job with a task per volume.

What is new is written beside the data set and becomes part of it when every volume is whole (`publishing`). A data set
is never seen half, and one packing at a time writes to it.
"""

from __future__ import annotations

import dataclasses
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.accumulators import AccumulatorParam
from pyspark.sql import SparkSession

from ipdsf_spark.config import Config
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.pseudonyms import stated
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.identities import sorted_out
from ipdsf_spark.packing.job import row_groups, watched
from ipdsf_spark.packing.manifest import (
    CUBES_FOLDER,
    MANIFEST_FILE,
    SALT_FILE,
    STAGING_FOLDER,
    Manifest,
    Parameters,
    Study,
)
from ipdsf_spark.packing.patients import (
    Pseudonyms,
    key_for,
    key_of,
    new_salt,
    one_each,
    pseudonyms_of,
    require_whole_patients,
    with_splits,
)
from ipdsf_spark.packing.publishing import Change, complete_interrupted, publish
from ipdsf_spark.packing.reading import filesystem_of, footer_of
from ipdsf_spark.packing.reference import enhancement_at, left_without_manifest, manifest_at, place_of
from ipdsf_spark.packing.schema import ROW_TYPE, described
from ipdsf_spark.packing.stored import store_part
from ipdsf_spark.packing.volumes import PLAIN, Packed, Reading, Wanted, packed_cubes
from ipdsf_spark.spark.jvm import reason_of
from ipdsf_spark.storage.fetched import fetched, require_volume
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location, location_of, require_name
from ipdsf_spark.storage.lock import locked
from ipdsf_spark.storage.object_store import is_in_object_store
from ipdsf_spark.storage.reach import files_of


@dataclass(frozen=True)
class PackReport:
    """What a run added, and what the data set holds now.

    Attributes:
        manifest: of the data set.
        added: names of the new volumes, by their paths.
        left_out: volumes that are not in the data set, with what was wrong with each.
        skipped: volumes that were in it already, with the name under which they are.
        remarks: what a reader should know about the volumes and the data set.
        num_cubes: added.
        bytes: added.
        seconds: it took.
    """

    manifest: Manifest
    added: dict[str, str]
    left_out: tuple[str, ...]
    skipped: tuple[str, ...]
    remarks: tuple[str, ...]
    num_cubes: int
    bytes: int
    seconds: float

    @property
    def num_row_groups(self) -> int:
        """Of the whole data set."""
        return sum(study.num_row_groups for study in self.manifest.studies.values())


def parameters_of(config: Config) -> Parameters:
    """What the configuration says of new data sets."""
    ct = config.ct
    window = (ct.window_low_hu, ct.window_high_hu)
    return Parameters(ct.cube_size, ct.overlap, window, ct.linear_share, ct.air_share_kept, ct.seed)


def wanted_volumes(
    train: Sequence[str], test: Sequence[str], undecided: Sequence[str], names: Sequence[str] = ()
) -> list[Wanted]:
    """Volumes by path.

    Args:
        train: to train on.
        test: never to train on.
        undecided: whose patients decide.
        names: one for every volume in this order, or none: then names are made from the content.

    Raises:
        InputError: a path is not there, or there are fewer or more names than volumes.
    """
    paths = [(path, split) for group, split in ((train, "train"), (test, "test"), (undecided, "")) for path in group]
    if names and len(names) != len(paths):
        raise InputError(f"{len(names)} name(s) for {len(paths)} volume(s): --as gives one for each, in their order")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise InputError(f"two volumes cannot both be called {twice[0]!r}")
    wanted = []
    for number, (path, split) in enumerate(paths):
        require_volume(path)
        place = location_of(path)
        name = require_name(names[number], of="volume") if names else ""
        wanted.append(Wanted(str(place.path or place.url), name, split))
    return wanted


def pack(
    spark: SparkSession,
    config: Config,
    name: str,
    wanted: Sequence[Wanted],
    *,
    test_share: float = 0.2,
    skips_bad: bool = False,
    reading: Reading = PLAIN,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> PackReport:
    """Pack the volumes that are not in the data set yet.

    Args:
        spark: session.
        config: [ct] and [storage].
        name: of the data set.
        wanted: volumes.
        test_share: of the patients, where a volume's split is not given.
        skips_bad: leave unreadable volumes out instead of refusing all.
        reading: how volumes are read.
        on_progress: told (volumes done, volumes).

    Raises:
        InputError: a volume cannot be used, a patient would be in both splits, the data set has other parameters,
            another process is packing into it, or the storage array is full or out of reach.
    """
    started = time.monotonic()
    root = place_of(config, name)
    files = files_of(root)
    with locked(root, "packing", files):
        resumed = complete_interrupted(files, root)
        manifest = _manifest(files, root, name, parameters_of(config))
        key, salt = _pseudonym_key(files, root, manifest, config)
        if not wanted:
            raise InputError("no volumes to pack")
        staging = root / STAGING_FOLDER / uuid.uuid4().hex
        known = {s.patient: s.split for s in manifest.studies.values()}
        pseudonyms = [_pseudonyms(w, key, reading) for w in wanted]
        named = one_each(pseudonyms, known)
        patients = [dataclasses.replace(w, patient=name) for w, name in zip(wanted, named, strict=True)]
        if not skips_bad:  # then a volume that tears a patient may itself be left out
            require_whole_patients((w.path, w.patient, w.split) for w in patients if w.patient and w.split)
        try:
            packed = _write(spark, config, with_splits(patients, known), test_share, reading, staging, on_progress)
            found = sorted_out(packed, manifest.studies.values(), skips_bad=skips_bad)
            change = _change(files, root, staging, manifest, found.good, salt=salt, key=key) if found.good else None
        except BaseException:
            _discard(files, root, staging)
            raise
        if change is not None:
            publish(files, root, staging, change)
        else:
            _discard(files, root, staging)
        merged = change.manifest if change is not None else manifest
        remarks = (*_remarks(files, root, merged, resumed), *_without_patient(wanted, pseudonyms), *found.remarks)
    added = [merged.studies[p.study] for p in found.good]
    return PackReport(
        manifest=merged,
        added={p.path: p.study for p in found.good},
        left_out=found.left_out,
        skipped=found.skipped,
        remarks=remarks,
        num_cubes=sum(s.num_cubes for s in added),
        bytes=sum(s.bytes for s in added),
        seconds=time.monotonic() - started,
    )


def _manifest(files: Files, root: Location, name: str, parameters: Parameters) -> Manifest:
    """That of the data set, or an empty one for a new data set."""
    if not files.exists(root / MANIFEST_FILE):
        left = left_without_manifest(files, root)
        if left:
            raise InputError(f"data set {name!r} has no manifest at {root / MANIFEST_FILE}, but {left}")
        return Manifest(name, parameters, "")
    manifest = manifest_at(files, root, name)
    if manifest.parameters != parameters:
        raise InputError(
            f"data set {name!r} was packed with {_differences(manifest.parameters, parameters)}; "
            "use the same parameters or another name"
        )
    nameless = [s.name for s in manifest.studies.values() if not s.content]
    if nameless:
        raise InputError(
            f"data set {name!r} was packed by a version that knew volumes by their folders' names: it can be trained "
            "on, but whether a volume is in it already cannot be told; pack its volumes under another name"
        )
    return manifest


def _pseudonym_key(files: Files, root: Location, manifest: Manifest, config: Config) -> tuple[bytes, str]:
    """The key of the data set's pseudonyms, and the salt where it is one that must be kept."""
    if manifest.studies:
        place = root / SALT_FILE
        salt = files.read(place).decode() if files.exists(place) else ""
        return key_for(manifest, config.ct.pseudonym_key_env, salt), ""
    key = key_of(config.ct.pseudonym_key_env)
    salt = "" if key else new_salt()
    return key or salt.encode(), salt


def _pseudonyms(wanted: Wanted, key: bytes, reading: Reading) -> Pseudonyms:
    with fetched(wanted.path) as here:
        return pseudonyms_of(here, key, series=reading.series)


def _without_patient(wanted: Sequence[Wanted], pseudonyms: Sequence[Pseudonyms]) -> list[str]:
    """A remark on volumes of which only the user knows whom they show, where there are any."""
    nobody = [w.path for w, of in zip(wanted, pseudonyms, strict=True) if of.is_missing]
    if not nobody:
        return []
    return [
        f"{len(nobody)} DICOM volume(s) name no patient (no PatientID, or a word for everybody, as ANONYMOUS), "
        f"each counts as a patient of its own: {', '.join(nobody[:5])}; give all volumes of one person the same split"
    ]


class _Collected(AccumulatorParam[dict[int, Packed]]):
    """What tasks report by number; a task that ran twice reports the same."""

    def zero(self, value: dict[int, Packed]) -> dict[int, Packed]:
        return {}

    def addInPlace(self, value1: dict[int, Packed], value2: dict[int, Packed]) -> dict[int, Packed]:
        return {**value1, **value2}


def _write(
    spark: SparkSession,
    config: Config,
    wanted: Sequence[Wanted],
    test_share: float,
    reading: Reading,
    staging: Location,
    on_progress: Callable[[int, int], None],
) -> list[Packed]:
    """Run the Spark job; the cubes of volume k are in the part file of task k."""
    context = spark.sparkContext
    reports = context.accumulator({}, _Collected())
    parameters = parameters_of(config)

    def cubes(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                one = Wanted(row["path"], row["name"], row["split"], row["patient"])
                for item in packed_cubes(one, row["task"], parameters, test_share, reading):
                    if isinstance(item, Packed):
                        reports.add({item.task: item})
                    else:
                        yield item

    def stored(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        store_part(cubes(batches), target, TaskContext().partitionId(), parameters.cube_size, config.packing)
        yield from ()

    target = staging / CUBES_FOLDER
    rows = [(w.path, w.name, w.split, w.patient, task) for task, w in enumerate(wanted)]
    volumes = spark.createDataFrame(
        context.parallelize(rows, len(rows)), "path string, name string, split string, patient string, task int"
    )
    group = f"ipdsf-pack-{uuid.uuid4().hex}"
    try:
        with watched(spark, group, len(rows), on_progress):
            context.setJobGroup(group, f"pack {len(rows)} volumes", interruptOnCancel=True)
            with row_groups(spark, config.packing.row_group_mb):
                if is_in_object_store(target):
                    volumes.mapInArrow(stored, ROW_TYPE).count()
                else:
                    frame = volumes.mapInArrow(cubes, ROW_TYPE)
                    frame.write.option("compression", config.packing.compression).parquet(target.url)
    except Exception as error:  # py4j wraps whatever went wrong in the JVM or in a task
        raise InputError(f"cannot write cubes to {staging}: {reason_of(error)}; the data set is as before") from error
    return sorted(reports.value.values(), key=lambda p: p.task)


def _change(
    files: Files,
    root: Location,
    staging: Location,
    manifest: Manifest,
    good: Sequence[Packed],
    *,
    salt: str,
    key: bytes,
) -> Change:
    """What the new volumes make of the data set."""
    enhancement = _enhancement(files, root, manifest, good)
    parts = {int(n.split("-")[1]): n for n in files.files(staging / CUBES_FOLDER) if n.startswith("part-")}
    sizes = files.files(staging / CUBES_FOLDER)
    moves, studies = {}, []
    for p in good:
        part = parts[p.task]
        footer = footer_of(staging / CUBES_FOLDER / part, filesystem_of(staging))
        if footer.num_rows != p.num_cubes:
            raise InputError(f"{p.path}: {footer.num_rows} cubes were written, {p.num_cubes} were made; pack it again")
        file = f"{re.sub(r'[^A-Za-z0-9._-]', '_', p.study)}-{uuid.uuid4().hex[:8]}.parquet"
        moves[part] = file
        studies.append(
            Study(
                name=p.study,
                patient=p.patient,
                split=p.split,
                shape=p.shape,
                spacing_mm=p.spacing_mm,
                num_cubes=p.num_cubes,
                num_air_left_out=p.num_air_left_out,
                file=file,
                bytes=sizes[part],
                content=p.content,
                slices=p.slices,
                num_row_groups=footer.num_row_groups,
            )
        )
    pseudonyms = manifest.pseudonyms or stated("salt" if salt else "key", key)
    merged = dataclasses.replace(
        manifest,
        enhancement_sha256=enhancement.sha256,
        studies={**manifest.studies, **{s.name: s for s in studies}},
        fields=described(manifest.parameters.cube_size),
        pseudonyms=pseudonyms,
    )
    return Change(merged, enhancement.to_json(indent=1), salt, moves)


def _discard(files: Files, root: Location, staging: Location) -> None:
    """Remove what the Spark job wrote; if that fails too, the next packing does it."""
    try:
        files.delete(staging)
        files.delete_if_empty(root / STAGING_FOLDER)
    except InputError:
        pass


def _remarks(files: Files, root: Location, manifest: Manifest, resumed: Sequence[str]) -> tuple[str, ...]:
    named = {study.file for study in manifest.studies.values()}
    present = files.files(root / CUBES_FOLDER)
    unnamed = [n for n in present if n.endswith(".parquet") and n not in named]
    lost = [s.name for s in manifest.studies.values() if present.get(s.file) != s.bytes]
    remarks = []
    if resumed:
        remarks.append(f"completed an interrupted packing: {', '.join(resumed)}")
    if lost:
        remarks.append(
            f"files of {len(lost)} volume(s) in {root / CUBES_FOLDER} are lost or damaged: {', '.join(lost[:5])}; "
            "--rebuild-manifest takes such volumes out, and then they can be packed again"
        )
    if unnamed:
        remarks.append(
            f"{len(unnamed)} Parquet file(s) in {root / CUBES_FOLDER} are not in the manifest and are not read: "
            f"{', '.join(unnamed[:5])}; --rebuild-manifest takes up those that a packing wrote"
        )
    return tuple(remarks)


def _enhancement(files: Files, root: Location, manifest: Manifest, good: Sequence[Packed]) -> Enhancement:
    """That of the data set, or a new one fitted on the training volumes; test patients have no part in it."""
    if manifest.studies:
        return enhancement_at(files, root, manifest)
    window = manifest.parameters.window_hu
    training = {
        p.study: HuHistogram(window, np.array(p.shares), int(sum(p.shares) > 0)) for p in good if p.split == "train"
    }
    if not training:
        raise InputError("none of the volumes is for training: name some with --train, or lower --test-share")
    return Enhancement.fit(training, linear_share=manifest.parameters.linear_share)


def _differences(there: Parameters, here: Parameters) -> str:
    a, b = dataclasses.asdict(there), dataclasses.asdict(here)
    return ", ".join(f"{key} {a[key]!r}, not {b[key]!r}" for key in a if a[key] != b[key])
