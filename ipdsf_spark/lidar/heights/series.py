"""Heights of the boundary layer as tools and campaigns write them: netCDF, CSV, history files, instruments' messages.

What a file is is told by its variables or columns; `variable` names one where the tables below do not.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar import tables
from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Dataset, UnreadableFile
from ipdsf_spark.lidar.instruments import decode, fields, netcdf, units
from ipdsf_spark.lidar.profiles import Float64, Time

OWN: Final = "ipdsf"
# Variable of a netCDF file, that of its standard deviation or "", and whose it is.
VARIABLES: Final = (
    ("pblh", "pblh_uncertainty", OWN),
    ("bl_height_1", "", "ARM ceilpblht"),
    ("pbl_height_haar", "", "ARM pblhtmpl1sawyerli"),
    ("pbl_height_liu_liang", "", "ARM pblhtsonde1mcfarl, Liu and Liang"),
    ("pbl_height_heffter", "", "ARM pblhtsonde1mcfarl, Heffter"),
    ("pbl_height_bulk_richardson_pt25", "", "ARM pblhtsonde1mcfarl, bulk Richardson 0.25"),
    ("BEST_BLH", "", "kabl"),
    ("BLH", "", "kabl"),
    ("mlh", "", "mixing layer height"),
    ("mixing_layer_height", "", "mixing layer height"),
    ("mixing_height", "", "mixing height"),
    ("pbl_height", "", "boundary layer height"),
    ("sfc_bl_height", "", "numerical model"),
    ("blh", "", "boundary layer height"),
)
STANDARD_NAME: Final = "atmosphere_boundary_layer_thickness"
TIMES: Final = ("time", "datetime", "date_time", "timestamp", "createdate", "utc", "unixtime")
COLUMNS: Final = (
    *("mixing_height_m", "mixing_layer_height_m", "mixing_layer_height", "mixing_height", "best_blh", "blh", "blh_m"),
    *("mlh", "mlh_m", "pblh", "pblh_m", "pbl_height", "bl_height_1", "bl_height1", "bl_height", "height_m", "pbl"),
)
SIGMAS: Final = ("uncertainty_m", "sigma_m", "pblh_uncertainty", "std_m")
HOUR_S: Final = 3600.0  # models count whole hours
NO_UNITS: Final = ("", "1", "-", "none", "unitless", "unknown", "n/a")
LOWEST_M, HIGHEST_M = 0.0, 20_000.0
KILOMETRES, ENOUGH = 8.0, 10  # so many heights of which none is greater are kilometres: models begin at 10 m


@dataclass(frozen=True, eq=False)
class Heights:
    """A series of heights in time order.

    Attributes:
        source: what gave them.
        time: (N,) datetime64[us], UTC.
        height_m: (N,) as written: above the instrument or the ground, NaN where none.
        sigma_m: (N,) one standard deviation, NaN where not stated.
        latitude_deg: north positive, of the site as this project's netCDF says it; NaN for any other file, whose
            position is not believed.
        longitude_deg: east positive, the same.
    """

    source: str
    time: Time
    height_m: Float64
    sigma_m: Float64
    latitude_deg: float = float("nan")
    longitude_deg: float = float("nan")


def read_heights(raw: bytes, name: str = "", variable: str = "") -> Heights:
    """The heights in a file.

    Args:
        raw: its bytes.
        name: its name, for messages and for times that the file leaves open.
        variable: variable or column to take; by default the first that is known.

    Raises:
        InputError: there is none, with what was found.
    """
    try:
        if netcdf.is_netcdf(raw):
            return _from_netcdf(raw, name, variable)
        found = _from_table(raw, variable)
        return found if found is not None else _from_instrument(raw, name)
    except UnreadableFile as error:
        raise InputError(f"{name or 'the file'}: {error}") from error


def joined(parts: Sequence[Heights]) -> Heights:
    """Several files of one tool as one series; of equal times the later file counts."""
    time = np.concatenate([part.time for part in parts])
    order = np.argsort(time, kind="stable")
    last = np.append(time[order][1:] != time[order][:-1], True)
    rows = order[last]
    names = ("height_m", "sigma_m")
    height, sigma = (np.concatenate([getattr(part, name) for part in parts])[rows] for name in names)
    return replace(parts[0], time=time[rows], height_m=height, sigma_m=sigma)


def _from_netcdf(raw: bytes, name: str, variable: str) -> Heights:
    dataset = netcdf.open_bytes(raw)
    found = _known(dataset, variable)
    if found is None:
        try:
            return _from_instrument(raw, name)
        except InputError:
            listed = ", ".join(sorted(dataset.variables)[:20])
            raise InputError(f"{name}: no layer height among {listed}; name one with --variable") from None
    chosen, of_sigma, source = found
    time = _times(dataset, chosen)
    height = _column(dataset, chosen, len(time))
    sigma = np.full(len(time), np.nan)
    if of_sigma in dataset.variables:
        with contextlib.suppress(UnreadableFile):  # heights are judged without a sigma that is no length
            sigma = _column(dataset, of_sigma, len(time))
    series = _series(source, time, np.where(_is_bad(dataset, chosen, len(time)), np.nan, height), sigma)
    if source != OWN:
        return series
    return replace(
        series, latitude_deg=fields.scalar(dataset, "latitude"), longitude_deg=fields.scalar(dataset, "longitude")
    )


def _known(dataset: Dataset, variable: str) -> tuple[str, str, str] | None:
    if variable:
        if variable not in dataset.variables:
            raise InputError(f"no variable {variable!r}; there are {', '.join(sorted(dataset.variables)[:20])}")
        return variable, f"{variable}_uncertainty", variable
    for name, sigma, source in VARIABLES:
        if name in dataset.variables:
            return name, sigma, source
    for name in dataset.variables:
        if dataset.variables[name].text("standard_name") == STANDARD_NAME:
            return name, f"{name}_uncertainty", name
    return None


def _times(dataset: Dataset, chosen: str) -> Time:
    """Times of a file: `time`, ARM's `base_time` and `time_offset`, or whatever else counts along the heights."""
    variables = dataset.variables
    if "time" in variables and "since" in variables["time"].text("units"):
        return cf_time.times(variables["time"], coarsest_whole_s=HOUR_S)
    if not {"base_time", "time_offset"} <= set(variables):
        for variable in variables.values():
            if (
                "since" in variable.text("units")
                and variable.dimensions
                and set(variable.dimensions) <= set(variables[chosen].dimensions)
            ):
                return cf_time.times(variable, coarsest_whole_s=HOUR_S)
        raise UnreadableFile(
            f"no times of {chosen}: no variable along it is of a unit such as 'seconds since 1970-1-1'"
        )
    base = cf.physical(dataset.require("base_time")).reshape(-1)
    offset = cf.physical(dataset.require("time_offset")).reshape(-1)
    return cf_time.since(base[0] + offset, "seconds since 1970-01-01 00:00:00")


