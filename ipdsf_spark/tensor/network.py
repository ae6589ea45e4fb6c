"""Streaming CP of a network with missing cells, outliers and a daily season; sites come and go.

A slice X_t (sites x gates; several quantities stand side by side along the gates) is A diag(s_t) B'. After Lee and Shin
(2021, ICDE, SOFIA) outliers are judged by the error of a forecast in units of a running scale, and strengths follow a
daily season. Factors are solved by recursive least squares row by row (OnlineCP, Zhou et al. 2016, KDD; with missing
cells as OLSTEC, Kasai 2016): every row keeps the matrix and the right side of its normal equations, which fade. Because
these were summed up with factors of their time, all factors are fitted anew to a short window of slices every hour.

I sites · K gates · R components. Memory is of the order I (R² + K), time I K R² a slice, whatever has gone before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.tensor import alarms, clocks, days, state
from ipdsf_spark.tensor.alarms import Alarm, ResidualAlarms
from ipdsf_spark.tensor.batch import Factors, masked_cp, refined, window_equations
from ipdsf_spark.tensor.filling import FillingJudge
from ipdsf_spark.tensor.products import outer_rows, solve_rows
from ipdsf_spark.tensor.robust import SIGMA_PER_MEDIAN, SMALLEST_SCALE, bisquare, bounded_square, huber, inflation
from ipdsf_spark.tensor.season import Season
from ipdsf_spark.tensor.settings import TensorSettings

Float64 = NDArray[np.float64]

ARRAYS: Final = (
    *("a", "b", "matrices_a", "rights_a", "matrices_b", "rights_b", "center", "spread", "scale", "last_seen"),
    *("window", "strengths"),
)
ALARM_PARTS: Final = {"alarms": alarms.ARRAYS, "alarms.days": days.ARRAYS, "alarms.clocks": clocks.ARRAYS}
ROUNDS: Final = 3  # of strengths and weights; the first by Huber's function, the others by the bisquare
SMALLEST_SPREAD: Final = 1e-9
LEAST_SHARE: Final = 0.02  # of a slice's cells must be present for the factors to learn from it
REFRESH_ROUNDS: Final = 3
OUTLIER_WEIGHT: Final = 1.345 / 5.0  # of Huber's: five scales off
SMALLEST_LENGTH: Final = 1e-12  # root mean square of a column of a factor
CLIP: Final = 50.0  # scaled values beyond are kept at that: no single number may overflow the sums


@dataclass(frozen=True, eq=False)
class SliceSeen:
    """What the model makes of a slice; rows as the sites were given.

    Attributes:
        index: slice number.
        fitted: (n, K) the model's value of every cell, present or not, in the unit of the slice; NaN in the warm-up.
        expected: (n, K) what was forecast before the slice was seen; NaN in the warm-up.
        before: (n, K) the model's value with the slice's strengths, but factors that have not learnt from it.
        error_scale: (n, K) running standard deviation of a cell's error.
        is_outlier: (n, K) present cells without weight.
        strengths: (R,) of the components; the compact state of the network.
        alarms: sites that depart from their network.
    """

    index: int
    fitted: Float64
    expected: Float64
    before: Float64
    error_scale: Float64
    is_outlier: NDArray[np.bool_]
    strengths: Float64
    alarms: tuple[Alarm, ...] = ()


class NetworkTensor:
    """The decomposition and all that it remembers.

    Attributes:
        settings: parameters.
        sites: site ids, the row numbers of the factor of sites.
        a, b: factors (I, R) and (K, R); empty in the warm-up.
        season: of the strengths.
        filling: judge of gap filling; `filling.is_offered` says whether `SliceSeen.fitted` may fill gaps.
        alarms: cumulative sums of how sites depart from the others.
    """

    def __init__(self, settings: TensorSettings, num_gates: int) -> None:
        """Args: settings: parameters; num_gates: cells K of a site in every slice.

        Raises:
            ValueError: there is no gate.
        """
        if num_gates < 1:
            raise ValueError("a slice needs at least one gate")
        rank = settings.rank
        self.settings, self.num_gates = settings, num_gates
        self.sites: list[str] = []
        self.row_of: dict[str, int] = {}
        self.a, self.b = np.zeros((0, rank)), np.zeros((num_gates, rank))
        self.matrices_a, self.rights_a = np.zeros((0, rank, rank)), np.zeros((0, rank))
        self.matrices_b, self.rights_b = np.zeros((num_gates, rank, rank)), np.zeros((num_gates, rank))
        self.center, self.spread = np.zeros(num_gates), np.ones(num_gates)
        self.scale = np.zeros((0, num_gates))
        self.window = np.full((settings.window, 0, num_gates), np.nan, np.float32)
        self.strengths = np.zeros((settings.window, rank))
        self.last_seen = np.zeros(0, np.int64)
        self.season = Season.empty(settings.period, rank)
        self.filling = FillingJudge(num_gates, settings.period)
        self.alarms = ResidualAlarms(settings.period)
        self.num_slices = 0
        self.last_index: int | None = None
        self.waiting: list[tuple[int, list[str], Float64]] = []

    @property
    def is_warm(self) -> bool:
        """Whether the first slices have been decomposed."""
        return self.num_slices > 0

    def update(self, index: int, sites: Sequence[str], values: Float64) -> SliceSeen:
        """Learn from a slice.

        Args:
            index: slice number since 1970; gaps are allowed, going back is not.
            sites: n ids, each once, in any order; sites that are not known yet begin as the network's mean.
            values: (n, K), NaN or infinite where missing.

        Raises:
            ValueError: the shape does not fit, a site comes twice, or there are more sites than `most_sites`.
        """
        values = self._checked(index, sites, values)
        if not self.is_warm:
            self.waiting.append((index, list(sites), values))
            self.last_index = index
            if len(self.waiting) >= self.settings.warm_up:
                self._begin()
            nothing = np.full(values.shape, np.nan)
            return SliceSeen(index, nothing, nothing, nothing, nothing, np.zeros(values.shape, bool), self.season.last)
        rows = self._rows_of(sites, index)
        hidden = self.filling.hidden(np.isfinite(values), self.settings.held_out, index, self.settings.seed)
        # A site under alarm is looked at but teaches the network nothing; its row stays as it was when all was well.
        is_apart = self.alarms.standing(rows)
        self.window[:, rows[is_apart]] = np.nan
        seen = self._learn(index, rows, self._scaled(np.where(hidden | is_apart[:, None], np.nan, values)))
        self.filling.judge(index, rows, values, hidden, seen.fitted)
        return replace(seen, alarms=tuple(self.alarms.update(index, list(sites), rows, values)))

    def acknowledge(self, site: str) -> None:
        """Take a site as it is now: its alarm goes down and its row and reference are learnt anew.

        Raises:
            ValueError: the site is not known.
        """
        if site not in self.row_of:
            raise ValueError(f"no site {site!r} in the network")
        row = self.row_of[site]
        self.matrices_a[row], self.rights_a[row] = 0.0, 0.0
        self.alarms.forget(row)

    def fill(self, index: int, sites: Sequence[str]) -> Float64:
        """(n, K) the model's values of a slice that has not been seen, from the season alone; NaN in the warm-up."""
        if not self.is_warm:
            return np.full((len(sites), self.num_gates), np.nan)
        mean = self.a.mean(axis=0)
        a = np.array([self.a[self.row_of[site]] if site in self.row_of else mean for site in sites])
        return self._in_units((a * self.season.forecast(index)) @ self.b.T)

    def to_bytes(self) -> bytes:
        """All that the model remembers, as versioned bytes."""
        plain = {
            "settings": asdict(self.settings),
            "num_gates": self.num_gates,
            "sites": self.sites,
            "num_slices": self.num_slices,
            "last_index": self.last_index,
            "season": [self.season.last_index, self.season.num_seen],
            "judged": [self.filling.error_model, self.filling.error_climatology, self.filling.num_cells],
            "waiting": [[index, names] for index, names, _ in self.waiting],
        }
        arrays = {name: getattr(self, name) for name in ARRAYS}
        arrays |= {f"season.{name}": getattr(self.season, name) for name in ("level", "daily", "is_known", "last")}
        arrays |= {f"filling.{name}": getattr(self.filling, name) for name in ("totals", "counts")}
        for part, names in ALARM_PARTS.items():
            arrays |= {f"{part}.{name}": getattr(attrgetter(part)(self), name) for name in names}
        arrays |= {f"waiting.{number}": values for number, (_, _, values) in enumerate(self.waiting)}
        return state.pack(plain, arrays)

    @classmethod
    def from_bytes(cls, raw: bytes) -> NetworkTensor:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: the bytes are of another kind or version, or damaged.
        """
        plain, arrays = state.unpack(raw)
        model = cls(TensorSettings(**plain["settings"]), plain["num_gates"])
        model.sites, model.num_slices, model.last_index = plain["sites"], plain["num_slices"], plain["last_index"]
        model.row_of = {name: row for row, name in enumerate(model.sites)}
        model.season.last_index, model.season.num_seen = plain["season"]
        model.filling.error_model, model.filling.error_climatology, model.filling.num_cells = plain["judged"]
        for name, array in arrays.items():
            part, _, field = name.rpartition(".")
            if part != "waiting":
                setattr(attrgetter(part)(model) if part else model, field, array)
        if model.alarms.sums.ndim == 4:  # of version 2, which had a slow sum beside each fast one
            model.alarms.sums = model.alarms.sums[:, :, 0]
        model.alarms.grow(len(model.sites))  # what that version did not have
        model.waiting = [
            (index, names, arrays[f"waiting.{number}"]) for number, (index, names) in enumerate(plain["waiting"])
        ]
        return model

    def _checked(self, index: int, sites: Sequence[str], values: Float64) -> Float64:
        values = np.asarray(values, np.float64)
        if values.shape != (len(sites), self.num_gates):
            raise ValueError(f"slice of shape {values.shape}; {len(sites)} sites of {self.num_gates} gates were told")
        if len(set(sites)) != len(sites):
            raise ValueError("a site comes twice in one slice")
        if self.last_index is not None and index <= self.last_index:
            raise ValueError(f"slice {index} comes after slice {self.last_index}: slices are taken in order, once")
        known = set(self.sites) if self.is_warm else {name for _, names, _ in self.waiting for name in names}
        if len(known | set(sites)) > self.settings.most_sites:
            raise ValueError(f"more than {self.settings.most_sites} sites; raise most_sites if memory allows it")
        return np.where(np.isfinite(values), values, np.nan)

    def _begin(self) -> None:
        """Decompose the slices of the warm-up in one batch and take their sums into the recursion."""
        names = list(dict.fromkeys(name for _, known, _ in self.waiting for name in known))
        cube = np.full((len(self.waiting), len(names), self.num_gates), np.nan)
        at = {name: row for row, name in enumerate(names)}
        for number, (_, known, values) in enumerate(self.waiting):
            cube[number, [at[name] for name in known]] = values
        present = np.isfinite(cube)
        if not present.any():
            self.waiting.pop(0)  # a network that shows nothing yet: keep waiting, in bounded memory
            return
        self._scale_by(cube)
        cube = np.clip((cube - self.center) / self.spread, -CLIP, CLIP)
        strengths, self.a, self.b = masked_cp(cube, self.settings.rank)
        self.sites, self.row_of = names, at
        self.last_seen = np.full(len(names), self.waiting[-1][0], np.int64)
        num, rank = len(names), self.settings.rank
        self.matrices_a, self.rights_a = np.zeros((num, rank, rank)), np.zeros((num, rank))
        error = cube - (strengths[:, None, :] * self.a[None]) @ self.b.T
        with np.errstate(invalid="ignore"):
            typical = SIGMA_PER_MEDIAN * float(np.nanmedian(np.abs(error)))
        self.scale = np.full((num, self.num_gates), max(typical, SMALLEST_SCALE))
        everybody = np.arange(num)
        for number, (index, _, _) in enumerate(self.waiting):
            mask = present[number]
            weights = np.where(mask, bisquare(np.abs(np.where(mask, error[number], 0.0)) / self.scale), 0.0)
            self.season.update(index, strengths[number], self.settings.level_gain, self.settings.season_gain)
            self._accumulate(everybody, np.where(mask, cube[number], 0.0), weights, strengths[number])
        num_kept = min(self.settings.window, len(cube))
        self.window = np.full((self.settings.window, num, self.num_gates), np.nan, np.float32)
        self.window[-num_kept:], self.strengths[-num_kept:] = cube[-num_kept:], strengths[-num_kept:]
        self.num_slices = len(self.waiting)
        self.filling.grow(num)
        self.alarms.grow(num)
        nothing = np.zeros(cube.shape[1:], bool)
        for number, (index, _, _) in enumerate(self.waiting):
            truth = self._in_units(np.where(present[number], cube[number], np.nan))
            self.filling.judge(index, everybody, truth, nothing, truth)
        self.waiting = []

    def _scale_by(self, cube: Float64) -> None:
        """Median and spread of every gate over the warm-up; a gate without data gets those of all."""
        flat = cube.reshape(-1, self.num_gates)
        everything = flat[np.isfinite(flat)]
        middle = float(np.median(everything))
        typical = max(SIGMA_PER_MEDIAN * float(np.median(np.abs(everything - middle))), SMALLEST_SPREAD)
        for gate in range(self.num_gates):
            column = flat[:, gate]
            column = column[np.isfinite(column)]
            center = float(np.median(column)) if column.size else middle
            own = SIGMA_PER_MEDIAN * float(np.median(np.abs(column - center))) if column.size else 0.0
            self.center[gate] = center if self.settings.is_centered else 0.0
            # A gate that never varies must not turn a first departure into an enormous number.
            self.spread[gate] = max(own, 0.1 * typical)

    def _scaled(self, values: Float64) -> Float64:
        return np.asarray(np.clip((values - self.center) / self.spread, -CLIP, CLIP))

    def _in_units(self, scaled: Float64) -> Float64:
        return np.asarray(scaled * self.spread + self.center)

    def _rows_of(self, sites: Sequence[str], index: int) -> NDArray[np.int64]:
        """Rows of the sites; new ones are appended, the long silent ones leave first."""
        silent = self.last_seen < index - self.settings.most_silent
        silent[[self.row_of[name] for name in sites if name in self.row_of]] = False
        if silent.any() and not silent.all():
            self._keep(~silent)
        new = [name for name in sites if name not in self.row_of]
        if new:
            rank, num = self.settings.rank, len(new)
            mean = self.a.mean(axis=0)
            self.row_of |= {name: len(self.sites) + at for at, name in enumerate(new)}
            self.sites += new
            self.a = np.concatenate([self.a, np.tile(mean, (num, 1))])
            self.matrices_a = np.concatenate([self.matrices_a, np.zeros((num, rank, rank))])
            self.rights_a = np.concatenate([self.rights_a, np.zeros((num, rank))])
            typical = np.median(self.scale, axis=0) if len(self.scale) else np.ones(self.num_gates)
            self.scale = np.concatenate([self.scale, np.tile(3.0 * typical, (num, 1))])
            self.last_seen = np.concatenate([self.last_seen, np.full(num, index)])
            nothing = np.full((len(self.window), num, self.num_gates), np.nan, np.float32)
            self.window = np.concatenate([self.window, nothing], axis=1)
            self.filling.grow(len(self.sites))
            self.alarms.grow(len(self.sites))
        rows = np.array([self.row_of[name] for name in sites], np.int64)
        self.last_seen[rows] = index
        return rows

    def _keep(self, is_kept: NDArray[np.bool_]) -> None:
        self.sites = [name for name, kept in zip(self.sites, is_kept, strict=True) if kept]
        self.row_of = {name: row for row, name in enumerate(self.sites)}
        for name in ("a", "matrices_a", "rights_a", "scale", "last_seen"):
            setattr(self, name, getattr(self, name)[is_kept])
        self.window = self.window[:, is_kept]
        self.filling.keep(is_kept)
        self.alarms.keep(is_kept)

    def _learn(self, index: int, rows: NDArray[np.int64], values: Float64) -> SliceSeen:
        mask = np.isfinite(values)
        present = np.where(mask, values, 0.0)
        a, scale = self.a[rows], self.scale[rows]
        forecast = self.season.forecast(index)
        expected = (a * forecast) @ self.b.T
        strengths, weights = self._strengths(a, present, mask, scale, forecast, expected)
        before = (a * strengths) @ self.b.T
        is_learnt = float(mask.mean()) >= LEAST_SHARE if mask.size else False
        if is_learnt:
            self._accumulate(rows, present, weights, strengths)
            self._remember(rows, values, strengths)
            if self.num_slices % self.settings.refresh == 0:
                self._refresh()
                strengths = self.strengths[-1]
            self.season.update(index, strengths, self.settings.level_gain, self.settings.season_gain)
        fitted = (self.a[rows] * strengths) @ self.b.T
        error = np.where(mask, np.abs(present - fitted), 0.0)
        gain = self.settings.scale_gain
        grown = np.sqrt((1.0 - gain) + gain * bounded_square(error / scale)) * scale
        self.scale[rows] = np.where(mask, np.maximum(grown, SMALLEST_SCALE), scale)
        self.num_slices += 1
        self.last_index = index
        return SliceSeen(
            index=index,
            fitted=self._in_units(fitted),
            expected=self._in_units(expected),
            before=self._in_units(before),
            error_scale=self.scale[rows] * self.spread,
            is_outlier=mask & (weights < OUTLIER_WEIGHT),
            strengths=strengths,
        )

    def _remember(self, rows: NDArray[np.int64], values: Float64, strengths: Float64) -> None:
        """The slice into the window, whose oldest leaves."""
        self.window[:-1], self.strengths[:-1] = self.window[1:], self.strengths[1:]
        self.window[-1] = np.nan
        self.window[-1, rows], self.strengths[-1] = values, strengths

    def _refresh(self) -> None:
        """Fit all factors to the window, and sum up its normal equations with them."""
        is_used = np.isfinite(self.window).any(axis=(1, 2))
        values = self.window[is_used].astype(np.float64)
        factors = (self.strengths[is_used], self.a, self.b)
        (s, a, b), weights = refined(
            values, self.scale, factors, factors, rounds=REFRESH_ROUNDS, ridge=self.settings.ridge
        )
        s, a, b = self._balanced(s, a, b)
        self.strengths[is_used], self.a, self.b = s, a, b
        self.matrices_a, self.rights_a, self.matrices_b, self.rights_b = window_equations(
            values, weights, (s, a, b), self.settings.forgetting
        )

    def _balanced(self, s: Float64, a: Float64, b: Float64) -> Factors:
        """The same model with columns of a and b of root mean square 1.

        Nothing else keeps in bounds what one gains and the other loses, where all sites come and go.
        """
        of_a, of_b = (np.maximum(np.sqrt(np.mean(np.square(each), axis=0)), SMALLEST_LENGTH) for each in (a, b))
        self.strengths *= of_a * of_b
        self.season.rescale(of_a * of_b)
        return s * (of_a * of_b), a / of_a, b / of_b

    def _strengths(
        self,
        a: Float64,
        present: Float64,
        mask: NDArray[np.bool_],
        scale: Float64,
        forecast: Float64,
        fitted: Float64,
    ) -> tuple[Float64, Float64]:
        """Strengths of the slice by iterated reweighting from the forecast on, and weights for the factors.

        The factors get Huber's weights, which never reach zero: where the model itself is wrong it must be able to
        learn from what looks like outliers.
        """
        rank = self.settings.rank
        strengths, weights = forecast, mask.astype(np.float64)
        if not mask.any():
            return strengths, weights
        outer_b, outer_a = outer_rows(self.b), outer_rows(a)
        for number in range(ROUNDS):
            z = np.where(mask, np.abs(present - fitted), 0.0) / scale
            z /= inflation(z[mask])
            weights = np.where(mask, huber(z) if number == 0 else bisquare(z), 0.0)
            matrix = ((weights @ outer_b) * outer_a).sum(axis=0).reshape(1, rank, rank)
            right = (((weights * present) @ self.b) * a).sum(axis=0)[None]
            strengths = solve_rows(matrix, right, forecast, self.settings.ridge)[0]
            fitted = (a * strengths) @ self.b.T
        z = np.where(mask, np.abs(present - fitted), 0.0) / scale
        return strengths, np.where(mask, huber(z / inflation(z[mask])), 0.0)

    def _accumulate(self, rows: NDArray[np.int64], present: Float64, weights: Float64, strengths: Float64) -> None:
        """Normal equations of sites and gates, faded and added to, and their solutions."""
        keep, ridge, rank = self.settings.forgetting, self.settings.ridge, self.settings.rank
        weighted, outer_s = weights * present, np.outer(strengths, strengths)
        of_sites = (weights @ outer_rows(self.b)).reshape(-1, rank, rank) * outer_s
        self.matrices_a[rows] = keep * self.matrices_a[rows] + of_sites
        self.rights_a[rows] = keep * self.rights_a[rows] + (weighted @ self.b) * strengths
        a = solve_rows(self.matrices_a[rows], self.rights_a[rows], self.a[rows], ridge)
        self.a[rows] = a
        of_gates = (weights.T @ outer_rows(a)).reshape(-1, rank, rank) * outer_s
        self.matrices_b = keep * self.matrices_b + of_gates
        self.rights_b = keep * self.rights_b + (weighted.T @ a) * strengths
        self.b = solve_rows(self.matrices_b, self.rights_b, self.b, ridge)
