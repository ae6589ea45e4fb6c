"""netCDF files of any maker: opened once, handed to the family that knows the variables."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import hdf5, netcdf3
from ipdsf_spark.lidar.containers.container import Damage, Dataset, UnreadableFile
from ipdsf_spark.lidar.instruments import archive_netcdf, eprofile, foreign, lufft_chm, micropulse, vaisala_cl61
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected

log: Final = logging.getLogger(__name__)
UNFORESEEN: Final = "damaged netCDF file in a way no reader foresaw"

Recogniser = Callable[[Dataset], str | None]
Reader = Callable[[Dataset, list[Damage]], Profiles]
FAMILIES: Final[tuple[tuple[Recogniser, Reader], ...]] = (
    (vaisala_cl61.recognise, vaisala_cl61.profiles),
    (eprofile.recognise, eprofile.profiles),
    (archive_netcdf.recognise, archive_netcdf.profiles),
    (micropulse.recognise, micropulse.profiles),
    (lufft_chm.recognise, lufft_chm.profiles),
)


def is_netcdf(raw: bytes) -> bool:
    """Whether the bytes begin as netCDF files of either layout do."""
    return raw[:8] == hdf5.MAGIC or raw[:4] in netcdf3.MAGIC


def open_bytes(raw: bytes) -> Dataset:
    """The netCDF file behind `raw`.

    Raises:
        UnreadableFile: it is damaged.
    """
    return hdf5.open_bytes(raw) if raw[:8] == hdf5.MAGIC else netcdf3.open_bytes(raw)


def recognise(raw: bytes) -> str | None:
    """Maker and model, or None."""
    try:
        dataset = open_bytes(raw)
        found = next((name for name in (recognised(dataset) for recognised, _ in FAMILIES) if name), None)
        return found or foreign.netcdf_kind(dataset)
    except Exception:  # as in `decode`, which says why
        return None


def decode(raw: bytes, *, name: str = "", received: np.datetime64 | None = None) -> Decoded:
    """The profiles of a netCDF file, and reasons for what is damaged or of no known layout.

    Args:
        raw: a file's bytes.
        name: its name; only for the log.
        received: time for a file in which no profile has one.
    """
    instrument = "unknown"
    damage: list[Damage] = []
    try:
        dataset = open_bytes(raw)
        for recognised, read in FAMILIES:
            found = recognised(dataset)
            if found is None:
                continue
            instrument = found
            with np.errstate(all="ignore"):
                profiles = read(dataset, damage)
            if received is not None and np.isnat(profiles.time).all():
                profiles = replace(profiles, time=np.full(len(profiles), received, "datetime64[us]"))
            return _decoded(profiles, [*dataset.damage, *damage], dataset.gaps)
        kind = foreign.netcdf_kind(dataset)
        return Decoded(kind or "unknown", (), (Rejected(0, len(raw), foreign.netcdf_reason(dataset, kind)),))
    except UnreadableFile as error:
        reason = f"damaged netCDF file: {error}"
    except Exception as error:
        # The contract holds for any bytes: what no reader foresaw is a reason too, and a fault of ours to be found.
        log.exception("no reader foresaw this netCDF file: %s", name or "unnamed")
        reason = f"{UNFORESEEN}: {type(error).__name__}: {error}"
    return Decoded(instrument, (), (Rejected(0, len(raw), reason),))


def _decoded(profiles: Profiles, lost: list[Damage], gaps: list[Damage]) -> Decoded:
    keep = np.ones(len(profiles), bool)
    for damage in lost:
        keep[damage.first : damage.first + damage.count] = False
    rejected = list({Rejected(part.offset, part.length, part.reason): None for part in [*lost, *gaps]})
    rejected.sort(key=lambda stretch: stretch.offset)
    blocks = () if not keep.any() else (profiles if keep.all() else rows(profiles, keep),)
    return Decoded(profiles.instrument, blocks, tuple(rejected))


def rows(profiles: Profiles, keep: NDArray[np.bool_]) -> Profiles:
    """The profiles for which `keep` (T,) is true."""
    chosen: dict[str, Any] = {}
    for field in fields(Profiles):
        value = getattr(profiles, field.name)
        if field.name == "health":
            chosen[field.name] = {key: column[keep] for key, column in value.items()}
        elif field.name == "alarms":
            chosen[field.name] = tuple(names for names, is_kept in zip(value, keep, strict=bool(value)) if is_kept)
        elif isinstance(value, np.ndarray) and field.name != "range_m":
            chosen[field.name] = value[keep]
    return replace(profiles, **chosen)
