"""Contrast enhancement that can be undone: clip, equalise, scale to [-1, 1], and back to HU.

Equalisation maps HU through the distribution function of the training voxels, so that every grey level is used equally
often (Pizer et al. 1987; as preprocessing of CT cubes: Mirsky et al. 2019, CT-GAN). Here

    level(hu) = 2 · [ (1 - a) · F(hu) + a · (hu - low) / (high - low) ] - 1

where F is the empirical distribution of the training voxels strictly inside the window, linear between whole HU. The
linear share a keeps the slope above 2a / (high - low), so that the inverse exists and amplifies an error in level by at
most (high - low) / 2a HU: `max_hu_per_level`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.window import HU_WINDOW
from ipdsf_spark.errors import InputError

FORMAT: Final = "ipdsf-enhancement/1"
LINEAR_SHARE: Final = 0.3
VOXELS_AT_ONCE: Final = 2**22  # counting takes several times their memory
ROUNDING: Final = 2.0**-24  # relative rounding error of a float32; of a level in [-1, 1] at most half of it


@dataclass(frozen=True)
class HuHistogram:
    """How often each whole HU strictly inside a window occurs. Parts merge into the whole.

    Saturated voxels are not counted: padding, air outside the body and metal would take most grey levels for
    themselves and tell nothing apart.
    """

    window_hu: tuple[int, int]
    shares: NDArray[np.float64]  # one per whole HU from low + 1 to high - 1; sums to num_volumes
    num_volumes: int

    @classmethod
    def of(cls, hu: NDArray[Any], window_hu: tuple[int, int] = HU_WINDOW) -> HuHistogram:
        """Of one volume, which counts as much as any other, however many slices it has."""
        low, high = window_hu
        counts = np.zeros(high - low + 1, np.int64)
        for part in np.array_split(hu.ravel(), max(1, hu.size // VOXELS_AT_ONCE)):
            steps = np.rint(np.clip(part, low, high)).astype(np.int32) - low
            counts += np.bincount(steps, minlength=high - low + 1)
        counts = counts[1:-1]
        total = counts.sum()
        return cls(window_hu, counts / total if total else np.zeros(high - low - 1), int(total > 0))

    def merge(self, other: HuHistogram) -> HuHistogram:
        """Both together."""
        if self.window_hu != other.window_hu:
            raise ValueError(f"windows differ: {self.window_hu} and {other.window_hu}")
        return HuHistogram(self.window_hu, self.shares + other.shares, self.num_volumes + other.num_volumes)


@dataclass(frozen=True)
class Enhancement:
    """HU to enhanced level in [-1, 1] and back; saved beside the data and the model that depend on it."""

    window_hu: tuple[int, int]
    linear_share: float
    levels: tuple[float, ...]  # one per whole HU of the window, both ends included; rising from -1 to 1
    fitted_on: tuple[str, ...]  # names of the training volumes

    def __post_init__(self) -> None:
        """Refuse a curve that cannot be undone."""
        low, high = self.window_hu
        if not -32_768 <= low < high <= 32_767:
            raise InputError(f"the HU window must rise within the range of int16, got {self.window_hu}")
        if not 0 < self.linear_share <= 1:
            raise InputError(f"linear_share must be above 0 and at most 1, got {self.linear_share}")
        if len(self.levels) != high - low + 1:
            raise InputError(f"a window of {self.window_hu} needs {high - low + 1} levels, got {len(self.levels)}")
        curve = np.asarray(self.levels)
        is_sloped = (np.diff(curve) >= 0.999 * 2 * self.linear_share / (high - low)).all()
        if not (is_sloped and abs(curve[0] + 1) < 1e-9 and abs(curve[-1] - 1) < 1e-9):
            raise InputError("levels must rise from -1 to 1, everywhere at least as steeply as linear_share says")

    @classmethod
    def fit(cls, training: Mapping[str, HuHistogram], *, linear_share: float = LINEAR_SHARE) -> Enhancement:
        """The curve of the training volumes, given by name; without any inside the window it is a straight line.

        Raises:
            InputError: there is no training volume.
        """
        if not training:
            raise InputError("an enhancement is fitted on training volumes; none is given")
        names = tuple(sorted(training))
        total = training[names[0]]
        for name in names[1:]:
            total = total.merge(training[name])
        low, high = total.window_hu
        line = np.linspace(0.0, 1.0, high - low + 1)
        # A whole HU stands for the half unit on either side of it, and so lies half-way up its own share.
        steps = np.concatenate(([0.0], total.shares, [0.0]))
        steps = (steps[:-1] + steps[1:]) / 2
        mass = steps.sum()
        distribution = np.concatenate(([0.0], np.cumsum(steps) / mass)) if mass > 0 else line
        levels = 2 * ((1 - linear_share) * distribution + linear_share * line) - 1
        levels[0], levels[-1] = -1.0, 1.0
        return cls(total.window_hu, linear_share, tuple(float(v) for v in levels), names)

    @classmethod
    def straight(cls, window_hu: tuple[int, int] = HU_WINDOW) -> Enhancement:
        """Clip and scale only."""
        low, high = window_hu
        return cls(window_hu, 1.0, tuple(float(v) for v in np.linspace(-1.0, 1.0, high - low + 1)), ())

    @property
    def max_hu_per_level(self) -> float:
        """By how many HU a unit of level is worth at most: what the inverse makes of a network's error."""
        return float(1.0 / np.diff(self._curve).min())

    @property
    def round_trip_bound_hu(self) -> float:
        """How far `restored(enhanced(hu))` can be from `hu` inside the window: rounding to float32, amplified."""
        low, high = self.window_hu
        return ROUNDING / 2 * self.max_hu_per_level + ROUNDING * max(abs(low), abs(high))

    def enhanced(self, hu: NDArray[Any]) -> NDArray[np.float32]:
        """Levels in [-1, 1], float32, of HU of any shape; outside the window they saturate."""
        low, high = self.window_hu
        if hu.dtype == np.int16:
            level: NDArray[np.float32] = self._table[np.subtract(np.clip(hu, low, high), low, dtype=np.int32)]
            return level
        level = np.interp(hu, np.arange(low, high + 1, dtype=np.float64), self._curve).astype(np.float32)
        return level

    def restored(self, level: NDArray[Any]) -> NDArray[np.float32]:
        """HU, float32, of levels of any shape; levels outside [-1, 1] give the ends of the window."""
        low, high = self.window_hu
        knots_hu = np.arange(low, high + 1, dtype=np.float64)
        hu: NDArray[np.float32] = np.interp(level, self._curve, knots_hu).astype(np.float32)
        return hu

    @cached_property
    def sha256(self) -> str:
        """Hash of all parameters: the name by which data and models refer to them."""
        return hashlib.sha256(json.dumps(self._parameters(), sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> Path:
        """Write the parameters and their hash as JSON."""
        text = self.to_json(indent=1)
        partial = path.with_name(f".{path.name}.part")
        partial.write_text(text + "\n", encoding="utf-8")
        return partial.replace(path)

    def to_json(self, indent: int | None = None) -> str:
        """The parameters and their hash, to be read by `from_json`."""
        return json.dumps({**self._parameters(), "sha256": self.sha256}, indent=indent)

    @classmethod
    def load(cls, path: Path) -> Enhancement:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, of another format, or was changed after it was written.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read enhancement parameters {path}: {error}") from error
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Enhancement:
        """Read the JSON text of `save`."""
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or values.get("format") != FORMAT:
                raise InputError(f"not enhancement parameters of format {FORMAT}")
            low, high = (int(v) for v in values["window_hu"])
            levels = tuple(float(v) for v in values["levels"])
            names = tuple(str(v) for v in values["fitted_on"])
            enhancement = cls((low, high), float(values["linear_share"]), levels, names)
            stated = str(values["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"damaged enhancement parameters ({error})") from error
        if stated != enhancement.sha256:
            raise InputError("enhancement parameters do not match their hash: they were changed after fitting")
        return enhancement

    def _parameters(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "window_hu": list(self.window_hu),
            "linear_share": self.linear_share,
            "levels": list(self.levels),
            "fitted_on": list(self.fitted_on),
        }

    @cached_property
    def _curve(self) -> NDArray[np.float64]:
        return np.asarray(self.levels)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return np.asarray(self.levels, dtype=np.float32)
