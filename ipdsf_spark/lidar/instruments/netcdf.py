"""netCDF files of any maker: opened once, handed to the family that knows the variables."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import hdf5, netcdf3
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood, UnreadableFile
from ipdsf_spark.lidar.instruments import (
    archive_netcdf,
    arm,
    eprofile,
    foreign,
    lufft_chm,
    micropulse,
    mplnet,
    ncas,
    products,
    vaisala_cl61,
)
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected, Time

log: Final = logging.getLogger(__name__)
EARLIEST_YEAR, LATEST_YEAR = 1985, 2099  # before, no ceilometer recorded profiles
EARLIEST: Final = np.datetime64(f"{EARLIEST_YEAR}-01-01", "us")
LATEST: Final = np.datetime64(f"{LATEST_YEAR + 1}-01-01", "us")
_EARLIEST_US, _LATEST_US = int(EARLIEST.astype(np.int64)), int(LATEST.astype(np.int64))
NAMED_ONE_BY_ONE: Final = 32
UNFORESEEN: Final = "damaged netCDF file in a way no reader foresaw"

Recogniser = Callable[[Dataset], str | None]
Reader = Callable[[Dataset, list[Damage]], Profiles]
FAMILIES: Final[tuple[tuple[str, Recogniser, Reader], ...]] = (
    ("CL61 file", vaisala_cl61.recognise, vaisala_cl61.profiles),
    ("E-PROFILE file", eprofile.recognise, eprofile.profiles),
    ("converted file", archive_netcdf.recognise, archive_netcdf.profiles),
    ("MiniMPL file", micropulse.recognise, micropulse.profiles),
    ("ARM file", arm.recognise, arm.profiles),
    ("NCAS file", ncas.recognise, ncas.profiles),
    ("MPL file", mplnet.recognise, mplnet.profiles),
    ("CHM file", lufft_chm.recognise, lufft_chm.profiles),
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
        found = next((name for name in (recognised(dataset) for _, recognised, _ in FAMILIES) if name), None)
        return found or foreign.netcdf_kind(dataset) or (products.named(dataset) or (None,))[0]
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
        for kind_of_file, recognised, read in FAMILIES:
            found = recognised(dataset)
            if found is None:
                continue
            instrument = found
            with np.errstate(all="ignore"):
                profiles = read(dataset, damage)
            if not profiles.identity:
                profiles = profiles.with_columns(identity=_mark(kind_of_file, profiles.wavelength_nm))
            if received is not None and len(profiles) == 1 and np.isnat(profiles.time).all():
                profiles = replace(profiles, time=np.array([received], "datetime64[us]"))
            if _is_without_signal(profiles) and not damage:
                dataset.note(
                    "not one number of backscatter: all are fill values, missing, or outside their valid range"
                )
            return _decoded(profiles, [*dataset.damage, *damage], dataset.gaps)
        kind = foreign.netcdf_kind(dataset)
        known = products.named(dataset) if kind is None else None
        if known is not None:
            return Decoded(known[0], (), (Rejected(0, len(raw), known[1]),))
        return Decoded(kind or "unknown", (), (Rejected(0, len(raw), foreign.netcdf_reason(dataset, kind)),))
    except NotUnderstood as error:
        reason = f"netCDF file not read: {error}"
    except UnreadableFile as error:
        reason = f"damaged netCDF file: {error}"
    except Exception as error:
        # The contract holds for any bytes: what no reader foresaw is a reason too, and a fault of ours to be found.
        log.exception("no reader foresaw this netCDF file: %s", name or "unnamed")
        reason = f"{UNFORESEEN}: {type(error).__name__}: {error}"
    return Decoded(instrument, (), (Rejected(0, len(raw), reason),))


def _is_without_signal(profiles: Profiles) -> bool:
    """Whether there are profiles, and no number in any of them; told by the first, nearly always."""
    beta = profiles.beta
    return bool(beta.size) and not np.isfinite(beta[0]).any() and not np.isfinite(beta).any()


def _mark(kind_of_file: str, wavelength_nm: float) -> str:
    """What tells an instrument without a serial number from others of its model: how its files are written."""
    wavelength = f" of {wavelength_nm:.0f} nm" if np.isfinite(wavelength_nm) else ""
    return f"{kind_of_file}{wavelength} without a serial number"


def _decoded(profiles: Profiles, lost: list[Damage], gaps: list[Damage]) -> Decoded:
    if not lost and not gaps and len(profiles) and _is_within_years(profiles.time):
        return Decoded(profiles.instrument, (profiles,), ())
    is_lost = np.zeros(len(profiles), bool)
    for damage in lost:
        is_lost[damage.first : damage.first + damage.count] = True
    is_timeless, reasons = _without_time(profiles.time, is_lost)
    keep = ~(is_lost | is_timeless)
    rejected = list({Rejected(part.offset, part.length, part.reason): None for part in [*lost, *gaps]})
    rejected += [Rejected(0, 0, reason) for reason in reasons]
    if not len(profiles):
        rejected.append(Rejected(0, 0, "the file holds no profile yet"))
    rejected.sort(key=lambda stretch: stretch.offset)
    blocks = () if not keep.any() else (profiles if keep.all() else rows(profiles, keep),)
    return Decoded(profiles.instrument, blocks, tuple(rejected))


def _is_within_years(time: Time) -> bool:
    """Whether all times are such at which a ceilometer can have measured."""
    micros = time.view(np.int64)  # a missing time is the lowest of all
    return bool(micros.size and micros.min() >= _EARLIEST_US and micros.max() < _LATEST_US)


def _without_time(time: Time, is_lost: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[str]]:
    """Profiles at a time at which none can have been measured, and a reason for each, or each run of many."""
    if _is_within_years(time):
        return np.zeros(len(time), bool), []
    is_timeless = (np.isnat(time) | (time < EARLIEST) | (time >= LATEST)) & ~is_lost
    if len(time) == 1 and np.isnat(time[0]):  # who knows when the file was sent may say so of a lone profile
        is_timeless[:] = False
    rows_found = np.flatnonzero(is_timeless)
    if not rows_found.size:
        return is_timeless, []
    # One by one while a person can read them; a run of the same is one reason, so that noise cannot flood a log.
    starts = np.flatnonzero(np.diff(rows_found, prepend=-2) > 1) if rows_found.size > NAMED_ONE_BY_ONE else None
    runs = [[row] for row in rows_found] if starts is None else np.split(rows_found, starts[1:])
    reasons = []
    for run in runs[:NAMED_ONE_BY_ONE]:
        where = f"profile {run[0] + 1}" if len(run) == 1 else f"{len(run)} profiles, {run[0] + 1} to {run[-1] + 1},"
        has = "has" if len(run) == 1 else "have"
        stamp = time[run[0]]
        told = "a time that is missing or a fill value" if np.isnat(stamp) else f"the time {stamp.astype('M8[s]')}Z"
        reasons.append(f"{where} of {len(time)} {has} {told}: not within {EARLIEST_YEAR} to {LATEST_YEAR}")
    left = sum(len(run) for run in runs[NAMED_ONE_BY_ONE:])
    if left:
        reasons.append(f"{left} more profiles have times not within {EARLIEST_YEAR} to {LATEST_YEAR}, or none")
    return is_timeless, reasons


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
