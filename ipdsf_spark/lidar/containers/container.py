"""What a netCDF file is to the readers, whichever of the two layouts it is stored in.

`netcdf3` and `hdf5` each open bytes as a `Dataset`. Both are written here in plain Python and numpy on purpose: the C
libraries answer damaged bytes with minutes of work, gigabytes of memory or the death of the process, and need
milliseconds to open a file of which a few variables are wanted.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.lidar.profiles import Float32, Float64, Time

Attribute = str | float | NDArray[Any]

# A day of CL61 profiles at 5 s is 226 MB a variable; deflate packs 1032 to 1 at best (RFC 1951), so a file that
# claims more than that for its length is lying.
MAX_VARIABLE_BYTES: Final = 256 * 2**20
MAX_EXPANSION: Final = 1032
MAX_PROFILES: Final = 100_000  # a day has 86,400 seconds
MAX_LAYERS: Final = 32  # cloud, sky or mixing layers; MiniMPL lists ten
TIME_NAMES: Final = ("time", "profile", "Time", "TIME")
FILL_LIMIT: Final = 9e36  # netCDF's default fill for floats is 9.97e36


class UnreadableFile(IpdsfError):
    """Something in a file cannot be read; the text is the reason.

    Caught where the rest can do without it, and else by the format's `decode`: then the file gives no profile at all.

    Attributes:
        offset: where in the file it stands, as far as that is known.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset


@dataclass(frozen=True)
class Damage:
    """A stretch of a variable's storage that could not be read.

    Attributes:
        offset, length: where it lies in the file.
        first, count: the rows (first axis) it held.
        reason: what was wrong.
    """

    offset: int
    length: int
    first: int
    count: int
    reason: str


class Variable(ABC):
    """One variable; nothing is read before `read`."""

    name: str
    shape: tuple[int, ...]

    @property
    @abstractmethod
    def dimensions(self) -> tuple[str, ...]:
        """Names of the axes."""

    @property
    @abstractmethod
    def attributes(self) -> Mapping[str, Attribute]:
        """Attributes by name."""

    @abstractmethod
    def read(self, damage: list[Damage] | None = None, *, max_rows: int | None = None) -> NDArray[Any]:
        """The stored numbers, unscaled, in native byte order.

        Args:
            damage: receives what could not be read, which then stands as NaN (or 0 in whole numbers).
            max_rows: read no more than this many rows (first axis).

        Raises:
            UnreadableFile: there is damage and nobody asked for it, or the type or size cannot be read.
        """


@dataclass(frozen=True)
class Dataset:
    """An open file or group.

    Attributes:
        variables, attributes, groups: by name.
        num_bytes: length of the file.
        damage: stretches of the file that already failed on opening (a file cut short).
        gaps: collects what could not be read of variables without which a profile is still a profile.
    """

    variables: Mapping[str, Variable]
    attributes: Mapping[str, Attribute]
    groups: Mapping[str, Dataset] = field(default_factory=dict)
    num_bytes: int = 0
    damage: tuple[Damage, ...] = ()
    gaps: list[Damage] = field(default_factory=list)

    def text(self, key: str) -> str:
        """A global attribute as text, empty if it is absent."""
        return str(self.attributes.get(key, ""))

    def stored(self, name: str) -> NDArray[Any] | None:
        """The stored numbers of a variable that a profile can do without; None if it is absent or unreadable."""
        try:
            return self.variables[name].read(self.gaps)
        except KeyError:
            return None
        except UnreadableFile as error:
            self.gaps.append(Damage(error.offset, 0, 0, 0, str(error)))
            return None

    def optional(self, name: str) -> Variable | None:
        """A variable that a profile can do without; None if it is absent or unreadable."""
        if name not in self.variables:
            return None
        try:
            return self.variables[name]
        except UnreadableFile as error:
            self.gaps.append(Damage(error.offset, 0, 0, 0, str(error)))
            return None

    def require(self, name: str) -> Variable:
        """A variable.

        Raises:
            UnreadableFile: it is absent.
        """
        if name not in self.variables:
            raise UnreadableFile(f"variable {name!r} is missing")
        return self.variables[name]


def check_size(name: str, num_bytes: int, file_bytes: int) -> None:
    """Refuse a size no file of this length can hold.

    Raises:
        UnreadableFile: with what was claimed.
    """
    if num_bytes > min(MAX_VARIABLE_BYTES, MAX_EXPANSION * file_bytes):
        raise UnreadableFile(f"{name} claims {num_bytes} bytes in a file of {file_bytes}")


