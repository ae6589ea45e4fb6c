"""Whether synthesised chests are like measured ones, as varied, and none of them a copy.

Like: two-sample Kolmogorov-Smirnov tests of what a radiologist would measure. Varied: mean distance among them. Copies:
the nearest training neighbour of a synthesised chest, or of a cube of it, against the nearest training neighbour of
chests that were held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ipdsf_spark.ct.chests import Chest, body_box, distances, others_nearest, signature
from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.stored_arrays import load_arrays, save_arrays
from ipdsf_spark.ct.tissues import TISSUES_HU
from ipdsf_spark.ct.window import windowed
from ipdsf_spark.errors import InputError

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
STRUCTURED: Final = 0.05  # standard deviation of a cube, share of the window: flat ones are alike in every patient
LIMIT_QUANTILE: Final = 0.005
MAX_COPIED_SHARE: Final = 0.05  # of the structured cubes of a volume
MAX_SIGNATURES: Final = 4_000
GUARD_FILE: Final = "guard.npz"


def measured_chest(hu: NDArray[Any], spacing_mm: Sequence[float]) -> dict[str, float]:
    """Sizes, volumes and grey values of a chest [z, y, x]."""
    rows, columns = body_box(hu)
    inside = np.asarray(hu[:, slice(*rows), slice(*columns)], np.float32)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    shares = {
        f"share of {name}": float(np.mean((inside >= low) & (inside < high)))
        for name, (low, high) in TISSUES_HU.items()
        if name != "bone"
    }
    bone = float(np.mean(inside >= TISSUES_HU["bone"][0]))
    quantiles = np.quantile(inside, QUANTILES)
    return {
        "body front to back, mm": (rows[1] - rows[0]) * spacing_mm[1],
        "body side to side, mm": (columns[1] - columns[0]) * spacing_mm[2],
        "lung volume, ml": shares["share of lung"] * inside.size * voxel_ml,
        **shares,
        "share of bone": bone,
        **{f"HU, {q:.0%} quantile": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)},
    }


def two_sample_tests(
    first: Sequence[dict[str, float]], second: Sequence[dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Kolmogorov-Smirnov tests of every measure; a small p says that the two groups differ in it."""
    found = {}
    for name in first[0]:
        a, b = (np.array([one[name] for one in group]) for group in (first, second))
        test = stats.ks_2samp(a, b)
        found[name] = {
            "statistic": round(float(test.statistic), 4),
            "p": round(float(test.pvalue), 5),
            "mean": round(float(a.mean()), 4),
            "mean of the others": round(float(b.mean()), 4),
            "deviation": round(float(a.std()), 4),
            "deviation of the others": round(float(b.std()), 4),
        }
    return found


@dataclass(frozen=True)
class Neighbours:
    """Distances at coarse scale, root mean squares of the share of the window."""

    made_to_training: list[float]  # of each synthesised chest to its nearest training chest
    held_out_to_training: list[float]
    diversity: float  # mean distance among the synthesised
    held_out_diversity: float

    @property
    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def neighbours(made: Sequence[Chest], held_out: Sequence[Chest], training: NDArray[Any]) -> Neighbours:
    """Of synthesised and held-out chests; `training` are the signatures of the training chests (N, 8³)."""
    a, b = (np.stack([signature(chest) for chest in group]) for group in (made, held_out))

    def diversity(signatures: NDArray[Any]) -> float:
        among = distances(signatures, signatures)
        return float(among[np.triu_indices(len(among), 1)].mean()) if len(among) > 1 else 0.0

    return Neighbours(
        [round(float(d), 5) for d in distances(a, training).min(axis=1)],
        [round(float(d), 5) for d in distances(b, training).min(axis=1)],
        round(diversity(a), 5),
        round(diversity(b), 5),
    )


@dataclass(frozen=True)
class CubeGuard:
    """Knows training cubes by their block means, and how near cubes of different patients come to each other."""

    signatures: NDArray[np.float32]  # (N, 8³), each without its mean
    limit: float  # nearer than cubes of different patients, all but one in two hundred

    @classmethod
    def of(cls, by_volume: Sequence[NDArray[np.float32]], *, seed: int = 0) -> CubeGuard:
        """Of the signatures of the cubes of each training volume."""
        each = max(1, MAX_SIGNATURES // max(1, len(by_volume)))
        rng = np.random.default_rng((seed, 11))
        some = [s if len(s) <= each else s[rng.permutation(len(s))[:each]] for s in by_volume if len(s)]
        if not some:
            return cls(np.zeros((0, 512), np.float32), 0.0)
        nearest = [
            distances(own, np.concatenate([*some[:k], *some[k + 1 :]])).min(axis=1)
            for k, own in enumerate(some)
            if len(some) > 1
        ]
        limit = float(np.quantile(np.concatenate(nearest), LIMIT_QUANTILE)) if nearest else 0.0
        return cls(np.concatenate(some).astype(np.float32), limit)

    def save(self, path: Path) -> None:
        """Write all of it."""
        save_arrays(path, {"signatures": self.signatures, "limit": self.limit})

    @classmethod
    def load(cls, path: Path) -> CubeGuard:
        """Read what `save` wrote.

        Raises:
            InputError: it is missing or damaged.
        """
        stored = load_arrays(path, "what copies of training cubes are known by")
        try:
            return cls(stored["signatures"], float(stored["limit"]))
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"{path} knows no training cubes, or is damaged ({error})") from error

    def nearest(self, signatures: NDArray[np.float32]) -> NDArray[np.float64]:
        """Distance of each to the nearest training cube."""
        return np.asarray(distances(signatures, self.signatures).min(axis=1))

    def copied_share(self, signatures: NDArray[np.float32]) -> float:
        """Of cubes that are nearer to a training cube than those of different patients are."""
        if not len(signatures) or not len(self.signatures):
            return 0.0
        return float(np.mean(self.nearest(signatures) < self.limit))


def cube_signatures(hu: NDArray[Any], size: int, window_hu: tuple[int, int]) -> NDArray[np.float32]:
    """(N, 8³) of the structured cubes of a volume, cut without overlap."""
    share = windowed(hu, window_hu)
    plan = CubePlan((share.shape[0], share.shape[1], share.shape[2]), size, 0)
    found = []
    for _, cube in cubes_of(share, plan):
        if cube.std() >= STRUCTURED:
            blocks = cube.reshape(8, size // 8, 8, size // 8, 8, size // 8).mean(axis=(1, 3, 5)).ravel()
            found.append(blocks - blocks.mean())
    return np.stack(found).astype(np.float32) if found else np.zeros((0, 512), np.float32)


def leave_one_out(training: NDArray[Any]) -> list[float]:
    """Distance of each training chest to the nearest of the others: what a copy falls below."""
    return [round(float(d), 5) for d in others_nearest(training)]
