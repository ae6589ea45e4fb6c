"""Cubes of a phantom, a training small enough for a test, and one Spark for the trainings of a file."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom


@pytest.fixture(scope="session")
def phantom_cubes() -> CubeSet:
    """32 cubes of 16³ voxels."""
    hu = chest_phantom((24, 48, 48), seed=4, spacing_mm=(10.0, 7.0, 7.0)).volume.hu.astype(np.int16)
    pairs = list(cubes_of(hu, CubePlan(hu.shape, 16, 4), "phantom"))[:32]
    cubes, keys = np.stack([cube for _, cube in pairs]), [key for key, _ in pairs]
    enhancement = Enhancement.fit({"phantom": HuHistogram.of(hu)})
    # Two files, out of order: the order of the keys decides.
    return CubeSet.of_arrays([(cubes[20:], keys[20:]), (cubes[:20], keys[:20])], enhancement)


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """A session that every verb of this process works in; Horovod's workers are processes of their own as ever."""
    from ipdsf_spark.packing.session import imaging_session

    with imaging_session("ipdsf-tests", master="local[2]"):
        yield


def answer_of(*words: str | Path) -> dict[str, object]:
    """What a verb, run in this process, says in JSON."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([*map(str, words)]) == 0
    return dict(json.loads(said.getvalue().splitlines()[-1]))
