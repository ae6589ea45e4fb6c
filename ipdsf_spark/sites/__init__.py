"""The table of sites, conf/sites.toml, as a mapping from site id to `Site`.

    [oslo]                       # the site id: Kafka key, and first half of every product's key
    latitude_deg = 59.943
    longitude_deg = 10.720

    [default]                    # optional: what a site that is not listed gets, under its own id

A listed site never takes anything from [default]: an instrument with a forgotten longitude must be refused, not quietly
moved to another place on Earth. Without [default] a site that is not listed is refused as well.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from ipdsf_spark.config import Config, toml
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.instruments.stamps.clock import Clock
from ipdsf_spark.lidar.layers.ceiling import Ceiling
from ipdsf_spark.lidar.layers.mixing_height import LayerSettings
from ipdsf_spark.lidar.site import Site

POSITION: Final = ("latitude_deg", "longitude_deg")
DEFAULT: Final = "default"
LONGEST_ID: Final = 200  # letters read as the id of a site, [default]'s included: a key is no place for data

# Kafka keys, file names and table partitions are made of site ids, so they keep to what all three accept.
_SITE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_WIGOS_ID: Final = re.compile(r"0-\d{1,5}-\d{1,5}-[A-Za-z0-9]{1,16}")

_LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    "latitude_deg": (-90.0, 90.0, "a latitude of -90 to 90 degree, north positive"),
    "longitude_deg": (-180.0, 180.0, "a longitude of -180 to 180 degree, east positive"),
    "altitude_m": (-500.0, 9000.0, "metres above sea level, -500 to 9000"),
    "calibration": (1e-30, 1e30, "a factor above 0"),
    "min_height_m": (0.0, 5000.0, "metres above the instrument, 0 to 5000"),
    "max_height_m": (100.0, 20000.0, "metres above the instrument, 100 to 20000"),
    "wavelength_nm": (200.0, 3000.0, "nanometres, 200 to 3000"),
    "precipitable_water_mm": (0.0, 100.0, "millimetres, 0 to 100"),
    "precipitable_water_amplitude_mm": (0.0, 50.0, "millimetres, 0 to 50"),
}

_CLOCK_KEYS: Final = {"timezone": "zone", "date_order": "date_order", "stamps": "stamps"}


def sites_of(config: Config) -> dict[str, Site]:
    """The sites of the file that `config` names.

    Raises:
        ConfigError: as `load_sites`.
    """
    return load_sites(Path(config.sites.file).expanduser())


def load_sites(path: str | Path) -> dict[str, Site]:
    """Read a table of sites, `"default"` included where the file has one.

    Raises:
        ConfigError: the file is missing or not TOML, or a site lacks a position, has an unknown key or an impossible
            value; the message names file, line and key.
    """
    path = Path(path)
    text = toml.text_of(path, "the table of sites")
    tables = toml.parsed(text, str(path))
    return {site_id: _site(site_id, values, origin=_Origin(path, text)) for site_id, values in tables.items()}


def check_site_id(site_id: str) -> None:
    """Whether a site may be called so.

    Raises:
        ConfigError: it may not.
    """
    if not _SITE_ID.fullmatch(site_id):
        shown = repr(site_id[:64]) if site_id else "a record without key and site header"
        raise ConfigError(f"{shown} is no site id: up to 64 letters, digits, dots, hyphens and underscores")


def site_named(sites: Mapping[str, Site], site_id: str) -> Site:
    """The site called `site_id`, or [default] under that id.

    Raises:
        ConfigError: it is not listed and there is no [default]; the nearest listed id is offered.
    """
    if site_id in sites:
        return sites[site_id]
    check_site_id(site_id)
    if DEFAULT in sites:
        return dataclasses.replace(sites[DEFAULT], id=site_id)
    close = difflib.get_close_matches(site_id, sites, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "add a table for it, or [default], to the table of sites"
    raise ConfigError(f"unknown site {site_id!r}; {hint}")


def listed_site(sites: Mapping[str, Site], site_id: str) -> Site:
    """The site called `site_id`, and never [default], which stands for unknown senders of a stream.

    Raises:
        ConfigError: it is not listed; the nearest listed id is offered.
    """
    return site_named({name: site for name, site in sites.items() if name != DEFAULT}, site_id)


@dataclasses.dataclass(frozen=True)
class _Origin:
    """Where a table stands, so that an error can name the line."""

    path: Path
    text: str

    def of(self, site_id: str, key: str = "") -> str:
        """`file:line: [site] key`; the parser keeps no line numbers, so the line is looked up in the text."""
        line, inside = 1, False
        for number, content in enumerate(self.text.splitlines(), start=1):
            if re.match(rf"\s*\[\s*[\"']?{re.escape(site_id)}[\"']?\s*\]", content):
                line, inside = number, True
            elif re.match(r"\s*\[", content):
                inside = False
            elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", content):
                line = number
        return f"{self.path}:{line}: [{site_id}]" + (f" {key}" if key else "")


def _site(site_id: str, values: Any, *, origin: _Origin) -> Site:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{origin.path}: {site_id} stands outside a table; start a site with a line [site_id]")
    if not _SITE_ID.fullmatch(site_id):
        raise ConfigError(
            f"{origin.of(site_id)} is no site id: up to 64 letters, digits, dots, hyphens and underscores"
        )
    types = {name: hint for name, hint in get_type_hints(Site).items() if name != "id"}
    for key in values:
        if key not in types:
            close = difflib.get_close_matches(key, types, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(types))}"
            raise ConfigError(f"{origin.of(site_id, key)}: unknown key; {hint}")
    checked = {key: _checked(origin.of(site_id, key), key, value, types[key]) for key, value in values.items()}
    missing = [key for key in POSITION if key not in values]
    if len(missing) == len(POSITION) and site_id == DEFAULT:
        checked |= dict.fromkeys(POSITION, float("nan"))  # an unknown place has no sun: no diurnal ceiling
    elif missing:
        raise ConfigError(f"{origin.of(site_id)} has no {missing[0]}; the sun of the site follows from its position")
    return Site(id=site_id, **checked)


def _checked(where: str, key: str, value: Any, wanted: Any) -> Any:
    if wanted is str:
        if not isinstance(value, str):
            raise ConfigError(f"{where} must be a text, got {value!r}")
        if key == "wigos_id" and value and not _WIGOS_ID.fullmatch(value):
            raise ConfigError(f"{where} must be a WIGOS identifier like 0-20000-0-01492, got {value!r}")
        try:
            Clock(**{_CLOCK_KEYS[key]: value} if key in _CLOCK_KEYS else {})
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where} must be a number, got {value!r}")
    check_number(where, key, value)
    return float(value) if float in (wanted, *get_args(wanted)) else value


def check_number(where: str, key: str, value: float) -> None:
    """Whether a site may have this number, wherever it was said.

    Args:
        where: what is to be named in the error.
        key: of the table of sites.
        value: to check.

    Raises:
        ConfigError: it may not.
    """
    low, high, right = _LIMITS[key]
    if not low <= value <= high:  # not a number is refused as well
        raise ConfigError(f"{where} must be {right}, got {value!r}")


def layer_settings(config: Config) -> LayerSettings:
    """The retrieval's parameters, as the kernel wants them."""
    layers = config.layers
    return LayerSettings(
        averaging_s=layers.averaging_s,
        dilations_m=layers.dilations_m,
        min_strength=layers.min_strength,
        min_snr=layers.min_snr,
        lag_s=layers.lag_s,
        reorder_s=layers.reorder_s,
        reset_gap_s=layers.reset_gap_s,
        ceiling=Ceiling(
            night_m=layers.night_ceiling_m,
            open_after_sunrise_s=layers.ceiling_opens_after_sunrise_s,
            growth_m_per_h=layers.ceiling_growth_m_per_h,
            close_after_sunset_s=layers.ceiling_closes_after_sunset_s,
        ),
    )
