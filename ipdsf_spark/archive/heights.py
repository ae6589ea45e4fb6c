"""Archived heights as series for a forecast: what was known when an interval had closed, and what it finally was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from ipdsf_spark.archive.reading import newest_of, read_revisions
from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.rows import flags_of
from ipdsf_spark.forecast.series import INTERVAL_S, Observed, Series
from ipdsf_spark.lidar.site import Site

SEEN: Final = {
    "height_m": "mixing_height_m",
    "sigma_m": "uncertainty_m",
    "below_m": "below_m",
    "cloud_m": "cloud_base_m",
    "residual_m": "residual_height_m",
}


def series_of_archive(
    directory: str | Path, sites: Mapping[str, Site], *, since: str | None = None, until: str | None = None
) -> Series:
    """Five-minute series of every archived site.

    What the network sees is the last provisional revision of an interval, as the stream will give it; what it shall
    foretell is the newest revision that is final.

    Args:
        directory: of the archive.
        sites: where they stand; those that are not listed have no sun.
        since: first day, ISO 8601.
        until: last day.

    Raises:
        InputError: there is no archive, or it holds no heights by five minutes.
    """
    revisions = read_revisions(directory, since=since, until=until)
    if revisions.empty:
        raise InputError(f"the archive {directory} holds no heights in this time")
    is_provisional = revisions["provisional"].ne(False)  # also where it is not said
    final = newest_of(revisions[~is_provisional])
    seen = pd.concat([final, newest_of(revisions[is_provisional])]).drop_duplicates("key", keep="last")
    names = tuple(sorted(seen["site"].unique()))
    index = _index(seen)
    start, stop = int(index.min()), int(index.max()) + 1
    shape = (stop - start, len(names))
    observed = Observed.nothing(*shape)
    column = {name: number for number, name in enumerate(names)}
    place = index - start, seen["site"].map(column).to_numpy()
    filled = {name: np.full(shape, np.nan) for name in SEEN}
    for name, source in SEEN.items():
        filled[name][place] = seen[source].to_numpy(np.float64)
    flags, has_data = observed.flags.copy(), observed.has_data.copy()
    flags[place] = [flags_of(_listed(value)) for value in seen["quality"]]
    has_data[place] = True
    target_m = np.full(shape, np.nan)
    target_m[_index(final) - start, final["site"].map(column).to_numpy()] = final["mixing_height_m"].to_numpy(float)
    places = [sites.get(name, Site(name, np.nan, np.nan)) for name in names]
    return Series(
        names,
        np.array([site.latitude_deg for site in places]),
        np.array([site.longitude_deg for site in places]),
        start,
        Observed(**filled, flags=flags, has_data=has_data),
        target_m,
    )


def _index(rows: pd.DataFrame) -> Any:
    """Numbers of the intervals that rows are the middles of.

    Raises:
        InputError: they are no five minutes long.
    """
    seconds = rows["time"].to_numpy("datetime64[s]").astype(np.int64)
    if len(seconds) and np.any(seconds % INTERVAL_S != INTERVAL_S // 2):
        raise InputError("a forecast needs heights by five minutes; this archive was written with other intervals")
    return seconds // INTERVAL_S


def _listed(value: Any) -> list[str]:
    return [str(name) for name in value] if value is not None and not isinstance(value, float) else []
