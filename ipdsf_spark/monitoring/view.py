"""What the status page of a job shows, as values: its sites, lags, delays, quarantine, state."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from ipdsf_spark.lidar.products.plain import without_nan
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring.chart import Dot, Map, map_of
from ipdsf_spark.monitoring.job_metrics import TableState
from ipdsf_spark.monitoring.network import Network, SiteView
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.prometheus import quantile

STALE_S: Final = 900.0  # instruments write a file every one to five minutes
SILENT_S: Final = 120.0  # a query with nothing to do says so every 10 s
LONGEST_STEM: Final = 200  # of a file's name; disks take 255 bytes
ORDER: Final = ("silent", "stale", "waiting", "live")  # what needs somebody stands first


@dataclass(frozen=True)
class Row:
    """One site.

    Attributes:
        site, instrument: what it is called, and what measures there.
        state: live, stale (no file for `STALE_S`), silent (everything final), or waiting for its first profile.
        age_s: since its newest file was sent; NaN if unknown.
        time: of its newest height, ISO-8601 UTC.
        height_m, uncertainty_m: it, None if there is none.
        is_provisional: whether a final one will follow.
        quality: names of its quality bits.
        alarms, flags: of the instrument, and of the site's state.
        profiles, late, duplicate, foreign, rejected, faults: counts of the site's state.
        is_balanced: whether they add up.
        latitude_deg, longitude_deg: None if unknown.
        heights: product times and heights of its last day, oldest first.
        calibration_ratio: factor of today over the mean of 90 days; None if unknown.
        is_drifting: whether its calibration drifts or has made a step.
    """

    site: str
    instrument: str
    state: str
    age_s: float
    time: str
    height_m: float | None
    uncertainty_m: float | None
    is_provisional: bool
    quality: Sequence[str]
    alarms: Sequence[str]
    flags: Sequence[str]
    profiles: int
    late: int
    duplicate: int
    foreign: int
    rejected: int
    faults: int
    is_balanced: bool
    latitude_deg: float | None
    longitude_deg: float | None
    heights: Sequence[tuple[str, float | None, float | None]] = ()
    calibration_ratio: float | None = None
    is_drifting: bool = False

    @property
    def needs_somebody(self) -> bool:
        """Whether anything is wrong with it."""
        return self.state in {"silent", "stale"} or bool(self.alarms) or self.is_drifting or not self.is_balanced

    @property
    def file(self) -> str:
        """Name of its page among the files."""
        return f"{self._stem}.html"

    @property
    def picture(self) -> str:
        """Name of its curtain's picture among the files."""
        return f"{self._stem}.png"

    @property
    def _stem(self) -> str:
        """The site's id as a file may be called; of one that is too long how it begins, and what tells it apart."""
        stem = quote(self.site, safe="")
        if len(stem) <= LONGEST_STEM:
            return stem
        return f"{stem[: LONGEST_STEM - 17]}-{sha256(self.site.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class View:
    """Everything that the page shows.

    Attributes:
        made: when, ISO-8601 UTC.
        rows: sites, those that need somebody first.
        lags: topic, partition, files and seconds not read.
        lag: files in all partitions; None before the first batch has ended.
        delay_s: from sending to product: median and 99 of 100.
        batch_s: of the last micro-batch; NaN before there is one.
        phases: its phases [s].
        counts: since the job started.
        is_balanced: whether they and every site's add up.
        reasons: kinds of reasons in the quarantine, most frequent first.
        tables: of the archive.
        state_rows, state_bytes: of the stream's state.
        problem: why the topics cannot be looked into now; empty if they can.
        silent_s: for how long the query has told nothing of itself; NaN before it ever did.
    """

    made: str
    rows: Sequence[Row]
    lags: Sequence[tuple[str, int, int, float]]
    lag: int | None
    delay_s: tuple[float, float]
    batch_s: float
    phases: Mapping[str, float]
    counts: Mapping[str, int]
    is_balanced: bool
    reasons: Sequence[tuple[str, int]]
    tables: Sequence[TableState]
    state_rows: int
    state_bytes: int
    problem: str
    silent_s: float = math.nan

    @property
    def is_standing(self) -> bool:
        """Whether the query has said nothing for longer than a batch should take."""
        return self.silent_s > SILENT_S

    @cached_property
    def states(self) -> Counter[str]:
        """How many sites are in each state."""
        return Counter(row.state for row in self.rows)

    @cached_property
    def by_site(self) -> dict[str, Row]:
        """Rows by the site's id."""
        return {row.site: row for row in self.rows}

    @property
    def dots(self) -> list[Dot]:
        """Sites with a place, for the map."""
        return [
            Dot(row.site, row.latitude_deg, row.longitude_deg, row.state)
            for row in self.rows
            if row.latitude_deg is not None and row.longitude_deg is not None
        ]

    @cached_property
    def map(self) -> Map | None:
        """Where sites lie."""
        return map_of(self.dots)

    def as_json(self) -> dict[str, Any]:
        """For a program; what is unknown is null."""
        said = asdict(self) | {"tables": [table._asdict() for table in self.tables]}
        known = without_nan(said)
        assert isinstance(known, dict)
        return known


