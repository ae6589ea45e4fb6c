"""Attributes of a DICOM data set, read one by one so that a broken one does not take the others with it."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pydicom.config
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from ipdsf_spark.ct.volume import Vector

# Not about the file: what the interpreter and libraries tell their programmers, and what was left open elsewhere.
_NOT_OF_FILES: Final = (ResourceWarning, DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)
MAX_NUMBER: Final = 1e7  # of a position in mm or a slope: more is no measurement


@contextmanager
def quiet_pydicom(warned: list[str] | None = None) -> Iterator[None]:
    """No log lines of pydicom, which quote the values they complain about; its warnings go into `warned`, unquoted."""
    before = pydicom.config.settings.reading_validation_mode
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logger = logging.getLogger("pydicom")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        if warned is not None:
            of_file = [w for w in caught if not issubclass(w.category, _NOT_OF_FILES)]
            warned += [text for w in of_file if (text := _without_values(str(w.message)))]
    finally:
        pydicom.config.settings.reading_validation_mode = before
        logger.disabled = was_disabled


def _without_values(message: str) -> str:
    """A warning up to the first value that it quotes: values may name a patient."""
    return re.split(r"['\":\n]|\bvalue\b", message, maxsplit=1)[0].strip(" ,.;(")[:120]


class Fields:
    """Reads attributes one by one; what cannot be read counts as absent and is remembered by its keyword."""

    def __init__(self, *sources: Dataset) -> None:
        self.sources = sources
        self.broken: list[str] = []
        self.comma: list[str] = []

    def get(self, keyword: str, convert: Callable[[Any], Any]) -> Any:
        """The converted value of the first source that has one, else None."""
        for source in self.sources:
            try:
                value = _value_of(source, keyword, convert)
                if value is None or (isinstance(value, str) and not value.strip(" \0")):
                    continue
                found = convert(value)
                if convert in NUMBERS and _has_comma(value):
                    self.comma.append(keyword)
                return found
            except Exception:  # pydicom converts while it is asked, and raises what the bytes lead to
                self.broken.append(keyword)
                return None
        return None


class FunctionalGroups:
    """The items that describe the frames of an Enhanced object: a frame's own first, then those shared by all."""

    def __init__(self, dataset: Dataset) -> None:
        self._per_frame = _sequence(dataset, "PerFrameFunctionalGroupsSequence")
        shared = _sequence(dataset, "SharedFunctionalGroupsSequence")
        self._shared = self._items(shared[0]) if shared else []

    @property
    def num_described(self) -> int:
        """Frames that have items of their own."""
        return len(self._per_frame)

    def of(self, frame: int) -> list[Dataset]:
        """The items of one frame."""
        own = self._items(self._per_frame[frame]) if frame < len(self._per_frame) else []
        return [*own, *self._shared]

    @staticmethod
    def _items(groups: Dataset) -> list[Dataset]:
        return [item for element in groups if element.VR == "SQ" for item in element.value[:1]]


def _sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if value else []


def _numbers(values: Any, count: int) -> tuple[float, ...]:
    """So many finite numbers, also where they came as one text or were written with a decimal comma."""
    parts = values.split("\\") if isinstance(values, str) else values
    numbers = tuple(float(v.replace(",", ".") if isinstance(v, str) else v) for v in parts)
    if len(numbers) != count or not all(math.isfinite(v) and abs(v) < MAX_NUMBER for v in numbers):
        raise ValueError
    return numbers


def vector(values: Any) -> Vector:
    """Three finite numbers."""
    x, y, z = _numbers(values, 3)
    return (x, y, z)


def directions(values: Any) -> tuple[Vector, Vector]:
    """Six finite numbers as two vectors."""
    a, b, c, d, e, f = _numbers(values, 6)
    return (a, b, c), (d, e, f)


def spacing(values: Any) -> tuple[float, float]:
    """Two lengths above zero."""
    rows, columns = _numbers(values, 2)
    if min(rows, columns) <= 0:
        raise ValueError
    return rows, columns


def whole(value: Any) -> int:
    """A whole number."""
    return int(value)


def number(value: Any) -> float:
    """A finite number."""
    (number,) = _numbers([value], 1)
    return number


def length(value: Any) -> float:
    """A finite number above zero."""
    found = number(value)
    if found <= 0:
        raise ValueError
    return found


def word(value: Any) -> str:
    """A text without the blanks that pad it."""
    if not isinstance(value, str):
        raise TypeError
    return value.strip(" \0")


def words(value: Any) -> tuple[str, ...]:
    """One or several texts."""
    return tuple(str(v) for v in value) if isinstance(value, MultiValue | list | tuple) else (str(value),)


def text(value: Any) -> str:
    """One or several texts, joined as DICOM does."""
    return "\\".join(words(value)).strip(" \0")


NUMBERS: Final = (vector, directions, spacing, number, length)


def _value_of(source: Dataset, keyword: str, convert: Callable[[Any], Any]) -> Any:
    """The value as pydicom reads it; numbers that it refuses, as text."""
    try:
        return source.get(keyword)
    except ValueError:
        raw = getattr(source.get_item(keyword), "value", None)
        if convert not in NUMBERS or not isinstance(raw, bytes) or b"," not in raw:
            raise
        text = raw.decode("ascii").strip(" \0")
        return text if convert in (number, length) else text.split("\\")


def _has_comma(value: Any) -> bool:
    parts = value if isinstance(value, MultiValue | list) else [value]
    return any(isinstance(part, str) and "," in part for part in parts)
