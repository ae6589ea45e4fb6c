"""Tables in the form of the IPDSF table, times to reach, and the page that shows them."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ipdsf_spark.cli.main import main
from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.errors import InputError
from ipdsf_spark.imaging.cases import Case, Measures, Scores
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import evaluate
from ipdsf_spark.imaging.history import TrainingHistory, read_history, time_to_reach
from ipdsf_spark.imaging.report import Trained, write_report
from ipdsf_spark.imaging.tables import (
    baseline_table,
    cost_table,
    interval_table,
    likeness_table,
    nodule_table,
    quality_table,
    reach_table,
    tissue_table,
)
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import locked
from tests.imaging.conftest import Known

pytestmark = pytest.mark.training

COLUMNS = (
    "step",
    "samples",
    "seconds",
    "loss_g",
    "loss_d",
    "accuracy_d",
    "data_s",
    "compute_s",
    "allreduce_s",
    "rest_s",
)


def case(volume: str, psnr_db: float, ssim: float, *, workers: int = 0, **changes: object) -> Case:
    plain = Case(
        volume, "denoise", "noise", "model", workers, (24, 40, 44), (5.0, 1.0, 1.0), (-1000, 400),
        Scores(psnr_db, ssim), Scores(psnr_db - 3, ssim), {"noisy": Scores(26.0, 0.6)}, 1.02, 3.2, 48,
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


NUM_TABLES = 8  # quality twice, baselines, likeness, tissues, nodules, cost, time to reach; one patient: no intervals
WITHOUT = [case(f"patient-{k}", 30.0 + k, 0.9) for k in range(4)]
WITH = [case(f"patient-{k}", 29.5 + k, 0.91, workers=4) for k in range(4)]


def history(folder: Path, *, steps: int = 200, pace_s: float = 0.5) -> TrainingHistory:
    folder.mkdir(parents=True, exist_ok=True)
    k = np.arange(1, steps + 1)
    falling = np.exp(-k / 60)
    values = {"step": k, "samples": 8 * k, "seconds": pace_s * k, "loss_g": 20 * falling + 1, "loss_d": 0.2 * falling,
              "accuracy_d": 1 - 0.5 * falling, "data_s": 0 * k, "compute_s": 0 * k + 0.4, "allreduce_s": 0 * k + 0.05,
              "rest_s": 0 * k + 0.05}  # fmt: skip
    with (folder / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *zip(*(values[name] for name in COLUMNS), strict=True)])
    found = read_history(folder)
    assert found is not None
    return found


def test_the_table_has_a_row_per_patient_their_mean_and_what_distribution_costs() -> None:
    table = quality_table(WITHOUT, WITH)

    assert [row[0] for row in table.rows] == ["patient-0", "patient-1", "patient-2", "patient-3", "mean"]
    assert table.rows[0] == ("patient-0", "30.00", "0.9000", "29.50", "0.9100", "-0.50", "+0.0100")
    assert table.rows[-1] == ("mean", "31.50", "0.9000", "31.00", "0.9100", "-0.50", "+0.0100")
    assert "data range 1" in table.title
    assert "data range 2" in quality_table(WITHOUT, WITH, is_enhanced=True).title


def test_what_an_adversary_costs_stands_beside_it_with_its_interval() -> None:
    alone = [case(f"patient-{k}", 31.5 + k, 0.93) for k in range(4)]

    table, intervals = quality_table(WITHOUT, WITH, alone), interval_table(WITHOUT, [], alone)

    assert table.header[-4].startswith("PSNR L1 alone [dB], L = 1")
    assert table.rows[0][:-4] == quality_table(WITHOUT, WITH).rows[0]
    assert table.rows[0][-4:] == ("31.50", "0.9300", "-1.50", "-0.0300")
    assert table.rows[-1][-4:] == ("33.00", "0.9300", "-1.50", "-0.0300")
    assert quality_table([], WITH[:1], alone[:1]).rows[0][-2:] == ("-2.00", "-0.0200")
    assert intervals is not None
    rows = {row[0]: row[1:] for row in intervals.rows}
    assert rows["with an adversary over L1 alone"][:3] == ("4", "-1.50", "-1.50 … -1.50")
    assert rows["model (L1 alone) over noisy"][:2] == ("4", "+7.00")


def test_a_side_that_is_missing_is_a_dash_and_not_a_zero() -> None:
    assert quality_table(WITHOUT[:1], []).rows == (("patient-0", "30.00", "0.9000", "–", "–", "–", "–"),)
    assert quality_table([], WITH[:1]).rows[0][1:3] == ("–", "–")


def test_a_perfect_score_has_no_difference() -> None:
    perfect = [case("p", float("inf"), 1.0)]

    assert quality_table(perfect, WITH[:1]).rows[0][1] == "inf"
    assert quality_table(perfect, [case("p", 30, 0.9)]).rows[0][-2:] == ("–", "–")


def test_baselines_stand_beside_every_model_and_are_beaten_only_in_both_measures() -> None:
    table = baseline_table([*WITHOUT[:1], *WITH[:1]])

    assert table is not None
    assert [row[1] for row in table.rows] == ["noisy", "model model", "model model"]
    assert case("p", 26.1, 0.61).beats_baselines
    assert not case("p", 30.0, 0.59).beats_baselines
    assert not case("p", 25.9, 0.99).beats_baselines
    assert baseline_table([case("p", 40, 0.99, baselines={})]) is None


def test_intervals_over_patients_pair_each_with_himself() -> None:
    table = interval_table(WITHOUT, WITH)

    assert table is not None
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["with Horovod over without"] == ("4", "-0.50", "-0.50 … -0.50", "+0.0100", "+0.0100 … +0.0100")
    assert rows["model (without) over noisy"][:2] == ("4", "+5.50")
    assert interval_table(WITHOUT[:1], WITH[:1]) is None
    few = interval_table(WITHOUT[:2], [])
    assert few is not None
    assert few.rows[0][3] == "–"


def test_tables_of_measures_are_left_out_where_nothing_was_measured() -> None:
    for table in (likeness_table, tissue_table, nodule_table):
        assert table(WITHOUT) is None


def test_a_tissue_that_a_volume_has_not_is_a_dash() -> None:
    found = Measures(None, 0.5, {"lung": 12.34}, 3.0, 20.0, 0.2)
    measured = case("p", 30, 0.9, measures={"model": found, "noisy": found})

    tissues, likeness = tissue_table([measured]), likeness_table([measured])

    assert tissues is not None
    assert tissues.rows[0] == ("p", "noisy", "–", "12.3", "–", "–", "–")
    assert tissues.header[3] == "lung, -950 … -500"
    assert likeness is not None
    assert likeness.rows[1][:4] == ("p", "model model", "–", "0.500")


def test_markdown_and_csv_hold_the_same_cells_whatever_a_patient_is_called() -> None:
    table = quality_table([case('a|b, "c"', 30, 0.9)], [])

    assert 'a\\|b, "c"' in table.markdown()
    assert list(csv.reader(io.StringIO(table.csv())))[1][1] == 'a|b, "c"'
    lines = table.markdown().splitlines()[2:]
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(table.header) + 1}


def test_time_to_reach_is_when_the_smoothed_curve_first_gets_there(tmp_path: Path) -> None:
    slow, fast = history(tmp_path / "slow", pace_s=1.0), history(tmp_path / "fast", pace_s=0.5)

    rows = time_to_reach({"slow": slow, "fast": fast})

    assert len(rows) == 9
    for _, seconds in rows:
        assert seconds["slow"] == pytest.approx(2 * seconds["fast"])  # type: ignore[operator]
    assert slow.seconds_to_reach("loss_g", -1.0, falling=True) is None
    assert reach_table([("never", {"slow": None, "fast": 3.0})]).rows == (("never", "–", "3"),)


def test_a_smoothed_constant_is_the_constant_from_the_first_step_on(tmp_path: Path) -> None:
    found = history(tmp_path)

    np.testing.assert_allclose(found.smoothed("compute_s"), 0.4, rtol=1e-12)
    assert found.step_times_ms() == pytest.approx({"data": 0, "forward and backward": 400, "allreduce": 50, "rest": 50})


def test_a_history_that_is_missing_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert read_history(tmp_path) is None
    (tmp_path / "history.csv").write_text("step,seconds\n1,2\n")
    with pytest.raises(InputError, match="lacks the columns accuracy_d"):
        read_history(tmp_path)
    (tmp_path / "history.csv").write_text("step,seconds\n1,what\n")
    with pytest.raises(InputError, match=r"history\.csv is no history"):
        read_history(tmp_path)
    (tmp_path / "history.csv").write_text("step,seconds\n")
    assert read_history(tmp_path) is None


def trained(chest: Volume, known: Known, folder: Path, name: str = "chest-9") -> Trained:
    volume = dataclasses.replace(chest, study=name)
    found, slices = evaluate(
        known(), volume, Degradation("denoise"), model=folder.name, num_workers=0, with_strong=False
    )
    return Trained([found], [slices], folder, {"samples": 1600, "ended": "1600 cubes seen"})


def test_a_report_is_tables_curves_figure_and_a_page_with_all_of_them(
    chest: Volume, known: Known, tmp_path: Path
) -> None:
    for name in ("solo", "two"):
        history(tmp_path / name)

    page = write_report(
        tmp_path / "report", trained(chest, known, tmp_path / "solo"), trained(chest, known, tmp_path / "two")
    )

    text = page.read_text()
    for name in ("figure.png", "curves.png", "step_time.png"):
        with Image.open(tmp_path / "report" / name) as picture:
            assert min(picture.size) > 200
        assert f'src="{name}"' in text
    assert (tmp_path / "report" / "table.md").read_text().count("**") == 2 * NUM_TABLES
    titles = {row[0] for row in csv.reader((tmp_path / "report" / "table.csv").open()) if row} - {"table"}
    assert len(titles) == NUM_TABLES
    assert all(title.partition("[")[0] in text for title in titles)
    assert "Every baseline is beaten" not in text


def test_a_model_without_an_adversary_is_in_every_table_and_the_figure_and_in_no_curve_of_one(
    chest: Volume, known: Known, tmp_path: Path
) -> None:
    for name in ("gan", "gan-l1"):
        history(tmp_path / name)
    sides = [trained(chest, known, tmp_path / name) for name in ("gan", "gan-l1")]

    write_report(tmp_path / "report", sides[0], None, sides[1])

    rows = list(csv.reader((tmp_path / "report" / "table.csv").open()))
    named = {row[0] for row in rows if any("gan-l1" in cell for cell in row)}
    beginnings = ("Beside what needs no network", "Likeness", "Mean absolute error by tissue", "Generation")
    assert all(any(title.startswith(beginning) for title in named) for beginning in beginnings)
    assert not any("L1 alone" in cell for row in rows if row and row[0].startswith("Time to reach") for cell in row)
    with Image.open(tmp_path / "report" / "figure.png") as three:
        write_report(tmp_path / "other", sides[0], None)
        with Image.open(tmp_path / "other" / "figure.png") as one:
            assert three.height > 1.5 * one.height


def test_a_report_of_one_model_without_history_has_a_figure_and_no_curves(
    chest: Volume, known: Known, tmp_path: Path
) -> None:
    page = write_report(tmp_path, None, trained(chest, known, tmp_path / "two"))

    assert sorted(p.name for p in tmp_path.iterdir()) == ["figure.png", "index.html", "table.csv", "table.md"]
    assert "curves.png" not in page.read_text()


def test_names_of_patients_are_text_and_never_markup(chest: Volume, known: Known, tmp_path: Path) -> None:
    page = write_report(tmp_path, trained(chest, known, tmp_path / "m", name="<script>alert(1)</script>"), None)

    assert "<script>" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()


def test_a_disk_that_fills_while_pictures_are_written_is_named_with_the_report(
    chest: Volume, known: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fills(figure: Figure, path: Path, **_: object) -> None:
        path.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, "No space left on device")  # writing knows no file

    side = trained(chest, known, tmp_path / "model")
    monkeypatch.setattr("ipdsf_spark.cli.ct_evaluate._trained", lambda *_: side)
    monkeypatch.setattr(Figure, "savefig", fills)
    (tmp_path / "scan.nii").write_bytes(b"of which the model was told")
    out = tmp_path / "report"

    assert main(["ct", "evaluate", str(tmp_path / "scan.nii"), "--model", "model", "-o", str(out)]) == 1
    told = capsys.readouterr().err
    assert f"cannot write the report to {out}: No space left on device (figure.png)" in told
    assert sorted(path.name for path in out.iterdir()) == ["cases.json", "table.csv", "table.md"]


def test_two_evaluations_never_write_one_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ipdsf_spark.cli.ct_evaluate._trained", lambda *_: pytest.fail("it computes already"))
    (tmp_path / "scan.nii").write_bytes(b"of which the model was told")
    out = tmp_path / "report"
    with locked(location_of(str(out)), "evaluating"):
        assert main(["ct", "evaluate", str(tmp_path / "scan.nii"), "--model", "model", "-o", str(out)]) == 1
        assert f"{out} is in use (evaluating" in capsys.readouterr().err
    assert not out.exists()


def test_nothing_evaluated_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was evaluated"):
        write_report(tmp_path / "report", None, None)
    assert not (tmp_path / "report").exists()


def test_the_cost_table_states_size_seams_and_time() -> None:
    assert cost_table(WITHOUT[:1]).rows == (("patient-0", "model", "24 × 40 × 44", "5 × 1 × 1", "48", "1.020", "3.2"),)