def view_of(
    listener: LiveListener,
    network: Network,
    sites: Mapping[str, Site],
    tables: Sequence[TableState],
    *,
    now_s: float,
) -> View:
    """What there is to see now.

    Args:
        listener: of the live query.
        network: what the topics say.
        sites: the table of sites.
        tables: of the archive.
        now_s: seconds since 1970.
    """
    rows = [row_of(name, view, sites.get(name), now_s) for name, view in network.sites().items()]
    rows.sort(key=lambda row: (ORDER.index(row.state), not row.needs_somebody, row.site))
    lags, delays = listener.lags, network.delays()
    batch = listener.batches[-1] if listener.batches else None
    phases = {name: duration / 1000 for name, duration in batch.duration_ms.items()} if batch else {}
    return View(
        made=datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        rows=rows,
        lags=[(topic, number, lags.of((topic, number)), lags.seconds_of((topic, number), now_s))
              for topic, number in sorted(lags.end)],
        lag=lags.total,
        delay_s=(quantile(delays, 0.5), quantile(delays, 0.99)),
        batch_s=phases.get("triggerExecution", math.nan),
        phases=dict(sorted(phases.items(), key=lambda item: -item[1])),
        counts=asdict(listener.totals),
        is_balanced=listener.totals.is_balanced and all(row.is_balanced for row in rows),
        reasons=sorted(network.reasons().items(), key=lambda item: (-item[1], item[0])),
        tables=tables,
        state_rows=listener.state_rows,
        state_bytes=listener.state_bytes,
        problem=network.problem,
        silent_s=listener.silent_s(now_s),
    )  # fmt: skip


def row_of(name: str, view: SiteView, site: Site | None, now_s: float) -> Row:
    """One site as the page shows it."""
    status, last = view.status, view.last
    age_s = now_s - view.newest_sent_ms / 1000 if view.newest_sent_ms else math.nan
    known = site is not None and math.isfinite(site.latitude_deg) and math.isfinite(site.longitude_deg)
    if status.get("is_silent"):
        state = "silent"
    elif not (status.get("time") or last):
        state = "waiting"
    else:
        state = "stale" if age_s > STALE_S else "live"
    return Row(
        site=name,
        instrument=str(status.get("instrument") or (site.instrument if site else "")),
        state=state,
        age_s=max(0.0, age_s),
        time=str(last.get("time") or status.get("time") or ""),
        height_m=last.get("mixing_height_m"),
        uncertainty_m=last.get("uncertainty_m"),
        is_provisional=bool(last.get("provisional")),
        quality=list(last.get("quality") or []),
        alarms=list(status.get("alarms") or []),
        flags=list(status.get("flags") or []),
        **{
            key: int(status.get(key) or 0) for key in ("profiles", "late", "duplicate", "foreign", "rejected", "faults")
        },
        is_balanced=bool(status.get("is_balanced", True)),
        latitude_deg=site.latitude_deg if site is not None and known else None,
        longitude_deg=site.longitude_deg if site is not None and known else None,
        heights=[(time, row.get("mixing_height_m"), row.get("uncertainty_m")) for time, row in view.heights.items()],
        calibration_ratio=view.calibration_ratio,
        is_drifting=bool(view.calibration.get("alarm")),
    )
