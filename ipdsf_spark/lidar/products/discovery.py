"""Global attributes by which catalogues find a file (ACDD-1.3), and assessments of the quality bits: one table each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.profiles import Time
from ipdsf_spark.lidar.site import Site

CONVENTIONS: Final = "CF-1.8, ACDD-1.3"
BAD, INDETERMINATE = "Bad", "Indeterminate"
# What a set bit means to somebody who wants heights only: no use, or to be looked at.
ASSESSMENTS: Final = {
    Quality.CLOUD_CAPPED: INDETERMINATE,
    Quality.PRECIPITATION: BAD,
    Quality.FOG: BAD,
    Quality.NEAR_RANGE_EDGE: BAD,
    Quality.LOW_SNR: BAD,
    Quality.AMBIGUOUS: INDETERMINATE,
    Quality.GAP_FILLED: INDETERMINATE,
    Quality.PROVISIONAL: INDETERMINATE,
    Quality.FEW_PROFILES: INDETERMINATE,
    Quality.UNCALIBRATED: INDETERMINATE,
    Quality.NO_SUN: INDETERMINATE,
    Quality.RESIDUAL_LAYER: BAD,
    Quality.CLIPPED: INDETERMINATE,
    Quality.NO_EDGE: BAD,
}
FIXED: Final = {
    "Conventions": CONVENTIONS,
    "keywords": "EARTH SCIENCE > ATMOSPHERE > ATMOSPHERIC PHENOMENA > PLANETARY BOUNDARY LAYER, ceilometer, lidar",
    "keywords_vocabulary": "GCMD Science Keywords",
    "standard_name_vocabulary": "CF Standard Name Table v83",
    "cdm_data_type": "Station",
    "processing_level": "heights retrieved from attenuated backscatter",
    "geospatial_lat_units": "degrees_north",
    "geospatial_lon_units": "degrees_east",
    "geospatial_vertical_units": "m",
    "geospatial_vertical_positive": "up",
}


def assessments() -> dict[str, Any]:
    """Attributes of a `qc_` variable as ARM's tools and CF's flags want them."""
    flags = list(Quality)
    described = {
        f"bit_{number}_{what}": text
        for number, flag in enumerate(flags, start=1)
        for what, text in (("description", str(flag.name).lower()), ("assessment", ASSESSMENTS[flag]))
    }
    return {
        "flag_masks": np.array([int(flag) for flag in flags], np.int32),
        "flag_meanings": " ".join(str(flag.name).lower() for flag in flags),
        "flag_assessments": " ".join(ASSESSMENTS[flag] for flag in flags),
        **described,
    }


def discovery_attributes(site: Site, time: Time, interval_s: float) -> dict[str, Any]:
    """Attributes of a file of one site; what the place or the times do not say is left out.

    Args:
        site: where.
        time: (N,) middles of the intervals.
        interval_s: their length.
    """
    found: dict[str, Any] = dict(FIXED)
    found["id"] = f"{site.wigos_id or site.id}_mixing_layer_height"
    found["summary"] = (
        f"Mixing layer heights with their uncertainty at {site.id}, from a ceilometer's attenuated backscatter, in "
        f"intervals of {interval_s:.0f} s. A missing height has its reason in pblh_qc."
    )
    now = datetime.now(UTC)
    found |= {"date_created": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "date_metadata_modified": now.strftime("%Y-%m-%d")}
    if site.wigos_id:
        found["wigos_station_id"] = site.wigos_id
    if np.isfinite(site.latitude_deg) and np.isfinite(site.longitude_deg):
        latitude, longitude = float(site.latitude_deg), float(site.longitude_deg)
        found |= {"geospatial_lat_min": latitude, "geospatial_lat_max": latitude}
        found |= {"geospatial_lon_min": longitude, "geospatial_lon_max": longitude}
        found |= {"geospatial_bounds": f"POINT ({latitude} {longitude})", "geospatial_bounds_crs": "EPSG:4326"}
        found |= {"geospatial_vertical_min": float(site.altitude_m)}
        found |= {"geospatial_vertical_max": float(site.altitude_m + site.max_height_m)}
    if len(time):
        half = np.timedelta64(round(interval_s * 5e5), "us")
        first, last = (np.datetime_as_string(moment, unit="s") + "Z" for moment in (time[0] - half, time[-1] + half))
        found |= {"time_coverage_start": first, "time_coverage_end": last}
        found |= {"time_coverage_resolution": f"PT{interval_s:.0f}S"}
    return found
