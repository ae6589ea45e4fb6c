"""Models judged: the degradations, the trivial baselines, and the form of a case."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ipdsf_spark.ct.stitching import SEAM_LIMIT
from ipdsf_spark.ct.volume import Grid, Volume
from ipdsf_spark.ct.window import windowed
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.autoencoder import Autoencoder
from ipdsf_spark.gan.checkpoint import Model
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.cases import Case, load_cases, save_cases
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import central, evaluate
from ipdsf_spark.imaging.generate import Generation
from tests.imaging.conftest import Known

pytestmark = pytest.mark.training


def judged(
    chest: Volume, known: Known, degradation: Degradation, *, num_slices: int = 0, with_strong: bool = False
) -> Case:
    case, _ = evaluate(
        known(), chest, degradation, model="m", num_workers=0, num_slices=num_slices, with_strong=with_strong
    )
    return case


@pytest.mark.parametrize(
    ("degradation", "untouched"),
    [(Degradation("denoise"), "noisy, untouched"), (Degradation("depixelate"), "nearest")],
)
def test_a_model_that_changes_nothing_is_as_good_as_the_degraded_volume(
    chest: Volume, known: Known, degradation: Degradation, untouched: str
) -> None:
    case = judged(chest, known, degradation)

    assert case.window.psnr_db == pytest.approx(case.baselines[untouched].psnr_db, abs=0.02)  # whole HU in between
    assert case.window.ssim == pytest.approx(case.baselines[untouched].ssim, abs=0.002)
    assert not case.beats_baselines


def test_noise_of_a_twentieth_of_the_window_is_26_db_before_clipping(chest: Volume, known: Known) -> None:
    case = judged(chest, known, Degradation("denoise"))

    # 20 log10(1 / .05) = 26.02 dB; noise beyond the ends of the window is cut off, which only helps
    assert 26.0 < case.baselines["noisy, untouched"].psnr_db < 29.0


def test_a_perfect_model_is_perfect_and_leaves_no_seam(chest: Volume, known: Known) -> None:
    case = judged(chest, known, Degradation("autoencode"))

    assert case.window.psnr_db > 100
    assert case.window.ssim == pytest.approx(1.0, abs=1e-6)
    assert case.seam_ratio <= SEAM_LIMIT
    assert case.baselines == {}
    assert case.degradation == "none"


def test_an_autoencoder_is_judged_beside_the_cosine_transform_of_its_ratio(chest: Volume, known: Known) -> None:
    settings = GeneratorSettings(width=4, halvings=2, norm="none", is_residual=False, code_channels=4)
    start = Model(Autoencoder(settings).eval(), {**known().predictor.facts, "task": "autoencode"})
    degradation = Degradation.of_model(start)

    case, _ = evaluate(
        Generation.of(Predictor(start, "cpu", is_mixed=False)), chest, degradation, model="m", num_workers=0
    )

    (name,) = case.baselines
    assert name == "cosine transform, 16 voxels a number"
    assert case.window.psnr_db == pytest.approx(case.baselines[name].psnr_db, abs=1.5)  # as it begins: cubes overlap
    assert set(case.measures) == {"model", name}


def test_the_pictures_of_a_case_are_its_middle_slice_in_three_forms(chest: Volume, known: Known) -> None:
    options = {"with_strong": False, "with_nodules": False}
    case, slices = evaluate(known(), chest, Degradation("depixelate"), model="m", num_workers=2, **options)

    truth = windowed(chest.hu, case.window_hu)
    assert np.array_equal(slices.original, truth[12])
    assert np.array_equal(slices.condition[::2, ::2], slices.condition[1::2, 1::2])
    np.testing.assert_allclose(slices.prediction, slices.condition, atol=1e-3)
    assert slices.spacing_yx_mm == (9.0, 8.0)


def test_the_same_noise_is_drawn_for_every_model(chest: Volume, known: Known) -> None:
    first, second = (judged(chest, known, Degradation("denoise", sigma=0.1)) for _ in range(2))

    assert first.window == second.window
    assert first.baselines == second.baselines
    assert "0.1" in first.degradation


def test_all_slices_are_judged_and_a_choice_is_taken_from_the_middle_in_whole_blocks() -> None:
    hu = np.arange(45, dtype=np.int16)[:, None, None]

    assert central(hu, 0).ravel().tolist() == list(range(45))
    assert central(hu, 20).ravel().tolist() == list(range(14, 30))
    for few, num_slices in ((hu[:7], 0), (hu, 7)):
        with pytest.raises(InputError, match="7 slices cannot be judged"):
            central(few, num_slices)


@pytest.mark.parametrize("shape", [(20, 64, 1), (20, 1, 64), (9, 6, 6)])
def test_slices_too_small_for_ssim_are_named_before_anything_is_computed(
    known: Known, shape: tuple[int, int, int]
) -> None:
    slim = Volume(np.zeros(shape, np.int16), Grid(shape, (2.0, 1.0, 1.0)), study="slim")

    with pytest.raises(InputError, match=f"slices of {shape[1]} × {shape[2]} voxels cannot be judged"):
        judged(slim, known, Degradation("denoise"))


def test_pixels_that_do_not_divide_a_volume_have_both_baselines() -> None:
    share = np.random.default_rng(0).random((8, 9, 10), np.float32)
    degradation = Degradation("depixelate", factor=2)

    baselines = degradation.baselines(share, degradation.applied(share))

    assert {name: volume.shape for name, volume in baselines.items()} == dict.fromkeys(
        ("nearest", "trilinear"), share.shape
    )


def test_cases_are_read_back_as_they_were_written(chest: Volume, known: Known, tmp_path: Path) -> None:
    cases = [judged(chest, known, Degradation(task)) for task in ("denoise", "autoencode")]

    save_cases(tmp_path / "cases.json", cases)

    assert load_cases(tmp_path / "cases.json") == cases
    assert [p.name for p in tmp_path.iterdir()] == ["cases.json"]


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{}",
        "[]",
        '{"format": "ipdsf-cases/9", "cases": []}',
        '{"format": "ipdsf-cases/1", "cases": [{"volume": 1}]}',
    ],
)
def test_damaged_results_are_refused_with_the_name_of_their_file(tmp_path: Path, damage: str) -> None:
    (tmp_path / "cases.json").write_text(damage)

    with pytest.raises(InputError, match=r"cases\.json"):
        load_cases(tmp_path / "cases.json")


def test_results_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no results"):
        load_cases(tmp_path / "cases.json")


def test_a_case_is_plain_json(chest: Volume, known: Known, tmp_path: Path) -> None:
    case = judged(chest, known, Degradation("denoise"), num_slices=8)
    save_cases(tmp_path / "cases.json", [case])

    (plain,) = json.loads((tmp_path / "cases.json").read_text())["cases"]
    assert plain["shape"] == [8, 40, 44]
    assert set(plain["baselines"]) == {"noisy, untouched", "3-D Gaussian, σ = 1 voxel"}
    assert set(plain["measures"]) == {"model", *plain["baselines"]}


def test_results_of_the_older_format_are_read_without_measures(chest: Volume, known: Known, tmp_path: Path) -> None:
    case = judged(chest, known, Degradation("autoencode"), num_slices=8)
    save_cases(tmp_path / "cases.json", [case])
    content = json.loads((tmp_path / "cases.json").read_text())
    del content["cases"][0]["measures"], content["cases"][0]["nodules"]
    (tmp_path / "cases.json").write_text(json.dumps(content | {"format": "ipdsf-cases/1"}))

    (older,) = load_cases(tmp_path / "cases.json")

    assert older == dataclasses.replace(case, measures={}, nodules={})


def test_a_model_that_changes_nothing_measures_as_the_degraded_volume(chest: Volume, known: Known) -> None:
    case = judged(chest, known, Degradation("denoise"), with_strong=True)

    model, untouched = case.measures["model"], case.measures["noisy, untouched"]
    assert model.ms_ssim == pytest.approx(untouched.ms_ssim, abs=0.002)
    assert model.mae_hu == pytest.approx(untouched.mae_hu, abs=0.5)
    assert untouched.mae_hu["soft"] == pytest.approx(70 * np.sqrt(2 / np.pi), rel=0.05)  # σ = .05 of 1400 HU
    assert model.noise_hu == pytest.approx(untouched.noise_hu, rel=0.02)
    assert case.measures["3-D Gaussian, σ = 1 voxel"].noise_frequency_per_mm < untouched.noise_frequency_per_mm
    assert {"total variation", "non-local means"} < set(case.baselines)


def test_nodules_of_the_true_volume_are_whole_and_a_model_that_blurs_them_is_found_out(
    chest: Volume, known: Known
) -> None:
    def blurred(levels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool3d(levels, 5, stride=1, padding=2, count_include_pad=False)

    options = {"model": "m", "num_workers": 0, "with_strong": False}
    same, _ = evaluate(known(), chest, Degradation("autoencode"), **options)  # type: ignore[arg-type]
    soft, _ = evaluate(known(blurred), chest, Degradation("autoencode"), **options)  # type: ignore[arg-type]

    assert {n.contrast for n in same.nodules["true volume"]} != set()
    for whole, kept, lost in zip(
        same.nodules["true volume"], same.nodules["model"], soft.nodules["model"], strict=True
    ):
        assert whole.contrast == pytest.approx(1.0, abs=0.35)  # voxels of 9 mm
        assert kept.contrast == pytest.approx(whole.contrast, abs=0.02)
        assert lost.contrast < 0.7 * whole.contrast


def test_low_dose_noise_is_another_degradation_with_the_same_deviation(chest: Volume) -> None:
    share = np.full((16, 64, 64), 0.5, np.float32)
    white, shaped = (Degradation("denoise", is_low_dose=is_low).applied(share) for is_low in (False, True))

    assert shaped.std() == pytest.approx(white.std(), rel=0.05)
    assert Degradation("denoise", is_low_dose=True).name == "low-dose noise, σ = 0.05 of the window"
