"""CT volumes to one Petastorm data set: a Spark job with a task per volume.

What is new is written beside the data set, moved into it when every volume is whole, and named in the manifest last. A
data set is never seen half: whatever an interrupted run left is removed by the next.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, materialize_dataset
from petastorm.fs_utils import FilesystemResolver
from pyspark.accumulators import AccumulatorParam
from pyspark.sql import SparkSession

from ipdsf_spark.config import Config
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.reading import study_name
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.job import row_groups, watched
from ipdsf_spark.packing.manifest import (
    CUBES_FOLDER,
    ENHANCEMENT_FILE,
    MANIFEST_FILE,
    Manifest,
    Parameters,
    Study,
)
from ipdsf_spark.packing.schema import ROW_TYPE, described, unischema
from ipdsf_spark.packing.volumes import Packed, Wanted, packed_cubes
from ipdsf_spark.storage.hadoop import Storage, url_of

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class PackReport:
    """What a run added, and what the data set holds now."""

    manifest: Manifest
    added: tuple[str, ...]
    left_out: tuple[str, ...]  # with what was wrong with each
    num_cubes: int
    bytes: int
    seconds: float
    num_row_groups: int  # of the whole data set


def parameters_of(config: Config) -> Parameters:
    """What the configuration says of new data sets."""
    ct = config.ct
    window = (ct.window_low_hu, ct.window_high_hu)
    return Parameters(ct.cube_size, ct.overlap, window, ct.linear_share, ct.air_share_kept, ct.seed)


def wanted_volumes(train: Sequence[str], test: Sequence[str], undecided: Sequence[str]) -> list[Wanted]:
    """Volumes by path, each under the name of its file or folder.

    Raises:
        InputError: a path is not there, or two volumes have one name.
    """
    wanted: dict[str, Wanted] = {}
    for paths, split in ((train, "train"), (test, "test"), (undecided, "")):
        for path in paths:
            if "://" not in path and not Path(path).exists():
                raise InputError(f"{path} does not exist")
            name = study_name(Path(path))
            if name in wanted:
                raise InputError(f"two volumes are called {name!r}: {wanted[name].path} and {path}; rename one")
            wanted[name] = Wanted(str(Path(path).absolute()), name, split)
    return list(wanted.values())


def pack(
    spark: SparkSession,
    config: Config,
    name: str,
    wanted: Sequence[Wanted],
    *,
    test_share: float = 0.2,
    skips_bad: bool = False,
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
        on_progress: told (volumes done, volumes).

    Raises:
        InputError: a volume cannot be used, a patient would be in both splits, or the data set has other parameters.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"a data set's name has letters, digits, dots, dashes and underscores, got {name!r}")
    started = time.monotonic()
    storage, root = Storage(spark), url_of(config.storage.root, "cubes", name)
    manifest = load_manifest(storage, config, name) if storage.exists(f"{root}/{MANIFEST_FILE}") else None
    parameters = parameters_of(config)
    if manifest is not None and manifest.parameters != parameters:
        raise InputError(
            f"data set {name!r} was packed with {_differences(manifest.parameters, parameters)}; "
            "use the same parameters or another name"
        )
    known = manifest.studies if manifest is not None else {}
    new = [w for w in wanted if w.study not in known]
    for stale in (f"{root}/.staging", *_foreign(storage, root, known.values())):
        storage.delete(stale)
    if not new:
        if manifest is None:
            raise InputError("no volumes to pack")
        num_row_groups = _num_row_groups(spark, f"{root}/{CUBES_FOLDER}")
        return PackReport(manifest, (), (), 0, 0, time.monotonic() - started, num_row_groups)
    storage.make_folder(f"{root}/{CUBES_FOLDER}")
    staging = f"{root}/.staging/{uuid.uuid4().hex}"
    try:
        packed = _write(spark, config, new, parameters, test_share, staging, on_progress)
        bad = tuple(p.error for p in packed if p.error)
        good = [p for p in packed if not p.error and p.num_cubes]
        if bad and not skips_bad:
            raise InputError("cannot pack: " + "; ".join(bad))
        if not good:
            raise InputError("none of the volumes can be packed: " + ("; ".join(bad) or "they show nothing but air"))
        _require_whole_patients(known.values(), good)
        enhancement = _enhancement(storage, root, manifest, good, parameters)
        studies = _publish(spark, storage, root, staging, good, parameters)
    finally:
        storage.delete(f"{root}/.staging")
    everything = {**known, **{s.name: s for s in studies}}
    merged = Manifest(name, parameters, enhancement.sha256, everything, described(parameters.cube_size))
    storage.write(f"{root}/{ENHANCEMENT_FILE}", enhancement.to_json(indent=1))
    storage.write(f"{root}/{MANIFEST_FILE}", merged.to_json())
    return PackReport(
        manifest=merged,
        added=tuple(s.name for s in studies),
        left_out=bad,
        num_cubes=sum(s.num_cubes for s in studies),
        bytes=sum(s.bytes for s in studies),
        seconds=time.monotonic() - started,
        num_row_groups=_num_row_groups(spark, f"{root}/{CUBES_FOLDER}"),
    )


def load_manifest(storage: Storage, config: Config, name: str) -> Manifest:
    """The manifest of a data set.

    Raises:
        InputError: there is no such data set, or its manifest is damaged.
    """
    url = url_of(config.storage.root, "cubes", name, MANIFEST_FILE)
    if not storage.exists(url):
        raise InputError(f"there is no data set {name!r} at {url}; `ipdsf ct pack` makes one")
    return Manifest.from_json(storage.read(url), origin=url)


def load_enhancement(storage: Storage, config: Config, name: str) -> Enhancement:
    """The contrast enhancement of a data set."""
    return Enhancement.from_json(storage.read(url_of(config.storage.root, "cubes", name, ENHANCEMENT_FILE)))


class _Collected(AccumulatorParam[dict[str, Packed]]):
    """What tasks report by study; a task that ran twice reports the same."""

    def zero(self, value: dict[str, Packed]) -> dict[str, Packed]:
        return {}

    def addInPlace(self, value1: dict[str, Packed], value2: dict[str, Packed]) -> dict[str, Packed]:
        return {**value1, **value2}


def _write(
    spark: SparkSession,
    config: Config,
    new: Sequence[Wanted],
    parameters: Parameters,
    test_share: float,
    staging: str,
    on_progress: Callable[[int, int], None],
) -> list[Packed]:
    """Run the Spark job; the cubes of volume k are in the part file of task k."""
    context = spark.sparkContext
    reports = context.accumulator({}, _Collected())
    key_env = config.ct.pseudonym_key_env

    def cubes(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                wanted = Wanted(row["path"], row["study"], row["split"])
                for item in packed_cubes(wanted, row["task"], parameters, test_share, key_env):
                    if isinstance(item, Packed):
                        reports.add({item.study: item})
                    else:
                        yield item

    rows = [(w.path, w.study, w.split, task) for task, w in enumerate(new)]
    volumes = spark.createDataFrame(
        context.parallelize(rows, len(rows)), "path string, study string, split string, task int"
    )
    group = f"ipdsf-pack-{uuid.uuid4().hex}"
    with watched(spark, group, len(rows), on_progress):
        context.setJobGroup(group, f"pack {len(rows)} volumes", interruptOnCancel=True)
        with row_groups(spark, config.packing.row_group_mb):
            frame = volumes.mapInArrow(cubes, ROW_TYPE)
            frame.write.option("compression", config.packing.compression).parquet(staging)
    return sorted(reports.value.values(), key=lambda p: p.task)


def _publish(
    spark: SparkSession, storage: Storage, root: str, staging: str, good: Sequence[Packed], parameters: Parameters
) -> list[Study]:
    """Move the part files into the data set and write Petastorm's metadata over all of it."""
    parts = {int(n.split("-")[1]): (n, size) for n, size in storage.files(staging).items() if n.startswith("part-")}
    cubes = f"{root}/{CUBES_FOLDER}"
    studies = []
    for p in good:
        part, size = parts[p.task]
        file = f"{re.sub(r'[^A-Za-z0-9._-]', '_', p.study)}-{uuid.uuid4().hex[:8]}.parquet"
        storage.move(f"{staging}/{part}", f"{cubes}/{file}")
        studies.append(
            Study(p.study, p.patient, p.split, p.shape, p.spacing_mm, p.num_cubes, p.num_air_left_out, file, size)
        )
    with materialize_dataset(spark, cubes, unischema(parameters.cube_size)):
        pass  # the rows are there already: only the metadata is written
    return studies


