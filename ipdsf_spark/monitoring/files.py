"""The status page as files for a web server that is there already; each is replaced as a whole, what changed first.

Thousands of sites are too many to be written again every time: as many are as a stated time allows, and the next time
goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ipdsf_spark.monitoring import page
from ipdsf_spark.monitoring.view import View

WORK_S: Final = 2.0  # of this thread's CPU at a time, beyond the first page


class PageFiles:
    """A folder of pages: index.html, index-2.html …, site/NAME.html.

    Args:
        folder: is made.
        work_s: CPU time that is spent at a time [s].
    """

    def __init__(self, folder: Path, *, work_s: float = WORK_S) -> None:
        self._folder, self._work_s = folder, work_s
        self._next = 0

    def write(self, view: View) -> None:
        """Write what there is time for; the first page always.

        Raises:
            OSError: the disk refuses.
        """
        (self._folder / "site").mkdir(parents=True, exist_ok=True)
        num_pages = page.excerpt(view, page.Asked()).num_pages
        self._index(view, 1)
        waiting: list[Callable[[], None]] = [
            *(lambda row=row: self._site(view, row.site, row.file) for row in view.rows),
            *(lambda number=number: self._index(view, number) for number in range(2, num_pages + 1)),
        ]
        begun_s = time.thread_time()
        for done in range(len(waiting)):
            waiting[(self._next + done) % len(waiting)]()
            if time.thread_time() - begun_s > self._work_s:
                self._next = (self._next + done + 1) % len(waiting)
                return
        self._next = 0

    def _index(self, view: View, number: int) -> None:
        text = page.index(view, site_link="site/{file}", page_link="index-{}.html", asked=page.Asked(number=number))
        _replace(self._folder / ("index.html" if number == 1 else f"index-{number}.html"), text)

    def _site(self, view: View, name: str, file: str) -> None:
        found = page.site(view, name, index_link="../index.html", is_served=False)
        if found is not None:
            _replace(self._folder / "site" / file, found)


def _replace(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
