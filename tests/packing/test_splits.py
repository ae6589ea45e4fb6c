"""Which split a patient belongs to, and what a task says of a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.errors import InputError
from ipdsf_spark.packing.manifest import Manifest, Parameters, Study
from ipdsf_spark.packing.pack import wanted_volumes
from ipdsf_spark.packing.patients import require_whole_patients
from ipdsf_spark.packing.volumes import Packed, Wanted, packed_cubes, split_of

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
