"""One Spark session for all packings of this room, and volumes by the number of their phantom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from ipdsf_spark.config import load
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.packing import pack as packing
from ipdsf_spark.packing.manifest import CUBES_FOLDER
from ipdsf_spark.packing.pack import PackReport, parameters_of
from ipdsf_spark.packing.session import imaging_session
from ipdsf_spark.packing.volumes import Packed, Reading, Wanted, packed_cubes
from ipdsf_spark.storage.location import Location

SavePhantom = Callable[..., Path]


@pytest.fixture(scope="module")
def session() -> Iterator[SparkSession]:
    """Ends with its JVM: the stream's tests need other packages on the class path."""
    with imaging_session("ipdsf-tests", master="local[2]") as spark:
        yield spark


@pytest.fixture(scope="session")
def phantom_file() -> SavePhantom:
    """Writes a small chest; another number is another patient."""

    def save(path: Path, number: int, slices: int = 32) -> Path:
        volume = chest_phantom((slices, 64, 64), seed=number, spacing_mm=(8.0, 5.6, 5.6)).volume
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_volume(path, volume, Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC)))

    return save


@lru_cache(maxsize=16)
def cubes_of(one: Wanted, task: int, test_share: float, reading: Reading, changed_ns: int) -> list[Any]:
    """What a task makes of a volume, which a room packs again and again."""
    return list(packed_cubes(one, task, parameters_of(load()), test_share, reading))


def write_without_spark(
    spark: object,
    config: object,
    wanted: list[Wanted],
    test_share: float,
    reading: Reading,
    staging: Location,
    on_progress: object,
) -> list[Packed]:
    """What the Spark job does, task after task in this process."""
    assert staging.path is not None
    (staging.path / CUBES_FOLDER).mkdir(parents=True)
    reports: list[Packed] = []
    for task, one in enumerate(wanted):
        found = cubes_of(one, task, test_share, reading, Path(one.path).stat().st_mtime_ns)
        reports += [item for item in found if isinstance(item, Packed)]
        batches = [item for item in found if isinstance(item, pa.RecordBatch)]
        if batches:
            part = staging.path / CUBES_FOLDER / f"part-{task:05d}-x.parquet"
            pq.write_table(pa.Table.from_batches(batches), part, row_group_size=8)
    return reports


@pytest.fixture
def packed_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PackReport]:
    """Packs volumes into a storage array without an engine: pack(root, train=[…], test=[…], others=[…], names=[…])."""
    monkeypatch.setattr(packing, "_write", write_without_spark)

    def run(root: Path, *, train: list[Path] = [], test: list[Path] = [], others: list[Path] = [],  # noqa: B006
            names: tuple[str, ...] = (), name: str = "d", **more: Any) -> PackReport:  # fmt: skip
        groups = [[str(path) for path in group] for group in (train, test, others)]
        return packing.pack(
            None,  # type: ignore[arg-type]
            load(overrides=[f"storage.root={root}"]),
            name,
            packing.wanted_volumes(*groups, names),
            **more,
        )

    return run
