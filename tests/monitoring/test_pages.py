"""The status page and its server: what stands on it, that it needs nothing from elsewhere, and that it fails alone."""

from __future__ import annotations

import itertools
import logging
import math
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_exported_metrics import NOW_S, calibration, listened, product, progress, status

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.chart import LETTER, MAP_WIDTH, NAME_HEIGHT, Dot, map_of
from ipdsf_spark.monitoring.curtains import Curtains
from ipdsf_spark.monitoring.files import PageFiles
from ipdsf_spark.monitoring.job_metrics import TableState
from ipdsf_spark.monitoring.network import Network
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.server import PageServer, Query, served
from ipdsf_spark.monitoring.view import View, view_of

SITES = {
    "oslo": Site("oslo", 59.9, 10.7),
    "munich": Site("munich", 48.1, 11.6),
    "adrift": Site("adrift", float("nan"), 0.0),
}
NASTY = "<script>alert('x')</script>"


@pytest.fixture
def view() -> View:
    network = Network()
    sent_ms = int((NOW_S - 20) * 1000)
    network.take_status(status("oslo", sent_ms=sent_ms, alarms=["window_contaminated"]))
    network.take_product(product("oslo", "2027-01-15T07:55:00Z", sent_ms, 812.0), sent_ms + 700)
    network.take_product(product("oslo", "2027-01-15T08:00:00Z", sent_ms, None), sent_ms + 700)
    network.take_status(status("munich", sent_ms=sent_ms - 4_000_000))
    network.take_status(status("adrift", sent_ms=sent_ms, is_silent=True))
    network.take_status(status(NASTY, sent_ms=sent_ms))
    network.take_letter([("reason", NASTY.encode())])
    tables = [TableState("layers", 3, 4_000.0, True)]
    return view_of(listened(progress({"0": 1}, {"0": 9})), network, SITES, tables, now_s=NOW_S)


def test_what_needs_somebody_stands_first(view: View) -> None:
    assert [(row.site, row.state) for row in view.rows] == [
        ("adrift", "silent"), ("munich", "stale"), ("oslo", "live"), (NASTY, "live")
    ]  # fmt: skip


def test_a_calibration_that_drifts_is_shown_and_stands_among_what_needs_somebody() -> None:
    network = Network()
    for name in ("bern", "oslo"):
        network.take_status(status(name, sent_ms=int((NOW_S - 20) * 1000)))
    network.take_product(calibration("oslo", "2026-06-21T00:00:00Z", 1.25, 1.0, alarm=True), 2)
    view = view_of(listened(progress({"0": 1}, {"0": 9})), network, SITES, [], now_s=NOW_S)

    assert [row.site for row in view.rows] == ["oslo", "bern"]
    assert "calibration drifts" in page.index(view, site_link="site/{}")
    assert "× 1.250" in (page.site(view, "oslo", index_link="../") or "")


def test_before_the_first_batch_the_page_shows_no_lag_and_not_a_lag_of_zero() -> None:
    view = view_of(LiveListener("live"), Network(), SITES, [TableState("layers", None, 4.0, False)], now_s=NOW_S)

    shown = page.index(view, site_link="site/{}")
    assert "<b>–</b><span>files not read yet" in shown
    assert "– records behind" in shown


def test_the_last_height_is_shown_although_a_newer_interval_has_none(view: View) -> None:
    oslo = view.by_site["oslo"]

    assert (oslo.time, oslo.height_m) == ("2027-01-15T07:55:00Z", 812.0)
    assert "812\u202fm" in page.index(view, site_link="site/{}")


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(view: View) -> None:
    both = page.index(view, site_link="site/{}") + (page.site(view, "oslo", index_link="../") or "")

    assert re.findall(r"(?:src|href|action)=[\"'](?!site/|\.\./|data:,|\?)", both) == []
    assert "<script" not in both
    assert "@import" not in both
    assert "url(" not in both


def test_the_page_names_alarms_lag_reasons_and_what_the_archive_lacks(view: View) -> None:
    text = page.index(view, site_link="site/{}")

    for told in (
        "window contaminated",
        "cannot be written",
        "&lt;script&gt;alert",
        'class="n">8</td>',
        "stale",
        "silent",
    ):
        assert told in text, told


def test_a_site_without_a_place_is_on_no_map_and_in_the_table(view: View) -> None:
    assert [dot.site for dot in view.dots] == ["munich", "oslo"]
    assert "adrift" in page.index(view, site_link="site/{}")


def test_a_site_of_which_only_products_have_come_is_shown_without_blame_and_on_no_map() -> None:
    network = Network()
    network.take_product(product("unlisted", "2027-01-15T08:00:00Z", int(NOW_S * 1000) - 60_000, 812.0), 0)

    view = view_of(listened(), network, SITES, (), now_s=NOW_S)

    (row,) = (each for each in view.rows if each.site == "unlisted")
    assert (row.state, row.is_balanced, row.age_s, row.height_m) == ("live", True, 60.0, 812.0)
    assert (row.latitude_deg, row.longitude_deg) == (None, None)
    assert "unlisted" not in {dot.site for dot in view.dots}


def test_files_replace_what_was_there_and_every_link_leads_to_one(view: View, tmp_path: Path) -> None:
    files = PageFiles(tmp_path, Curtains(None, lambda: SITES))
    files.write(view)
    files.write(view)

    links = re.findall(r'<th scope="row"><a href="([^"]+)"', (tmp_path / "index.html").read_text(encoding="utf-8"))
    assert len(links) == len(view.rows)
    assert all((tmp_path / urllib.request.url2pathname(link)).is_file() for link in links)
    assert not list(tmp_path.rglob("*.part"))


