"""From a set of cubes to volumes of nobody, by the command."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.chests import body_box
from ipdsf_spark.ct.cube_set import CubeSet, ShardWriter, publish
from ipdsf_spark.ct.cubes import CubePlan, cubes_of, is_air
from ipdsf_spark.ct.degradation import block_means
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.reading import read_volume
from ipdsf_spark.errors import InputError
from ipdsf_spark.imaging import synthesis
from ipdsf_spark.imaging.synthesis import conditioned, load_synthesis
from ipdsf_spark.imaging.synthesis_record import record, recorded
from ipdsf_spark.packing.coarse_cubes import CoarseCubes, remove_unused
from ipdsf_spark.training.wholes import mid_copy, put_together
from tests.training.exported_phantoms import SHAPE, SPACING, exported

pytestmark = pytest.mark.training
SETTINGS = ["width=4", "halvings=2", "discriminator_width=4", "batch=4"]


@pytest.fixture(scope="module")
def cubes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("synthesis") / "cubes", range(4))


@pytest.fixture(scope="module")
def model(cubes: Path) -> Path:
    folder = cubes.parent / "model"
    words = ["ct", "train-synthesis", "--cubes", str(cubes), "-o", str(folder), "--samples", "8", "--threads", "1"]
    assert main([*words, *(w for s in SETTINGS for w in ("--set", f"training.{s}")), "--device", "cpu"]) == 0
    return folder


def test_a_volume_put_together_from_its_cubes_is_the_volume_where_it_is_not_air(cubes: Path) -> None:
    wholes = list(put_together(CubeSet.load(cubes)))

    assert [whole.name for whole in wholes] == [f"phantom-{k}" for k in range(4)]
    truth = block_means(np.clip(chest_phantom(SHAPE, seed=0, spacing_mm=SPACING).volume.hu, -1000, 400), 4)
    body = truth > -800
    # Cubes that are left out as air hold up to a fiftieth of something else.
    assert np.abs(wholes[0].mid - truth)[body].max() < 10
    assert wholes[0].spacing_mm == pytest.approx([4 * step for step in SPACING])


def test_air_that_was_left_out_is_like_the_air_that_was_kept(tmp_path: Path) -> None:
    size, shape = 16, (32, 64, 64)
    hu = np.clip(chest_phantom(shape, seed=3, spacing_mm=SPACING).volume.hu, -1000, 400)
    noise = np.random.default_rng(0).integers(0, 24, shape)
    hu = np.where(hu < -900, -1000 + noise, hu).astype(np.int16)  # air of -988 HU in the mean
    hu[5::8, 3] = 400  # and wires, which are no air
    writer, is_one_kept = ShardWriter(tmp_path, 0), False
    for key, cube in cubes_of(hu, CubePlan(shape, size, 4), "noisy"):
        if not is_air(cube) or not is_one_kept:
            is_one_kept |= is_air(cube)
            writer.add(cube[None], [key])
    writer.finish()
    sizes = [{"name": "noisy", "shape": shape, "spacing_mm": SPACING}]
    enhancement = Enhancement.fit({"noisy": HuHistogram.of(hu)})
    publish(tmp_path, enhancement, size=size, shards=1, facts={"dataset": "x", "overlap": 4, "volumes": sizes})

    (whole,) = put_together(CubeSet.load(tmp_path))

    assert whole.mid[:, 1, -2:].mean() == pytest.approx(-988, abs=2)
    rows, columns = (slice(4 * first, 4 * last) for first, last in body_box(whole.mid))
    assert whole.shares[:24].sum() == pytest.approx(np.mean(hu[:, rows, columns] < -976), abs=0.005)
    assert whole.shares.sum() == pytest.approx(1.0)


def test_the_coarser_cubes_go_with_the_last_that_uses_them_also_when_it_fails(cubes: Path) -> None:
    with pytest.raises(ZeroDivisionError), mid_copy(cubes, "model") as place:
        with mid_copy(cubes, "model") as same:
            assert same == place
        assert len(CubeSet.load(place).keys) > 0
        raise ZeroDivisionError

    assert not place.exists()


def test_processes_that_make_volumes_into_one_folder_lose_none_of_its_record(tmp_path: Path) -> None:
    facts = [{"out": str(tmp_path / f"nobody-{k:04d}.nii.gz")} for k in range(24)]
    for fact in facts:
        Path(fact["out"]).touch()
    with ThreadPoolExecutor(8) as processes:
        list(processes.map(lambda fact: record(tmp_path, fact, model="m"), facts))

    assert sorted(recorded(tmp_path), key=lambda fact: str(fact["out"])) == facts


def test_coarser_cubes_of_a_training_that_was_killed_go_and_no_others(tmp_path: Path) -> None:
    all_ = [CoarseCubes.beside(tmp_path / "chest-train-0123", d * 16) for d in "abcd"]
    _, used, begun, strange = all_  # the first is of a training that was killed
    for coarse in all_:
        coarse.place.mkdir()
        (coarse.place / "cubes-0.raw").write_bytes(b"coarse")
    (strange.place / "notes.txt").write_text("mine")
    with used.use.open("w") as by_a_worker, begun.lock.open("w") as by_its_maker:
        fcntl.flock(by_a_worker, fcntl.LOCK_SH)
        fcntl.flock(by_its_maker, fcntl.LOCK_EX)
        remove_unused(tmp_path)

        assert [coarse.place.is_dir() for coarse in all_] == [False, True, True, True]
    remove_unused(tmp_path)
    assert [coarse.place.is_dir() for coarse in all_] == [False, False, False, True]


def test_a_volume_of_nobody_is_written_marked_and_the_same_for_the_same_seed(model: Path, tmp_path: Path) -> None:
    words = ["ct", "synthesize", "--model", str(model), "--shape", "24", "40", "44", "--device", "cpu", "--seed", "3"]
    assert main([*words, "--number", "2", "-o", str(tmp_path / "a")]) == 0
    assert main([*words, "-o", str(tmp_path / "b")]) == 0

    first, second = (nib.load(tmp_path / "a" / f"nobody-{k:04d}.nii.gz") for k in (3, 4))
    assert first.shape == (44, 40, 24)
    assert b"GENERATED" in first.header["descrip"].tobytes()
    assert not np.array_equal(first.get_fdata(), second.get_fdata())
    again = nib.load(tmp_path / "b" / "nobody-0003.nii.gz")
    np.testing.assert_array_equal(first.get_fdata(), again.get_fdata())
    facts = json.loads((tmp_path / "a" / "synthesis.json").read_text())["volumes"]
    assert all(f["nearest_training_chest"] > f["copy_limit"] for f in facts)
    assert main([*words, "-o", str(tmp_path / "a")]) == 1  # nothing is replaced


def test_the_record_of_a_folder_tells_of_every_volume_in_it_and_of_none_that_has_gone(
    model: Path, tmp_path: Path
) -> None:
    words = ["ct", "synthesize", "--model", str(model), "--shape", "24", "40", "44", "--device", "cpu"]
    for seed in (1, 2, 3):
        assert main([*words, "--seed", str(seed), "-o", str(tmp_path)]) == 0
        (tmp_path / "nobody-0002.nii.gz").unlink(missing_ok=True)

    told = json.loads((tmp_path / "synthesis.json").read_text())["volumes"]
    assert [Path(facts["out"]).name for facts in told] == ["nobody-0001.nii.gz", "nobody-0003.nii.gz"]


def test_volumes_are_not_written_into_a_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (model / "synthesis.json").read_bytes()

    assert main(["ct", "synthesize", "--model", str(model), "-o", str(model), "--device", "cpu"]) == 1

    assert "says nothing of volumes and is not replaced" in capsys.readouterr().err
    assert (model / "synthesis.json").read_bytes() == before


def test_stages_of_different_volumes_are_no_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model, tmp_path / "mixed")
    for name in ("model.pt", "model.json"):
        (tmp_path / "mixed" / "mid" / name).unlink()
    stored = torch.load(model / "mid" / "model.pt", weights_only=True)
    facts = json.loads(stored["facts"]) | {"trained_on": ["others"]}
    torch.save(stored | {"facts": json.dumps(facts)}, tmp_path / "mixed" / "mid" / "model.pt")
    words = ["-o", str(tmp_path / "out"), "--device", "cpu", "--shape", "24", "40", "44"]

    assert main(["ct", "synthesize", "--model", str(tmp_path / "mixed"), *words]) == 1
    assert "trained on different volumes (trained_on)" in capsys.readouterr().err
    assert main(["ct", "synthesize", "--model", str(model / "mid"), *words]) == 1
    assert "`ipdsf ct train-synthesis` makes such models" in capsys.readouterr().err


def test_a_volume_larger_than_memory_is_a_named_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = ["--shape", "200000", "200000", "200000"]
    words = ["ct", "synthesize", "--model", str(model), "-o", str(tmp_path), "--device", "cpu", *shape]

    assert main(words) == 1
    assert "too little memory" in capsys.readouterr().err


def test_a_dicom_series_of_nobody_is_valid_and_claims_no_patient(model: Path, tmp_path: Path) -> None:
    words = ["ct", "synthesize", "--model", str(model), "--shape", "16", "32", "36", "--device", "cpu"]
    assert main([*words, "--format", "dicom", "-o", str(tmp_path)]) == 0
    folder = tmp_path / "nobody-0000"

    volume = read_volume(folder)
    assert volume.hu.shape == (16, 32, 36)
    assert {p.kind for p in volume.problems} == {"generated"}, [p.text for p in volume.problems]
    slices = sorted(folder.iterdir())
    images = [pydicom.dcmread(path) for path in slices]
    for image in images:
        assert (image.SyntheticData, image.BurnedInAnnotation) == ("YES", "NO")
        assert "PatientIdentityRemoved" not in image  # nobody had one
        assert image.DerivationCodeSequence[0].CodeValue == "SYNTHESIS"
        (software,) = image.ContributingEquipmentSequence
        assert software.PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
    assert len({image.SOPInstanceUID for image in images}) == 16
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.RAISE
    try:
        for path in slices:
            for element in pydicom.dcmread(path).iterall():  # reading a value is what validates it
                assert element.tag
    finally:
        pydicom.config.settings.reading_validation_mode = before
    if validator := shutil.which("dciodvfy"):
        ended = subprocess.run([validator, slices[0]], capture_output=True, text=True, check=False)
        # Older dictionaries do not know Synthetic Data (0008,001C), which came in 2023.
        errors = [line for line in ended.stderr.splitlines() if line.startswith("Error") and "001c" not in line]
        assert not errors


def test_a_model_that_knows_only_copies_writes_nothing(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(model / "chests.npz") as stored:
        parts = dict(stored)
    parts["copy_limit"] = np.array(10.0)
    for name in ("mid", "fine", "guard.npz"):
        (tmp_path / name).symlink_to(model / name)
    np.savez(tmp_path / "chests.npz", **parts)

    words = ["ct", "synthesize", "--model", str(tmp_path), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert main([*words, "--shape", "24", "40", "44"]) == 1
    assert "copies of training chests" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_makes_no_body_is_named_and_what_was_made_before_is_told_of(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, calls = synthesis.body_box, []

    def body_box(*given: object) -> object:
        calls.append(given)
        if len(calls) > 2:  # the second volume
            raise InputError("no voxel is denser than -500 HU")
        return found(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(synthesis, "body_box", body_box)
    words = ["ct", "synthesize", "--model", str(model), "-o", str(tmp_path), "--device", "cpu", "--number", "2"]

    assert main([*words, "--shape", "24", "40", "44"]) == 1
    assert "the model makes no chests (no voxel is denser than -500 HU): train it for longer" in capsys.readouterr().err
    assert len(json.loads((tmp_path / "synthesis.json").read_text())["volumes"]) == 1


def test_the_model_of_a_stage_is_the_one_that_was_best_in_validation(model: Path) -> None:
    facts = json.loads((model / "fine" / "model.json").read_text())
    told = json.loads((model / "synthesis.json").read_text())["fine"]

    assert 5 < facts["best_validation_psnr_db"] < 60
    assert told["best_validation_psnr_db"] == pytest.approx(facts["best_validation_psnr_db"], abs=0.01)
    assert told["model_step"] == facts["model_step"]


def test_overlapping_cubes_see_one_noise_field(model: Path) -> None:
    share = np.random.default_rng(0).random((6, 10, 11)).astype(np.float32)
    whole = conditioned(share, (24, 40, 44), 4, 0.03, (-1000, 400), (5, 2))

    np.testing.assert_array_equal(whole, conditioned(share, (24, 40, 44), 4, 0.03, (-1000, 400), (5, 2)))
    quiet = conditioned(share, (24, 40, 44), 4, 0.0, (-1000, 400), (5, 2))
    inside = (quiet > -800) & (quiet < 200)
    assert np.std((whole - quiet)[inside]) == pytest.approx(0.03 * 1400, rel=0.05)
    assert load_synthesis(model, "cpu").chests.window_hu == (-1000, 400)
