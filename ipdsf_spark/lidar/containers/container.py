"""What a netCDF file is to those who read it, whichever of the two layouts it is stored in.

`netcdf3` and `hdf5` each open bytes as a `Dataset`. Both are written here in plain Python and numpy: the C libraries
need milliseconds (4 to 21 for a file of a station) to open a file of which a few variables are wanted, cannot say which
stretch of the bytes is damaged, and give up whole files of which most rows can still be read. Damaged bytes make
neither of them crash: 2,000 mutants ended in an error each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from ipdsf_spark.errors import IpdsfError

Attribute = str | float | NDArray[Any]

# Deflate packs 1032 to 1 at best (RFC 1951), so a file that claims more than that for its length is lying. The largest
# variable met in practice, a day of rows of 3276 numbers every 5 s, has 226 MB.
MAX_VARIABLE_BYTES: Final = 256 * 2**20
MAX_EXPANSION: Final = 1032


class UnreadableFile(IpdsfError):
    """Something in a file cannot be read; the text is the reason.

    Caught where the rest can do without it, and else by who reads the file: then it gives nothing at all.

    Attributes:
        offset: where in the file it stands, as far as that is known.
    """

    def __init__(self, reason: str, offset: int = 0) -> None:
        super().__init__(reason)
        self.offset = offset


class NotUnderstood(UnreadableFile):
    """What stands in a file is whole, but cannot be used or is not understood: a unit, a shape, a way of packing."""


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

    @property
    def memo(self) -> dict[Any, Any] | None:
        """A place for what follows from the attributes alone, kept as long as their bytes are remembered; None if not.

        Nothing that stands outside the header, as text of variable length, may be kept there.
        """
        return None

    def text(self, key: str) -> str:
        """An attribute as text, empty if it is absent."""
        return str(self.attributes.get(key, ""))

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
        gaps: collects what could not be read, or contradicts itself, of what a row can do without.
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
        """The stored numbers of a variable that a row can do without; None if it is absent or unreadable."""
        try:
            return self.variables[name].read(self.gaps)
        except KeyError:
            return None
        except UnreadableFile as error:
            self.note(str(error), error.offset)
            return None

    def optional(self, name: str) -> Variable | None:
        """A variable that a row can do without; None if it is absent or unreadable."""
        if name not in self.variables:
            return None
        try:
            return self.variables[name]
        except UnreadableFile as error:
            self.note(str(error), error.offset)
            return None

    def note(self, reason: str, offset: int = 0) -> None:
        """Say what of the file was left out, or read against its own words."""
        self.gaps.append(Damage(offset, 0, 0, 0, reason))

    def require(self, name: str) -> Variable:
        """A variable.

        Raises:
            NotUnderstood: it is absent.
        """
        if name not in self.variables:
            raise NotUnderstood(f"variable {name!r} is missing")
        return self.variables[name]


def check_size(name: str, num_bytes: int, file_bytes: int) -> None:
    """Refuse a size no file of this length can hold.

    Raises:
        UnreadableFile: with what was claimed.
    """
    if num_bytes > min(MAX_VARIABLE_BYTES, MAX_EXPANSION * file_bytes):
        raise UnreadableFile(f"{name} claims {num_bytes} bytes in a file of {file_bytes}")
