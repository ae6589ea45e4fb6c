"""The map of a network is SVG that stands alone: every site where it is, every alarm seen, whatever its name."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.plots.network_map import MapSite, network_map

SVG = "{http://www.w3.org/2000/svg}"


def drawn(sites: list[MapSite], strengths: tuple[float, ...] = ()) -> ElementTree.Element:
    return ElementTree.fromstring(network_map(sites, strengths, title="the network"))


def dots(svg: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Groups of the sites by what they say."""
    return {(group.findtext(f"{SVG}title") or "").partition(":")[0]: group for group in svg.iter(f"{SVG}g")}


def test_north_is_up_and_east_is_right() -> None:
    found = dots(drawn([MapSite("oslo", 59.9, 10.7, 1.0), MapSite("munich", 48.1, 11.6, 0.9)]))
    at = {name: group.find(f"{SVG}circle") for name, group in found.items()}

    assert float(at["oslo"].get("cy")) < float(at["munich"].get("cy"))  # type: ignore[union-attr,arg-type]
    assert float(at["oslo"].get("cx")) < float(at["munich"].get("cx"))  # type: ignore[union-attr,arg-type]


def test_a_site_under_alarm_has_a_ring_and_says_why() -> None:
    found = dots(drawn([MapSite("oslo", 59.9, 10.7, 1.0, ("level",)), MapSite("munich", 48.1, 11.6, 0.9)]))

    assert len(found["oslo"].findall(f"{SVG}circle")) == 2
    assert "alarm: level" in (found["oslo"].findtext(f"{SVG}title") or "")
    assert len(found["munich"].findall(f"{SVG}circle")) == 1


def test_a_site_without_a_position_is_named_and_not_drawn() -> None:
    svg = drawn([MapSite("nowhere", math.nan, math.nan, 1.0)])

    assert dots(svg) == {}
    assert "without a position: nowhere" in [text.text for text in svg.iter(f"{SVG}text")]


def test_names_stay_inside_the_map() -> None:
    svg = drawn(
        [MapSite("a-long-name-in-the-east", 44.3, 26.0, 1.0), MapSite("a-long-name-in-the-west", 44.0, -88.0, 1.0)]
    )
    names = {text.text: float(text.get("x", "nan")) for text in svg.iter(f"{SVG}text")}
    map_ = next(rect for rect in svg.iter(f"{SVG}rect") if rect.get("fill") == "#f7f9fa")
    left, right = float(map_.get("x", "nan")), float(map_.get("x", "nan")) + float(map_.get("width", "nan"))

    for name in ("a-long-name-in-the-east", "a-long-name-in-the-west"):
        assert left <= names[name] <= right - 6.0 * len(name)


def test_nothing_comes_from_elsewhere() -> None:
    text = network_map([MapSite("oslo", 59.9, 10.7, 1.0)], (1.0, -0.5), title="<script>")

    assert set(re.findall(r"https?://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in text


@given(
    st.lists(
        st.builds(
            MapSite,
            st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=10),
            st.floats(-90, 90) | st.just(math.nan),
            st.floats(-180, 180),
            st.floats(-10, 10) | st.just(math.nan),
        ),
        max_size=8,
    ),
    st.lists(st.floats(-100, 100) | st.just(math.nan), max_size=6).map(tuple),
)
def test_any_network_is_well_formed_and_stays_within_its_frame(
    sites: list[MapSite], strengths: tuple[float, ...]
) -> None:
    svg = drawn(sites, strengths)

    for circle in svg.iter(f"{SVG}circle"):
        assert 0 <= float(circle.get("cx") or -1) <= 720
        assert 0 <= float(circle.get("cy") or -1) <= 480
