"""Files that lie beside ceilometer files and are none: named, so that nobody searches for a fault in the reader."""

from __future__ import annotations

import re
from typing import Final

from ipdsf_spark.lidar.containers.container import Dataset

MODEL: Final = "NWP model column"
HITS: Final = "airport ceilometer hits csv"
RADIOMETER: Final = "microwave radiometer"
HISTORY: Final = "Vaisala BL-View history file"
WINDCUBE: Final = "Leosphere Windcube text file"
HALO: Final = "Halo Photonics text file"
OVERLAP: Final = "Lufft overlap function"
LICEL: Final = "Licel raw data file"
_TEXTS: Final = (
    (b"ceilo,dt,height,type", HITS),
    (b"history file", HISTORY),
    (b"headersize=", WINDCUBE),
    (b"headerlength=", WINDCUBE),
    (b"filename:\t", HALO),
    (b"ovl\n", OVERLAP),
    (b"ovl\r\n", OVERLAP),
    (b"<!doctype html", "HTML page"),
    (b"<html", "HTML page"),
    (b"<?xml", "XML document"),
    (b"{\\rtf", "RTF document"),
)
# The second line of a Licel header: place, begin and end of the measurement.
_LICEL: Final = re.compile(
    rb"[^\n]{1,200}\n[^\n]{0,100}?\s\d\d/\d\d/\d{4} \d\d:\d\d:\d\d \d\d/\d\d/\d{4} \d\d:\d\d:\d\d\s"
)
_DOPPLER: Final = "of a Doppler lidar: its signal has no calibration and its range no ceilometer"
_TEXT_REASONS: Final = {
    HITS: f"{HITS}: a list of cloud hits of an airport's ceilometers, without backscatter profiles",
    HISTORY: f"{HISTORY}: recognised, but no profile is taken from it",
    WINDCUBE: f"{WINDCUBE} {_DOPPLER}",
    HALO: f"{HALO} {_DOPPLER}",
    OVERLAP: f"{OVERLAP} of a CHM, which lies beside its files: there is no backscatter in it",
    LICEL: f"{LICEL} of a lidar of many channels: photon counts that need its own corrections, and no ceilometer",
    "HTML page": "HTML page, such as a server sends instead of a file, and no ceilometer file",
}
_BARE_DIMENSION: Final = "This is a netCDF dimension but not a netCDF variable"
_LISTED: Final = 8  # variables named in a reason


def netcdf_kind(dataset: Dataset) -> str | None:
    """What a netCDF file without backscatter is, if it is known."""
    names = set(dataset.variables)
    if "sfc_bl_height" in names or {"level", "pressure", "temperature"} <= names:
        return MODEL
    told = dataset.text("Source") + dataset.text("radiometer_system")
    if names & {"RPG_time", "brightness_temperatures", "TBs", "rpg_data_version"} or "RPG" in told:
        return RADIOMETER
    return None


def netcdf_reason(dataset: Dataset, kind: str | None) -> str:
    """Why a netCDF file that no reader knows gives no profiles."""
    if kind == MODEL:
        return "output of a weather model (NWP), not of an instrument: there is no backscatter in it"
    if kind == RADIOMETER:
        return "microwave radiometer file, not of a ceilometer: there is no backscatter in it"
    names = sorted(name for name in dataset.variables if not _is_bare_dimension(dataset, name))
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    return f"netCDF file of no known ceilometer; its variables are {listed or 'none'}"


def _is_bare_dimension(dataset: Dataset, name: str) -> bool:
    """Whether a netCDF-4 file holds `name` only to know the length of a dimension."""
    variable = dataset.optional(name)
    return variable is not None and str(variable.attributes.get("NAME", "")).startswith(_BARE_DIMENSION)


def text_kind(raw: bytes) -> str | None:
    """What a text file without instrument messages is, if it is known."""
    start = raw[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = next((kind for first_words, kind in _TEXTS if start.startswith(first_words)), None)
    return known or (LICEL if _LICEL.match(start) else None)


def text_reason(kind: str) -> str:
    """Why a text file of a known other kind gives no profiles."""
    return _TEXT_REASONS.get(kind, f"{kind}, without backscatter profiles")
