"""Which split a patient belongs to, and what a task says of a volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.ct.enhancement import Enhancement
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.identities import sorted_out
from ipdsf_spark.packing.manifest import FORMAT, Manifest, Parameters, Study
from ipdsf_spark.packing.pack import wanted_volumes
from ipdsf_spark.packing.patients import require_whole_patients
from ipdsf_spark.packing.reference import ENHANCEMENT_FILE, enhancement_at
from ipdsf_spark.packing.volumes import Packed, Wanted, packed_cubes, split_of
from ipdsf_spark.storage.files import LocalFiles
from ipdsf_spark.storage.location import location_of

pytestmark = pytest.mark.training
PARAMETERS = Parameters(32, 8, (-1000, 400), 0.3, 0.1, 0)


@given(st.text(min_size=1, max_size=20), st.integers(0, 1000))
def test_a_patient_keeps_its_split_and_a_larger_share_only_adds_patients(patient: str, seed: int) -> None:
    shares = [split_of(patient, seed=seed, test_share=share) for share in (0.0, 0.2, 0.5, 1.0)]

    assert shares == [split_of(patient, seed=seed, test_share=share) for share in (0.0, 0.2, 0.5, 1.0)]
    assert shares[0] == "train"
    assert shares == sorted(shares, reverse=True)


def test_about_the_asked_share_of_patients_is_for_testing() -> None:
    splits = [split_of(f"patient {k}", seed=0, test_share=0.2) for k in range(2_000)]

    assert splits.count("test") == pytest.approx(400, abs=60)


def test_a_patient_in_both_splits_is_refused_by_the_names_of_the_volumes() -> None:
    require_whole_patients([("a", "p1", "train"), ("b", "p1", "train"), ("c", "p2", "test")])
    with pytest.raises(InputError, match=r"1 patient\(s\) would be in both splits: a \(train\) and b \(test\)"):
        require_whole_patients([("a", "p1", "train"), ("b", "p1", "test")])


def test_volumes_of_one_file_name_are_two_volumes_and_names_are_given_to_all_or_none(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scan.nii.gz").touch()
    paths = [str(tmp_path / folder / "scan.nii.gz") for folder in ("a", "b")]

    assert [w.name for w in wanted_volumes(paths, [], [])] == ["", ""]
    assert [w.name for w in wanted_volumes(paths[:1], paths[1:], [], ["x", "y"])] == ["x", "y"]
    for names, reason in ((["x"], "1 name"), (["x", "x"], "both be called"), (["x", "../y"], "name of a volume")):
        with pytest.raises(InputError, match=reason):
            wanted_volumes(paths, [], [], names)
    with pytest.raises(InputError, match="does not exist"):
        wanted_volumes([str(tmp_path / "nowhere")], [], [])


def test_voxels_that_are_no_number_are_a_named_reason(tmp_path: Path) -> None:
    import nibabel as nib

    hu = chest_phantom((24, 32, 32), seed=0).volume.hu.astype(np.float32)
    hu[3, 4, 5] = np.nan
    nib.save(nib.Nifti1Image(hu.T, np.eye(4)), tmp_path / "nan.nii.gz")

    said = list(packed_cubes(Wanted(str(tmp_path / "nan.nii.gz"), "nan", "train"), 0, PARAMETERS, 0.2))

    assert len(said) == 1
    assert isinstance(said[0], Packed)
    assert "no number" in said[0].error


def test_a_manifest_is_read_back_as_it_was_written_and_damage_is_named() -> None:
    study = Study("a", "p", "train", (30, 512, 512), (2.5, 0.7, 0.7), 7, 3, "a.parquet", 9)
    manifest = Manifest("set", PARAMETERS, "0" * 64, {"a": study})
    text = manifest.to_json()

    assert Manifest.from_json(text, origin="x") == manifest
    assert manifest.sha256 != Manifest("set", PARAMETERS, "1" * 64, {"a": study}).sha256
    for damaged in (text[:-9], "[]", "{}", text.replace("cube_size", "cube_siz"), "\x00"):
        with pytest.raises(InputError, match="x is"):
            Manifest.from_json(damaged, origin="x")
    with pytest.raises(InputError, match="no volume in the split 'test'"):
        manifest.of_split("test")


def test_a_manifest_of_another_format_is_refused_by_its_format() -> None:
    text = (
        Manifest("set", PARAMETERS, "0" * 64, {}).to_json().replace(f'"format": {json.dumps(FORMAT)}', '"format": 99')
    )

    with pytest.raises(InputError, match="the set is of format 99; this version reads"):
        Manifest.from_json(text, origin="the set")


def test_an_enhancement_of_another_data_set_is_refused(tmp_path: Path) -> None:
    own, other = Enhancement.straight((-1000, 400)), Enhancement.straight((-1000, 1000))
    manifest = Manifest("set", PARAMETERS, own.sha256, {})
    place = location_of(str(tmp_path))
    (tmp_path / ENHANCEMENT_FILE).write_text(own.to_json())
    assert enhancement_at(LocalFiles(), place, manifest) == own

    (tmp_path / ENHANCEMENT_FILE).write_text(other.to_json())

    with pytest.raises(InputError, match="is not the one the data set was packed with"):
        enhancement_at(LocalFiles(), place, manifest)


KNOWN = Study("known", "p1", "train", (30, 512, 512), (2.5, 0.7, 0.7), 7, 3, "a.parquet", 9, content="c1")


def packed(path: str, content: str, **more: Any) -> Packed:
    told: dict[str, Any] = {"study": path, "patient": f"of {path}", "split": "train", "num_cubes": 5}
    return Packed(path, content=content, **(told | more))


def test_of_volumes_those_that_are_new_are_packed_and_of_the_others_it_is_said_why_not() -> None:
    found = sorted_out(
        [packed("new", "c2"), packed("again", "c2"), packed("copy", "c1"), packed("air", "c3", num_cubes=0)], [KNOWN]
    )

    assert [each.path for each in found.good] == ["new"]
    assert found.left_out == ("air: shows nothing but air, of which no cube is kept",)
    assert found.skipped == (
        "again is in the data set already, as 'new' (train)",
        "copy is in the data set already, as 'known' (train)",
    )


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        (packed("bad", "", error="bad: cannot be read"), "cannot pack: bad: cannot be read"),
        (packed("copy", "c1", split="test", split_is_given=True), "copy is 'known', which is for train"),
        (packed("other", "c9", study="known"), "the name 'known' belongs to another volume, the data set"),
        (packed("other", "c9", study="new"), "the name 'new' belongs to another volume, new"),
        (packed("other", "c9", patient="p1", split="test"), "would be in both splits: known"),
    ],
)
def test_a_volume_that_would_spoil_the_data_set_stops_all_of_them(volume: Packed, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        sorted_out([packed("new", "c2"), volume], [KNOWN])


def test_what_cannot_be_read_is_left_out_where_that_is_asked_for_unless_nothing_is_left() -> None:
    bad = packed("bad", "", error="bad: cannot be read")

    found = sorted_out([packed("new", "c2"), bad], [KNOWN], skips_bad=True)

    assert ([each.path for each in found.good], found.left_out) == (["new"], ("bad: cannot be read",))
    with pytest.raises(InputError, match="none of the volumes can be packed: bad: cannot be read"):
        sorted_out([bad], [KNOWN], skips_bad=True)
