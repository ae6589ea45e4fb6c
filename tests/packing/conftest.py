"""One Spark session for all packings of this room, and volumes by the number of their phantom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.packing.session import imaging_session

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