def check_profiles(num_profiles: int, num_gates: int) -> None:
    """Refuse more profiles than a day can have.

    Raises:
        UnreadableFile: with what was claimed.
    """
    if num_profiles > MAX_PROFILES or 4 * num_profiles * num_gates > MAX_VARIABLE_BYTES:
        raise UnreadableFile(f"claims {num_profiles} profiles of {num_gates} gates; split it into files of a day")


def physical(variable: Variable, *, damage: list[Damage] | None = None) -> Float64:
    """Values in float64: fill and missing values NaN, scale factor and offset applied."""
    return _physical(variable, np.float64, damage)


def physical32(variable: Variable, *, damage: list[Damage] | None = None) -> Float32:
    """Like `physical`, in float32 for whole profiles."""
    return _physical(variable, np.float32, damage)


def _physical(variable: Variable, dtype: type[np.floating[Any]], damage: list[Damage] | None) -> NDArray[Any]:
    stored = variable.read(damage)
    if stored.dtype.kind not in "iuf":
        raise UnreadableFile(f"{variable.name} holds no numbers")
    values = stored.astype(dtype)
    for key in ("_FillValue", "missing_value"):
        fill = number(variable.attributes[key]) if key in variable.attributes else float("nan")
        if fill == fill:
            values[stored == (stored.dtype.type(fill) if stored.dtype.kind == "f" else fill)] = np.nan
    if stored.dtype.kind == "f":
        values[np.abs(values) > FILL_LIMIT] = np.nan
    attributes = variable.attributes
    # Old Lufft firmware writes the text "10" beside tenths: what is written as text is no factor.
    if "scale_factor" in attributes and not isinstance(attributes["scale_factor"], str):
        values *= number(attributes["scale_factor"])
    if "add_offset" in attributes and np.isfinite(number(attributes["add_offset"])):
        values += number(attributes["add_offset"])
    return values


def optional(dataset: Dataset, name: str) -> Float64 | None:
    """Like `physical` for a variable that a profile can do without; None if it is absent or unreadable."""
    variable = dataset.optional(name)
    try:
        return None if variable is None else physical(variable, damage=dataset.gaps)
    except UnreadableFile as error:
        dataset.gaps.append(Damage(error.offset, 0, 0, 0, str(error)))
        return None


def scalar(dataset: Dataset, name: str) -> float:
    """The first value of a variable, NaN if it is absent or a fill."""
    values = optional(dataset, name)
    return float(values.flat[0]) if values is not None and values.size else float("nan")


def column(dataset: Dataset, name: str, num_profiles: int) -> Float32:
    """(T,) values of a variable, a scalar repeated; of several columns the first; NaN if it is absent or longer."""
    values = optional(dataset, name)
    if values is None or 0 in values.shape[1:] or (values.ndim and len(values) > num_profiles):
        return np.full(num_profiles, np.nan, np.float32)
    if values.ndim == 0:
        return np.full(num_profiles, values, np.float32)
    return padded(values.reshape(len(values), -1)[:, 0] if len(values) else values.reshape(0), num_profiles)


def layers(dataset: Dataset, name: str, num_profiles: int) -> Float32:
    """(T, L) values of a variable; one column of NaN if it is absent, empty or unreadable."""
    values = optional(dataset, name)
    if values is None or values.ndim == 0 or 0 in values.shape[1:]:
        return np.full((num_profiles, 1), np.nan, np.float32)
    try:
        return table(dataset.variables[name], values, num_profiles)
    except UnreadableFile as error:
        dataset.gaps.append(Damage(error.offset, 0, 0, 0, str(error)))
        return np.full((num_profiles, 1), np.nan, np.float32)


def padded(values: NDArray[Any], num_profiles: int) -> Float32:
    """Float32 rows up to `num_profiles`: what was never written of a growing variable is missing."""
    short = num_profiles - len(values)
    if short <= 0:
        return values.astype(np.float32)
    return np.concatenate([values.astype(np.float32), np.full((short, *values.shape[1:]), np.nan, np.float32)])


