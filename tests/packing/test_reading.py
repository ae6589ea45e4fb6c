"""Every row of every row group, in every reading: Petastorm's own pool loses some without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from petastorm.codecs import NdarrayCodec
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.thread_pool import ThreadPool
from petastorm.workers_pool.worker_base import WorkerBase

from ipdsf_spark.errors import InputError
from ipdsf_spark.packing import reading
from ipdsf_spark.packing.reading import RowGroups, WholePool, cube_batches
from ipdsf_spark.packing.schema import unischema
from ipdsf_spark.packing.volumes import _batch
from ipdsf_spark.storage.location import Location, location_of

pytestmark = pytest.mark.training
SIZE = 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Location]:
    """Four files of ten row groups of three cubes, in a folder whose name has every character that URLs treat apart."""
    folder = tmp_path_factory.mktemp("set") / "a b#c?d%41eä;f"
    folder.mkdir()
    codec, field = NdarrayCodec(), unischema(SIZE).fields["cube"]
    for number in range(4):
        rows = [
            (f"s{number}", k, 0, 0, "train", False, bytes(codec.encode(field, np.full((SIZE,) * 3, k, np.int16))))
            for k in range(30)
        ]
        pq.write_table(pa.Table.from_batches([_batch(rows)]), folder / f"{number}.parquet", row_group_size=3)
    return [location_of(str(path)) for path in sorted(folder.iterdir())]


def test_two_hundred_readings_of_forty_small_row_groups_are_whole(files: list[Location]) -> None:
    groups = RowGroups.of(files)
    assert groups.rows == (3,) * 40

    found = [sum(len(keys) for _, keys in groups.read(range(40), SIZE)) for _ in range(200)]

    assert found == [120] * 200


class Echo(WorkerBase):
    """Hands back what it is given."""

    def process(self, value: int) -> None:
        self.publish_func(value)


class LastMoment:
    """Hands out its only work at the moment when it is asked whether more is to come, as a thread of its own may."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool, self._is_given = pool, False

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def processed_item(self) -> None:
        pass

    def completed(self) -> bool:
        if not self._is_given:
            self._is_given = True
            self._pool.ventilate(7)
        return True


@pytest.mark.parametrize(("kind", "expected"), [(WholePool, [7]), (ThreadPool, [])])
def test_work_handed_out_between_the_two_questions_is_waited_for(kind: type[ThreadPool], expected: list[int]) -> None:
    """The second case is Petastorm as it is: when it is mended there, our guard may go."""
    pool = kind(2)
    pool.start(Echo, ventilator=LastMoment(pool))
    got: list[Any] = []
    try:
        while True:
            got.append(pool.get_results())
    except EmptyResultError:
        pass
    finally:
        pool.stop()
        pool.join()

    assert got == expected


def test_row_groups_come_in_the_order_that_was_asked_for(files: list[Location]) -> None:
    asked = [39, 0, 17, 5]
    found = [
        (keys[0].study, keys[0].z, int(cubes[0, 0, 0, 0])) for cubes, keys in RowGroups.of(files).read(asked, SIZE)
    ]

    assert found == [("s3", 27, 27), ("s0", 0, 0), ("s1", 21, 21), ("s0", 15, 15)]


@pytest.mark.parametrize("num_shards", [1, 2, 3, 41])
def test_shards_are_disjoint_and_together_all_there_is(files: list[Location], num_shards: int) -> None:
    shards = [
        [k for _, keys in cube_batches(files, SIZE, shard=s, num_shards=num_shards) for k in keys]
        for s in range(num_shards)
    ]

    assert sum(map(len, shards)) == len(set().union(*map(set, shards))) == 120


@pytest.mark.parametrize("num_shards", [1, 2])
def test_rows_that_a_reader_loses_are_an_error_in_shards_as_well(
    files: list[Location], num_shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = reading._Chosen

    class Losing(chosen):  # type: ignore[misc, valid-type]
        def _filter_row_groups(self, *given: Any) -> Any:
            return super()._filter_row_groups(*given)[0][:-1], None

    monkeypatch.setattr(reading, "_Chosen", Losing)
    with pytest.raises(InputError, match="the reader lost some"):
        list(cube_batches(files, SIZE, num_shards=num_shards))


def test_cubes_of_another_size_and_files_that_are_not_there_are_named(files: list[Location], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="8³ voxels"):
        list(cube_batches(files, 8))
    with pytest.raises(InputError, match=r"nowhere\.parquet is missing"):
        list(cube_batches([location_of(str(tmp_path / "nowhere.parquet"))], SIZE))
