from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.instruments import campbell_cs, vaisala_cl61
from ipdsf_spark.lidar.instruments.stamps import Clock
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import load_sites, site_named, sites_of

OSLO = "[oslo]\nlatitude_deg = 59.942\nlongitude_deg = 10.72\n"


def table(folder: Path, text: str) -> Path:
    path = folder / "sites.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_sites_of_this_project_stand_where_their_files_were_recorded() -> None:
    sites = sites_of(load())

    assert (sites["oslo"].latitude_deg, sites["oslo"].longitude_deg) == (59.942, 10.720)
    assert sites["norunda"].instrument == "Vaisala CL51"
    assert all(site.id == site_id for site_id, site in sites.items())


def test_a_site_keeps_the_kernels_defaults_for_what_it_does_not_state(tmp_path: Path) -> None:
    sites = load_sites(table(tmp_path, OSLO))

    assert sites == {"oslo": Site(id="oslo", latitude_deg=59.942, longitude_deg=10.72)}


def test_a_site_that_is_not_listed_gets_the_default_under_its_own_id(tmp_path: Path) -> None:
    sites = load_sites(table(tmp_path, OSLO + "[default]\nlatitude_deg = 50\nlongitude_deg = 8\naltitude_m = 100\n"))

    assert site_named(sites, "new") == Site(id="new", latitude_deg=50.0, longitude_deg=8.0, altitude_m=100.0)


def test_an_unknown_place_has_no_sun(tmp_path: Path) -> None:
    new = site_named(sites_of(load()), "new")

    assert math.isnan(new.latitude_deg)
    assert math.isnan(new.longitude_deg)
    with pytest.raises(ConfigError, match=r"\[default\] has no longitude_deg"):
        load_sites(table(tmp_path, "[default]\nlatitude_deg = 50\n"))
    with pytest.raises(ConfigError, match=r"\[oslo\] has no latitude_deg"):
        load_sites(table(tmp_path, "[oslo]\naltitude_m = 50\n"))


def test_a_listed_site_takes_nothing_from_the_default(tmp_path: Path) -> None:
    sites = load_sites(table(tmp_path, OSLO + "[default]\nlatitude_deg = 50\nlongitude_deg = 8\naltitude_m = 100\n"))

    assert site_named(sites, "oslo").altitude_m == 0.0


def test_without_a_default_an_unknown_site_is_refused_and_the_nearest_offered(tmp_path: Path) -> None:
    sites = load_sites(table(tmp_path, OSLO))

    with pytest.raises(ConfigError, match="unknown site 'oslol'; did you mean 'oslo'"):
        site_named(sites, "oslol")
    with pytest.raises(ConfigError, match=r"add a table for it, or \[default\]"):
        site_named(sites, "quito")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (OSLO + "altitude = 5\n", r"sites\.toml:4: \[oslo\] altitude: unknown key; did you mean 'altitude_m'\?"),
        (OSLO + "id = 'x'\n", r"sites\.toml:4: \[oslo\] id: unknown key"),
        (OSLO + "altitude_m = 'low'\n", r"sites\.toml:4: \[oslo\] altitude_m must be a number, got 'low'"),
        (OSLO + "altitude_m = true\n", r"\[oslo\] altitude_m must be a number, got True"),
        (OSLO + "instrument = 51\n", r"sites\.toml:4: \[oslo\] instrument must be a text, got 51"),
        (OSLO + "calibration = 0\n", r"\[oslo\] calibration must be a factor above 0, got 0"),
        ("[oslo]\nlatitude_deg = 5994\nlongitude_deg = 10.7\n", r":2: \[oslo\] latitude_deg must be a latitude of -90"),
        ("[oslo]\nlatitude_deg = nan\nlongitude_deg = 10.7\n", r":2: \[oslo\] latitude_deg must be a latitude"),
        (OSLO + "[uto]\nlatitude_deg = 59.8\n", r"sites\.toml:4: \[uto\] has no longitude_deg"),
        (OSLO + "['a/b']\n", r":4: \[a/b\] is no site id: up to 64 letters"),
        ("altitude_m = 5\n", r"altitude_m stands outside a table"),
        ("[oslo\n", r"not valid TOML: .*line 1"),
        (OSLO + OSLO, r"not valid TOML: .*line 4"),
    ],
)
def test_a_wrong_table_names_file_line_and_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_sites(table(tmp_path, text))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('timezone = "Europe/Munich"', r"sites.toml:4: \[oslo\] timezone: no time zone 'Europe/Munich'"),
        ('timezone = "+25:00"', "as '\\+01:00'"),
        ('date_order = "dmy"', "day_first, month_first, year_first"),
        ('stamps = "above"', "'before' or 'behind'"),
    ],
)
def test_a_clock_that_no_logger_has_is_refused_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_sites(table(tmp_path, OSLO + line + "\n"))


def test_the_clock_of_a_site_is_that_of_its_logger(tmp_path: Path) -> None:
    keys = 'timezone = "Europe/Oslo"\ndate_order = "day_first"\nstamps = "behind"\n'
    site = load_sites(table(tmp_path, OSLO + keys))["oslo"]

    assert site.clock == Clock("Europe/Oslo", "day_first", "behind")
    assert Site("x", 0.0, 0.0).clock == Clock()


def test_a_table_may_begin_with_the_mark_that_windows_editors_write(tmp_path: Path) -> None:
    path = tmp_path / "sites.toml"
    path.write_bytes(b"\xef\xbb\xbf[oslo]\r\nlatitude_deg = 59.9\r\nlongitude_deg = 10.7\r\n")

    assert load_sites(path)["oslo"].latitude_deg == 59.9


def test_a_missing_table_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the table of sites nowhere\.toml: No such file"):
        load_sites("nowhere.toml")


@given(latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), altitude=st.floats(-500, 9000))
def test_every_place_on_earth_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, latitude: float, longitude: float, altitude: float
) -> None:
    text = f"[here]\nlatitude_deg = {latitude!r}\nlongitude_deg = {longitude!r}\naltitude_m = {altitude!r}\n"

    site = load_sites(table(tmp_path_factory.mktemp("sites"), text))["here"]

    assert (site.latitude_deg, site.longitude_deg, site.altitude_m) == (latitude, longitude, altitude)


def test_the_instruments_of_the_table_that_comes_along_are_called_as_their_files_are() -> None:
    table = load_sites(Path(__file__).parents[1] / "conf" / "sites.toml")

    known = {campbell_cs.INSTRUMENT, vaisala_cl61.CL61, vaisala_cl61.DA10, "Lufft CHM15k"}
    known |= {"Vaisala CL31", "Vaisala CL51"}
    assert {site.instrument for site in table.values()} - {""} <= known
