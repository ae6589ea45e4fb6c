"""The forecast as an operator of the stream, after the heights: gaps filled, and heights foretold with their interval.

It takes the rows of heights that were made in the same step, one for every interval that has closed, and walks the
network on by one interval each; missing intervals are intervals in which nothing was seen. One site and interval cost
some numpy on a few thousand weights: no torch, and no other site has to be waited for.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.forecast.folder import load_model, shipped_folder
from ipdsf_spark.forecast.memory import FEATURES_VERSION, NUM_SLOTS, PER_DAY, Memory
from ipdsf_spark.forecast.model import Array, ForecastModel
from ipdsf_spark.forecast.rows import KIND, middle_us_of, observed_of, values_of
from ipdsf_spark.forecast.series import INTERVAL_S, Observed
from ipdsf_spark.lidar.layers.operator import KIND as LAYERS_KIND
from ipdsf_spark.lidar.operators import News, Operator, Parameters, Row
from ipdsf_spark.lidar.profiles import Float64
from ipdsf_spark.lidar.site import Site

AFTER: Final = ("layers",)
VERSION: Final = 1
LONGEST_GAP: Final = PER_DAY  # intervals; after a longer one the network begins anew, the climatology stays
UNKNOWN: Final = 65_535  # a half hour of which nothing is known
_HEAD: Final = struct.Struct("<B8sqqdHdB")


def operator(parameters: Parameters) -> Operator:
    """The operator with the configured model.

    Raises:
        ConfigError: there is no such model, it is not the one that is configured, or intervals are no five minutes.
    """
    if parameters.interval_s != INTERVAL_S:
        raise ConfigError(
            f"the operator forecast needs layers.averaging_s = {INTERVAL_S}, got {parameters.interval_s}: "
            "its model was trained on intervals of that length"
        )
    folder = Path(parameters.forecast_model).expanduser() if parameters.forecast_model else shipped_folder()
    try:
        model = load_model(folder, parameters.forecast_sha256)
    except InputError as error:
        raise ConfigError(f"operator forecast: {error}") from error
    return operator_of(model)


def operator_of(model: ForecastModel) -> Operator:
    """The operator with this model."""
    return Operator(KIND, VERSION, _Forecast(model), after=AFTER)


@dataclass(frozen=True)
class _Forecast:
    model: ForecastModel

    def __call__(self, site: Site, news: News, state: bytes) -> tuple[Sequence[Row], bytes]:
        followed = Followed.from_bytes(state, site, self.model) if state else Followed.begun(site, self.model)
        if news.has_new_source:
            followed.hidden = self.model.start(1)  # what another instrument saw last is nothing to go on from
        heights = {row.time_us: row.values for row in news.rows.get(AFTER[0], ()) if row.kind == LAYERS_KIND}
        rows = []
        for average in news.closed:
            index = int(average.index)
            if followed.last_index is not None and index <= followed.last_index:
                continue
            rows.append(followed.step(index, heights.get(middle_us_of(index)), self.model))
        return rows, followed.to_bytes(self.model)


@dataclass
class Followed:
    """One site as the forecast has followed it.

    Attributes:
        memory: heights that matter.
        hidden: state of the network.
        last_index: newest interval, None at a start.
        since: interval at which the site began to be followed, or was taken up again after a long gap.
        highest_m: the site's `max_height_m`; nothing is foretold above it.
    """

    memory: Memory
    hidden: Array
    last_index: int | None = None
    since: int = field(default=0)
    highest_m: float = math.inf

    @classmethod
    def begun(cls, site: Site, model: ForecastModel) -> Followed:
        """A site of which nothing is known."""
        return cls(_memory_of(site), model.start(1), highest_m=site.max_height_m)

    def step(self, index: int, values: Any, model: ForecastModel) -> Row:
        """One interval that has closed, after those that are missing.

        Args:
            index: its number.
            values: of its row of heights; None where there is none.
            model: that foretells.
        """
        if self.last_index is None or index - self.last_index > LONGEST_GAP:
            self.hidden, self.since = model.start(1), index
            if self.last_index is not None:
                self.memory.forget_yesterday()
        else:
            for missing in range(self.last_index + 1, index):
                told = self.memory.step(missing, Observed.nothing(1))
                _, self.hidden = model.step(told.features, self.hidden)
        self.last_index = index
        seen = Observed.nothing(1) if values is None else observed_of(values)
        told = self.memory.step(index, seen)
        said, self.hidden = model.step(told.features, self.hidden)
        quantiles = model.quantiles_m(said, told.features, told.last_m, told.usual_m, self.highest_m)[0]
        quality = ("no_data",) if values is None else values.get("quality", ())
        is_warm = index - self.since >= PER_DAY
        found = values_of(index, seen, quality, quantiles, model, is_warm=is_warm)
        return Row(KIND, middle_us_of(index), found)

    def to_bytes(self, model: ForecastModel) -> bytes:
        """About a kilobyte; nothing is rounded, so that it does not matter how files are dealt into batches."""
        memory = self.memory
        head = _HEAD.pack(
            FEATURES_VERSION,
            _mark(model),
            -1 if self.last_index is None else self.last_index,
            self.since,
            memory.last_m[0],
            memory.age[0],
            memory.slot_sum_m[0],
            memory.slot_num[0],
        )
        return b"".join(
            [
                head,
                _packed(memory.usual_m),
                memory.num_days.astype(np.uint8).tobytes(),
                _packed(memory.yesterday_m),
                self.hidden.tobytes(),
            ]
        )

    @classmethod
    def from_bytes(cls, raw: bytes, site: Site, model: ForecastModel) -> Followed:
        """What `to_bytes` wrote. Under another model the network begins anew; the memory stays.

        Raises:
            ValueError: the bytes are of another version, or end early.
        """
        memory = _memory_of(site)
        size = _HEAD.size + 5 * NUM_SLOTS
        if len(raw) < size or raw[0] != FEATURES_VERSION:
            raise ValueError(f"state of {len(raw)} bytes is none of a forecast of version {FEATURES_VERSION}")
        _, mark, last_index, since, last_m, age, slot_sum_m, slot_num = _HEAD.unpack_from(raw)
        memory.last_m[0], memory.age[0] = last_m, age
        memory.slot_sum_m[0], memory.slot_num[0] = slot_sum_m, slot_num
        memory.index = last_index
        at = _HEAD.size
        memory.usual_m = _unpacked(raw, at)
        memory.num_days = np.frombuffer(raw, np.uint8, NUM_SLOTS, at + 2 * NUM_SLOTS)[None].astype(np.int64)
        memory.yesterday_m = _unpacked(raw, at + 3 * NUM_SLOTS)
        hidden = model.start(1)
        if mark == _mark(model):
            if len(raw) != size + hidden.nbytes:
                raise ValueError(f"state of {len(raw)} bytes, {size + hidden.nbytes} are of this model")
            hidden = np.frombuffer(raw, np.float32, hidden.size, size).reshape(hidden.shape)
        else:
            since = last_index
        return cls(memory, hidden, None if last_index < 0 else last_index, since, site.max_height_m)


def _memory_of(site: Site) -> Memory:
    return Memory(np.array([site.latitude_deg]), np.array([site.longitude_deg]))


def _mark(model: ForecastModel) -> bytes:
    """The first bytes of the model's hash: a hidden state means nothing to another model."""
    return model.sha256[:8].encode().ljust(8, b"0")


def _packed(slots_m: Float64) -> bytes:
    return np.where(np.isfinite(slots_m), slots_m, UNKNOWN).astype("<u2").tobytes()


def _unpacked(raw: bytes, at: int) -> Float64:
    values = np.frombuffer(raw, "<u2", NUM_SLOTS, at).astype(np.float64)
    return np.where(values == UNKNOWN, np.nan, values)[None]
