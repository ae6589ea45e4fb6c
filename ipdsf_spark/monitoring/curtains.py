"""The last day's backscatter of a site, drawn from the archive when somebody asks, without disturbing the stream.

One is drawn at a time, and kept for a minute for all who look; a day that is too large to read beside the stream is not
read, and the page says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.site import Site

if TYPE_CHECKING:
    from ipdsf_spark.plots.bare_curtain import BareCurtain

logger = logging.getLogger(__name__)

DAY: Final = timedelta(hours=24)
KEPT_S: Final = 60.0
NUM_KEPT: Final = 64
WAIT_S: Final = 2.0  # for another site's
TOP_M: Final = 4_000.0  # where the table of sites says nothing
MOST_BYTES: Final = 256_000_000  # of a network's averages of two days that are looked through for one site
COLUMNS: Final = (
    *("start", "interval_s", "instrument", "is_calibrated", "tilt_deg"),
    *("block_first_m", "block_length_m", "beta", "published", "offset"),
)
NO_ARCHIVE: Final = "This job keeps no archive, so there is no curtain."
BUSY: Final = "The curtain of another site is being drawn; look again in a moment."


class Curtains:
    """Draws curtains from an archive.

    Args:
        directory: of the archive; None where there is none.
        sites: the table of sites as it is now.
        clock: monotonic [s].
    """

    def __init__(
        self,
        directory: Path | None,
        sites: Callable[[], Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._sites, self._clock = directory, sites, clock
        self._drawing = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, BareCurtain | str]] = OrderedDict()

    def of(self, site: str, last: str) -> BareCurtain | str:
        """The curtain of the 24 hours before a time, or why there is none, in words.

        Args:
            site: its id.
            last: the newest time known of the site, ISO-8601; empty = now.
        """
        if self._directory is None:
            return NO_ARCHIVE
        if (held := self._held(site)) is not None:
            return held
        if not self._drawing.acquire(timeout=WAIT_S):
            return self._held(site, also_old=True) or BUSY
        try:
            if (held := self._held(site)) is not None:
                return held
            drawn = self._draw(self._directory, site, last)
            self._kept[site] = self._clock(), drawn
            self._kept.move_to_end(site)
            while len(self._kept) > NUM_KEPT:
                self._kept.popitem(last=False)
            return drawn
        finally:
            self._drawing.release()

    def _held(self, site: str, *, also_old: bool = False) -> BareCurtain | str | None:
        made_s, drawn = self._kept.get(site, (0.0, None))
        return drawn if drawn is not None and (also_old or self._clock() - made_s < KEPT_S) else None

    def _draw(self, directory: Path, site: str, last: str) -> BareCurtain | str:
        end = _instant(last)
        place: Site | None = self._sites().get(site)
        top_m = place.max_height_m if place else TOP_M
        calibration = place.calibration if place else None
        try:
            rows = rows_of(directory, site, end)
            if not rows:
                return f"The archive holds no average of the 24 hours before {end:%Y-%m-%d %H:%M} UTC yet."
            from ipdsf_spark.plots.bare_curtain import bare_curtain
            from ipdsf_spark.plots.raster import raster_of_averages

            return bare_curtain(raster_of_averages(rows, top_m, calibration=calibration))
        except InputError as error:
            return f"There is no curtain: {error}."
        except Exception as error:  # whatever stands in an archive, the page has heights to show
            logger.warning("the curtain of %s is not drawn: %s: %s", site, type(error).__name__, error)
            return "The curtain could not be drawn; the job's log says why."


def rows_of(directory: Path, site: str, end: datetime) -> list[dict[str, Any]]:
    """Averages of one site and its newest instrument in the 24 hours before `end`, in time order.

    Raises:
        InputError: there is no archive, it cannot be read, or it is too large to be looked through beside a stream.
    """
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    from ipdsf_spark.archive.delta.log import snapshot
    from ipdsf_spark.archive.reading import scan
    from ipdsf_spark.archive.tables import AVERAGES, PARTITION

    since, until = (f"{instant:%Y-%m-%d}" for instant in (end - DAY, end))
    held = sum(file.size for file in snapshot(directory / AVERAGES).where(**{PARTITION: (since, until)}))
    if held > MOST_BYTES:
        raise InputError(
            f"the averages of all sites since {since} are {held / 1e6:.0f} MB, more than is looked through beside a "
            f"running stream ({MOST_BYTES / 1e6:.0f} MB); a notebook draws it, with ipdsf_spark.archive.reading"
        )
    wanted = (
        (ds.field("site") == site)
        & (ds.field("start") >= pc.scalar(end - DAY))
        & (ds.field("start") < pc.scalar(end + timedelta(hours=1)))
    )
    found = scan(directory, AVERAGES, columns=COLUMNS, filters=wanted, since=since, until=until).to_pylist()
    newest: dict[datetime, dict[str, Any]] = {}
    for row in sorted(found, key=lambda row: (row["published"], row["offset"])):
        newest[row["start"]] = row | {"start": row["start"].replace(tzinfo=None)}
    rows = [newest[start] for start in sorted(newest)]
    alike = ("instrument", "interval_s", "block_first_m", "block_length_m")
    return [row for row in rows if all(row[name] == rows[-1][name] for name in alike)]


def _instant(last: str) -> datetime:
    try:
        found = datetime.fromisoformat(last)
    except ValueError:
        return datetime.now(UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)