def number(value: Attribute | None) -> float:
    """An attribute as a number, NaN if it is none."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else None
    try:
        return float(value) if value is not None else float("nan")
    except (TypeError, ValueError):
        return float("nan")


def heights(values: NDArray[Any], *, lowest: float = 0.0) -> Float32:
    """Heights [m] in float32; below `lowest` or beyond 100 km there is none, whatever the fill value was called."""
    array = np.asarray(values, np.float32)
    return np.where((array >= lowest) & (array < 1e5), array, np.float32(np.nan))


def table(variable: Variable, values: NDArray[Any], num_profiles: int) -> Float32:
    """(T, L) from values of shape (T,), (T, L) or, if the file says so, (L, T); padded if rows are missing.

    Raises:
        UnreadableFile: the shape fits neither.
    """
    array = values.reshape(-1, 1) if values.ndim < 2 else values
    if array.ndim == 2 and array.shape[0] != num_profiles == array.shape[1] and variable.dimensions[1] in TIME_NAMES:
        array = array.T
    if array.ndim != 2 or array.shape[0] > num_profiles or not 0 < array.shape[1] <= MAX_LAYERS:
        raise UnreadableFile(f"{variable.name} of shape {values.shape} does not fit {num_profiles} profiles")
    return padded(array, num_profiles)


def by_time(
    variable: Variable, values: NDArray[Any], time_name: str, num_profiles: int, num_gates: int
) -> NDArray[Any]:
    """(T, G) values, transposed where the file has them the other way round.

    Raises:
        UnreadableFile: the shape is neither.
    """
    shape = (num_profiles, num_gates)
    if num_profiles == num_gates and variable.dimensions[-1:] == (time_name,):
        return values.T
    if values.shape == shape:
        return values
    if values.shape == shape[::-1]:
        return values.T
    if values.ndim == 2 and values.shape[1] == num_gates and len(values) < num_profiles:
        return padded(values, num_profiles)
    raise UnreadableFile(f"{variable.name} has shape {values.shape}, expected {shape}")


def gate_centres(first_m: float, resolution_m: float, num_gates: int) -> Float64:
    """(G,) gate centres [m] of a regular grid, told from where its first gate is said to lie.

    Lufft writes the upper edge (first gate at one resolution), Vaisala CL61 the lower edge (0), others the centre.
    """
    edge = min((0.0, 0.5, 1.0), key=lambda edge: abs(first_m - edge * resolution_m))
    start = first_m if first_m > 1.25 * resolution_m else first_m + (0.5 - edge) * resolution_m
    return start + np.arange(num_gates) * resolution_m


def regular_grid(values: Float64) -> tuple[float, float]:
    """First value and spacing of a range axis [m].

    Raises:
        UnreadableFile: it is empty, not finite, or not regular.
    """
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values[[0, -1]]).all():
        raise UnreadableFile("the range axis is not a list of at least two numbers")
    spacing = float(values[-1] - values[0]) / (len(values) - 1)
    if not 0.1 < spacing < 1000.0 or np.abs(np.diff(values) - spacing).max() > 0.05 * spacing:
        raise UnreadableFile("the range axis does not grow in equal steps")
    return float(values[0]), spacing


_SINCE: Final = re.compile(
    r"\s*(milliseconds?|msecs?|seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?|d)\s+since\s+"
    r"(\d{1,4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d*)?)?)?",
    re.IGNORECASE,
)
_UNIT_S: Final = {"m": 60.0, "s": 1.0, "h": 3600.0, "d": 86400.0}
_SANE: Final = (np.datetime64("1950-01-01", "us"), np.datetime64("2200-01-01", "us"))


def times(variable: Variable, damage: list[Damage] | None = None) -> Time:
    """(T,) datetime64[us] of a variable counting ``... since ...``; NaT for fills and impossible dates.

    Rounded to the millisecond: counts of days in float64 resolve microseconds only by chance.

    Raises:
        UnreadableFile: the unit is not understood.
    """
    unit = str(variable.attributes.get("units", ""))
    return since(physical(variable, damage=damage).reshape(-1), unit, variable.name)


def since(values: Float64, unit: str, name: str = "time") -> Time:
    """(T,) datetime64[us] of counts in a unit like ``days since 1970-01-01``.

    Raises:
        UnreadableFile: the unit is not understood.
    """
    match = _SINCE.match(unit)
    if match is None:
        raise UnreadableFile(f"{name} has unit {unit!r}, expected one like 'seconds since 1970-01-01'")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[1:])
    try:
        epoch = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}", "us")
    except ValueError as error:
        raise UnreadableFile(f"{name} counts from an impossible date: {unit!r}") from error
    word = match[1].lower()
    unit_s = 1e-3 if word.startswith(("ms", "milli")) else _UNIT_S[word[0]]
    with np.errstate(invalid="ignore", over="ignore"):
        milliseconds = values * (unit_s * 1e3)
        is_count = np.abs(milliseconds) < 1e13
    whole = np.rint(np.where(is_count, milliseconds, 0.0)).astype(np.int64)
    stamps = epoch + whole.astype("timedelta64[ms]")
    is_sane = is_count & (stamps >= _SANE[0]) & (stamps < _SANE[1])
    return np.where(is_sane, stamps, np.datetime64("NaT", "us"))
