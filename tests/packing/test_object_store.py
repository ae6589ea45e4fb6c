"""From volumes in a bucket to a data set in a bucket, to a model, to a volume: nothing of it on a mounted disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ipdsf_spark.config import Config
from ipdsf_spark.packing.stored import store_part
from ipdsf_spark.storage import object_store
from ipdsf_spark.storage.location import Location, location_of
from ipdsf_spark.storage.object_store import ObjectFiles
from tests.conftest import PackedChest
from tests.object_store import serving
from tests.packing.elsewhere import (
    Killed,
    put,
    require_completed_after_any_kill,
    require_like_on_a_disk,
    require_read_by_two_workers,
)

ARRAY = "storage.root=s3a://array/ipdsf"
MEASURED = location_of("s3a://measured/chests of 2026")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch, packed_chest: PackedChest) -> Iterator[ObjectFiles]:
    """With the volumes of the packed chest in one bucket, and another one for the storage array."""
    with serving(monkeypatch, "array", "measured"):
        put(ObjectFiles(), MEASURED, packed_chest)
        yield ObjectFiles()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.training
def test_a_data_set_in_a_bucket_is_that_on_a_disk_and_is_rebuilt_exported_and_trained_on(
    files: ObjectFiles, packed_chest: PackedChest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_like_on_a_disk(files, ARRAY, MEASURED, packed_chest, tmp_path, capsys)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.training
def test_two_workers_read_a_data_set_in_a_bucket_as_they_read_it_on_a_disk(
    files: ObjectFiles, packed_chest: PackedChest, tmp_path: Path
) -> None:
    require_read_by_two_workers(files, ARRAY, packed_chest, tmp_path, feed="shards")


class MortalStore:
    """pyarrow's file system of a process that is killed at its `number`-th change of the store."""

    def __init__(self, store: Any, number: int) -> None:
        self.store, self.number, self.changes = store, number, 0

    def __getattr__(self, name: str) -> Any:
        if self.changes >= self.number:
            raise Killed
        if name in ("open_output_stream", "copy_file", "delete_file", "delete_dir"):
            self.changes += 1
            if self.changes >= self.number:
                raise Killed
        return getattr(self.store, name)


def store(batches: Iterator[pa.RecordBatch], cubes: Location, task: int, config: Config) -> None:
    """As a task does, which writes its part by itself."""
    store_part(batches, cubes, task, 32, config.packing)


@pytest.mark.training
def test_a_packing_killed_at_any_change_of_a_bucket_loses_nothing_and_is_completed_by_the_next(
    files: ObjectFiles, packed_chest: PackedChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = object_store.filesystem()

    @contextmanager
    def mortal(number: int) -> Iterator[MortalStore]:
        client = MortalStore(real, number)
        with monkeypatch.context() as patch:
            patch.setattr(object_store, "filesystem", lambda: client)
            yield client

    require_completed_after_any_kill(files, ARRAY, packed_chest, monkeypatch, store=store, mortal=mortal)
