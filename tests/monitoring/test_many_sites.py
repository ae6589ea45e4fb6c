"""The page of a network of thousands: what needs somebody is found, nothing moves under a reader."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_exported_metrics import NOW_S, listened, progress, status

from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.curtains import Curtains
from ipdsf_spark.monitoring.files import PageFiles
from ipdsf_spark.monitoring.network import Network
from ipdsf_spark.monitoring.page import ROWS, STATES, Asked
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.view import View, view_of

NUM_SITES = 10_000


def network_of(num_sites: int) -> View:
    network, sites = Network(), {}
    for number in range(num_sites):
        name, sent_ms = f"site-{number:05}", int((NOW_S - 20) * 1000)
        network.take_status(
            status(name, sent_ms=sent_ms, is_silent=number == 7_000, alarms=["window"] if number == 8_000 else [])
        )
        sites[name] = Site(name, 45.0 + number % 100 / 10, 5.0 + number // 100 / 10)
    return view_of(listened(progress({"0": 1}, {"0": 9})), network, sites, [], now_s=NOW_S)


@pytest.fixture(scope="module")
def many() -> View:
    return network_of(NUM_SITES)


def rows_of(text: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="[^"]+">([^<]+)</a>', text)


def test_a_page_of_ten_thousand_sites_is_small_and_quickly_made(many: View) -> None:
    page.index(many, site_link="site/{}")
    begun_s = time.thread_time()

    text = page.index(many, site_link="site/{}")

    assert len(rows_of(text)) == ROWS
    assert len(text.encode()) < 400_000
    assert time.thread_time() - begun_s < 0.5


def test_what_needs_somebody_among_ten_thousand_is_on_the_first_page(many: View) -> None:
    assert rows_of(page.index(many, site_link="site/{}"))[:2] == ["site-07000", "site-08000"]


def test_a_site_is_found_by_letters_of_its_name_and_by_its_state(many: View) -> None:
    assert rows_of(page.index(many, site_link="site/{}", asked=Asked.of({"find": "SITE-0123"}))) == [
        f"site-0123{digit}" for digit in range(10)
    ]
    assert rows_of(page.index(many, site_link="site/{}", asked=Asked.of({"state": "silent"}))) == ["site-07000"]
    assert rows_of(page.index(many, site_link="site/{}", asked=Asked.of({"state": "needy"}))) == [
        "site-07000", "site-08000"
    ]  # fmt: skip


def test_turning_the_pages_shows_every_site_once() -> None:
    view = network_of(350)
    shown: list[str] = []
    asked = Asked()
    while True:
        text = page.index(view, site_link="site/{}", asked=asked)
        shown += rows_of(text)
        onward = re.search(r'<a href="\?([^"#]*)#sites" rel="next">', text)
        if onward is None:
            break
        asked = Asked.of(dict(pair.split("=") for pair in onward[1].split("&amp;")))

    assert sorted(shown) == sorted(view.by_site)


@given(st.dictionaries(st.sampled_from(["find", "state", "page", "still"]), st.text(max_size=200)))
def test_whatever_is_asked_gives_a_page(query: dict[str, str]) -> None:
    asked = Asked.of(query)

    assert asked.state in STATES
    assert "<table>" in page.index(network_of(3), site_link="site/{}", asked=asked)


def test_a_page_moves_once_a_minute_at_most_and_not_at_all_for_whoever_says_so(many: View) -> None:
    refresh = re.compile(r'http-equiv="refresh" content="(\d+)"')
    moving, still = (
        page.index(many, site_link="site/{}"),
        page.index(many, site_link="site/{}", asked=Asked.of({"still": ""})),
    )
    of_site = page.site(many, "site-00001", index_link="../", is_still=True) or ""

    found = refresh.search(moving)
    assert found is not None
    assert int(found[1]) >= 60
    assert '<a href="?still=1">stop that</a>' in moving
    assert refresh.search(still) is None
    assert refresh.search(of_site) is None
    assert "look again every 60 s</a>" in still


def test_who_looks_at_chosen_sites_and_stands_still_keeps_both(many: View) -> None:
    text = page.index(many, site_link="site/{}", asked=Asked.of({"find": "site-0", "page": "2", "still": "1"}))

    assert 'href="?find=site-0&amp;page=3&amp;still=1#sites" rel="next"' in text
    assert 'href="?find=site-0&amp;page=2">look again' in text


def test_files_of_many_sites_are_written_in_turns_and_all_of_them_in_the_end(tmp_path: Path) -> None:
    view, files = network_of(150), PageFiles(tmp_path, Curtains(None, dict), work_s=0.0)

    files.write(view)
    first = len(list(tmp_path.rglob("*.html")))
    for _ in range(200):
        if len(list(tmp_path.rglob("*.html"))) == 152:
            break
        files.write(view)

    assert first < 152
    assert {path.name for path in tmp_path.glob("*.html")} == {"index.html", "index-2.html"}
    assert len(list((tmp_path / "site").iterdir())) == 150
    assert 'href="index-2.html#sites" rel="next"' in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "http-equiv" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_pages_of_what_is_gone_are_removed_and_nobody_elses(tmp_path: Path) -> None:
    files = PageFiles(tmp_path, Curtains(None, dict), work_s=60.0)
    files.write(network_of(250))
    (tmp_path / "site" / "mine.html").write_text("of somebody else")
    assert {path.name for path in tmp_path.glob("*.html")} == {"index.html", "index-2.html", "index-3.html"}

    files.write(network_of(90))

    assert {path.name for path in tmp_path.glob("*.html")} == {"index.html"}
    assert len(list((tmp_path / "site").iterdir())) == 91
    assert (tmp_path / "site" / "mine.html").exists()


@pytest.mark.parametrize("longest", ["山" * 200, "<&\"'%/.. \x00\n" * 18, "x" * 200])
def test_a_site_whose_name_no_file_can_have_has_its_page_beside_those_of_the_others(
    longest: str, tmp_path: Path
) -> None:
    network = Network()
    for name in ("aosta", longest, longest[:-1], "zug"):
        network.take_status(status(name, sent_ms=int((NOW_S - 20) * 1000)))
    view = view_of(LiveListener("live"), network, {}, (), now_s=NOW_S)

    PageFiles(tmp_path, Curtains(None, dict), work_s=60.0).write(view)

    links = re.findall(r'href="(site/[^"]*)"', (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert len(links) == len(set(links)) == len(list((tmp_path / "site").iterdir())) == 4
    assert all((tmp_path / unquote(link)).is_file() for link in links)


def test_a_page_that_cannot_be_written_keeps_no_other_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = page.site

    def stumbling(view: View, name: str, **more: Any) -> str | None:
        if name == "site-00007":
            raise ZeroDivisionError
        return made(view, name, **more)

    monkeypatch.setattr(page, "site", stumbling)
    view, files = network_of(20), PageFiles(tmp_path, Curtains(None, dict), work_s=60.0)

    with pytest.raises(ZeroDivisionError):
        files.write(view)

    assert len(list((tmp_path / "site").iterdir())) == 19
