"""One task of a packing job: a volume from disk, and its cubes as rows. Runs on an executor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, cubes_of, is_air, is_kept_for_training, uniform_of
from ipdsf_spark.ct.enhancement import HuHistogram
from ipdsf_spark.ct.identity import NUM_MARKS, content_of, made_name, slice_marks, whole_hu
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.packing.manifest import Parameters
from ipdsf_spark.packing.petastorm_on_arrow import NdarrayCodec
from ipdsf_spark.packing.schema import FIELDS, unischema
from ipdsf_spark.storage.fetched import fetched

CUBES_AT_ONCE: Final = 64
PATIENT_DIGITS: Final = 16


@dataclass(frozen=True)
class Wanted:
    """A volume to pack.

    Attributes:
        path: readable on every executor, or the URL of an object store.
        name: under which it is packed; empty for one made from its content.
        split: "train" or "test", or empty to let the patient decide.
        patient: pseudonym; empty where the files name no patient.
    """

    path: str
    name: str = ""
    split: str = ""
    patient: str = ""


@dataclass(frozen=True)
class Reading:
    """How volumes are read: DICOM series (number or UID) where there are several, and which problems are accepted."""

    series: int | str | None = None
    accept: tuple[str, ...] = ()


PLAIN: Final = Reading()


@dataclass(frozen=True)
class Packed:
    """What a task says of its volume: sizes, the histogram the enhancement is fitted on, or what was wrong.

    `path`, `remarks` and `error` are for the person who packs; they are kept nowhere.
    """

    path: str
    task: int = 0
    study: str = ""
    patient: str = ""
    split: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    num_cubes: int = 0
    num_air_left_out: int = 0
    shares: tuple[float, ...] = ()
    content: str = ""
    slices: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    split_is_given: bool = False
    error: str = ""


def packed_cubes(
    wanted: Wanted, task: int, parameters: Parameters, test_share: float, reading: Reading = PLAIN
) -> Iterator[pa.RecordBatch | Packed]:
    """Batches of rows of `schema.ROW_TYPE`, and last what is to be known of the volume."""
    try:
        with fetched(wanted.path) as here:
            volume = read_volume(here, study=wanted.name, series=reading.series, accept=reading.accept)
    except (IpdsfError, OSError) as error:
        text = str(error)
        yield Packed(wanted.path, task, error=text if wanted.path in text else f"{wanted.path}: {text}")
        return
    if not np.isfinite(volume.hu).all():
        yield Packed(wanted.path, task, error=f"{wanted.path}: voxels that are no number (NaN or infinite)")
        return
    hu = whole_hu(volume.hu)
    content = content_of(hu)
    study = wanted.name or made_name(content)
    patient = wanted.patient or content[:PATIENT_DIGITS]
    split = wanted.split or split_of(patient, seed=parameters.seed, test_share=test_share)
    plan = CubePlan(volume.grid.shape, parameters.cube_size, parameters.overlap)
    codec, field = NdarrayCodec(), unischema(parameters.cube_size).fields["cube"]
    rows: list[tuple[Any, ...]] = []
    num_cubes, num_left_out = 0, 0
    for key, cube in cubes_of(hu, plan, study):
        is_empty = is_air(cube)
        if not is_kept_for_training(
            key, is_air=is_empty, air_share_kept=parameters.air_share_kept, seed=parameters.seed
        ):
            num_left_out += 1
            continue
        rows.append((*key, split, is_empty, bytes(codec.encode(field, cube))))
        num_cubes += 1
        if len(rows) == CUBES_AT_ONCE:
            yield _batch(rows)
            rows = []
    if rows:
        yield _batch(rows)
    yield Packed(
        path=wanted.path,
        task=task,
        study=study,
        patient=patient,
        split=split,
        shape=volume.grid.shape,
        spacing_mm=volume.grid.spacing_mm,
        num_cubes=num_cubes,
        num_air_left_out=num_left_out,
        shares=tuple(float(v) for v in HuHistogram.of(hu, parameters.window_hu).shares),
        content=content,
        slices=slice_marks(hu, NUM_MARKS),
        remarks=tuple(str(problem) for problem in volume.problems),
        split_is_given=bool(wanted.split),
    )


def split_of(patient: str, *, seed: int, test_share: float) -> str:
    """To which split a patient belongs: always the same, whatever else is packed and when."""
    return "test" if uniform_of(CubeKey(patient, 0, 0, 0), seed=seed + 1) < test_share else "train"


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(columns[0], pa.string()),
            *(pa.array(column, pa.int32()) for column in columns[1:4]),
            pa.array(columns[4], pa.string()),
            pa.array(columns[5], pa.bool_()),
            pa.array(columns[6], pa.binary()),
        ],
        [f.name for f in FIELDS],
    )
