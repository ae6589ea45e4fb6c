"""Variables of netCDF files as a profile's columns and tables, whatever their shape, fill and unit in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf
from ipdsf_spark.lidar.containers.container import MAX_VARIABLE_BYTES, Dataset, NotUnderstood, UnreadableFile, Variable
from ipdsf_spark.lidar.instruments import units
from ipdsf_spark.lidar.profiles import Float32

MAX_PROFILES: Final = 100_000  # a day has 86,400 seconds
MAX_LAYERS: Final = 32  # cloud, sky or mixing layers; MiniMPL lists ten
FARTHEST_M: Final = 3e4  # above all clouds: 32767, 65535 and 99999 are fill values that a file did not declare
_NAN: Final = np.array(np.nan, np.float32)  # taken sooner than a number is, which must be made an array first
_SERIAL: Final = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9_.-]{2,31}")
TIME_NAMES: Final = ("time", "profile", "Time", "TIME")


def check_profiles(num_profiles: int, num_gates: int) -> None:
    """Refuse more profiles than a day can have.

    Raises:
        NotUnderstood: with what was claimed.
    """
    if num_profiles > MAX_PROFILES or 4 * num_profiles * num_gates > MAX_VARIABLE_BYTES:
        raise NotUnderstood(f"claims {num_profiles} profiles of {num_gates} gates; split it into files of a day")


def scalar(dataset: Dataset, name: str, *, text_factors: bool = True) -> float:
    """The first value of a variable, NaN if it is absent or a fill."""
    values = cf.optional(dataset, name, text_factors=text_factors)
    return float(values.flat[0]) if values is not None and values.size else float("nan")


def column(dataset: Dataset, name: str, num_profiles: int, *, text_factors: bool = True) -> Float32:
    """(T,) values of a variable, a scalar repeated; of several columns the first; NaN if it is absent or longer."""
    values = cf.optional(dataset, name, text_factors=text_factors)
    if values is not None and values.shape == (num_profiles,):
        return values.astype(np.float32)
    if values is None or 0 in values.shape[1:] or (values.ndim and len(values) > num_profiles):
        return np.full(num_profiles, np.nan, np.float32)
    if values.ndim == 0 or (values.shape == (1,) != (num_profiles,)):
        return np.full(num_profiles, values.reshape(-1)[0], np.float32)
    return padded(values.reshape(len(values), -1)[:, 0] if len(values) else values.reshape(0), num_profiles)


def layers(dataset: Dataset, name: str, num_profiles: int, *, text_factors: bool = True) -> Float32:
    """(T, L) values of a variable; one column of NaN if it is absent, empty or unreadable."""
    values = cf.optional(dataset, name, text_factors=text_factors)
    if values is None or values.ndim == 0 or 0 in values.shape[1:]:
        return np.full((num_profiles, 1), np.nan, np.float32)
    try:
        return table(dataset.variables[name], values, num_profiles)
    except UnreadableFile as error:
        dataset.note(str(error), error.offset)
        return np.full((num_profiles, 1), np.nan, np.float32)


def layers_m(dataset: Dataset, name: str, num_profiles: int, *, lowest: float = 0.0, default: float = 1.0) -> Float32:
    """(T, L) heights [m] of a variable in whatever unit of length it is, `default` metres where it says none.

    See `layers` and `heights`.
    """
    return heights(in_metres(dataset, name, layers(dataset, name, num_profiles), default=default), lowest=lowest)


def in_metres(dataset: Dataset, name: str, values: Any, *, default: float = 1.0) -> Any:
    """Values of a variable in metres, by its unit; `default` metres where it says none."""
    variable = dataset.optional(name)
    factor = None if variable is None else units.metres(variable.text("units"))
    factor = default if factor is None else factor
    return values if factor == 1.0 else values * np.float32(factor)


def tilt_deg(dataset: Dataset, name: str, num_profiles: int, *, text_factors: bool = True) -> Float32:
    """(T,) beam angle from the vertical [degree], 0 where the variable holds none that an instrument can have."""
    values = column(dataset, name, num_profiles, text_factors=text_factors) if name else np.zeros(num_profiles)
    return units.tilt(in_degrees(dataset, name, values))


def in_degrees(dataset: Dataset, name: str, values: Any) -> Any:
    """Angles of a variable in degrees, by its unit; as they are where it says none, or has no name."""
    variable = dataset.optional(name) if name else None
    is_radian = variable is not None and variable.text("units").strip().lower().startswith("rad")
    return np.degrees(values) if is_radian else values


def identity(dataset: Dataset, *keys: str) -> str:
    """The serial number that one of some global attributes gives, as text or number; empty if none looks like one."""
    for key in keys:
        told = dataset.text(key).strip("[] ").removesuffix(".")  # a number is stored as a list of one
        if _SERIAL.fullmatch(told):
            return told
    return ""


def absent(num_profiles: int) -> dict[str, Any]:
    """The columns of `Profiles` that a format without them leaves empty, by name."""
    return {
        "cloud_base_m": np.empty((num_profiles, 0), np.float32),
        "vertical_visibility_m": np.full(num_profiles, np.nan, np.float32),
        "maker_layer_height_m": np.empty((num_profiles, 0), np.float32),
        "sky_cover_octas": np.empty((num_profiles, 0), np.float32),
        "sky_base_m": np.empty((num_profiles, 0), np.float32),
        "is_precipitation": np.zeros(num_profiles, bool),
        "is_fog": np.zeros(num_profiles, bool),
        "tilt_deg": np.zeros(num_profiles, np.float32),
        "alarms": ((),) * num_profiles,
    }


def columns(dataset: Dataset, names: Mapping[str, str], num_profiles: int) -> dict[str, Float32]:
    """Columns by the name they have in `Profiles.health`, of those variables of the file that are there."""
    return {key: column(dataset, name, num_profiles) for name, key in names.items() if name in dataset.variables}


def padded(values: NDArray[Any], num_profiles: int) -> Float32:
    """Float32 rows up to `num_profiles`: what was never written of a growing variable is missing."""
    short = num_profiles - len(values)
    if short <= 0:
        return values.astype(np.float32)
    return np.concatenate([values.astype(np.float32), np.full((short, *values.shape[1:]), np.nan, np.float32)])


def heights(values: NDArray[Any], *, lowest: float = 0.0) -> Float32:
    """Heights [m] in float32; below `lowest` or beyond 30 km there is none, whatever the fill value was called."""
    array = np.asarray(values, np.float32)
    if 0 < array.size <= cf.FEW:
        sound = [each if lowest <= each < FARTHEST_M else np.nan for each in array.reshape(-1).tolist()]
        return np.array(sound, np.float32).reshape(array.shape)
    return np.where((array >= lowest) & (array < FARTHEST_M), array, _NAN)


def table(variable: Variable, values: NDArray[Any], num_profiles: int) -> Float32:
    """(T, L) from values of shape (T,), (T, L) or, if the file says so, (L, T); padded if rows are missing.

    Raises:
        NotUnderstood: the shape fits neither.
    """
    array = values.reshape(-1, 1) if values.ndim < 2 else values
    if array.ndim == 2 and array.shape[0] != num_profiles == array.shape[1] and variable.dimensions[1] in TIME_NAMES:
        array = array.T
    if array.ndim != 2 or array.shape[0] > num_profiles or not 0 < array.shape[1] <= MAX_LAYERS:
        raise NotUnderstood(f"{variable.name} of shape {values.shape} does not fit {num_profiles} profiles")
    return padded(array, num_profiles)


def num_gates_of(variable: Variable, num_profiles: int) -> int:
    """Gates of a table of profiles, whichever axis they stand on.

    Raises:
        NotUnderstood: it is no table.
    """
    shape = variable.shape
    if len(shape) > 2 and 1 in shape:
        shape = tuple(length for length in shape if length > 1)
    if len(shape) != 2:
        raise NotUnderstood(f"{variable.name} has {len(variable.shape)} axes where time and range would be right")
    rows, columns = shape
    return rows if columns == num_profiles != rows else columns


def by_time(
    variable: Variable, values: NDArray[Any], time_name: str, num_profiles: int, num_gates: int
) -> NDArray[Any]:
    """(T, G) values, transposed where the file has them the other way round, without further axes of one.

    Raises:
        NotUnderstood: the shape is neither.
    """
    shape = (num_profiles, num_gates)
    if values.ndim > 2 and values.size == num_profiles * num_gates:
        kept = tuple(length for length in values.shape if length > 1)
        values = values.reshape(shape if len(kept) < 2 else kept)
    if num_profiles == num_gates and variable.dimensions[-1:] == (time_name,):
        return values.T
    if values.shape == shape:
        return values
    if values.shape == shape[::-1]:
        return values.T
    if values.ndim == 2 and values.shape[1] == num_gates and len(values) < num_profiles:
        return padded(values, num_profiles)
    raise NotUnderstood(f"{variable.name} has shape {values.shape}, expected {shape}")