def test_a_program_gets_the_same_without_what_is_no_json(view: View) -> None:
    said = view.as_json()

    assert said["rows"][2]["height_m"] == 812.0
    assert "NaN" not in str(said).replace("nan", "NaN")


@given(st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=30))
def test_every_site_lies_on_the_map(places: list[tuple[float, float]]) -> None:
    drawn = map_of([Dot(str(number), *place, "live") for number, place in enumerate(places)])

    assert drawn is not None
    assert all(0 <= x <= MAP_WIDTH and 0 <= y <= drawn.height for x, y, _, _ in drawn.dots)
    norths = sorted(drawn.dots, key=lambda dot: dot[2].latitude_deg)
    assert all(south[1] >= north[1] for south, north in itertools.pairwise(norths))


@pytest.mark.parametrize("latitude_deg", [0.0, 51.0, -70.0])
def test_the_map_is_true_to_angles_at_its_middle(latitude_deg: float) -> None:
    """A degree of longitude is as long as the cosine of the latitude of one of latitude."""
    places = {"corner": (-1.0, 0.0), "east": (-1.0, 2.0), "north": (1.0, 0.0)}

    drawn = map_of([Dot(name, latitude_deg + up, 10.0 + right, "live") for name, (up, right) in places.items()])

    assert drawn is not None
    at = {dot.site: (x, y) for x, y, dot, _ in drawn.dots}
    east, north = at["east"][0] - at["corner"][0], at["corner"][1] - at["north"][1]
    assert east / north == pytest.approx(math.cos(math.radians(latitude_deg)), abs=0.005)


@pytest.mark.parametrize("width_deg", [0.1, 1.0, 7.0, 40.0, 150.0])
def test_a_map_has_a_few_meridians_however_wide_it_is(width_deg: float) -> None:
    drawn = map_of([Dot("west", 50.0, -width_deg / 2, "live"), Dot("east", 50.0, width_deg / 2, "live")])

    assert drawn is not None
    assert 2 <= len(drawn.meridians) <= 9


@pytest.mark.parametrize("seed", range(5))
def test_names_on_the_map_stay_on_it_and_cover_no_other(seed: int) -> None:
    rng = Random(seed)
    dots = [Dot("x" * rng.randint(1, 30), rng.uniform(45, 55), rng.uniform(0, 20), "live") for _ in range(60)]
    drawn = map_of(dots)

    assert drawn is not None
    boxes = []
    for x, y, dot, anchor in drawn.dots:
        length = LETTER * len(dot.site)
        if anchor:
            boxes.append((y, x - length if anchor == "end" else x, x if anchor == "end" else x + length))
    assert boxes
    assert all(left >= 0 and right <= MAP_WIDTH for _, left, right in boxes)
    for (y, left, right), (other_y, other_left, other_right) in itertools.combinations(boxes, 2):
        assert abs(y - other_y) > NAME_HEIGHT or right < other_left or left > other_right


@pytest.fixture
def server() -> Iterator[PageServer]:
    def broken(rest: str, query: Query) -> tuple[str, bytes]:
        raise RuntimeError("no such thing")

    pages = {
        "/": lambda rest, _: None if rest else ("text/plain", b"index"),
        "/site": lambda rest, query: ("text/plain", f"{rest}{query.get('x', '')}".encode()),
        "/broken": broken,
    }
    running = PageServer("127.0.0.1:0", pages)
    yield running
    running.close()


def asked(server: PageServer, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(server.address + path, timeout=10.0) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_server_answers_what_it_has_and_nothing_else(server: PageServer) -> None:
    assert asked(server, "/") == (200, b"index")
    assert asked(server, "/site/a%20b?x=1") == (200, b"a b1")
    assert asked(server, "/siteless")[0] == 404
    assert asked(server, "/../etc/passwd")[0] == 404


def test_no_answer_is_kept_by_a_browser_or_runs_what_a_page_does_not_hold(server: PageServer) -> None:
    for path in ("/", "/nothing"):
        try:
            answer = urllib.request.urlopen(server.address + path, timeout=10.0)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            assert answer.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert int(answer.headers["Content-Length"]) == len(answer.read())


def test_an_address_is_free_again_once_a_server_is_closed() -> None:
    first = PageServer("127.0.0.1:0", {})
    first.close()

    second = PageServer(first.address.removeprefix("http://"), {})
    second.close()

    assert second.address == first.address


def test_a_page_that_fails_is_said_to_fail_and_the_server_goes_on(
    server: PageServer, caplog: pytest.LogCaptureFixture
) -> None:
    code, body = asked(server, "/broken")

    assert (code, b"RuntimeError" in body) == (500, False)
    assert "no such thing" in caplog.text
    assert asked(server, "/")[0] == 200


def test_an_address_that_is_taken_keeps_nobody_from_working(
    server: PageServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        second = served(server.address.removeprefix("http://"), {}, what="the page")

    assert second is None
    assert "the page is not served at 127.0.0.1" in caplog.text


@pytest.mark.parametrize("listen", ["localhost", "80", ":80", "host:http", "host:65536"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match="an address to listen on is host:port"):
        PageServer(listen, {})
