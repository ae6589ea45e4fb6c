"""A monitor's hourly PM2.5 from CSV, with the flags of ACTRIS and EBAS where it has them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar import tables
from ipdsf_spark.lidar.air_quality.mass_units import WANTED, micrograms
from ipdsf_spark.lidar.profiles import Float64, Time

OVERRIDES: Final = 100  # checked by the originator: valid, whatever other flags say
# Flags of the EBAS data base (ebas.nilu.no) of class I (invalid), M (missing) or H (hidden); all others are valid.
INVALID_FLAGS: Final = frozenset(
    (
        251, 256, 259, 260, 277, 278, 389, 391, 393, 395, 451, 452, 456, 459, 460, 471, 477, 478, 530, 533, 534, 540,
        541, 549, 565, 566, 567, 568, 578, 591, 593, 599, 620, 635, 641, 646, 658, 659, 663, 664, 666, 669, 670, 677,
        681, 682, 683, 684, 685, 699, 750, 783, 784, 799, 890, 899, 900, 980, 990, 999,
    )
)  # fmt: skip
TIME_NAMES: Final = ("time", "datetime", "date", "timestamp", "start_time", "datetimeutc", "datetime_utc", "date_utc")
VALUE_NAMES: Final = ("pm25", "pm2p5", "pm2.5", "pm2_5", "pm25_ug_m3", "pm2p5_ug_m3", "value", "concentration")
PARAMETER_NAMES: Final = ("parameter", "pollutant", "species", "parameter_name")
PM2P5: Final = ("pm25", "pm2p5", "88101", "88502", "6001")  # also the codes of AQS and of the EEA
FLAG_NAMES: Final = ("flag", "flags", "numflag", "ebas_flag", "qc")
LARGEST_SHARE: Final = 1.5  # a column of relative humidity whose median is larger holds percent
MOST_PERCENT: Final = 110.0  # of humidity; more is no humidity
HUMIDITY_NAMES: Final = ("relative_humidity", "rh", "humidity", "relative_humidity_percent")
FILL_BELOW: Final = -99.0  # fills like -999; a monitor's noise stays above
HIGHEST: Final = 9000.0  # fills like 9999.9; no monitor of PM2.5 reads as much


@dataclass(frozen=True, eq=False)
class Monitor:
    """Hourly values of a monitor.

    Attributes:
        time: (N,) begin of each hour, UTC, sorted, each once.
        pm2p5: (N,) [µg/m3].
        relative_humidity: (N,) 0 to 1, NaN where unknown.
        num_rows, num_invalid, num_unreadable: rows of the file, those that flags or fill values exclude, and those
            without a time or a number.
    """

    time: Time
    pm2p5: Float64
    relative_humidity: Float64
    num_rows: int
    num_invalid: int
    num_unreadable: int


def is_valid(flags: str) -> bool | None:
    """Whether EBAS flags leave a value valid; None where they cannot be understood.

    Read are single flags (``147``), several (``147;559``, ``147 559``), and the packed decimal of NASA Ames files
    (``0.147559``, ``0.999``).
    """
    text = flags.strip()
    if not text:
        return True
    codes: list[int] = []
    for word in text.replace(";", " ").replace(",", " ").replace("|", " ").split():
        whole, point, packed = word.partition(".")
        if not (whole.isascii() and whole.isdigit()) or not (packed.isascii() and (packed.isdigit() or not packed)):
            return None
        if not point or not packed.strip("0"):
            codes.append(int(whole))
        else:
            padded = packed.ljust(-(-len(packed) // 3) * 3, "0")
            codes += [int(padded[at : at + 3]) for at in range(0, len(padded), 3)]
    if OVERRIDES in codes:
        return True
    if any(code > 999 for code in codes):
        return None
    return not any(code in INVALID_FLAGS for code in codes)


def read_monitor(text: str, *, time: str | None = None, value: str | None = None, name: str = "monitor") -> Monitor:
    """A monitor's file: CSV with a header line, comma, semicolon or tab.

    Several values of one hour are averaged; an hour's stamp is its begin. Where a column tells what a row measures, the
    rows of PM2.5 count, unless `value` names the column. A unit counts in brackets behind the column's name or in a
    column of units.

    Args:
        text: the file.
        time: name of the column of times, ISO 8601, UTC where no offset is given; None = one of the usual names.
        value: name of the column of PM2.5, in µg/m3 where no unit is said; None = one of the usual names.
        name: of the file, for errors.

    Raises:
        InputError: a column is missing, times are days or cannot be read, a unit is none of mass in air, or there is no
            valid value.
    """
    header, rows, separator = _table(text, name)
    at_time = _column(header, time, TIME_NAMES, name, "times")
    at_value = _measured(header, value, VALUE_NAMES, name, "PM2.5")
    rows = rows if value else _of_pm2p5(header, rows, name)
    _check_stamps(header, rows, at_time, name)
    at_flag = _optional(header, FLAG_NAMES)
    at_humidity = _optional([tables.without_unit(each)[0] for each in header], HUMIDITY_NAMES)
    factors = _factors(header, rows, at_value, name)
    humidity_of = _humidities(header, rows, at_humidity, separator)
    stamps: list[int] = []
    values: list[float] = []
    humidities: list[float] = []
    num_invalid = num_unreadable = 0
    for row, row_humidity, factor in zip(rows, humidity_of, factors, strict=True):
        stamp, written = _hour_of(_cell(row, at_time)), tables.number(_cell(row, at_value), separator)
        number = written * factor
        valid = is_valid(_cell(row, at_flag)) if at_flag is not None else True
        has_number = bool(np.isfinite(number))
        if stamp is None or valid is None or (not has_number and not _is_missing(_cell(row, at_value))):
            num_unreadable += 1
        elif not (valid and written > FILL_BELOW and FILL_BELOW < number < HIGHEST):  # NaN lies nowhere
            num_invalid += 1
        else:
            stamps.append(stamp)
            values.append(number)
            humidities.append(row_humidity)
    if not stamps:
        raise InputError(f"{name} has no valid value in {len(rows)} row(s), {num_unreadable} could not be read")
    hours, group = np.unique(np.array(stamps), return_inverse=True)
    mean = np.bincount(group, values) / np.bincount(group)
    known = np.isfinite(humidities)
    with np.errstate(invalid="ignore", divide="ignore"):
        humidity = np.bincount(group, np.where(known, humidities, 0.0)) / np.bincount(group, known.astype(float))
    return Monitor(
        hours.astype("datetime64[h]").astype("datetime64[us]"),
        mean,
        np.asarray(humidity),
        len(rows),
        num_invalid,
        num_unreadable,
    )


def read_humidity(text: str, *, name: str = "humidity") -> dict[int, float]:
    """Relative humidity, 0 to 1, by hour since 1970, from CSV with a column of times and one of humidity.

    Raises:
        InputError: a column is missing, times are days or cannot be read, or no row has a value.
    """
    header, rows, separator = _table(text, name)
    at_time = _column(header, None, TIME_NAMES, name, "times")
    _check_stamps(header, rows, at_time, name)
    at_humidity = _measured(header, None, HUMIDITY_NAMES, name, "relative humidity")
    found: dict[int, list[float]] = {}
    for row, humidity in zip(rows, _humidities(header, rows, at_humidity, separator), strict=True):
        hour = _hour_of(_cell(row, at_time))
        if hour is not None and np.isfinite(humidity):
            found.setdefault(hour, []).append(humidity)
    if not found:
        raise InputError(f"{name} has no humidity in {len(rows)} row(s)")
    return {hour: float(np.mean(values)) for hour, values in found.items()}


def _table(text: str, name: str) -> tuple[list[str], list[list[str]], str]:
    """Header in small letters, rows, and what separates their cells."""
    try:
        return tables.rows_of(text)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error


def _of_pm2p5(header: list[str], rows: list[list[str]], name: str) -> list[list[str]]:
    """The rows of PM2.5 where a column says what each row measures, as in the downloads of networks; else all."""
    at = _optional(header, PARAMETER_NAMES)
    if at is None:
        return rows
    wanted = [row for row in rows if re.sub(r"[^a-z0-9]", "", _cell(row, at).lower()) in PM2P5]
    if not wanted and rows:
        others = ", ".join(sorted({_cell(row, at).strip() for row in rows})[:8])
        raise InputError(f"{name} has no PM2.5: its column {header[at]} says {others}")
    return wanted


def _check_stamps(header: list[str], rows: list[list[str]], at: int, name: str) -> None:
    """Refuse times that name no hour, which would all be taken for midnight.

    Raises:
        InputError: there is not one that does, or none can be read.
    """
    written = [_cell(row, at) for row in rows]
    where, wanted = f"{name}: its column {header[at]}", f"wanted is an hour such as {tables.EXAMPLE} (UTC unless said)"
    if written and all(_hour_of(stamp) is None for stamp in written):
        raise InputError(f"{where} has no time that can be read; the first is {written[0]!r}, {wanted}")
    if written and all(tables.is_day(stamp) or _hour_of(stamp) is None for stamp in written):
        raise InputError(f"{where} holds days without an hour, the first {written[0]!r}; {wanted}")


def _column(header: list[str], given: str | None, usual: tuple[str, ...], name: str, what: str) -> int:
    names = (given.lower(),) if given else usual
    for each in names:
        if each in header:
            return header.index(each)
    wanted = given or f"one of {', '.join(usual)}"
    raise InputError(f"{name} has no column of {what}: wanted {wanted}; it has {', '.join(header)}")


def _measured(header: list[str], given: str | None, usual: tuple[str, ...], name: str, what: str) -> int:
    """A column of numbers, behind whose name a unit may stand in brackets."""
    if (given or "").lower() in header or any(each in header for each in usual if not given):
        return _column(header, given, usual, name, what)
    bare = [tables.without_unit(each)[0] for each in header]
    found = _optional(bare, (given.lower(),) if given else usual)
    return found if found is not None else _column(header, given, usual, name, what)


def _factors(header: list[str], rows: list[list[str]], at_value: int, name: str) -> list[float]:
    """Of every row from the unit that is said to µg/m3.

    Raises:
        InputError: a unit is none of mass in air.
    """
    behind = tables.without_unit(header[at_value])[1]
    said = [unit or behind for unit in tables.units_of(header, rows)]
    known = {unit: micrograms(unit) for unit in said}
    for unit, factor in known.items():
        if factor is None:
            raise InputError(
                f"{name}: its PM2.5 is in {unit[:60]!r}, which is no mass of particles in air; wanted {WANTED}"
            )
    return [known[unit] or 1.0 for unit in said]


def _optional(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _is_missing(text: str) -> bool:
    """What tables write where a monitor measured nothing."""
    return text.strip().lower() in ("", "nan", "na", "n/a", "null", "none", "-")


def _cell(row: list[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _humidities(header: list[str], rows: list[list[str]], at: int | None, separator: str) -> list[float]:
    """0 to 1 of every row, NaN where there is none.

    The column tells whether it holds percent, not the single number: the 0.9 % of a sensor that fails is not 90 %. No
    air outdoors is at 0: that is a sensor that says nothing.
    """
    if at is None:
        return [float("nan")] * len(rows)
    found = np.array([tables.number(_cell(row, at), separator) for row in rows])
    known = found[(found > 0.0) & (found <= MOST_PERCENT)]
    says_percent = "percent" in header[at] or "%" in header[at]
    is_percent = says_percent or (known.size > 0 and float(np.median(known)) > LARGEST_SHARE)
    share = found / 100.0 if is_percent else found
    return [float(each) for each in np.where((share > 0.0) & (share <= MOST_PERCENT / 100.0), share, np.nan)]


def _hour_of(text: str) -> int | None:
    """Hours since 1970, UTC."""
    stamp = tables.instant(text)
    return None if np.isnat(stamp) else int(stamp.astype("datetime64[h]").astype(np.int64))
