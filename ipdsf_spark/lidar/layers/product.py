"""The product: mixing-layer heights with uncertainty and quality, one row per product time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.profiles import Float64, Time

_LATER: Final = np.empty(0)


@dataclass(frozen=True, eq=False)
class Layers:
    """Mixing-layer heights, one row per product time.

    Attributes:
        time: (N,) datetime64[us], centre of the averaging interval, UTC.
        mixing_height_m: (N,) above the instrument, NaN where there is none.
        uncertainty_m: (N,) one standard deviation, NaN where there is no height.
        provisional: (N,) a final value will follow.
        quality: (N,) bits of `Quality`.
        candidates_m: (N, 5) layer tops, strongest first, NaN where fewer.
        candidate_strength: (N, 5) their strength, dimensionless.
        cloud_base_m: (N,) lowest cloud base, NaN where none.
        num_profiles: (N,) profiles averaged.
        below_m: (N,) where the top lies too low to be seen: it lies below this; else NaN.
        residual_height_m: (N,) top of the residual layer above the mixing layer, NaN where none is known.
        nocturnal_height_m: (N,) the mixing height where the layer is a stable one, else NaN.
        entrainment_m: (N,) thickness of the entrainment zone, NaN where there is no height.
    """

    time: Time
    mixing_height_m: Float64
    uncertainty_m: Float64
    provisional: NDArray[np.bool_]
    quality: NDArray[np.uint16]
    candidates_m: Float64
    candidate_strength: Float64
    cloud_base_m: Float64
    num_profiles: NDArray[np.int32]
    below_m: Float64 = field(default_factory=lambda: _LATER)
    residual_height_m: Float64 = field(default_factory=lambda: _LATER)
    nocturnal_height_m: Float64 = field(default_factory=lambda: _LATER)
    entrainment_m: Float64 = field(default_factory=lambda: _LATER)

    def __post_init__(self) -> None:
        """Fill what a caller has left out with NaN."""
        for name in ("below_m", "residual_height_m", "nocturnal_height_m", "entrainment_m"):
            if getattr(self, name) is _LATER:
                object.__setattr__(self, name, np.full(len(self.time), np.nan))

    def __len__(self) -> int:
        """Number of product times."""
        return len(self.time)

    def rows(self, begin: int, end: int) -> Layers:
        """The product times from `begin` to `end`."""
        return Layers(*(getattr(self, name)[begin:end] for name in Layers.__dataclass_fields__))

    @classmethod
    def empty(cls, num_candidates: int = 5) -> Layers:
        """No product at all."""
        none = np.empty(0)
        return cls(
            np.empty(0, "datetime64[us]"),
            none,
            none,
            np.empty(0, bool),
            np.empty(0, np.uint16),
            np.empty((0, num_candidates)),
            np.empty((0, num_candidates)),
            none,
            np.empty(0, np.int32),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Layers]) -> Layers:
        """All rows of `parts`, in order."""
        kept = [part for part in parts if len(part)]
        if len(kept) <= 1:
            return kept[0] if kept else cls.empty()
        return cls(*(np.concatenate([getattr(part, name) for part in kept]) for name in cls.__dataclass_fields__))
