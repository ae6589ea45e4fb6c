"""Edges as components: maxima of successive columns linked into tracks with identity, age and slope.

Columns are pushed one by one. A track keeps its points of the columns that are not final yet and of half an hour
before, so that whatever is said of a column is known from both sides when it becomes final.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.edges.settings import EdgeSettings
from ipdsf_spark.lidar.edges.thinning import Peaks
from ipdsf_spark.lidar.profiles import Float64

Tracks = NDArray[np.void]
BEFORE: Final = 6  # columns on either side that a slope is taken from: half an hour of five-minute intervals
LEAST_POINTS: Final = 3  # that a slope needs
MAX_TRACKS: Final = 64  # of a site; the state is bounded
QUARTERS: Final = 4.0  # heights are kept in quarters of a metre


class Edge(NamedTuple):
    """An edge as it crosses one interval.

    Attributes:
        id: the same in all intervals of an edge: its first interval, sign and first height.
        sign: -1 where backscatter decreases with height, as at a layer's top; 1 where it increases.
        height_m: above the instrument.
        slope_m_per_h: from half an hour on either side, NaN where too few columns show the edge.
        probability: of the detector, 0 to 1.
        contrast: fall of backscatter relative to the air below it, or rise relative to that above.
        snr: the fall or rise over its noise.
        first_index: interval in which it began.
        last_index: newest interval in which it has been seen so far.
        num_columns: intervals in which it has been seen so far.
    """

    id: str
    sign: int
    height_m: float
    slope_m_per_h: float
    probability: float
    contrast: float
    snr: float
    first_index: int
    last_index: int
    num_columns: int


@dataclass(frozen=True)
class Linker:
    """Links columns. Stateless: the tracks go in and come out.

    Attributes:
        settings: of the edges.
        lag: columns between the newest one and the one that becomes final.
    """

    settings: EdgeSettings
    lag: int

    @property
    def depth(self) -> int:
        """Columns that a track remembers; the newest is the last, the one that becomes final stands at `BEFORE`."""
        return BEFORE + 1 + self.lag

    def empty(self) -> Tracks:
        """No tracks."""
        return np.empty(0, track_type(self.depth))

    def push(self, tracks: Tracks, peaks: Peaks, index: int) -> Tracks:
        """The tracks after one more column.

        Args:
            tracks: before; their newest column is `index - 1`.
            peaks: of the column, strongest first.
            index: its interval.
        """
        tracks = tracks.copy()
        for name in ("height", "probability", "contrast", "snr"):
            tracks[name][:, :-1] = tracks[name][:, 1:].copy()
            tracks[name][:, -1] = 0
        pairs = self._pairs(tracks, peaks, index)
        for track, peak in pairs:
            self._extend(tracks[track], peaks[peak], index)
        tracks = tracks[(tracks["height"] > 0).any(axis=1)]
        linked = {peak for _, peak in pairs}
        born = [peak for peak in range(len(peaks)) if peak not in linked][: MAX_TRACKS - len(tracks)]
        new = np.zeros(len(born), tracks.dtype)
        for at, peak in enumerate(born):
            new[at]["sign"] = peaks[peak]["sign"]
            new[at]["first"] = index
            new[at]["first_height"] = round(float(peaks[peak]["height"]) * QUARTERS)
            self._extend(new[at], peaks[peak], index)
        return np.concatenate([tracks, new])

    def edges_at(self, tracks: Tracks, at: int) -> tuple[Edge, ...]:
        """Edges that cross a remembered column, lowest first: those that hysteresis and length make certain.

        Args:
            tracks: after a push.
            at: column of the memory; -1 the newest.
        """
        at %= self.depth
        found = self._edges(tracks[self._is_certain(tracks) & (tracks["height"][:, at] > 0)], at)
        return tuple(sorted(found, key=lambda edge: (edge.height_m, edge.sign)))

    def provisional(self, tracks: Tracks, peaks: Peaks, index: int, undecided: int) -> tuple[Edge, ...]:
        """Edges of a column that is not decided yet: maxima that go on certain tracks, which stay as they are."""
        certain = tracks[self._is_certain(tracks)]
        pairs = self._pairs(certain, peaks, index, undecided)
        found = []
        edges = self._edges(certain[[track for track, _ in pairs]], self.depth - 1) if pairs else []
        for edge, (_, peak) in zip(edges, pairs, strict=True):
            seen = peaks[peak]
            found.append(
                edge._replace(
                    height_m=float(seen["height"]),
                    probability=float(seen["probability"]),
                    contrast=abs(float(seen["contrast"])),
                    snr=abs(float(seen["snr"])),
                    last_index=index,
                    num_columns=edge.num_columns + 1,
                )
            )
        return tuple(sorted(found, key=lambda edge: (edge.height_m, edge.sign)))

    def _is_certain(self, tracks: Tracks) -> NDArray[np.bool_]:
        enough = tracks["num"] >= self.settings.num_columns
        return np.asarray(enough & (tracks["num_certain"] >= self.settings.num_certain))

    def _pairs(self, tracks: Tracks, peaks: Peaks, index: int, undecided: int = 0) -> list[tuple[int, int]]:
        """Which track goes on with which peak: nearest first, each once. Undecided columns are not missed ones."""
        if not len(tracks) or not len(peaks):
            return []
        missed = index - 1 - tracks["last"]
        ahead_m = self._expected_m(tracks, missed)
        distance_m = np.abs(peaks["height"][None, :] - ahead_m[:, None])
        reach_m = (self.settings.link_m + self.settings.link_share * ahead_m) * (1.0 + 0.5 * missed)
        fits = distance_m <= reach_m[:, None]
        fits &= tracks["sign"][:, None] == peaks["sign"][None, :]
        fits &= (missed <= self.settings.max_missed + undecided)[:, None]
        track, peak = np.nonzero(fits)
        order = np.lexsort((peak, track, distance_m[track, peak]))
        found: list[tuple[int, int]] = []
        free_tracks, free_peaks = set(track.tolist()), set(peak.tolist())
        for one, other in zip(track[order].tolist(), peak[order].tolist(), strict=True):
            if one in free_tracks and other in free_peaks:
                free_tracks.remove(one)
                free_peaks.remove(other)
                found.append((one, other))
        return sorted(found)

    def _expected_m(self, tracks: Tracks, missed: NDArray[np.int64]) -> Float64:
        """(T,) where each track would be in the column after the remembered ones, by its last half hour."""
        height = tracks["height"][:, -BEFORE - 1 :].astype(np.float64) / QUARTERS
        line = _lines(height > 0, height)
        away = line.newest + missed + 1.0
        reliable = line.num > LEAST_POINTS
        return np.asarray(tracks["last_height"] / QUARTERS + np.where(reliable, line.slope, 0.0) * (away - line.newest))

    def _extend(self, track: np.void, peak: np.void, index: int) -> None:
        track["last"] = index
        track["num"] = min(int(track["num"]) + 1, 65535)
        track["num_certain"] = min(int(track["num_certain"]) + int(peak["probability"] >= self.settings.high), 65535)
        track["last_height"] = track["height"][-1] = round(float(peak["height"]) * QUARTERS)
        track["probability"][-1] = peak["probability"]
        track["contrast"][-1] = abs(float(peak["contrast"]))
        track["snr"][-1] = min(abs(float(peak["snr"])), 60_000.0)

    def _edges(self, tracks: Tracks, at: int) -> list[Edge]:
        height_m = tracks["height"][:, max(at - BEFORE, 0) : at + BEFORE + 1].astype(np.float64) / QUARTERS
        line = _lines(height_m > 0, height_m)
        steep = np.where(line.num >= LEAST_POINTS, line.slope * (3600.0 / self.settings.averaging_s), np.nan)
        signs = tracks["sign"].tolist()
        first_m = (tracks["first_height"] / QUARTERS).tolist()
        firsts = tracks["first"].tolist()
        ids = [
            f"{first}{'-' if sign < 0 else '+'}{height:.0f}"
            for first, sign, height in zip(firsts, signs, first_m, strict=True)
        ]
        columns = (tracks[name][:, at].tolist() for name in ("probability", "contrast", "snr"))
        heights = (tracks["height"][:, at] / QUARTERS).tolist()
        last = (tracks["last"].tolist(), tracks["num"].tolist())
        return [
            Edge(*values) for values in zip(ids, signs, heights, steep.tolist(), *columns, firsts, *last, strict=True)
        ]


class _Lines(NamedTuple):
    slope: Float64  # per column
    num: NDArray[np.int64]
    newest: Float64


def _lines(is_there: NDArray[np.bool_], height_m: Float64) -> _Lines:
    """Least-squares lines through the points of each row."""
    column = np.arange(height_m.shape[1], dtype=np.float64)
    num = is_there.sum(axis=1)
    count = np.maximum(num, 1)
    middle = np.where(is_there, column, 0.0).sum(axis=1) / count
    mean = np.where(is_there, height_m, 0.0).sum(axis=1) / count
    away = np.where(is_there, column - middle[:, None], 0.0)
    spread = np.square(away).sum(axis=1)
    slope = (away * (height_m - mean[:, None])).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    return _Lines(slope, num, np.where(is_there, column, -1.0).max(axis=1))


@lru_cache(maxsize=16)
def track_type(depth: int) -> np.dtype[np.void]:
    """What is kept of a track.

    first, last: intervals in which it was seen. sign. first_height, last_height [m / 4]. num, num_certain: columns,
    and those above the high threshold. height [m / 4], 0 = not seen; probability, contrast, snr: of the remembered
    columns.
    """
    return np.dtype(
        [
            ("first", "<i8"),
            ("last", "<i8"),
            ("sign", "i1"),
            ("first_height", "<u2"),
            ("last_height", "<u2"),
            ("num", "<u2"),
            ("num_certain", "<u2"),
            ("height", "<u2", (depth,)),
            ("probability", "<f2", (depth,)),
            ("contrast", "<f2", (depth,)),
            ("snr", "<f2", (depth,)),
        ]
    )
