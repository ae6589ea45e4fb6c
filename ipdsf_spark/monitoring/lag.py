"""How far the stream is behind, partition by partition, in files and in seconds, from a query's progress reports.

Offsets of a Spark query lie in its checkpoint, where tools that look for consumer groups see nothing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ENDS_KEPT: Final = 240  # of each partition: what a lag in seconds is told from

Partition = tuple[str, int]


@dataclass
class Lags:
    """What is known of every partition.

    Attributes:
        read: next offset that the stream will read.
        end: next offset of Kafka when the last batch was planned.
    """

    read: dict[Partition, int] = field(default_factory=dict)
    end: dict[Partition, int] = field(default_factory=dict)
    _ends: dict[Partition, deque[tuple[float, int]]] = field(default_factory=dict)

    def take(self, progress: Mapping[str, Any], now_s: float) -> None:
        """One more report.

        Args:
            progress: of the query.
            now_s: when it came [s].
        """
        source = (progress.get("sources") or [{}])[0]
        read, end = _offsets(source.get("endOffset")), _offsets(source.get("latestOffset"))
        self.read |= read
        self.end |= end or {}
        for partition, offset in self.end.items():
            seen = self._ends.setdefault(partition, deque(maxlen=ENDS_KEPT))
            if not seen or seen[-1][1] != offset:
                seen.append((now_s, offset))

    def of(self, partition: Partition) -> int:
        """Files that were not read."""
        return max(0, self.end.get(partition, 0) - self.read.get(partition, 0))

    def seconds_of(self, partition: Partition, now_s: float) -> float:
        """For how long the oldest file that was not read has been there [s], from the ends that were seen.

        Between two ends the arrival is interpolated, as kafka-lag-exporter does.
        """
        if not self.of(partition):
            return 0.0
        wanted = self.read.get(partition, 0)
        before: tuple[float, int] | None = None
        for at_s, offset in self._ends.get(partition, ()):
            if offset > wanted:
                if before is None or offset == before[1]:
                    return max(0.0, now_s - at_s)
                share = (wanted - before[1]) / (offset - before[1])
                return max(0.0, now_s - (before[0] + max(0.0, share) * (at_s - before[0])))
            before = at_s, offset
        return 0.0

    @property
    def total(self) -> int | None:
        """Files of all partitions that were not read; None before the first batch has been told of: that is not 0."""
        return sum(map(self.of, self.end)) if self.end else None


def _offsets(said: Any) -> dict[Partition, int]:
    """Topic and partition to offset; reports hold them as JSON, in text or parsed."""
    if isinstance(said, str):
        said = json.loads(said)
    if not isinstance(said, Mapping):
        return {}
    return {(topic, int(number)): int(offset) for topic, parts in said.items() for number, offset in parts.items()}
