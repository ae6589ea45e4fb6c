"""The one value the lidar room speaks: a run of profiles of one instrument on one set of gates.

T profiles · G gates · L cloud layers · M mixing layers · S sky-condition layers.
Missing heights are NaN, never a fill value; heights are metres above the instrument. Gates lie along the beam. Heights
of clouds are vertical, as CL31, CL51, CT25K and CHM 15k correct them for tilt themselves, unless `base_tilt_deg` says
that they, too, lie along a tilted beam; `vertical_base_m` and `base_along_beam_m` give the one and the other for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Time = NDArray[np.datetime64]  # datetime64[us], UTC


@dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles of one instrument in the order they stand in the file.

    Attributes:
        instrument: maker and model, e.g. ``"Vaisala CL51"``.
        message_type: the layout that was read, e.g. ``"2"``, ``"004"``, ``"netcdf mode 1"``, ``"E-PROFILE L2"``.
        time: (T,) datetime64[us] UTC as stamped by instrument or logger; NaT where neither gave one.
        range_m: (G,) gate centres along the beam [m].
        range_resolution_m: gate length [m].
        beta: (T, G) attenuated backscatter [m-1 sr-1]; if not `is_calibrated`, range-corrected signal of the maker.
        is_calibrated: whether `beta` is in m-1 sr-1.
        wavelength_nm: laser wavelength [nm].
        cloud_base_m: (T, L) cloud bases, lowest first, as the instrument reports them [m]; see `vertical_base_m`.
        vertical_visibility_m: (T,) vertical visibility under full obscuration [m].
        maker_layer_height_m: (T, M) the maker's own mixing-layer heights [m].
        sky_cover_octas: (T, S) sky-condition cover [octa].
        sky_base_m: (T, S) sky-condition layer heights [m].
        is_precipitation: (T,) the instrument says it rains or snows.
        is_fog: (T,) the instrument says fog or full obscuration.
        tilt_deg: (T,) beam angle from the vertical [degree]; 0 where unknown or already corrected.
        depolarisation: (T, G) linear depolarisation ratio, or None.
        alarms: T tuples with the names of the status, warning and alarm bits that are set.
        health: per-profile housekeeping, each (T,), unit in the name (``laser_energy_percent``,
            ``window_transmission_percent``, ``laser_temperature_celsius``, ``background_mv``, ...).
        latitude_deg, longitude_deg, altitude_m: position the file claims; NaN if it claims none. Only a check.
        identity: what tells it from other instruments of the model: its serial number; the unit in the header of its
            messages; or else how its files are written.
        clipped_from_m: (T,) height above which the signal is clipped, NaN where it is not [m]; None if nobody looked.
        base_tilt_deg: (T,) angle from the vertical in which cloud bases are reported [degree]; None: vertical.
    """

    instrument: str
    message_type: str
    time: Time
    range_m: Float64
    range_resolution_m: float
    beta: Float32
    is_calibrated: bool
    wavelength_nm: float
    cloud_base_m: Float32
    vertical_visibility_m: Float32
    maker_layer_height_m: Float32
    sky_cover_octas: Float32
    sky_base_m: Float32
    is_precipitation: NDArray[np.bool_]
    is_fog: NDArray[np.bool_]
    tilt_deg: Float32
    depolarisation: Float32 | None = None
    alarms: tuple[tuple[str, ...], ...] = ()
    health: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    latitude_deg: float = float("nan")
    longitude_deg: float = float("nan")
    altitude_m: float = float("nan")
    identity: str = ""
    clipped_from_m: Float32 | None = None
    base_tilt_deg: Float32 | None = None

    def __post_init__(self) -> None:
        """Check the shapes once, so that nobody downstream has to."""
        num_profiles, num_gates = self.beta.shape
        per_profile = {
            "time": self.time,
            "cloud_base_m": self.cloud_base_m,
            "vertical_visibility_m": self.vertical_visibility_m,
            "maker_layer_height_m": self.maker_layer_height_m,
            "sky_cover_octas": self.sky_cover_octas,
            "sky_base_m": self.sky_base_m,
            "is_precipitation": self.is_precipitation,
            "is_fog": self.is_fog,
            "tilt_deg": self.tilt_deg,
            **self.health,
            **({} if self.clipped_from_m is None else {"clipped_from_m": self.clipped_from_m}),
            **({} if self.base_tilt_deg is None else {"base_tilt_deg": self.base_tilt_deg}),
        }
        for name, values in per_profile.items():
            if len(values) != num_profiles:
                raise ValueError(f"{name} has {len(values)} entries for {num_profiles} profiles")
        if self.range_m.shape != (num_gates,):
            raise ValueError(f"range_m has shape {self.range_m.shape}, beta has {num_gates} gates")

    def __len__(self) -> int:
        """Number of profiles."""
        return len(self.time)

    def with_columns(self, **columns: Any) -> Profiles:
        """A copy with other values of the same shapes, which are not checked again."""
        copy = object.__new__(Profiles)
        copy.__dict__.update(self.__dict__, **columns)
        return copy

    @property
    def vertical_base_m(self) -> Float32:
        """(T, L) cloud bases above the instrument, vertical [m]."""
        if self.base_tilt_deg is None or not self.base_tilt_deg.any():
            return self.cloud_base_m
        return np.asarray(self.cloud_base_m * np.cos(np.radians(self.base_tilt_deg))[:, None], np.float32)

    @property
    def base_along_beam_m(self) -> Float32:
        """(T, L) cloud bases along the beam, as `range_m` [m]."""
        own = 0.0 if self.base_tilt_deg is None else self.base_tilt_deg
        slant = np.cos(np.radians(own)) / np.cos(np.radians(self.tilt_deg))
        return np.asarray(self.cloud_base_m * slant[:, None], np.float32)


