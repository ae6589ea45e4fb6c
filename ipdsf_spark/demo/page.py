"""The page that the demonstration leaves behind: one `index.html`, no script, no foreign resource.

The numbers come from the run; this module only lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from ipdsf_spark.demo.imaging import ImagingReport


@dataclass(frozen=True)
class SiteCard:
    """What the page shows of one site.

    Attributes:
        id: site id.
        instrument: maker and model.
        curtain: time–height picture, relative to the page.
        num_products: final product times.
        availability_percent: product times with a height, of those outside fog and rain.
        rmse_final_m, rmse_provisional_m, bias_final_m: against the known height [m]; NaN where it is not known.
        num_rejected: quarantined stretches of this site.
        note: a sentence about the site's weather or data, may be empty.
        forecast: picture of a forecast, relative to the page; empty if there is none.
    """

    id: str
    instrument: str
    curtain: str
    num_products: int
    availability_percent: float
    rmse_final_m: float
    rmse_provisional_m: float
    bias_final_m: float
    num_rejected: int
    note: str = ""
    forecast: str = ""


@dataclass(frozen=True)
class Latency:
    """Send to product [s], per product of heights, first and final, after warm-up."""

    num_products: int
    p50_s: float
    p95_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class Balance:
    """Where every record of the files topic went; a whole and a part may both come from one file.

    A message that two files share comes back as a record of its own (`joined`); a file that holds nothing but a part of
    one waits for its neighbour.
    """

    sent: int
    read: int
    decoded: int
    quarantined: int
    both: int
    waiting: int
    joined: int
    profiles: int
    late: int

    @property
    def is_complete(self) -> bool:
        """Every record sent or joined was read, and decoded, quarantined, both, or waits."""
        return self.sent + self.joined == self.read == self.decoded + self.quarantined - self.both + self.waiting


@dataclass(frozen=True)
class QuarantineLine:
    """One quarantined stretch."""

    site: str
    file: str
    position: str  # topic-partition-offset
    reason: str


@dataclass(frozen=True)
class Link:
    """A table or figure the page offers."""

    href: str
    text: str


@dataclass(frozen=True)
class NetworkReport:
    """What the page shows of all sites at once.

    Attributes:
        map: as SVG, relative to the page.
        alarmed: sites under alarm at the end.
    """

    map: str
    alarmed: Sequence[str]


@dataclass(frozen=True)
class Report:
    """All the page needs."""

    title: str
    subtitle: str
    balance: Balance
    latency: Latency | None
    rmse_final_m: float
    rmse_provisional_m: float
    sites: Sequence[SiteCard]
    quarantine: Sequence[QuarantineLine]
    figures: Sequence[Link]
    tables: Sequence[Link]
    commands: Sequence[str]
    imaging: ImagingReport | None = None
    network: NetworkReport | None = None


def write_page(report: Report, directory: Path) -> Path:
    """Render `report` to `directory`/index.html and return its path."""
    return _write("page.html", directory, report=report)


def write_imaging_page(imaging: ImagingReport, directory: Path) -> Path:
    """The same for the imaging flow alone."""
    return _write("imaging_page.html", directory, imaging=imaging)


def _write(template: str, directory: Path, **values: object) -> Path:
    environment = Environment(
        loader=PackageLoader("ipdsf_spark.demo", ""), autoescape=select_autoescape(), undefined=StrictUndefined
    )
    environment.filters["metres"] = lambda value: _number(value, "{:,.0f} m")
    environment.filters["signed_metres"] = lambda value: _number(value, "{:+,.0f} m")
    environment.filters["percent"] = lambda value: _number(value, "{:.0f} %")
    environment.filters["seconds"] = lambda value: _number(value, "{:.2f} s" if value < 100 else "{:.0f} s")
    environment.filters["count"] = lambda value: f"{value:,}"
    path = directory / "index.html"
    path.write_text(environment.get_template(template).render(**values), encoding="utf-8")
    return path


def _number(value: float, layout: str) -> str:
    return "–" if math.isnan(value) else layout.format(value)
