"""Numbers as the attributes of a variable mean them (CF conventions 1.11, sections 2.5 and 8.1; NUG, appendix A).

`_FillValue` and `missing_value` (one or several), `valid_min`, `valid_max` and `valid_range`, `scale_factor`,
`add_offset`, `_Unsigned`, and the fill values that the netCDF library writes where a file declares none. An attribute
of another type than it should have counts as what it says where that is a number, and as absent where it is none.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers.container import Attribute, Damage, Dataset, NotUnderstood, UnreadableFile, Variable

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

FEW: Final = 64  # numbers that are looked at sooner one by one than as an array
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
    memo = variable.memo
    found: bool | None = None if memo is None else memo.get(("plain", low, high))
    if found is None:
        attributes = variable.attributes
        names = set(attributes)
        fills = [fill for key in _FILLS if key in names for fill in numbers(attributes.get(key))]
        found = not names & _CHANGING and not any(low < fill < high for fill in fills)
        if memo is not None and not any(isinstance(attributes.get(key), str) for key in _FILLS if key in names):
            memo["plain", low, high] = found
    return found


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


def physical_and_step(variable: Variable, *, damage: list[Damage] | None = None) -> tuple[Float64, float]:
    """Like `physical`, and how far apart two numbers next to one another lie as they are stored.

    The step is 0 for float64, that of the largest number for shorter floats, and the scale factor for whole numbers.
    """
    stored = _stored(variable, damage)
    values: Float64 = _unpacked(variable, stored, np.float64, True)
    if stored.dtype.itemsize == 8 and stored.dtype.kind == "f":
        return values, 0.0
    factor = abs(_packing(variable, stored.dtype, True).factor)
    if stored.dtype.kind != "f":
        return values, factor
    sizes = np.abs(stored[np.isfinite(values)])
    return values, float(np.spacing(sizes.max(initial=0))) * factor


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


class _Packing(NamedTuple):
    """How stored numbers become what they mean."""

    fills: tuple[float, ...]
    lowest: float
    highest: float
    factor: float
    offset: float
    is_unsigned: bool


def _packing(variable: Variable, dtype: np.dtype[Any], text_factors: bool) -> _Packing:
    memo = variable.memo
    key = (dtype.num, text_factors)
    found: _Packing | None = None if memo is None else memo.get(key)
    if found is None:
        is_unsigned = dtype.kind == "i" and _is_true(variable.attributes.get("_Unsigned"))
        dtype = np.dtype(f"u{dtype.itemsize}") if is_unsigned else dtype
        factor = _factor(variable, "scale_factor", 1.0, text_factors)
        offset = _factor(variable, "add_offset", 0.0, text_factors)
        lowest, highest = _valid(variable, dtype, factor, offset)
        found = _Packing(tuple(_fill_values(variable, dtype)), lowest, highest, factor, offset, is_unsigned)
        attributes = variable.attributes
        if memo is not None and not any(
            isinstance(attributes.get(name), str) for name in set(attributes) & {*_CHANGING, *_FILLS}
        ):
            memo[key] = found
    return found


def _physical(
    variable: Variable, dtype: type[np.floating[Any]], damage: list[Damage] | None, text_factors: bool
) -> NDArray[Any]:
    return _unpacked(variable, _stored(variable, damage), dtype, text_factors)


def _stored(variable: Variable, damage: list[Damage] | None) -> NDArray[Any]:
    stored = variable.read(damage)
    if stored.dtype.kind not in "iuf":
        raise NotUnderstood(f"{variable.name} holds no numbers")
    return stored


def _unpacked(
    variable: Variable, stored: NDArray[Any], dtype: type[np.floating[Any]], text_factors: bool
) -> NDArray[Any]:
    kind = stored.dtype.kind
    packing = _packing(variable, stored.dtype, text_factors)
    if packing.is_unsigned:
        stored = stored.view(f"u{stored.dtype.itemsize}")
    values = stored.astype(dtype)
    if not values.size:
        return values
    # Extremes say faster than comparisons whether there is anything to be taken out.
    few = stored.reshape(-1).tolist() if stored.size <= FEW else None
    if few is not None and (total := sum(few)) == total:  # no NaN among them
        low, high = min(few), max(few)
    else:
        low, high = float(stored.min()), float(stored.max())
    for fill in packing.fills:
        if not fill < low and not fill > high:  # also where there are NaN
            values[stored == fill] = np.nan
    if kind == "f" and not (high < FILL_LIMIT and low > -FILL_LIMIT):
        values[np.abs(values) > FILL_LIMIT] = np.nan
    if (packing.lowest > -np.inf or packing.highest < np.inf) and not (
        low >= packing.lowest and high <= packing.highest
    ):
        values[(values < packing.lowest) | (values > packing.highest)] = np.nan
    if packing.factor != 1.0:
        values *= packing.factor
    if packing.offset:
        values += packing.offset
    return values


def _factor(variable: Variable, key: str, default: float, text_factors: bool) -> float:
    value = variable.attributes.get(key)
    if value is None or (isinstance(value, str) and not text_factors):
        return default
    factor = number(value)
    if isinstance(value, str) and factor != factor:
        return default
    if (
        (isinstance(value, np.ndarray) and value.size > 1)
        or not np.isfinite(factor)
        or (key == "scale_factor" and factor == 0.0)
    ):
        raise NotUnderstood(f"{variable.name} is packed with {key} {value!r}, with which nothing can be unpacked")
    return factor


def _fill_values(variable: Variable, dtype: np.dtype[Any]) -> list[float]:
    found = [fill for key in _FILLS for fill in numbers(variable.attributes.get(key))]
    # Of a column of whole numbers the fill of the library is no more impossible than what else cannot be.
    is_default = len(variable.shape) > 1 or "scale_factor" in variable.attributes
    if is_default and "_FillValue" not in variable.attributes and dtype.str[1:] in DEFAULT_FILL:
        found.append(DEFAULT_FILL[dtype.str[1:]])
    if dtype.kind == "f":  # -999.9 is another number in four bytes
        return [float(dtype.type(fill)) for fill in found]
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
