"""Volumes to a Petastorm data set, by the real Spark job."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, load
from ipdsf_spark.ct.cube_set import CubeSet
from ipdsf_spark.ct.cubes import CubePlan, cut
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.coarse_cubes import CoarseCubes
from ipdsf_spark.packing.local_copy import DatasetReference, export, local_copy
from ipdsf_spark.packing.pack import PackReport, pack, wanted_volumes
from ipdsf_spark.packing.reading import cube_batches
from ipdsf_spark.packing.reference import reference_of
from tests.conftest import PackedChest
from tests.packing.conftest import SavePhantom

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow]


def reference(packed: PackedChest, split: str = "train") -> DatasetReference:
    return reference_of(load(overrides=[f"storage.root={packed.storage}"]), packed.name, split=split)


@pytest.fixture
def own(packed_chest: PackedChest, tmp_path: Path) -> PackedChest:
    """A copy that a test may spoil."""
    shutil.copytree(packed_chest.storage, tmp_path / "storage")
    return PackedChest(tmp_path / "storage", packed_chest.volumes)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_packed_cube_is_the_one_cut_from_its_volume(packed_chest: PackedChest) -> None:
    found = reference(packed_chest)
    volumes = {n: read_volume(packed_chest.volumes / f"{n}.nii.gz").hu for n in ("train-1", "train-2")}
    seen = set()
    for cubes, keys in cube_batches(found.files, 32):
        for cube, key in zip(cubes, keys, strict=True):
            assert np.array_equal(cube, cut(volumes[key.study], key, 32))
            seen.add(key)

    assert len(seen) == found.num_cubes
    for name, volume in volumes.items():
        study = found.manifest.studies[name]
        assert study.num_cubes + study.num_air_left_out == CubePlan(volume.shape).num_cubes


def test_shards_of_readers_are_disjoint_and_complete(packed_chest: PackedChest) -> None:
    urls = reference(packed_chest).files
    shards = [[k for _, keys in cube_batches(urls, 32, shard=s, num_shards=2) for k in keys] for s in range(2)]

    assert not set(shards[0]) & set(shards[1])
    assert len(shards[0]) + len(shards[1]) == reference(packed_chest).num_cubes
    assert min(map(len, shards)) > 0


def test_petastorms_own_reader_reads_the_data_set_with_its_schema(own: PackedChest) -> None:
    from ipdsf_spark.packing.petastorm_on_arrow import make_reader

    # Petastorm's pool of threads at times ends before its first row (`packing.reading` mends that for ours);
    # the one without threads does not.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with make_reader(f"{reference(own).place.url}/cubes", num_epochs=1, reader_pool_type="dummy") as reader:
            rows = [(row.split, row.cube.shape, row.cube.dtype.name) for row in reader]

    assert set(rows) == {(split, (32, 32, 32), "int16") for split in ("train", "test")}
    assert len(rows) == reference(own).manifest.num_cubes


def test_the_data_set_says_what_its_fields_are_and_in_which_unit(packed_chest: PackedChest) -> None:
    fields = {f["name"]: f for f in reference(packed_chest).manifest.fields}

    cube = fields["cube"]
    assert (cube["dtype"], cube["shape"], cube["unit"]) == ("int16", [32, 32, 32], "HU")
    assert [fields[name]["unit"] for name in "zyx"] == ["voxel"] * 3
    assert set(fields) == {"study", "z", "y", "x", "split", "is_air", "cube"}


def test_the_test_patient_has_no_part_in_the_enhancement(packed_chest: PackedChest) -> None:
    histograms = {
        n: HuHistogram.of(read_volume(packed_chest.volumes / f"{n}.nii.gz").hu) for n in ("train-1", "train-2")
    }

    assert reference(packed_chest).enhancement.sha256 == Enhancement.fit(histograms).sha256


def test_the_local_copy_is_whole_and_made_once(packed_chest: PackedChest, tmp_path: Path) -> None:
    counted: list[int] = []
    folder = local_copy(reference(packed_chest), tmp_path, on_progress=counted.append)
    cubes = CubeSet.load(folder)
    again = local_copy(reference(packed_chest), tmp_path, on_progress=counted.append)

    assert folder == again
    assert sum(counted) == len(cubes) == reference(packed_chest).num_cubes
    volume = read_volume(packed_chest.volumes / "train-1.nii.gz").hu
    number = next(k for k, key in enumerate(cubes.keys) if key.study == "train-1")
    assert np.array_equal(cubes.take(np.array([number]))[0], cut(volume, cubes.keys[number], 32))


def test_a_copy_of_an_earlier_state_is_forgotten(own: PackedChest, tmp_path: Path) -> None:
    old = local_copy(reference(own), tmp_path / "cache")
    manifest = own.storage / "cubes" / own.name / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"spacing_mm": [\n    8.0', '"spacing_mm": [\n    8.5'))
    manifest.write_text(manifest.read_text().replace("8.0,", "8.25,"))
    left = CoarseCubes.beside(old, "a" * 16)  # by a training that was killed
    left.place.mkdir()
    new = local_copy(reference(own), tmp_path / "cache")

    assert new != old
    assert not old.exists()
    assert not left.place.exists()


@pytest.mark.parametrize("damage", ["removed", "cut", "keys", "set.json"])
def test_a_local_copy_that_lost_files_is_made_again(packed_chest: PackedChest, tmp_path: Path, damage: str) -> None:
    folder = local_copy(reference(packed_chest), tmp_path)
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    cubes = folder / "cubes-0.raw"
    if damage == "removed":
        cubes.unlink()
    elif damage == "cut":
        cubes.write_bytes(whole["cubes-0.raw"][:1000])
    elif damage == "keys":
        (folder / "keys-0.json").unlink()
    else:
        (folder / "set.json").write_text("{")

    assert local_copy(reference(packed_chest), tmp_path) == folder

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole


def test_an_export_that_was_cut_off_is_begun_again_and_a_whole_one_is_not(
    packed_chest: PackedChest, tmp_path: Path
) -> None:
    (tmp_path / ".cubes-0.raw.part").write_bytes(b"cut")

    assert export(reference(packed_chest), tmp_path) == len(CubeSet.load(tmp_path))

    with pytest.raises(InputError, match="not empty"):
        export(reference(packed_chest), tmp_path)


def test_a_local_copy_removes_neither_that_of_a_longer_name_nor_a_folder_of_somebody(
    packed_chest: PackedChest, tmp_path: Path
) -> None:
    chest = reference(packed_chest)
    longer = replace(chest, manifest=replace(chest.manifest, name=f"{packed_chest.name}-train-2"))
    elsewhere = replace(chest, place=chest.place / "elsewhere")
    kept = [
        local_copy(longer, tmp_path),
        elsewhere.folder_in(tmp_path),
        tmp_path / f"{chest.folder_in(tmp_path).name[:-16]}{16 * '0'}",
    ]
    shutil.copytree(kept[0], kept[1])
    stated = json.loads((kept[1] / "set.json").read_text())
    (kept[1] / "set.json").write_text(
        json.dumps({**stated, "dataset": chest.manifest.name, "source": elsewhere.source})
    )
    kept[2].mkdir()
    (kept[2] / "notes.txt").write_text("written by a person")
    before = [snapshot(folder) for folder in kept]
    local_copy(chest, tmp_path)

    assert [snapshot(folder) for folder in kept] == before


def config_of(packed: PackedChest, *overrides: str) -> Config:
    return load(overrides=[f"storage.root={packed.storage}", *overrides])


def packed_again(
    session: SparkSession, own: PackedChest, train: list[Path], *overrides: str, **more: Any
) -> PackReport:
    test = [str(path) for path in more.pop("test", [])]
    wanted = wanted_volumes([str(path) for path in train], test, [], more.pop("names", ()))
    return pack(session, config_of(own, *overrides), own.name, wanted, **more)


def test_a_second_run_adds_what_is_new_and_leaves_the_rest_as_it_is(
    session: SparkSession, own: PackedChest, tmp_path: Path, phantom_file: SavePhantom
) -> None:
    before = snapshot(own.storage)
    nothing = packed_again(session, own, [own.volumes / "train-1.nii.gz"])
    assert (nothing.num_cubes, nothing.added, snapshot(own.storage)) == (0, {}, before)
    assert ["train-1" in line for line in nothing.skipped] == [True]
    files = (own.storage / "cubes" / "chest" / "cubes").glob("*.parquet")
    assert nothing.num_row_groups == sum(pq.ParquetFile(file).metadata.num_row_groups for file in files)

    third = phantom_file(tmp_path / "any.nii.gz", 7)
    added = packed_again(session, own, [own.volumes / "train-1.nii.gz", third], names=["train-1", "train-3"])

    after = snapshot(own.storage)
    assert added.added == {str(third): "train-3"}
    kept = [n for n in before if n.endswith(".parquet") or n.endswith("enhancement.json")]
    assert {n: after[n] == before[n] for n in kept} == dict.fromkeys(kept, True)
    assert reference(own).num_cubes == added.manifest.num_cubes - reference(own, "test").num_cubes
    assert sum(len(keys) for _, keys in cube_batches(reference(own).files, 32)) == reference(own).num_cubes


def test_files_that_the_manifest_does_not_name_are_not_read_and_are_reported_but_stay(
    session: SparkSession, own: PackedChest
) -> None:
    root = own.storage / "cubes" / own.name
    orphan = root / "cubes" / "train-9-deadbeef.parquet"
    shutil.copy(next((root / "cubes").glob("train-1*.parquet")), orphan)
    (root / ".staging" / "x").mkdir(parents=True)

    assert sum(len(keys) for _, keys in cube_batches(reference(own).files, 32)) == reference(own).num_cubes
    report = packed_again(session, own, [own.volumes / "train-1.nii.gz"])
    assert "train-9-deadbeef.parquet" in " ".join(report.remarks)
    assert orphan.exists()
    assert not (root / ".staging").exists()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.nii.gz", None, "cut.nii.gz"),
        ("text.dcm", b"this is no image", "text.dcm"),
        ("empty", None, "empty folder"),
    ],
)
def test_a_volume_that_cannot_be_used_is_named_and_nothing_changes(
    session: SparkSession, own: PackedChest, tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    bad = tmp_path / name
    if name == "empty":
        bad.mkdir()
    else:
        bad.write_bytes(content or (own.volumes / "train-1.nii.gz").read_bytes()[:5_000])
    before = snapshot(own.storage)

    with pytest.raises(InputError, match=reason):
        packed_again(session, own, [bad])

    assert snapshot(own.storage) == before


def test_unreadable_volumes_can_be_left_out_by_name(
    session: SparkSession, own: PackedChest, tmp_path: Path, phantom_file: SavePhantom
) -> None:
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"nothing")

    report = packed_again(session, own, [bad, phantom_file(tmp_path / "good.nii.gz", 8)], skips_bad=True)

    assert len(report.added) == 1
    assert "bad.nii.gz" in report.left_out[0]


def test_other_parameters_than_the_data_sets_are_refused_with_the_difference(
    session: SparkSession, own: PackedChest
) -> None:
    with pytest.raises(InputError, match=r"cube_size 32, not 64.*another name"):
        packed_again(session, own, [own.volumes / "train-1.nii.gz"], "ct.cube_size=64", "ct.overlap=16")


def test_a_volume_whose_file_was_lost_is_told_of_and_can_be_packed_again(
    session: SparkSession, own: PackedChest, capsys: pytest.CaptureFixture[str]
) -> None:
    study = reference(own).manifest.of_split("train")[0]
    (own.storage / "cubes" / own.name / "cubes" / study.file).unlink()
    volume = own.volumes / "train-1.nii.gz"

    (remark,) = packed_again(session, own, [volume]).remarks
    assert f"files of 1 volume(s) in {own.storage / 'cubes' / own.name / 'cubes'} are lost" in remark
    assert study.name in remark
    assert main(["ct", "pack", "--name", own.name, "--rebuild-manifest", *own.settings]) == 0
    assert "left out" in capsys.readouterr().err
    volumes = [own.volumes / f"train-{k}.nii.gz" for k in (1, 2)]
    again = packed_again(session, own, [path for path in volumes if path.exists()])
    assert again.manifest.num_cubes == reference(own).manifest.num_cubes
    assert len(again.added) == 1
    assert not any("lost" in remark for remark in again.remarks)


def test_a_data_set_without_the_cubes_its_manifest_names_is_not_trained_on(own: PackedChest, tmp_path: Path) -> None:
    manifest = own.storage / "cubes" / own.name / "dataset.json"
    said = json.loads(manifest.read_text())
    said["studies"]["train-1"]["num_cubes"] += 1
    manifest.write_text(json.dumps(said))

    with pytest.raises(InputError, match="its manifest says"):
        local_copy(reference(own), tmp_path / "cache")


def test_exported_cubes_need_nothing_but_numpy(packed_chest: PackedChest, tmp_path: Path) -> None:
    number = export(reference(packed_chest, "test"), tmp_path / "exported")

    assert len(CubeSet.load(tmp_path / "exported")) == number
    with pytest.raises(InputError, match="not empty"):
        export(reference(packed_chest), tmp_path / "exported")


def test_row_groups_are_small_enough_to_share(packed_chest: PackedChest) -> None:
    for file in (packed_chest.storage / "cubes" / "chest" / "cubes").glob("*.parquet"):
        described = pq.ParquetFile(file).metadata
        assert all(described.row_group(k).total_byte_size < 12 * 2**20 for k in range(described.num_row_groups))


def test_a_missing_data_set_names_the_command_that_makes_one(packed_chest: PackedChest) -> None:
    with pytest.raises(InputError, match="ipdsf ct pack"):
        reference_of(load(overrides=[f"storage.root={packed_chest.storage}"]), "nowhere")