@dataclass(frozen=True)
class Rejected:
    """A stretch of a file that gave no profile.

    Attributes:
        offset: byte offset of the stretch in the file.
        length: its length in bytes.
        reason: what was wrong and what would be right, in one line.
        part: ``"head"`` or ``"tail"`` if it may be half of a message whose other half stands in the previous or in the
            next file, ``"whole"`` if it may lie inside one: when they are joined, it is no longer rejected.
        member: name of the file inside an archive that it stands in; offset and length count there.
    """

    offset: int
    length: int
    reason: str
    part: Literal["", "head", "tail", "whole"] = ""
    member: str = ""


@dataclass(frozen=True, eq=False)
class Decoded:
    """All that one file gave: profiles, and named reasons for the rest.

    Attributes:
        instrument: maker and model, or ``"unknown"``.
        blocks: profiles in file order; a new block starts where instrument, message layout or gates change.
        rejected: what gave no profile, in file order.
        head: bytes at the beginning that may complete what the previous file ends with: the end of a message, a stamp
            or half of one, and the message behind it if it has no stamp of its own.
        tail: what stands at the end and the next file may complete: an unfinished message, a stamp, half a header.
            Messages in head and tail that gave no profile stand in `rejected` too, with their `part`.
        is_fragment: whether the file holds no whole message with its stamp, so that it may lie inside one.
        places: (T, 2) byte offset and length of every profile of every block; empty where the format has none.
    """

    instrument: str
    blocks: tuple[Profiles, ...]
    rejected: tuple[Rejected, ...]
    head: bytes = b""
    tail: bytes = b""
    is_fragment: bool = False
    places: tuple[NDArray[np.int64], ...] = ()

    def with_blocks(self, blocks: tuple[Profiles, ...]) -> Decoded:
        """A copy with other blocks."""
        copy = object.__new__(Decoded)
        copy.__dict__.update(self.__dict__, blocks=blocks)
        return copy

    @property
    def num_profiles(self) -> int:
        """Profiles in all blocks."""
        return sum(len(block) for block in self.blocks)
