"""Units of particle mass in air as networks write them, to µg/m3."""

from __future__ import annotations

import re
from typing import Final

WANTED: Final = "µg/m3"
_MICROGRAMS: Final = {
    **dict.fromkeys(("kg", "kilogram", "kilograms"), 1e9),
    **dict.fromkeys(("g", "gram", "grams"), 1e6),
    **dict.fromkeys(("mg", "milligram", "milligrams"), 1e3),
    **dict.fromkeys(("ug", "mcg", "microg", "microgram", "micrograms"), 1.0),
    **dict.fromkeys(("ng", "nanogram", "nanograms"), 1e-3),
}
_UNIT: Final = re.compile(r"(?P<mass>[a-z]+?)(?:(?:/|per)(?:m3|cu(?:bic)?met(?:er|re)s?)|m-3)")
_PLAIN: Final = str.maketrans({"µ": "u", "μ": "u", "³": "3", "−": "-", "⁻": "-"})


def micrograms(unit: str) -> float | None:
    """The factor from a unit to µg/m3; 1 where none is said, None if it is no mass in air.

    What stands in brackets, as "(LC)" for local conditions, is no part of the unit.
    """
    text = re.sub(r"\(.*?\)|[\s.^*_·]", "", unit.lower().translate(_PLAIN))
    if not text:
        return 1.0
    match = _UNIT.fullmatch(text)
    return _MICROGRAMS.get(match["mass"]) if match else None