def _num_row_groups(spark: SparkSession, cubes: str) -> int:
    """Of all files, as Petastorm noted them in the metadata of the data set."""
    resolver = FilesystemResolver(cubes, spark.sparkContext._jsc.hadoopConfiguration())
    with resolver.filesystem().open(f"{resolver.get_dataset_path()}/_common_metadata") as file:
        noted = pq.read_schema(file).metadata[ROW_GROUPS_PER_FILE_KEY]
    return sum(json.loads(noted).values())


def _enhancement(
    storage: Storage, root: str, manifest: Manifest | None, good: Sequence[Packed], parameters: Parameters
) -> Enhancement:
    """That of the data set, or a new one fitted on the training volumes; test patients have no part in it."""
    if manifest is not None:
        enhancement = Enhancement.from_json(storage.read(f"{root}/{ENHANCEMENT_FILE}"))
        if enhancement.sha256 != manifest.enhancement_sha256:
            raise InputError(f"{root}/{ENHANCEMENT_FILE} is not the one the data set was packed with")
        return enhancement
    window = parameters.window_hu
    training = {
        p.study: HuHistogram(window, np.array(p.shares), int(sum(p.shares) > 0)) for p in good if p.split == "train"
    }
    if not training:
        raise InputError("none of the volumes is for training: name some with --train, or lower --test-share")
    return Enhancement.fit(training, linear_share=parameters.linear_share)


def _require_whole_patients(known: Iterable[Study], good: Sequence[Packed]) -> None:
    splits: dict[str, set[str]] = {}
    for patient, split in [*((s.patient, s.split) for s in known), *((p.patient, p.split) for p in good)]:
        splits.setdefault(patient, set()).add(split)
    torn = sum(len(found) > 1 for found in splits.values())
    if torn:
        raise InputError(f"{torn} patient(s) would be in both splits: give all volumes of a patient the same one")


def _foreign(storage: Storage, root: str, known: Iterable[Study]) -> list[str]:
    """Files that the manifest does not name: what an interrupted run left."""
    named = {study.file for study in known}
    folder = f"{root}/{CUBES_FOLDER}"
    return [f"{folder}/{name}" for name in storage.files(folder) if name.endswith(".parquet") and name not in named]


def _differences(there: Parameters, here: Parameters) -> str:
    a, b = dataclasses.asdict(there), dataclasses.asdict(here)
    return ", ".join(f"{key} {a[key]!r}, not {b[key]!r}" for key in a if a[key] != b[key])
