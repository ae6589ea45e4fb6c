"""The newest state of a network as its archive tells it: weights of the sites, strengths, alarms that stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ipdsf_spark.archive.reading import read_products


@dataclass(frozen=True)
class SiteNow:
    """One site of the network.

    Attributes:
        site: its id.
        weights: of the components, 1 = typical; NaN where not known.
        alarms: features that stand out; empty if all is well.
    """

    site: str
    weights: tuple[float, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class NetworkNow:
    """The network in its newest slice.

    Attributes:
        name: of the network.
        time: middle of the slice, UTC.
        strengths: of the components now; empty before the network has warmed up.
        sites: in the order of their ids.
    """

    name: str
    time: pd.Timestamp
    strengths: tuple[float, ...]
    sites: tuple[SiteNow, ...]

    @property
    def title(self) -> str:
        """Name and time, for a picture."""
        return f"{self.name}, {self.time:%Y-%m-%d %H:%M} UTC"


def network_now(directory: str | Path, name: str) -> NetworkNow | None:
    """The newest state; None if the archive holds no network that has warmed up.

    Args:
        directory: of the archive.
        name: of the network.

    Raises:
        InputError: there is no archive of products.
    """
    slices = read_products(directory, kind="network", site=name)
    fits = read_products(directory, kind="network_site")
    if slices.empty or fits.empty:
        return None
    alarms = {row["site"]: row for row in _newest(read_products(directory, kind="network_alarm"))}
    warm = slices[slices["is_warm"].eq(True)]
    strengths = () if warm.empty else tuple(float(value) for value in warm.iloc[-1]["strengths"])
    sites = tuple(SiteNow(row["site"], _weights(row), _standing(alarms.get(row["site"]))) for row in _newest(fits))
    return NetworkNow(name, slices.iloc[-1]["time"], strengths, sites)


def _newest(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The newest row of every site, in the order of their ids."""
    if rows.empty:
        return []
    found: list[dict[Any, Any]] = rows.drop_duplicates("site", keep="last").sort_values("site").to_dict("records")
    return found


def _weights(row: dict[str, Any]) -> tuple[float, ...]:
    return tuple(float("nan") if weight is None else float(weight) for weight in row["weights"])


def _standing(alarm: dict[str, Any] | None) -> tuple[str, ...]:
    return tuple(each["feature"] for each in alarm["alarms"]) if alarm and alarm["is_standing"] else ()
