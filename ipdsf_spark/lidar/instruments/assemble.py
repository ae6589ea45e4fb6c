"""From single messages to blocks: consecutive messages of one layout become one `Profiles`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.errors import IpdsfError
from ipdsf_spark.lidar.profiles import Float32, Profiles

NAN = float("nan")
_EPOCH = datetime(1970, 1, 1)
_NAT = np.iinfo(np.int64).min


class DamagedMessage(IpdsfError):
    """A message that gives no profile; the text is the reason. Caught by the file reader, message by message."""


class UnfinishedMessage(DamagedMessage):
    """The file ends inside the message; the next file may bring the rest."""


@dataclass(frozen=True, eq=False)
class Message:
    """One decoded message; heights in metres, NaN where there is none."""

    instrument: str
    message_type: str
    time: datetime | None
    range_resolution_m: float
    beta: NDArray[np.float32]
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
    health: dict[str, float] = field(default_factory=dict)
    identity: str = ""

    @property
    def layout(self) -> tuple[str, str, float, int, tuple[str, ...], str]:
        """What must agree for two messages to share a block."""
        return (
            self.instrument,
            self.message_type,
            self.range_resolution_m,
            len(self.beta),
            tuple(self.health),
            self.identity,
        )


def blocks(messages: Iterable[Message]) -> tuple[Profiles, ...]:
    """Blocks in file order; a new one starts where the layout changes."""
    return tuple(_block(list(group)) for _, group in groupby(messages, key=lambda message: message.layout))


def times(stamps: Sequence[datetime | None]) -> NDArray[np.datetime64]:
    """(T,) datetime64[us], NaT where there is no stamp."""
    since = [None if stamp is None else stamp - _EPOCH for stamp in stamps]
    micros = [_NAT if d is None else (d.days * 86_400 + d.seconds) * 1_000_000 + d.microseconds for d in since]
    return np.array(micros, np.int64).view("datetime64[us]")  # four times as fast as to convert the stamps


def _block(messages: list[Message]) -> Profiles:
    first = messages[0]
    return Profiles(
        instrument=first.instrument,
        message_type=first.message_type,
        time=times([message.time for message in messages]),
        range_m=(np.arange(len(first.beta)) + 0.5) * first.range_resolution_m,
        range_resolution_m=first.range_resolution_m,
        beta=np.array([message.beta for message in messages]),
        is_calibrated=True,
        wavelength_nm=first.wavelength_nm,
        cloud_base_m=_table([message.cloud_base_m for message in messages]),
        vertical_visibility_m=_column([message.vertical_visibility_m for message in messages]),
        maker_layer_height_m=_table([message.maker_layer_height_m for message in messages]),
        sky_cover_octas=_table([message.sky_cover_octas for message in messages]),
        sky_base_m=_table([message.sky_base_m for message in messages]),
        is_precipitation=np.array([message.is_precipitation for message in messages]),
        is_fog=np.array([message.is_fog for message in messages]),
        tilt_deg=_column([message.tilt_deg for message in messages]),
        alarms=tuple(message.alarms for message in messages),
        identity=first.identity,
        health=dict(zip(first.health, _column([[*message.health.values()] for message in messages]).T, strict=True)),
    )


def _column(values: Sequence[Any]) -> Float32:
    return np.array(values, dtype=np.float32)


def _table(rows: Sequence[tuple[float, ...]]) -> Float32:
    width = max(map(len, rows))
    if any(len(row) != width for row in rows):
        rows = [row + (NAN,) * (width - len(row)) for row in rows]
    return np.array(rows, dtype=np.float32).reshape(len(rows), width)