def _column(dataset: Dataset, name: str, num: int) -> Float64:
    """(num,) metres; of several layers the first."""
    variable = dataset.require(name)
    values = cf.physical(variable)
    factor = _factor(name, variable.text("units"))
    if values.size == num:
        return np.asarray(values.reshape(-1) * factor)
    if values.ndim == 2 and values.shape[0] == num:
        return np.asarray(values[:, 0] * factor)
    if values.ndim == 2 and values.shape[1] == num:
        return np.asarray(values[0] * factor)
    raise UnreadableFile(f"{name} has shape {values.shape}, the file {num} times")


def _factor(name: str, unit: str) -> float:
    """To metres; where no unit is said they are metres.

    Raises:
        UnreadableFile: it is the unit of something else.
    """
    words = unit.strip("[]() ")
    factor = units.metres(words)
    if factor is None and words.lower() not in NO_UNITS:
        raise UnreadableFile(f"{name} is no height: its unit is {unit[:60]!r}; name another with --variable")
    return factor or 1.0


def _is_bad(dataset: Dataset, name: str, num: int) -> NDArray[np.bool_]:
    """(num,) whose `qc_` variable sets a bit that is assessed as bad (ARM's convention, and CF flag_assessments)."""
    flags = dataset.optional(f"qc_{name}")
    if flags is None:
        return np.zeros(num, bool)
    values = flags.read(dataset.gaps).reshape(-1)
    if values.size != num or values.dtype.kind not in "iu":
        return np.zeros(num, bool)
    assessed = flags.text("flag_assessments").split()
    bad = sum(1 << bit for bit, word in enumerate(assessed) if word.lower() == "bad")
    if not assessed:
        for holder in (flags.text, dataset.text):
            for bit in range(1, 33):
                for key in (f"bit_{bit}_assessment", f"qc_bit_{bit}_assessment"):
                    bad |= (1 << (bit - 1)) if holder(key).strip().lower() == "bad" else 0
            if bad:
                break
    return np.asarray((values.astype(np.int64) & bad) != 0)


