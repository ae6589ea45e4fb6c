"""The table of sites beside a running job: every edit is noticed, and one that cannot be read changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.stream.follow import SitesFile

OSLO = "[oslo]\nlatitude_deg = 59.94\nlongitude_deg = 10.72\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sites.toml"
    path.write_text(OSLO + "[default]\n")
    return path


@pytest.fixture
def sites(table: Path) -> SitesFile:
    return SitesFile(load(overrides=[f'sites.file="{table}"']))


def test_a_table_that_says_the_same_is_not_taken_over_again(sites: SitesFile, table: Path) -> None:
    table.write_text("# looked through\n" + table.read_text())

    assert sites.changed() is None


@pytest.mark.parametrize(
    "line",
    ['stamps = "behind"', 'timezone = "+01:00"', 'wigos_id = "0-20000-0-01492"', "max_height_m = 2500.0"],
)  # fmt: skip
def test_whatever_is_edited_of_a_site_is_noticed_once(sites: SitesFile, table: Path, line: str) -> None:
    table.write_text(f"{OSLO}{line}\n[default]\n")

    found = sites.changed()

    assert found is not None and found.keys() == {"oslo", "default"}
    assert sites.changed() is None


def test_a_table_that_cannot_be_read_leaves_the_one_before_in_force(sites: SitesFile, table: Path) -> None:
    before = sites.table
    table.write_text("[oslo]\nlatitude_deg = 95.0\nlongitude_deg = 10.0\n")

    assert sites.changed() is None
    assert sites.table is before
