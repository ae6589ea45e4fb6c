"""Petastorm, unmodified, where Arrow and numpy lack what it asks for: the newest, or these with that taken away."""

from __future__ import annotations

import json
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ipdsf_spark.packing.metadata import pickled
from ipdsf_spark.packing.pack import PackReport
from ipdsf_spark.packing.petastorm_on_arrow import Dataset, Piece
from ipdsf_spark.packing.schema import unischema
from tests.conftest import REPOSITORY
from tests.packing.conftest import SavePhantom

pytestmark = pytest.mark.training

# What pyarrow 15 and 16 removed is hidden from `import`, as is what numpy 2 removed.
TAKEN_AWAY = """
import json, sys, warnings
import numpy as np, pyarrow, pyarrow.parquet as pq
warnings.simplefilter("ignore")
sys.modules["pyarrow.filesystem"] = sys.modules["pyarrow.hdfs"] = None
for name in ("unicode_", "string_"):
    vars(np).pop(name, None)
"""
READ = """
from ipdsf_spark.packing.petastorm_on_arrow import make_batch_reader, make_reader
url = "file://" + sys.argv[1]
plain = dict(num_epochs=1, reader_pool_type="dummy", shuffle_row_groups=False)
rows = list(make_reader(url, **plain))
shards = [sum(1 for _ in make_reader(url, **plain, cur_shard=k, shard_count=2)) for k in (0, 1)]
batches = list(make_batch_reader(url, **plain, schema_fields=["study", "z"]))
print(json.dumps({
    "rows": [[str(row.study), int(row.z), list(row.cube.shape), row.cube.dtype.name] for row in rows],
    "shards": shards,
    "batches": [[str(study), int(z)] for batch in batches for study, z in zip(batch.study, batch.z)],
    "is_patched_for_others": pq.ParquetDataset is not pyarrow.parquet.core.ParquetDataset or hasattr(np, "unicode_"),
    "is_found_by_others": sys.modules["pyarrow.hdfs"] is not None,
}))
"""


@pytest.fixture
def cubes(packed_here: Callable[..., PackReport], phantom_file: SavePhantom, tmp_path: Path) -> Path:
    """The folder of a data set of two volumes, as Petastorm finds it."""
    packed_here(tmp_path / "st", train=[phantom_file(tmp_path / f"{k}.nii.gz", k, 24) for k in range(2)],
                names=("a", "b"))  # fmt: skip
    return tmp_path / "st" / "cubes" / "d" / "cubes"


def test_a_data_set_is_read_whole_without_what_petastorm_asks_for_and_nobody_elses_arrow_changes(cubes: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", TAKEN_AWAY + READ, cubes], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])

    table = pa.concat_tables([pq.read_table(path, columns=["study", "z"]) for path in sorted(cubes.glob("*.parquet"))])
    expected = [[row["study"], row["z"]] for row in table.to_pylist()]
    assert len(expected) > 10
    assert [row[:2] for row in found["rows"]] == found["batches"] == expected
    assert {(tuple(shape), dtype) for *_, shape, dtype in found["rows"]} == {((32, 32, 32), "int16")}
    assert sum(found["shards"]) == len(expected) and min(found["shards"]) > 0
    assert not found["is_patched_for_others"] and not found["is_found_by_others"]


def test_the_schema_names_nothing_that_only_one_numpy_has() -> None:
    names = [arg for opcode, arg, _ in pickletools.genops(pickled(unischema(32))) if opcode.name == "GLOBAL"]

    assert pickle.loads(pickled(unischema(32))).fields == unischema(32).fields
    assert {name for name in names if name.startswith("numpy")} == {
        *("numpy str_", "numpy int32", "numpy bool_", "numpy int16"),
    }


def test_pieces_of_a_folder_are_its_files_with_rows(cubes: Path) -> None:
    for name in ("_SUCCESS", ".part.crc", "part.parquet.crc"):
        (cubes / name).touch()
    found = Dataset(str(cubes))

    assert [piece.path for piece in found.pieces] == [str(path) for path in sorted(cubes.glob("*.parquet"))]
    assert found.common_metadata is not None and found.metadata is None


def test_a_piece_gives_a_row_group_and_the_columns_that_are_asked_for(cubes: Path) -> None:
    path = str(min(cubes.glob("*.parquet")))
    file = pq.ParquetFile(path)

    found = Piece(path, row_group=1).read({"z", "study"})

    assert found.equals(file.read_row_group(1, ["study", "z"]))
    assert Piece(path).read({"z"}).num_rows == file.metadata.num_rows


def test_what_the_stand_in_cannot_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "split=train").mkdir()
    pq.write_table(pa.table({"z": [1]}), tmp_path / "split=train" / "0.parquet")

    with pytest.raises(NotImplementedError, match="folder name=value"):
        Dataset(str(tmp_path))
    with pytest.raises(NotImplementedError, match="filters"):
        Dataset(str(tmp_path / "split=train"), filters=[("z", "=", 1)])