def _from_table(raw: bytes, variable: str) -> Heights | None:
    """A table of text with a line of names; None if it is none."""
    try:
        names, rows, separator = tables.rows_of(tables.decoded(raw))
    except ValueError:
        return None
    at_time = next((names.index(name) for name in TIMES if name in names), None)
    wanted = (variable.lower(),) if variable else COLUMNS
    bare = [_without_unit(name) for name in names]
    at_height = next((listed.index(name) for listed in (names, bare) for name in wanted if name in listed), None)
    if at_time is None:
        return None
    if at_height is None:
        if variable or "bs_profile" not in names:
            raise InputError(f"no column of layer heights among {', '.join(names[:20])}; name one with --variable")
        return None
    at_sigma = next((names.index(name) for name in SIGMAS if name in names), None)
    table = [row for row in rows if len(row) > max(at_time, at_height)]
    time = np.array([tables.instant(row[at_time]) for row in table], "datetime64[us]")
    if table and np.isnat(time).all():
        raise InputError(
            f"{names[at_height]}: not one of {len(table)} rows has a time that can be read; {names[at_time]} says "
            f"{table[0][at_time]!r}, wanted is ISO 8601 such as {tables.EXAMPLE}, or seconds since 1970"
        )

    def column(at: int | None) -> Float64:
        written = [row[at] if at is not None and at < len(row) else "" for row in table]
        return np.array([tables.number(text, separator) for text in written], float)

    if bare[at_height] != names[at_height]:
        height = column(at_height) * _metres_of(names[at_height])
    else:
        said = tables.units_of(names, table)
        of_unit = {unit: _factor(names[at_height], unit) for unit in set(said)}
        height = column(at_height) * np.array([of_unit[unit] for unit in said], float)
    return _series(names[at_height], time, height, column(at_sigma))


def _metres_of(column: str) -> float:
    """The length that a column's numbers count, by the unit at the end of its name: blh_km, "height [ft]"."""
    unit = re.split(r"[_(\[ ]", column.rstrip(")] "))[-1]
    return units.metres(unit) or 1.0


def _without_unit(column: str) -> str:
    """The name of a column without the unit at its end."""
    bare, in_brackets = tables.without_unit(column)
    if in_brackets:
        return bare if units.metres(in_brackets) else column
    head, _, tail = column.rpartition("_")
    return head if head and units.metres(tail) else column


def _from_instrument(raw: bytes, name: str) -> Heights:
    """The maker's own first layer, in whatever the instrument or its software wrote."""
    blocks = [block for block in decode(raw, name=name).blocks if block.maker_layer_height_m.shape[1]]
    if not blocks:
        raise InputError(f"{name or 'the file'} holds no layer heights: no table with a time and a height, no maker's")
    time = np.concatenate([block.time for block in blocks])
    height = np.concatenate([block.maker_layer_height_m[:, 0].astype(float) for block in blocks])
    return _series(f"{blocks[0].instrument}, maker's layer", time, height, np.full(len(time), np.nan))


def _series(source: str, time: Time, height_m: Float64, sigma_m: Float64) -> Heights:
    """In time order, without rows that have no time; heights that no layer has are missing."""
    known = ~np.isnat(time)
    if not known.any():
        raise InputError(f"{source}: not one of {len(time)} rows has a time that can be read")
    order = np.flatnonzero(known)[np.argsort(time[known], kind="stable")]
    height_m = _sane(height_m[order])
    seen_m = height_m[np.isfinite(height_m)]
    if seen_m.size >= ENOUGH and seen_m.max() < KILOMETRES:
        raise InputError(
            f"{source}: none of {seen_m.size} heights reaches {KILOMETRES:g} m: if they are kilometres, say it in the "
            f"units or behind the name, as in {source.split(',')[0]}_km"
        )
    return Heights(source, time[order].astype("datetime64[us]"), height_m, _sane(sigma_m[order]))


def _sane(values: Float64) -> Float64:
    with np.errstate(invalid="ignore"):
        return np.where((values > LOWEST_M) & (values < HIGHEST_M), values, np.nan)
