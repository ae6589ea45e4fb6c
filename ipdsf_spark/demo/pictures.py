"""Pictures of a site and of the network, from what a run left in the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ipdsf_spark.archive.network import network_now
from ipdsf_spark.archive.reading import read_products
from ipdsf_spark.demo import outcome
from ipdsf_spark.forecast.foretold import fan_of_records
from ipdsf_spark.forecast.rows import KIND as FORECAST_KIND
from ipdsf_spark.lidar.air_quality.records import row_of
from ipdsf_spark.lidar.edges.lines import lines_of_records
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.series import series_of_records
from ipdsf_spark.plots import Truth, save
from ipdsf_spark.plots.forecast_fan import forecast_fan
from ipdsf_spark.plots.network_map import MapSite, network_map
from ipdsf_spark.plots.raster import raster
from ipdsf_spark.plots.site_day import SiteDay, site_day

KINDS: Final = ("targets", "edges", "air_quality", FORECAST_KIND)
HOURS_BEFORE: Final = 6  # a forecast that is shown was made so long before the end, or earlier: what came is seen


@dataclass(frozen=True, eq=False)
class Archived:
    """What an archive holds of a run.

    Attributes:
        directory: of the archive.
        final: newest heights of every site and time.
        provisional: last provisional heights.
        others: the other kinds of products, by kind; empty where there is none.
    """

    directory: Path
    final: pd.DataFrame
    provisional: pd.DataFrame
    others: dict[str, pd.DataFrame]

    @classmethod
    def of(cls, directory: Path, revisions: pd.DataFrame) -> Archived:
        """Read it."""
        others = {kind: read_products(directory, kind=kind) for kind in KINDS}
        return cls(directory, outcome.newest(revisions), outcome.last_provisional(revisions), others)

    def records(self, kind: str, site: str) -> list[dict[str, Any]]:
        """Records of one kind and site, in time order."""
        rows = self.others[kind]
        found: list[dict[Any, Any]] = rows[rows["site"] == site].to_dict("records") if len(rows) else []
        return found


def draw_day(
    archived: Archived, site: Site, profiles: Sequence[Profiles], ceiling: Ceiling, truth: Truth | None, path: Path
) -> None:
    """The picture of one site's day."""
    targets = archived.records("targets", site.id)
    day = SiteDay(
        site=site,
        instrument=profiles[0].instrument,
        cells=raster(profiles, site.max_height_m, calibration=site.calibration),
        layers=outcome.layers_of(archived.final[archived.final["site"] == site.id]),
        ceiling=ceiling,
        truth=truth,
        targets=series_of_records(targets, instrument=profiles[0].instrument) if targets else None,
        edges=lines_of_records(archived.records("edges", site.id)),
        air=[row_of(record) for record in archived.records("air_quality", site.id)],
    )
    save(site_day(day), path)


def draw_forecast(archived: Archived, site: Site, path: Path) -> bool:
    """The forecast that foretold the greatest change, once a site is known for a day; whether there is one."""
    records = archived.records(FORECAST_KIND, site.id)
    if not records:
        return False
    last = records[-1]["time"] - pd.Timedelta(hours=HOURS_BEFORE)
    shown = [n for n, record in enumerate(records) if record["is_warm"] and record["time"] <= last]
    if not shown:
        return False
    change_m = [abs(records[n]["forecast"][-1]["p50_m"] - records[n]["mixing_height_m"]) for n in shown]
    save(forecast_fan(fan_of_records(records, shown[int(np.argmax(change_m))]), title=site.id), path)
    return True


def draw_network(archived: Archived, sites: Mapping[str, Site], name: str, path: Path) -> tuple[str, ...] | None:
    """The map of the network; the sites under alarm, or None if the network never warmed up."""
    state = network_now(archived.directory, name)
    if state is None:
        return None
    strongest = int(np.nanargmax(np.abs(state.strengths))) if np.isfinite(state.strengths).any() else 0
    drawn = []
    for each in state.sites:
        if each.site in sites:
            place = sites[each.site]
            weight = each.weights[strongest]
            drawn.append(MapSite(each.site, place.latitude_deg, place.longitude_deg, weight, each.alarms))
    svg = network_map(drawn, state.strengths, component=strongest, title=state.title)
    path.write_text(svg, encoding="utf-8")
    return tuple(each.site for each in state.sites if each.alarms)
