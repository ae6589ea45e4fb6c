"""From volumes in HDFS to a data set in HDFS, to a model, to a volume: a real name node and a real data node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ipdsf_spark.config import Config
from ipdsf_spark.storage import hdfs
from ipdsf_spark.storage.hdfs import HdfsFiles
from ipdsf_spark.storage.location import Location, location_of
from tests.conftest import PackedChest
from tests.hadoop import Hadoop
from tests.packing.elsewhere import (
    Killed,
    put,
    require_completed_after_any_kill,
    require_like_on_a_disk,
    require_read_by_two_workers,
)

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.training]


@pytest.fixture
def root(hadoop: Hadoop) -> Iterator[Location]:
    """A storage array that begins empty; its folder has a name that nobody may encode or cut."""
    place = location_of(f"{hadoop.url}/array #1 at 50%41 ä")
    yield place
    HdfsFiles().delete(place)


@pytest.fixture
def array(root: Location) -> str:
    return f"storage.root={root.url}"


@pytest.mark.spark
def test_a_data_set_in_hdfs_is_that_on_a_disk_and_is_rebuilt_exported_and_trained_on(
    hadoop: Hadoop, array: str, packed_chest: PackedChest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = location_of(f"{hadoop.url}/measured/chests of 2026")
    put(HdfsFiles(), measured, packed_chest)

    require_like_on_a_disk(HdfsFiles(), array, measured, packed_chest, tmp_path, capsys)


@pytest.mark.spark
@pytest.mark.parametrize("feed", ["shards", "copy"])
def test_two_workers_read_a_data_set_in_hdfs_as_they_read_it_on_a_disk(
    array: str, packed_chest: PackedChest, tmp_path: Path, feed: str
) -> None:
    require_read_by_two_workers(HdfsFiles(), array, packed_chest, tmp_path, feed=feed)


class MortalClient:
    """The client of a process that is killed at its `number`-th change of HDFS: before it, or with a file begun."""

    def __init__(self, client: Any, number: int) -> None:
        self.client, self.number, self.changes = client, number, 0

    def __getattr__(self, name: str) -> Any:
        self._live(change=name in ("create", "rename", "delete", "mkdirs"))
        if name == "create":
            return self._create
        return getattr(self.client, name)

    def _create(self, *told: Any) -> Any:
        stream = self.client.create(*told)
        self._live(change=True)  # or it stays open, and its lease with a process that is no more
        return stream

    def _live(self, *, change: bool) -> None:
        self.changes += change
        if self.changes >= self.number:
            raise Killed


def store(batches: Iterator[pa.RecordBatch], cubes: Location, task: int, config: Config) -> None:
    """As Spark does."""
    with hdfs.created(cubes / f"part-{task:05d}-cubes.parquet") as stream:
        pq.write_table(pa.Table.from_batches(list(batches)), stream)


def test_a_packing_killed_at_any_change_of_hdfs_loses_nothing_and_is_completed_by_the_next(
    root: Location, array: str, packed_chest: PackedChest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = hdfs.client_of(root)

    @contextmanager
    def mortal(number: int) -> Iterator[MortalClient]:
        client = MortalClient(real, number)
        with monkeypatch.context() as patch:
            patch.setattr(hdfs, "client_of", lambda place: client)
            yield client

    require_completed_after_any_kill(HdfsFiles(), array, packed_chest, monkeypatch, store=store, mortal=mortal)
