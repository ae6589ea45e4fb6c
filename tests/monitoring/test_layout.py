"""How the pages are laid out: by parsing on every machine, and by a real browser where there is one."""

from __future__ import annotations

import importlib.util
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from test_exported_metrics import NOW_S, listened, product, progress, status
from test_site_curtains import END, archived, monitor_of

from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.chart import PHONE_LETTER, PHONE_TEXT
from ipdsf_spark.monitoring.files import PageFiles
from ipdsf_spark.monitoring.network import Network
from ipdsf_spark.monitoring.view import view_of


@pytest.fixture(scope="module")
def looking(repository: Path) -> ModuleType:
    """The script that looks."""
    spec = importlib.util.spec_from_file_location("look_at_pages", repository / "scripts" / "look_at_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of a job with an archive, as files."""
    running = monitor_of(archived(tmp_path_factory.mktemp("archive"), "oslo", "a/b"))
    folder = tmp_path_factory.mktemp("pages")
    PageFiles(folder, running.curtains, work_s=60.0).write(running.view())
    return folder


class Seen(HTMLParser):
    """Words of drawings with their places, and what a person can act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[tuple[float, float, str, str]] = []
        self.acting: list[tuple[str, dict[str, str | None]]] = []
        self.boxes: list[tuple[float, float]] = []
        self._text: dict[str, str | None] | None = None
        self._is_linked = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if (
            tag in {"a", "button", "input", "select"}
            or "tabindex" in held
            or any(name.startswith("on") for name in held)
        ):
            self.acting.append((tag, held))
        if tag == "svg":
            _, _, width, height = (held["viewbox"] or "").split()
            self.boxes.append((float(width), float(height)))
        self._is_linked = tag == "a" or (self._is_linked and tag != "svg")
        self._text = held if tag == "text" else None

    def handle_endtag(self, tag: str) -> None:
        self._is_linked &= tag != "a"
        self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None and data.strip() and not self._is_linked:  # names of sites are not shown on a phone
            place = float(self._text["x"] or 0), float(self._text["y"] or 0)
            self.words.append((*place, self._text.get("text-anchor") or "start", data))


@pytest.mark.parametrize("width_deg", [0.1, 3.0, 20.0, 120.0])
def test_no_word_of_the_map_is_cut_on_a_phone(width_deg: float) -> None:
    network, sites = Network(), {}
    for number in range(12):
        name = f"s{number}"
        sites[name] = Site(name, -40.0 + number * width_deg / 30, -5.0 + number * width_deg / 11)
        network.take_status(status(name, sent_ms=1))
    view = view_of(listened(progress({"0": 1}, {"0": 9})), network, sites, [], now_s=NOW_S)

    seen = Seen(page.index(view, site_link="site/{}"))

    ((box_width, box_height),) = seen.boxes
    assert seen.words
    for x, y, anchor, word in seen.words:
        assert anchor == "start"
        assert x >= 0
        assert x + len(word) * PHONE_LETTER <= box_width, word
        assert PHONE_TEXT * 0.8 <= y <= box_height, word


def test_words_of_a_day_stand_beside_the_drawing_and_hours_below_the_lowest_height(pages: Path) -> None:
    text = (pages / "site" / "oslo.html").read_text(encoding="utf-8")
    style = re.sub(r"\s+", " ", text)

    assert Seen(text).words == []
    assert "<text" not in text
    shares = [float(share) for share in re.findall(r'style="(?:top|left):([\d.]+)%"', text)]
    assert len(shares) >= 10
    assert all(0 <= share <= 100 for share in shares)
    # Half a line of the lowest height hangs below the drawing: hours begin under it, and leave room at both ends.
    assert ".hours span { position: absolute; top: .8rem;" in style
    assert "grid-template-columns: 3.1rem 1fr" in style


def test_everything_to_act_on_is_reached_by_the_keyboard_and_has_a_name(pages: Path) -> None:
    network = Network()
    network.take_product(product("oslo", END.isoformat(), 1), 2)
    view = view_of(listened(progress({"0": 1}, {"0": 9})), network, {}, [], now_s=NOW_S)
    for text in (page.index(view, site_link="site/{}"), (pages / "site" / "oslo.html").read_text(encoding="utf-8")):
        seen = Seen(text)
        assert seen.acting
        for tag, held in seen.acting:
            assert not any(name.startswith("on") for name in held), held
            assert held.get("tabindex") in {None, "0"}, held
            assert tag != "a" or held.get("href"), held
            assert held.get("tabindex") is None or held.get("aria-label"), held
        for control in re.findall(r"<(?:input (?!type=\"hidden\")|select )[^>]*>", text):
            assert re.search(r"<label>[^<]*" + re.escape(control), text), control
    assert "outline: 3px" in text


@pytest.mark.slow
def test_a_browser_finds_nothing_cut_covered_or_out_of_reach(looking: ModuleType, pages: Path, tmp_path: Path) -> None:
    program = looking.browser()
    if program is None:
        pytest.skip(f"no browser here (none of {', '.join(looking.BROWSERS)}): the layout is judged by parsing alone")

    found = looking.look(program, pages, tmp_path, num_sites=1)

    assert {(each["path"], each["width"]) for each in found} >= {("index.html", 390), ("site/a%252Fb.html", 1280)}
    assert [(each["path"], each["width"], each["faults"]) for each in found if each["faults"]] == []
    assert all(Path(each["picture"]).stat().st_size > 5_000 for each in found)


@pytest.mark.slow
def test_a_browser_sees_what_is_cut(looking: ModuleType, pages: Path, tmp_path: Path) -> None:
    program = looking.browser()
    if program is None:
        pytest.skip(f"no browser here (none of {', '.join(looking.BROWSERS)}): the layout is judged by parsing alone")
    text = (pages / "site" / "oslo.html").read_text(encoding="utf-8")
    broken = re.sub(
        r"\.hours span \{ [^}]*\}", ".hours span { position: absolute; top: -20px; left: 0 !important; }", text
    )
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "oslo.html").write_text(broken, encoding="utf-8")
    (tmp_path / "index.html").write_text(text.replace("<main>", '<main style="width:2000px">'), encoding="utf-8")

    found = {
        (each["path"], each["width"]): each["faults"] for each in looking.look(program, tmp_path, tmp_path / "out")
    }

    assert any("covers" in fault for fault in found["site/oslo.html", 1280])
    assert any("wider than the screen" in fault for fault in found["index.html", 390])
