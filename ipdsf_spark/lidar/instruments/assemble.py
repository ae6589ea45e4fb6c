"""From single messages to blocks: consecutive messages of one layout become one `Profiles`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import accumulate, groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.lidar.instruments.hexprofile import Packed, unpacked
from ipdsf_spark.lidar.profiles import Profiles

NAN = float("nan")
_EPOCH: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)
_NAT = np.iinfo(np.int64).min


class DamagedMessage(IpdsfError):
    """A message that gives no profile; the text is the reason. Caught by the file reader, message by message."""


class UnfinishedMessage(DamagedMessage):
    """The file ends inside the message; the next file may bring the rest."""


class Message(NamedTuple):
    """One decoded message; heights in metres, NaN where there is none."""

    instrument: str
    message_type: str
    time: datetime | None
    range_resolution_m: float
    beta: Packed
    wavelength_nm: float
    cloud_base_m: tuple[float, ...]
    vertical_visibility_m: float
    tilt_deg: float
    is_fog: bool
    alarms: tuple[str, ...]
    sky_cover_octas: tuple[float, ...] = ()
    sky_base_m: tuple[float, ...] = ()
    maker_layer_height_m: tuple[float, ...] = ()
    is_precipitation: bool = False
    health: Mapping[str, float] = MappingProxyType({})
    identity: str = ""

    @property
    def layout(self) -> tuple[str, str, float, int, tuple[str, ...], str]:
        """What must agree for two messages to share a block."""
        return (
            self.instrument,
            self.message_type,
            self.range_resolution_m,
            self.beta.num_values,
            tuple(self.health),
            self.identity,
        )


def blocks(messages: Iterable[Message]) -> tuple[Profiles, ...]:
    """Blocks in file order; a new one starts where the layout changes."""
    return tuple(_block(list(group)) for _, group in groupby(messages, key=_LAYOUT))


_LAYOUT: Final = attrgetter("layout")


def times(stamps: Sequence[datetime | None]) -> NDArray[np.datetime64]:
    """(T,) datetime64[us], NaT where there is no stamp."""
    micros = [_NAT if stamp is None else (stamp - _EPOCH) // _MICROSECOND for stamp in stamps]
    return np.array(micros, np.int64).view("datetime64[us]")  # four times as fast as to convert the stamps


def _block(messages: Sequence[Message]) -> Profiles:
    first = messages[0]
    # Every number in one table: one conversion is as dear as another, however many numbers it has.
    numbers = np.array([_numbers(message) for message in messages], np.float32)
    ends = accumulate(map(len, (first.cloud_base_m, first.maker_layer_height_m, first.sky_base_m, first.sky_base_m)))
    bases, layers, covers, sky = ends
    return _without_profiles(
        first.instrument,
        first.message_type,
        first.beta.num_values,
        first.range_resolution_m,
        first.wavelength_nm,
        first.identity,
    ).with_columns(
        time=times([message.time for message in messages]),
        beta=unpacked([message.beta for message in messages]),
        cloud_base_m=numbers[:, :bases],
        vertical_visibility_m=numbers[:, sky],
        maker_layer_height_m=numbers[:, bases:layers],
        sky_cover_octas=numbers[:, layers:covers],
        sky_base_m=numbers[:, covers:sky],
        is_precipitation=np.array([message.is_precipitation for message in messages]),
        is_fog=np.array([message.is_fog for message in messages]),
        tilt_deg=numbers[:, sky + 1],
        alarms=tuple(message.alarms for message in messages),
        health=dict(zip(first.health, numbers.T[sky + 2 :], strict=True)),
    )


@lru_cache(maxsize=64)
def _without_profiles(
    instrument: str, message_type: str, num_gates: int, resolution_m: float, wavelength_nm: float, identity: str
) -> Profiles:
    """What all blocks of a layout share, without a profile: its axis of range is read-only."""
    range_m = np.arange(0.5, num_gates) * resolution_m
    range_m.flags.writeable = False
    none, table = np.empty(0, np.float32), np.empty((0, 0), np.float32)
    return Profiles(
        instrument=instrument,
        message_type=message_type,
        time=times([]),
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=np.empty((0, num_gates), np.float32),
        is_calibrated=True,
        wavelength_nm=wavelength_nm,
        cloud_base_m=table,
        vertical_visibility_m=none,
        maker_layer_height_m=table,
        sky_cover_octas=table,
        sky_base_m=table,
        is_precipitation=none.astype(bool),
        is_fog=none.astype(bool),
        tilt_deg=none,
        identity=identity,
    )


def _numbers(message: Message) -> tuple[float, ...]:
    return (
        *message.cloud_base_m,
        *message.maker_layer_height_m,
        *message.sky_cover_octas,
        *message.sky_base_m,
        message.vertical_visibility_m,
        message.tilt_deg,
        *message.health.values(),
    )
