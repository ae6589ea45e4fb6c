"""The status page of a job, complete in one file and without scripts; many sites are shown a page at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ipdsf_spark.monitoring.day import Frame, day_of
from ipdsf_spark.monitoring.view import ORDER, Row, View

if TYPE_CHECKING:
    from ipdsf_spark.plots.bare_curtain import BareCurtain

REFRESH_S: Final = 60  # a page that looks again takes the place where somebody reads, and the focus of the keyboard
ROWS: Final = 100  # of the table: what a person reads
NEEDY: Final = "needy"
STATES: Final = {"": "all", NEEDY: "those that need somebody", **{state: state for state in ORDER}}
FIND_LETTERS: Final = 100


@dataclass(frozen=True)
class Asked:
    """What somebody wants to see of all sites.

    Attributes:
        find: letters in the site's id or instrument.
        state: a key of `STATES`.
        number: of the page, from 1.
        is_still: whether the page stays as it is until somebody reloads it.
    """

    find: str = ""
    state: str = ""
    number: int = 1
    is_still: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """From the query of an address; what is not understood is as if it had not been asked."""
        number, state = query.get("page", ""), query.get("state", "")
        return cls(
            find=query.get("find", "")[:FIND_LETTERS].strip(),
            state=state if state in STATES else "",
            number=max(1, int(number)) if number.isascii() and number.isdecimal() and len(number) < 7 else 1,
            is_still="still" in query,
        )

    def address(self, **changes: Any) -> str:
        """The query that asks for this, or for this with changes."""
        wanted = replace(self, **changes)
        said = {"find": wanted.find, "state": wanted.state, "page": str(wanted.number) if wanted.number > 1 else ""}
        pairs = [(name, value) for name, value in said.items() if value] + [("still", "1")] * wanted.is_still
        return f"?{urlencode(pairs)}"


@dataclass(frozen=True)
class Excerpt:
    """The rows of one page.

    Attributes:
        rows: at most `ROWS`.
        num_found: rows on all pages.
        number, num_pages: of the page, from 1.
    """

    rows: Sequence[Row]
    num_found: int
    number: int
    num_pages: int

    @property
    def first(self) -> int:
        """Number of the first row, from 1."""
        return (self.number - 1) * ROWS + 1


def excerpt(view: View, asked: Asked) -> Excerpt:
    """The rows that are asked for, those that need somebody first; the last page where there are not so many."""
    letters = asked.find.casefold()
    found = [
        row
        for row in view.rows
        if (not asked.state or row.state == asked.state or (asked.state == NEEDY and row.needs_somebody))
        and (letters in row.site.casefold() or letters in row.instrument.casefold())
    ]
    num_pages = max(1, math.ceil(len(found) / ROWS))
    number = min(asked.number, num_pages)
    return Excerpt(found[(number - 1) * ROWS : number * ROWS], len(found), number, num_pages)


def index(view: View, *, site_link: str, asked: Asked | None = None, page_link: str = "") -> str:
    """The page of all sites.

    Args:
        view: what it shows.
        site_link: address of a site's page, with `{}` for the site (served) or `{file}` (files).
        asked: which sites; None = the first ones.
        page_link: address of another page of the table, with `{}` for its number (files); empty where addresses have
            queries (served), and with them a form and a refresh.
    """
    asked = asked or Asked()
    shown = excerpt(view, asked)
    drawn = view.map
    needed = {row.site for row in shown.rows} | ({dot.site for _, _, dot, _ in drawn.dots} if drawn else set())
    files = {site: quote(view.by_site[site].file, safe="") for site in needed}
    return _template("status.html").render(
        view=view,
        map=drawn,
        shown=shown,
        asked=asked,
        states=STATES,
        links={site: site_link.format(quote(site, safe=""), file=files[site]) for site in needed},
        pages={
            number: page_link.format(number) if page_link else asked.address(number=number)
            for number in (shown.number - 1, shown.number + 1)
        },
        is_served=not page_link,
        refresh_s=0 if page_link or asked.is_still else REFRESH_S,
        looks_every_s=REFRESH_S,
    )


def site(
    view: View,
    name: str,
    *,
    index_link: str,
    curtain: BareCurtain | str = "",
    picture_link: str = "",
    is_served: bool = True,
    is_still: bool = False,
) -> str | None:
    """The page of one site; None if there is no such site.

    Args:
        view: what is known.
        name: the site's id.
        index_link: address of the page of all sites.
        curtain: its backscatter, or why there is none, in words.
        picture_link: address of the curtain's picture.
        is_served: by the job, which can be asked to stand still; not a file.
        is_still: it was.
    """
    row = view.by_site.get(name)
    if row is None:
        return None
    frame, scale = (None, None) if isinstance(curtain, str) else (frame_of(curtain), curtain)
    day = day_of(row.heights, frame)
    return _template("site.html").render(
        row=row,
        view=view,
        day=day,
        span=_span(row, frame),
        picture_link=picture_link,
        log10_range=scale.log10_range if scale else (),
        is_absolute=scale is not None and scale.is_absolute,
        reason=curtain if isinstance(curtain, str) else "",
        index_link=index_link,
        asked=Asked(is_still=is_still),
        is_served=is_served,
        refresh_s=REFRESH_S if is_served and not is_still else 0,
        looks_every_s=REFRESH_S,
    )


def frame_of(curtain: BareCurtain) -> Frame:
    """What the picture spans."""
    first, last = (int(edge.astype("datetime64[us]").astype(int)) / 1e6 for edge in curtain.time_edges)
    return Frame(first, last, *curtain.height_edges_m)


def _span(row: Row, frame: Frame | None) -> str:
    """First and last time of a day's drawing."""
    if frame is not None:
        ends = [datetime.fromtimestamp(at, UTC) for at in (frame.first_s, frame.last_s)]
    else:
        ends = [datetime.fromisoformat(time) for time, height, _ in row.heights if height is not None]
    return " to ".join(f"{at:%Y-%m-%d %H:%M}" for at in (ends[0], ends[-1])) if ends else ""


@lru_cache(maxsize=4)
def _template(name: str) -> Template:
    loader = PackageLoader("ipdsf_spark.monitoring", "pages")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    environment.filters |= {"age": age, "count": count,
                            "metres": lambda number: "–" if number is None else f"{number:z.0f}\u202fm",
                            "seconds": seconds, "bytes": lambda number: f"{number / 1e6:.1f} MB"}  # fmt: skip
    return environment.get_template(name)


def count(number: int | None) -> str:
    """A number of things in groups of three digits; a dash where nobody knows it yet."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def age(seconds_: float) -> str:
    """A time span as a person says it."""
    if math.isnan(seconds_):
        return "unknown"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds_ >= 2 * size:
            return f"{seconds_ / size:.0f} {unit}"
    return f"{seconds_:.0f} s"


def seconds(value: float) -> str:
    """A duration with three digits."""
    return "–" if math.isnan(value) else f"{value:.3g} s"
