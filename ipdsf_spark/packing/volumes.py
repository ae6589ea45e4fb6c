"""One task of a packing job: a volume from disk, and its cubes as rows. Runs on an executor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from petastorm.codecs import NdarrayCodec

from ipdsf_spark.ct.cubes import CubeKey, CubePlan, cubes_of, is_air, is_kept_for_training, uniform_of
from ipdsf_spark.ct.enhancement import HuHistogram
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.packing.manifest import Parameters
from ipdsf_spark.packing.schema import FIELDS, unischema

CUBES_AT_ONCE = 64


@dataclass(frozen=True)
class Wanted:
    """A volume to pack.

    Attributes:
        path: readable on every executor.
        study: name under which it is packed.
        split: "train" or "test", or empty to let the patient decide.
    """

    path: str
    study: str
    split: str = ""


@dataclass(frozen=True)
class Packed:
    """What a task says of its volume: sizes, the histogram the enhancement is fitted on, or what was wrong."""

    study: str
    task: int = 0
    patient: str = ""
    split: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    num_cubes: int = 0
    num_air_left_out: int = 0
    shares: tuple[float, ...] = ()
    error: str = ""


def packed_cubes(
    wanted: Wanted, task: int, parameters: Parameters, test_share: float, pseudonym_key_env: str
) -> Iterator[pa.RecordBatch | Packed]:
    """Batches of rows of `schema.ROW_TYPE`, and last what is to be known of the volume."""
    try:
        volume = read_volume(
            wanted.path, study=wanted.study, pseudonym_key=os.environ.get(pseudonym_key_env, "").encode()
        )
    except (IpdsfError, OSError) as error:
        yield Packed(wanted.study, task, error=f"{wanted.path}: {error}")
        return
    if not np.isfinite(volume.hu).all():
        yield Packed(wanted.study, task, error=f"{wanted.path}: voxels that are no number (NaN or infinite)")
        return
    patient = volume.source.patient or wanted.study
    split = wanted.split or split_of(patient, seed=parameters.seed, test_share=test_share)
    hu: NDArray[np.int16] = np.rint(np.clip(volume.hu, -32_768, 32_767)).astype(np.int16, copy=False)
    plan = CubePlan(volume.grid.shape, parameters.cube_size, parameters.overlap)
    codec, field = NdarrayCodec(), unischema(parameters.cube_size).fields["cube"]
    rows: list[tuple[Any, ...]] = []
    num_cubes, num_left_out = 0, 0
    for key, cube in cubes_of(hu, plan, wanted.study):
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
        study=wanted.study,
        task=task,
        patient=patient,
        split=split,
        shape=volume.grid.shape,
        spacing_mm=volume.grid.spacing_mm,
        num_cubes=num_cubes,
        num_air_left_out=num_left_out,
        shares=tuple(float(v) for v in HuHistogram.of(hu, parameters.window_hu).shares),
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
