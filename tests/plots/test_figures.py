"""The figures of a run."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from ipdsf_spark import plots

TIME = np.datetime64("2026-06-15", "us") + (300 * np.arange(288)).astype("timedelta64[s]")


def test_an_error_figure_tells_rmse_and_bias_of_both_series() -> None:
    known_m = np.full(288, 1000.0)
    final_m = known_m + np.where(np.arange(288) % 2, 30.0, -10.0)
    provisional_m = known_m - 100.0
    figure = plots.error_figure(TIME, known_m, final_m, provisional_m, site="oslo")

    texts = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}

    assert texts == {"provisional: RMSE 100 m, bias -100 m", "final: RMSE 22 m, bias +10 m"}


def test_heights_that_are_missing_count_neither_as_right_nor_as_wrong() -> None:
    known_m = np.full(288, 1000.0)
    final_m = np.where(np.arange(288) < 144, 1040.0, np.nan)

    figure = plots.error_figure(TIME, known_m, final_m, site="oslo")

    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "final: RMSE 40 m, bias +40 m"


def test_a_site_without_a_single_height_still_has_its_figure() -> None:
    figure = plots.error_figure(TIME, np.full(288, 1000.0), np.full(288, np.nan), site="oslo")

    assert figure.axes[0].get_legend().get_texts()[0].get_text() == "final: none"


def test_a_latency_figure_counts_every_product_and_names_the_percentiles() -> None:
    latency_s = np.append(np.linspace(0.1, 2.0, 1000), np.nan)
    figure = plots.latency_figure(latency_s)

    counted = sum(bar.get_height() for bar in figure.axes[0].patches)
    told = figure.axes[1].texts[0].get_text()

    assert counted == 1000
    assert figure.axes[0].get_ylabel() == "products"  # a file gives several
    assert "p50  1.05 s" in told
    assert "p99  1.98 s" in told


def test_no_latency_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no latency"):
        plots.latency_figure(np.array([np.nan]))


def test_a_picture_that_cannot_be_written_leaves_the_earlier_one_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = plots.latency_figure(np.linspace(0.1, 2.0, 100))
    path = plots.save(figure, tmp_path / "latency.png")
    whole = path.read_bytes()

    def fills(self: Figure, path: Path, **_: object) -> None:
        path.write_bytes(whole[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fills)
    with pytest.raises(OSError, match=r"No space left on device: '.*latency\.png'"):
        plots.save(figure, path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [whole]


def test_a_picture_without_an_ending_is_png(tmp_path: Path) -> None:
    assert plots.save(plots.latency_figure(np.linspace(0.1, 2.0, 100)), tmp_path / "latency").name == "latency.png"
