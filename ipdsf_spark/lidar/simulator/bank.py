"""A bank of files to replay: a few simulated days written once, stamped anew for every site and time.

A network of ten thousand sites at hundreds of files a second cannot be simulated in step; it can be dealt from a bank.
Only the time stamps of a file change; no checksum of these formats covers them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ipdsf_spark.lidar.containers import hdf5
from ipdsf_spark.lidar.instruments import lufft_chm
from ipdsf_spark.lidar.instruments.netcdf import rows
from ipdsf_spark.lidar.profiles import Profiles, Time
from ipdsf_spark.lidar.simulator.day import SimulatedDay, shifted

ONE_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class SimulatedFile:
    """One file as an instrument would have left it in its folder.

    Attributes:
        site: site id.
        name: file name.
        raw: its bytes.
        start, stop: times of its first profile and of the end of its interval, UTC.
    """

    site: str
    name: str
    raw: bytes
    start: np.datetime64
    stop: np.datetime64


class FileBank:
    """Files of `minutes` minutes, dealt from simulated days to any number of sites.

    Site number i plays day i mod len(days), so that neighbours of one day share weather and truth.
    """

    def __init__(self, days: Sequence[SimulatedDay], *, minutes: int = 5) -> None:
        """Args: days: whole UTC days; minutes: length of a file, a divisor of a day.

        Raises:
            ValueError: there is no day, or a day is no multiple of the length.
        """
        if not days:
            raise ValueError("a bank needs at least one simulated day")
        if minutes < 1 or 1440 % minutes:
            raise ValueError(f"files must be a whole part of a day long, got {minutes} minutes")
        self.days = tuple(days)
        self.length = np.timedelta64(minutes, "m")
        self._encoded = lru_cache(maxsize=8192)(self._encode)

    def day_of(self, site_number: int) -> SimulatedDay:
        """The day that a site plays, with its truth."""
        return self.days[site_number % len(self.days)]

    def file(self, site: str, site_number: int, at: np.datetime64) -> SimulatedFile:
        """The file whose interval holds `at`, as if the bank's day were that day.

        Args:
            site: site id, used in the file's name.
            site_number: which of the bank's days.
            at: UTC.
        """
        at = at.astype("datetime64[us]")
        midnight = at.astype("datetime64[D]")
        slot = int((at - midnight) // self.length)
        start = (midnight + slot * self.length).astype("datetime64[us]")
        day = self.day_of(site_number)
        raw, stamps = self._encoded(site_number % len(self.days), slot)
        shift = midnight - stamps[0].astype("datetime64[D]")
        if shift and raw[:8] == hdf5.MAGIC:
            # its times lie in a packed chunk: written anew, not stamped anew
            raw = day.instrument.encode(shifted(self._part(day, slot), stamps[0] + shift))
        elif shift:
            raw = restamped(raw, stamps, shift)
        return SimulatedFile(
            site=site,
            name=file_name(day, site, start),
            raw=raw,
            start=start,
            stop=start + self.length,
        )

    def _encode(self, number: int, slot: int) -> tuple[bytes, Time]:
        day = self.days[number]
        part = self._part(day, slot)
        return day.instrument.encode(part), part.time

    def _part(self, day: SimulatedDay, slot: int) -> Profiles:
        return profiles_between(day.profiles, slot * self.length, (slot + 1) * self.length)


def profiles_between(profiles: Profiles, start: np.timedelta64, stop: np.timedelta64) -> Profiles:
    """The profiles from `start` until before `stop`, counted from midnight of the first one's day."""
    since = profiles.time - profiles.time[0].astype("datetime64[D]")
    return rows(profiles, (since >= start) & (since < stop))


def file_name(day: SimulatedDay, site: str, start: np.datetime64) -> str:
    """A name like those of the maker's logger, with the site in it."""
    stamp = np.datetime_as_string(start, unit="s").replace("-", "").replace("T", "_").replace(":", "")
    model = day.instrument.name.split()[-1]
    if day.instrument.name == "Lufft CHM15k":
        return f"{stamp[:8]}{stamp[9:13]}_{site}_CHM15k_000.nc"
    return f"{site}_{model}_{stamp}.{day.instrument.extension}"


def restamped(raw: bytes, stamps: Time, shift: np.timedelta64) -> bytes:
    """A file's bytes with every profile's time moved by `shift`.

    Args:
        raw: a text or netCDF-3 file of one of the simulator's encoders.
        stamps: (T,) the times in it.
        shift: whole days, so that no new stamp equals an old one of the same file.
    """
    for stamp in stamps:
        raw = raw.replace(_stamp_bytes(stamp, raw), _stamp_bytes(stamp + shift, raw))
    return raw


def _stamp_bytes(stamp: np.datetime64, raw: bytes) -> bytes:
    """How a file of this kind writes a time."""
    if raw[:3] == b"CDF":
        seconds = (stamp.astype("datetime64[us]") - lufft_chm.EPOCH) / np.timedelta64(1, "s")
        return struct.pack(">d", seconds)
    return str(np.datetime_as_string(stamp, unit="s")).replace("T", " ").encode()
