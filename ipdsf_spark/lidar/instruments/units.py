"""Units as netCDF files write them, as factors to metres and to m-1 sr-1; and angles that an instrument can have."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf
from ipdsf_spark.lidar.containers.container import NotUnderstood
from ipdsf_spark.lidar.profiles import Float32

STEEPEST_DEG: Final = 60.0  # no profiler of the boundary layer is tilted further, and makers' tilt sensors end before
PLAUSIBLE_BETA: Final = (1e-9, 1e-2)  # m-1 sr-1: far below molecules at 1064 nm, above the densest cloud
LARGEST_BETA: Final = 0.1  # m-1 sr-1: of a visibility of some metres, with a calibration that is wrong as well

_LENGTHS_M: Final = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1.0),
    **dict.fromkeys(("km", "kilometer", "kilometers", "kilometre", "kilometres"), 1e3),
    **dict.fromkeys(("Mm", "megameter", "megameters", "megametre", "megametres"), 1e6),
    **dict.fromkeys(("hm", "hectometer", "hectometers", "hectometre", "hectometres"), 1e2),
    **dict.fromkeys(("dam", "decameter", "decameters", "decametre", "decametres"), 1e1),
    **dict.fromkeys(("dm", "decimeter", "decimeters"), 1e-1),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 1e-2),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), 1e-3),
    **dict.fromkeys(("hft", "100ft"), 30.48),
    **dict.fromkeys(("kft", "1000ft"), 304.8),
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
}
_STERADIANS: Final = frozenset(("sr", "srad", "str", "ster", "steradian", "steradians"))
_MULTIPLES: Final = {"mega": 1e6, "kilo": 1e3, "micro": 1e-6, "nano": 1e-9}
_TOKEN: Final = re.compile(
    r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z]+)|(?P<power>\^\([+-]?\d+\)|\^?[+-]\d+|\^\d+)|(?P<sign>[/()])"
)
_RAISED: Final = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_LOWERED: Final = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_WITHOUT_TEX: Final = str.maketrans("{}", "()", "$")
# Signs of a product and of a minus that look alike: the CL61 of 2022 writes 1/(m∙sr) with a bullet operator.
_SIGNS: Final = str.maketrans(dict.fromkeys("·∙⋅•‧∗×", " ") | dict.fromkeys("−–‐‑", "-") | {"∕": "/", "⁄": "/"})
_NO_UNITS: Final = frozenset(
    ("", "a.u", "au", "count", "counts", "n/a", "none", "unitless", "dimensionless", "unknown")
)
_DECIBELS: Final = ("db", "decibel", "decibels")
_LOGARITHM: Final = re.compile(r"\s*log(?:10)?\s*\(?(?P<inner>.*?)\)?\s*\Z", re.IGNORECASE | re.DOTALL)


@lru_cache(maxsize=256)
def metres(unit: str) -> float | None:
    """The length of a unit in metres; None if it is none ("m AGL" is one)."""
    words = unit.replace("(", " ").replace(".", " ").split()
    return _LENGTHS_M.get(words[0] if words[0] == "Mm" else words[0].lower()) if words else None


@lru_cache(maxsize=256)
def per_metre_steradian(unit: str) -> float | None:
    """The factor from a unit of backscatter to m-1 sr-1; None if it is no such unit.

    Read are products and quotients with powers in any of the usual spellings: ``1/(m*sr)``, ``m^-1.sr^-1``,
    ``Mm-1 sr-1``, ``1E-6*1/(m*sr)``, ``1/(sr*km*10000)``, ``(100000 srad km)^-1``, ``10^-9 m^-1 sr^-1``.
    """
    text = _RAISED.sub(lambda match: "^" + match.group().translate(_LOWERED), unit.translate(_SIGNS))
    text = text.replace("**", "^").translate(_WITHOUT_TEX)
    text = re.sub(r"10\s*\^\s*(?:\(\s*([+-]?\d+)\s*\)|([+-]?\d+))", r"1e\1\2", text)
    text = re.sub(r"\b10([+-]\d+)\b", r"1e\1", text)
    text = re.sub(r"(?:(?<=\d)|^)\s*[x*]\s*(?=1e)", " ", text)
    tokens = [(match.lastgroup or "", match.group()) for match in _TOKEN.finditer(text)]
    if re.sub(r"[\s.*]", "", text) != re.sub(r"[\s.*]", "", "".join(token for _, token in tokens)):
        return None
    if len(tokens) > 40:
        return None
    factor, length, angle, rest = _product(tokens)
    if rest or (length, angle) != (-1, -1) or not 1e-15 < factor < 1e6:
        return None
    return factor


def _product(tokens: list[tuple[str, str]]) -> tuple[float, int, int, list[tuple[str, str]]]:
    """Factor, powers of length and of solid angle, and the tokens from a closing bracket on, "?" if they are wrong."""
    factor, length, angle, sign, multiple = 1.0, 0, 0, 1, 1.0
    wrong = [("", "?")]
    while tokens:
        kind, token = tokens[0]
        tokens = tokens[1:]
        if token == ")":
            return factor, length, angle, [("", ")"), *tokens]
        if token == "/":
            sign = -1
            continue
        if token == "(":
            own, own_length, own_angle, tokens = _product(tokens)
            if not tokens or tokens[0][1] != ")":
                return factor, length, angle, wrong
            tokens = tokens[1:]
        elif kind == "number":
            own, own_length, own_angle = float(token), 0, 0
        elif kind == "word" and token.lower() in _MULTIPLES:
            multiple = _MULTIPLES[token.lower()]
            continue
        elif kind == "word" and (token.lower() in _STERADIANS or metres(token)):
            is_angle = token.lower() in _STERADIANS
            own, own_length, own_angle = (1.0, 0, 1) if is_angle else ((metres(token) or 1.0) * multiple, 1, 0)
            multiple = 1.0
        else:
            return factor, length, angle, wrong
        power = 1
        if tokens and tokens[0][0] == "power":
            power, tokens = int(re.sub(r"[^\d+-]", "", tokens[0][1])), tokens[1:]
        power *= sign
        if abs(power) > 8 or not 0.0 < own < 1e30:
            return factor, length, angle, wrong
        factor, length, angle, sign = factor * own**power, length + power * own_length, angle + power * own_angle, 1
    return factor, length, angle, []


def is_logarithm(unit: str) -> str | None:
    """The unit inside ``log(...)``; None if it is no logarithm."""
    match = _LOGARITHM.match(unit)
    return match["inner"] if match else None


def refuse_logarithm(name: str, unit: str) -> None:
    """Of a signal of any unit, calibrated or not.

    Raises:
        NotUnderstood: the numbers are logarithms.
    """
    if is_logarithm(unit) or unit.strip().lower() in _DECIBELS:
        raise NotUnderstood(f"{name} holds logarithms, as its unit {unit[:60]!r} says; backscatter itself is needed")


def backscatter_factor(name: str, unit: str, near: NDArray[Any], *, assumed: float) -> tuple[float, str]:
    """The factor from stored numbers to m-1 sr-1, and what is to be said where the unit cannot be meant.

    Args:
        name: of the variable, for the remark.
        unit: what the file says of it.
        near: (T, G) stored numbers of the lowest gates, where there is always signal.
        assumed: the factor of the format, for a unit that is missing or no unit of backscatter.

    Raises:
        NotUnderstood: the numbers are logarithms, or in no unit that they can have.
    """
    refuse_logarithm(name, unit)
    told = per_metre_steradian(unit)
    factor = assumed if told is None else told
    size = _typical(near)
    if not size > 0.0 or _is_plausible(size * factor):
        is_unknown = told is None and unit.strip(" .-1").lower() not in _NO_UNITS
        remark = f"{name}: the unit {unit[:60]!r} is none of backscatter that is known; read with the factor {factor:g}"
        return factor, remark if is_unknown else ""
    for other in dict.fromkeys((assumed, 1.0)):
        if other != factor and _is_plausible(size * other):
            meaning = f"{size * factor:.1e} m-1 sr-1 near the ground, which no air has; read with the factor {other:g}"
            return other, f"{name}: the unit {unit[:60]!r} would mean {meaning}"
    if size * factor > LARGEST_BETA:
        raise NotUnderstood(
            f"{name} of unit {unit[:60]!r} would mean {size * factor:.1e} m-1 sr-1 near the ground, which no air has"
        )
    if size * factor > PLAUSIBLE_BETA[0]:
        return factor, ""
    meaning = f"{size * factor:.1e} m-1 sr-1 near the ground, which no air has; taken as it is"
    return factor, f"{name}: the unit {unit[:60]!r} means {meaning}"


def _is_plausible(beta: float) -> bool:
    return PLAUSIBLE_BETA[0] < beta < PLAUSIBLE_BETA[1]


def _typical(near: NDArray[Any]) -> float:
    """A high quantile of the size of some of the numbers; NaN where there are none."""
    some = np.abs(near[:: max(1, len(near) // 8), :: max(1, near.shape[1] // 32)]).ravel()
    some.sort()  # what is infinite or NaN comes last
    num_finite = int(some.searchsorted(np.inf))
    return float(some[int(0.9 * (num_finite - 1))]) if num_finite else float("nan")


def tilt(angle_deg: NDArray[Any]) -> Float32:
    """Angles from the vertical [degree] in float32; 0 for what no instrument has: fills, NaN, beyond 60 degrees."""
    angle = np.asarray(angle_deg, np.float32)
    if 0 < angle.size <= cf.FEW:
        sound = [each if -STEEPEST_DEG <= each <= STEEPEST_DEG else 0.0 for each in angle.reshape(-1).tolist()]
        return np.array(sound, np.float32).reshape(angle.shape)
    return np.where(np.abs(angle) <= STEEPEST_DEG, angle, np.float32(0.0))
