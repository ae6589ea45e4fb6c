"""The network's share of a batch: averages of all sites into slices, slices through the decomposition, rows out.

Pure: no Spark, no Kafka, no clock, no disk. The same rows in any order, divided into batches at will, give the same
products as long as nothing comes later than it may. A slice that the decomposition cannot take costs that slice, is
named in its row, and changes nothing of what was learnt before the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.averages.average import MICROSECONDS
from ipdsf_spark.lidar.averages.column import Cells
from ipdsf_spark.lidar.products.plain import rounded
from ipdsf_spark.stream.network_rows import (
    ALARM_KIND,
    COMPONENTS_KIND,
    MEANING,
    MOST_NAMED,
    NETWORK_KIND,
    NetworkRow,
    components_values,
    fill_rows,
    site_rows,
    slice_values,
)
from ipdsf_spark.tensor import NetworkTensor, SliceSeen, TensorSettings, state
from ipdsf_spark.tensor.alarms import Alarm
from ipdsf_spark.tensor.components import components_of
from ipdsf_spark.tensor.slices import AHEAD, IN_TIME, LATE, Row, Slice, Slices

logger = logging.getLogger(__name__)

AHEAD_OF_KAFKA_US: Final = 900 * MICROSECONDS  # an interval that begins later than its record was written, by this much
AHEAD_S: Final = 7200  # past the network's clock
REASONS: Final = {
    AHEAD: "interval(s) far ahead of the network's: the clock of the site",
    "future": "interval(s) that begin after their record was written: the clock of the site",
    "too_many": "more sites than network.most_sites",
}


class Arrived(NamedTuple):
    """One average as cells, and where its record lies."""

    interval: int
    site: str
    values: NDArray[np.float32]
    source: str
    published_us: int
    partition: int
    offset: int


class Refusal(NamedTuple):
    """Rows of one site that were not taken: how many, why, and where the first one lies."""

    site: str
    num: int
    reason: str
    partition: int
    offset: int


@dataclass(frozen=True)
class NetworkSettings:
    """What a checkpoint fixes, and what may change.

    Attributes:
        name: stands as the site in rows about all sites.
        interval_s: length of an interval.
        cells: of a site in a slice.
        tensor: parameters of the decomposition.
        wait: newer intervals that a slice waits for.
        publish_filled: whether filled gaps are published.
    """

    name: str = "network"
    interval_s: int = 300
    cells: Cells = field(default_factory=Cells)
    tensor: TensorSettings = field(default_factory=TensorSettings)
    wait: int = 6
    publish_filled: bool = True

    def middle_us(self, index: int) -> int:
        """Middle of an interval [µs since 1970]."""
        return int((2 * index + 1) * self.interval_s * MICROSECONDS // 2)


@dataclass(frozen=True)
class Outcome:
    """Rows to publish, rows that were not taken, and whether the model has changed."""

    rows: list[NetworkRow]
    refusals: list[Refusal]
    num_slices: int


class NetworkStage:
    """The decomposition of one network with all that it remembers between batches.

    Attributes:
        settings: parameters.
        slices: what is open.
        model: the decomposition.
        sources: what measured at each site in its newest slice.
        standing: site to feature to the slice in which its alarm began, and the newest in which it was up.
        late: rows of each site that came after their slice, since the last one was given.
        flags: what happened to the state; said in the next row of the network.
        num_acknowledged: how many acknowledgements have been followed.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        self.settings = settings
        tensor = settings.tensor
        ahead = max(1, AHEAD_S // settings.interval_s)
        self.slices = Slices(settings.wait, ahead, tensor.period, tensor.most_sites)
        self.model = NetworkTensor(tensor, settings.cells.num)
        self.sources: dict[str, str] = {}
        self.standing: dict[str, dict[str, list[int]]] = {}
        self.late: dict[str, int] = {}
        self.flags: list[str] = []
        self.num_acknowledged = 0

    def step(self, arrived: Sequence[Arrived], *, is_full: bool = False) -> Outcome:
        """What a batch comes to.

        Args:
            arrived: averages of the batch, in any order.
            is_full: more records wait in the topic. Its partitions are then read to different hours, and slices wait
                for the slowest of them.
        """
        refused: dict[tuple[str, str], list[Arrived]] = {}
        until = self._read_by_all(arrived) - self.settings.wait if is_full and arrived else None
        ordered = sorted(arrived, key=lambda row: (row.interval, row.site, row.partition, row.offset))
        rows: list[NetworkRow] = []
        before, num_slices = b"", 0
        for interval, rows_of_slice in groupby(ordered, key=lambda row: row.interval):
            group = list(rows_of_slice)
            for row in group:
                if not self._is_of_the_future(row):
                    self.slices.hear(interval, row.site)
            clock = self.slices.clock()
            for row in group:
                verdict = self._take(row, clock)
                if verdict == LATE:
                    self.late[row.site] = self.late.get(row.site, 0) + 1
                elif verdict != IN_TIME:
                    refused.setdefault((row.site, verdict), []).append(row)
            for taken in self.slices.due(until):
                before = before or self.model.to_bytes()
                rows += self._given(taken, before)
                num_slices += 1
        self.sources = {site: source for site, source in self.sources.items() if site in self.slices.newest}
        refusals = [
            Refusal(site, len(group), f"{len(group)} {REASONS[verdict]}", group[0].partition, group[0].offset)
            for (site, verdict), group in sorted(refused.items())
        ]
        return Outcome(rows, refusals, num_slices)

    def _take(self, row: Arrived, clock: int | None) -> str:
        if self._is_of_the_future(row):
            return "future"
        return self.slices.add(row.interval, row.site, Row(row.values, row.source), clock)

    def _is_of_the_future(self, row: Arrived) -> bool:
        start_us = row.interval * self.settings.interval_s * MICROSECONDS
        return start_us > row.published_us + AHEAD_OF_KAFKA_US

    def _read_by_all(self, arrived: Sequence[Arrived]) -> int:
        """The newest slice that every partition of a batch has reached."""
        newest: dict[int, int] = {}
        for row in arrived:
            newest[row.partition] = max(row.interval, newest.get(row.partition, row.interval))
        return min(newest.values())

    def _given(self, taken: Slice, before: bytes) -> list[NetworkRow]:
        """Rows of a slice that is due."""
        time_us = self.settings.middle_us(taken.index)
        rows = self._exchanged(taken, time_us)
        try:
            rows += self._decomposed(taken, time_us)
        except Exception as error:
            logger.exception("slice %d of %s was not taken", taken.index, self.settings.name)
            self.model = NetworkTensor.from_bytes(before)
            values = {"num_sites": len(taken.sites), "quality": [*self._flags(), "slice_failed"]}
            values["problem"] = f"{type(error).__name__}: {error}"[:200]
            rows.append(NetworkRow(NETWORK_KIND, self.settings.name, time_us, values))
        return rows

    def _decomposed(self, taken: Slice, time_us: int) -> list[NetworkRow]:
        settings, model = self.settings, self.model
        hour_before = self._hour(model.last_index)
        seen = model.update(taken.index, taken.sites, taken.values)
        parts = components_of(model)
        is_warm = bool(np.isfinite(seen.fitted).any())
        rows: list[NetworkRow] = []
        if is_warm:
            rows += self._alarms(taken, seen, time_us) + self._left(time_us)
            if self._hour(taken.index) != hour_before:
                rows += site_rows(taken, seen, model, parts, time_us)
                values = components_values(parts, settings.cells)
                rows.append(NetworkRow(COMPONENTS_KIND, settings.name, time_us, values))
            if settings.publish_filled:
                rows += fill_rows(taken, seen, model, settings.cells, time_us, frozenset(self.standing))
        values = slice_values(taken, seen, model, parts) | {
            "num_late": sum(self.late.values()),
            "late_sites": sorted(self.late)[:MOST_NAMED],
            "quality": self._flags(),
        }
        self.late = {}
        rows.append(NetworkRow(NETWORK_KIND, settings.name, time_us, values))
        return rows

    def _flags(self) -> list[str]:
        flags, self.flags = sorted(set(self.flags)), []
        return flags

    def _hour(self, index: int | None) -> int | None:
        return None if index is None else index * self.settings.interval_s // 3600

    def _exchanged(self, taken: Slice, time_us: int) -> list[NetworkRow]:
        """Sites at which another instrument measures now: they are taken as they are."""
        rows = []
        for site, source in zip(taken.sites, taken.sources, strict=True):
            if self.sources.get(site, source) != source and site in self.model.row_of:
                rows += self.acknowledge(site, time_us, "instrument_exchanged")
            self.sources[site] = source
        return rows

    def acknowledge(self, site: str, time_us: int, reason: str) -> list[NetworkRow]:
        """Take a site as it is now; the row that ends its alarms, if one stood."""
        if site not in self.model.row_of:
            return []
        self.model.acknowledge(site)
        ended = self.standing.pop(site, {})
        if not ended:
            return []
        values = {"is_standing": False, "alarms": [], "ended": sorted(ended), "reason": reason}
        return [NetworkRow(ALARM_KIND, site, time_us, values)]

    def follow(self, sites: Sequence[str]) -> list[NetworkRow]:
        """Rows of what a person has acknowledged.

        Args:
            sites: all that was ever acknowledged, oldest first; those followed before are passed over.
        """
        last = self.slices.last
        time_us = self.settings.middle_us(last) if last is not None else 0
        rows = [
            row for site in sites[self.num_acknowledged :] for row in self.acknowledge(site, time_us, "acknowledged")
        ]
        self.num_acknowledged = max(self.num_acknowledged, len(sites))
        return rows

    def _alarms(self, taken: Slice, seen: SliceSeen, time_us: int) -> list[NetworkRow]:
        """Rows of sites at which an alarm begins or ends; it ends when it was down for an hour."""
        now: dict[str, dict[str, Alarm]] = {}
        for alarm in seen.alarms:
            now.setdefault(alarm.site, {})[alarm.feature] = alarm
        hold, rows = 3600 // self.settings.interval_s, []
        for site in taken.sites:
            held, up = self.standing.get(site, {}), now.get(site, {})
            found = {name: times for name, times in held.items() if taken.index - times[1] < hold}
            found |= {name: [held[name][0] if name in held else taken.index, taken.index] for name in up}
            if found:
                self.standing[site] = found
            else:
                self.standing.pop(site, None)
            if found.keys() != held.keys():
                values = self._alarm_values(found, up) | {"ended": sorted(held.keys() - found.keys())}
                rows.append(NetworkRow(ALARM_KIND, site, time_us, values))
        return rows

    def _alarm_values(self, found: Mapping[str, Sequence[int]], up: Mapping[str, Alarm]) -> dict[str, Any]:
        told = [
            {
                "feature": name,
                "meaning": MEANING[name],
                "direction": up[name].direction if name in up else None,
                "score": rounded(up[name].score, 2) if name in up else None,
                "off_h": up[name].off_h if name in up else None,
                "since_s": found[name][0] * self.settings.interval_s,
            }
            for name in sorted(found)
        ]
        return {"is_standing": bool(found), "alarms": told, "reason": "" if found else "fits_again"}

    def _left(self, time_us: int) -> list[NetworkRow]:
        """Ends of the alarms of sites that the model has forgotten."""
        gone = sorted(site for site in self.standing if site not in self.model.row_of)
        values = {"is_standing": False, "alarms": [], "reason": "left_the_network"}
        return [
            NetworkRow(ALARM_KIND, site, time_us, values | {"ended": sorted(self.standing.pop(site))}) for site in gone
        ]

    def small_bytes(self) -> bytes:
        """All but the model: open slices, clocks of the sites, alarms that stand."""
        slices = self.slices
        plain = {
            **slices.to_plain(),
            "last": slices.last,
            "open": [[index, {site: row.source for site, row in rows.items()}] for index, rows in slices.open.items()],
            "sources": self.sources,
            "standing": self.standing,
            "late": self.late,
            "flags": self.flags,
            "num_acknowledged": self.num_acknowledged,
        }
        arrays = {
            str(index): np.array([row.values for row in rows.values()], np.float32)
            for index, rows in slices.open.items()
        }
        return state.pack(plain, arrays)

    def load(self, small: bytes, model: bytes) -> NetworkStage:
        """This stage with what `small_bytes` and the model's `to_bytes` said.

        Raises:
            ValueError: the bytes are damaged, of another version, or of other cells or components.
        """
        plain, arrays = state.unpack(small)
        held = NetworkTensor.from_bytes(model) if model else self.model
        if held.settings != self.settings.tensor or held.num_gates != self.settings.cells.num:
            raise ValueError("the model has other cells or components than the configuration")
        self.model = held
        self.slices.load_plain(plain)
        self.slices.last = plain["last"]
        self.slices.open = {
            index: {
                site: Row(values, source)
                for (site, source), values in zip(sources.items(), arrays[str(index)], strict=True)
            }
            for index, sources in plain["open"]
        }
        self.sources, self.standing = plain["sources"], plain["standing"]
        self.late, self.flags = plain["late"], plain["flags"]
        self.num_acknowledged = plain["num_acknowledged"]
        return self
