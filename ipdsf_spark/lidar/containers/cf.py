"""Numbers as the attributes of a variable mean them (CF conventions 1.11, sections 2.5 and 8.1; NUG, appendix A).

`_FillValue` and `missing_value` (one or several), `valid_min`, `valid_max` and `valid_range`, `scale_factor`,
`add_offset`, `_Unsigned`, and the fill values that the netCDF library writes where a file declares none. An attribute
of another type than it should have counts as what it says where that is a number, and as absent where it is none.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers.container import Attribute, Damage, Dataset, UnreadableFile, Variable

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FILL_LIMIT: Final = 9e36  # netCDF's fill value for floats is 9.97e36
DEFAULT_FILL: Final = {"i2": -32767, "i4": -2147483647, "i8": -9223372036854775806}
_FILLS: Final = ("_FillValue", "missing_value")
_CHANGING: Final = frozenset(("scale_factor", "add_offset", "_Unsigned", "valid_min", "valid_max", "valid_range"))


def number(value: Attribute | None) -> float:
    """An attribute as a number, its first if it has several; NaN if it is none."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else None
    try:
        return float(value) if value is not None else float("nan")
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def numbers(value: Attribute | None) -> list[float]:
    """An attribute as numbers; those that are none are left out."""
    parts: Any = value.reshape(-1) if isinstance(value, np.ndarray) else [value]
    return [found for part in parts if (found := number(part)) == found]


def is_plain(variable: Variable, low: float, high: float) -> bool:
    """Whether the stored numbers are meant as they stand, but for fill values outside `low` to `high` or NaN."""
    attributes = variable.attributes
    for key in attributes:
        if key in _CHANGING:
            return False
        if key in _FILLS and any(low < fill < high for fill in numbers(attributes.get(key))):
            return False
    return True


def physical(variable: Variable, *, damage: list[Damage] | None = None, text_factors: bool = True) -> Float64:
    """Values in float64: what is missing or declared invalid NaN, scale factor and offset applied.

    Args:
        variable: any variable of numbers.
        damage: receives what could not be read.
        text_factors: whether a factor or offset written as text counts.

    Raises:
        UnreadableFile: it holds no numbers, is damaged and nobody asked, or is packed with a factor that is no number.
    """
    return _physical(variable, np.float64, damage, text_factors)


def physical32(variable: Variable, *, damage: list[Damage] | None = None, text_factors: bool = True) -> Float32:
    """Like `physical`, in float32 for whole tables."""
    return _physical(variable, np.float32, damage, text_factors)


def optional(dataset: Dataset, name: str, *, text_factors: bool = True) -> Float64 | None:
    """Like `physical` for a variable that a row can do without; None if it is absent or unreadable."""
    variable = dataset.optional(name)
    try:
        return None if variable is None else physical(variable, damage=dataset.gaps, text_factors=text_factors)
    except UnreadableFile as error:
        dataset.note(str(error), error.offset)
        return None


def _physical(
    variable: Variable, dtype: type[np.floating[Any]], damage: list[Damage] | None, text_factors: bool
) -> NDArray[Any]:
    stored = variable.read(damage)
    if stored.dtype.kind not in "iuf":
        raise UnreadableFile(f"{variable.name} holds no numbers")
    attributes = variable.attributes
    if stored.dtype.kind == "i" and _is_true(attributes.get("_Unsigned")):
        stored = stored.view(f"u{stored.dtype.itemsize}")
    factor = _factor(variable, "scale_factor", 1.0, text_factors)
    offset = _factor(variable, "add_offset", 0.0, text_factors)
    values = stored.astype(dtype)
    if not values.size:
        return values
    low, high = float(values.min()), float(values.max())
    for fill in _fill_values(variable, stored.dtype):
        if not fill < low and not fill > high:  # also where there are NaN
            values[stored == (stored.dtype.type(fill) if stored.dtype.kind == "f" else fill)] = np.nan
    if stored.dtype.kind == "f" and not (high < FILL_LIMIT and low > -FILL_LIMIT):
        values[np.abs(values) > FILL_LIMIT] = np.nan
    lowest, highest = _valid(variable, stored.dtype, factor, offset)
    if low < lowest or high > highest or low != low:
        values[(values < lowest) | (values > highest)] = np.nan
    if factor != 1.0:
        values *= factor
    if offset:
        values += offset
    return values


def _factor(variable: Variable, key: str, default: float, text_factors: bool) -> float:
    value = variable.attributes.get(key)
    if value is None or (isinstance(value, str) and not text_factors):
        return default
    factor = number(value)
    if isinstance(value, str) and factor != factor:
        return default
    if not np.isfinite(factor) or (key == "scale_factor" and factor == 0.0):
        raise UnreadableFile(f"{variable.name} is packed with {key} {value!r}, with which nothing can be unpacked")
    return factor


def _fill_values(variable: Variable, dtype: np.dtype[Any]) -> list[float]:
    found = [fill for key in _FILLS for fill in numbers(variable.attributes.get(key))]
    if "_FillValue" not in variable.attributes and dtype.kind == "i" and dtype.str[1:] in DEFAULT_FILL:
        found.append(DEFAULT_FILL[dtype.str[1:]])
    return [fill + 256.0**dtype.itemsize if dtype.kind == "u" and fill < 0 else fill for fill in found]


def _valid(variable: Variable, dtype: np.dtype[Any], factor: float, offset: float) -> tuple[float, float]:
    """The lowest and highest stored number that is valid; infinite where none is declared or they exclude each other.

    Of a packed variable the limits are in stored numbers, unless they are of the wider type of the factor (NUG).
    """
    attributes = variable.attributes
    limits = [attributes.get("valid_min"), attributes.get("valid_max")]
    both = numbers(attributes.get("valid_range"))
    low, high = both if len(both) == 2 else (number(limits[0]), number(limits[1]))
    first = attributes.get("valid_range", limits[0] if limits[0] is not None else limits[1])
    is_float = isinstance(first, float) or (isinstance(first, np.ndarray) and first.dtype.kind == "f")
    if dtype.kind in "iu" and is_float and (factor != 1.0 or offset):
        slack = 0.5 * abs(factor)  # the limits were rounded when they were written
        low, high = sorted(((low - offset - slack) / factor, (high - offset + slack) / factor))
    elif dtype.kind == "u":
        low, high = (limit + 256.0**dtype.itemsize if limit < 0 else limit for limit in (low, high))
    low, high = (-np.inf if low != low else low), (np.inf if high != high else high)
    return (low, high) if low < high else (-np.inf, np.inf)


def _is_true(value: Attribute | None) -> bool:
    return str(value).strip().lower() in ("true", "1", "[1]") if value is not None else False
