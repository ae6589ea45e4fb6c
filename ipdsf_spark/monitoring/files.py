"""The status page as files for a web server that is there already; each is replaced as a whole, what changed first.

Thousands of sites are too many to be written again every time: as many are as a stated time allows, and the next time
goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.curtains import Curtains
from ipdsf_spark.monitoring.view import Row, View

WORK_S: Final = 2.0  # at a time, beyond the first page


class PageFiles:
    """A folder of pages: index.html, index-2.html …, site/NAME.html and site/NAME.png.

    Args:
        folder: is made.
        curtains: what draws the sites' backscatter.
        work_s: time that is spent at a time [s].
    """

    def __init__(self, folder: Path, curtains: Curtains, *, work_s: float = WORK_S) -> None:
        self._folder, self._curtains, self._work_s = folder, curtains, work_s
        self._next = 0
        self._seen: dict[str, Row] = {}

    def write(self, view: View) -> None:
        """Write what there is time for, the first page always; pages of sites that are gone are removed.

        Raises:
            OSError: the disk refuses one of them; the others were written.
        """
        (self._folder / "site").mkdir(parents=True, exist_ok=True)
        num_pages = page.excerpt(view, page.Asked()).num_pages
        self._index(view, 1)
        self._remove_old(view, num_pages)
        waiting: list[Callable[[], None]] = [
            *(lambda row=row: self._site(view, row) for row in view.rows),
            *(lambda number=number: self._index(view, number) for number in range(2, num_pages + 1)),
        ]
        begun_s, failed = time.monotonic(), None
        for _ in range(len(waiting)):
            at, self._next = self._next % len(waiting), (self._next + 1) % len(waiting)
            try:
                waiting[at]()
            except Exception as error:  # whatever is wrong with one, the others are written
                failed = failed or error
            if time.monotonic() - begun_s > self._work_s:
                break
        else:
            self._next = 0
        if failed is not None:
            raise failed

    def _remove_old(self, view: View, num_pages: int) -> None:
        """Pages that nothing leads to any more would say for ever what was true when they were written."""
        for name in self._seen.keys() - view.by_site.keys():
            row = self._seen.pop(name)
            for file in (row.file, row.picture):
                (self._folder / "site" / file).unlink(missing_ok=True)
        self._seen |= view.by_site
        number = num_pages + 1
        while (old := self._folder / f"index-{number}.html").exists():
            old.unlink()
            number += 1

    def _index(self, view: View, number: int) -> None:
        text = page.index(view, site_link="site/{file}", page_link="index-{}.html", asked=page.Asked(number=number))
        name = "index.html" if number == 1 else f"index-{number}.html"
        _replace(self._folder / name, text.encode(errors="replace"))

    def _site(self, view: View, row: Row) -> None:
        curtain = self._curtains.of(row.site, row.time)
        text = page.site(
            view,
            row.site,
            index_link="../index.html",
            curtain=curtain,
            picture_link=quote(row.picture, safe=""),
            is_served=False,
        )
        if not isinstance(curtain, str):
            _replace(self._folder / "site" / row.picture, curtain.png)
        if text is not None:
            _replace(self._folder / "site" / row.file, text.encode(errors="replace"))


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)
