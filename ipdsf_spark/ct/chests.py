"""Whole chests at a few millimetres, and a distribution from which chests of nobody are drawn.

A chest is described in the frame of its own body: the box around the body is scaled to one coarse grid, which takes
size and position out of the picture, and what is left is a vector. Sizes, pictures and the roots of the shares of
each HU together are drawn from one Gaussian with the mean and covariance of the training chests: principal components
of aligned grey values, as in the appearance models of Cootes et al. (2001, IEEE TPAMI 23, 681). It is fitted in
closed form from few volumes, cannot collapse and cannot diverge; what it cannot do is draw what no mixture of the
training chests shows. Sharp edges and texture are not its business: those are made by the conditional GAN at twice
and eight times the resolution. How much of a chest is bone is: a coarse picture does not hold it, for its voxels mix
bone with soft tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ipdsf_spark.ct.grey_values import hu_shares
from ipdsf_spark.ct.stored_arrays import load_arrays, save_arrays
from ipdsf_spark.ct.window import unwindowed, windowed
from ipdsf_spark.errors import InputError

EDGE: Final = 64
MAX_COMPONENTS: Final = 64
BODY_HU: Final = -500.0
MIN_CHESTS: Final = 3
FORMAT: Final = "ipdsf-chests/2"
WITHOUT_SHARES: Final = "ipdsf-chests/1"
CHESTS_FILE: Final = "chests.npz"
STAGES: Final = ("mid", "fine")  # folders of the networks beside it, in the order in which they raise the resolution
NUM_SIZES: Final = 7  # log field of view (z, y, x), log body (y, x), offset of the body's centre (y, x)
OFFSET_UNIT_MM: Final = 100.0
NONE: Final = np.zeros(0)
Float32 = NDArray[np.float32]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Chest:
    """A chest in the frame of its body."""

    picture: Float32  # (EDGE, EDGE, EDGE) shares of the window; z over the whole volume, y and x over the body's box
    sizes: NDArray[np.float64]  # (7,)
    # Shares of each whole HU of the window within the body's box, of the voxels that the picture was made from and of
    # those of the volume itself; empty where they are not known.
    shares: NDArray[np.float64] = field(default_factory=lambda: NONE)
    fine_shares: NDArray[np.float64] = field(default_factory=lambda: NONE)

    @property
    def field_mm(self) -> tuple[float, float, float]:
        """Field of view (z, y, x)."""
        z, y, x = np.exp(self.sizes[:3])
        return float(z), float(y), float(x)

    @property
    def body_mm(self) -> tuple[float, float]:
        """Body from front to back and from side to side."""
        y, x = np.exp(self.sizes[3:5])
        return float(y), float(x)


def chest_of(
    hu: NDArray[Any],
    spacing_mm: Sequence[float],
    window_hu: tuple[int, int],
    edge: int = EDGE,
    *,
    fine_shares: NDArray[np.float64] = NONE,
) -> Chest:
    """The chest in a volume [z, y, x] of a few mm.

    Args:
        hu: of the volume.
        spacing_mm: of its voxels (z, y, x).
        window_hu: low and high.
        edge: of the picture.
        fine_shares: of each whole HU of the window, in the finer volume that it was made from.

    Raises:
        InputError: nothing in it is as dense as a body.
    """
    rows, columns = body_box(hu, window_hu[0])
    view = np.array(hu.shape) * np.asarray(spacing_mm)
    body = np.array([rows[1] - rows[0], columns[1] - columns[0]]) * np.asarray(spacing_mm)[1:]
    centre = np.array([sum(rows), sum(columns)]) / 2 * np.asarray(spacing_mm)[1:]
    offset = (centre - view[1:] / 2) / OFFSET_UNIT_MM
    share = windowed(hu, window_hu)
    places = [_centres(first, last, edge) for first, last in ((0, hu.shape[0]), rows, columns)]
    picture = ndimage.map_coordinates(share, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    shares = hu_shares(hu[:, slice(*rows), slice(*columns)], window_hu)
    sizes = np.concatenate([np.log(view), np.log(body), offset])
    return Chest(picture.astype(np.float32), sizes, shares, fine_shares)


def body_box(hu: NDArray[Any], low_hu: float = -np.inf) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last+1 row and column of the largest connected dense region.

    Args:
        hu: [z, y, x].
        low_hu: end of the window within which they are: what lies there may be air.

    Raises:
        InputError: there is none.
    """
    dense_hu = max(BODY_HU, low_hu)
    labels, number = ndimage.label(hu > dense_hu)
    if not number:
        raise InputError(f"no voxel is denser than {dense_hu:g} HU: there is no body to learn from")
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    _, rows, columns = ndimage.find_objects(labels, max_label=largest)[largest - 1]
    return (rows.start, rows.stop), (columns.start, columns.stop)


def placed(chest: Chest, shape: Shape, window_hu: tuple[int, int]) -> Float32:
    """HU [z, y, x] of a chest on a grid of its whole field of view; air around the body."""
    edge = chest.picture.shape[0]
    steps = np.array(chest.field_mm) / np.array(shape)
    first_mm = np.array(chest.field_mm[1:]) / 2 + chest.sizes[5:7] * OFFSET_UNIT_MM - np.array(chest.body_mm) / 2
    along_z = (np.arange(shape[0]) + 0.5) / shape[0] * edge - 0.5
    along = [
        ((np.arange(shape[axis]) + 0.5) * steps[axis] - first_mm[axis - 1]) / chest.body_mm[axis - 1] * edge - 0.5
        for axis in (1, 2)
    ]
    # Beyond the middle of the outermost voxels the body's skin fades into air over one voxel.
    padded = np.pad(chest.picture, ((0, 0), (1, 1), (1, 1)))
    places = np.meshgrid(np.clip(along_z, 0, edge - 1), along[0] + 1, along[1] + 1, indexing="ij")
    share = ndimage.map_coordinates(padded, places, order=1, mode="constant", cval=0.0)
    return unwindowed(np.clip(share, 0.0, 1.0).astype(np.float32), window_hu)


@dataclass(frozen=True)
class ChestModel:
    """A Gaussian over pictures, sizes and grey values of chests.

    Attributes:
        mean: of the pictures, (EDGE³,).
        components: (K, EDGE³), orthonormal.
        code_mean: of scores, sizes and roots of both kinds of shares, (K + 7 + H,); the squares of what is drawn have
            the mean of the training shares and are never negative.
        code_factor: (K + 7 + H, N), so that code_factor @ normal numbers has their covariance.
        window_hu: of the shares.
        signatures: (N, 8³) block means of the training pictures, by which copies are known; coarse as they are, they
            show the shape of training chests and must not leave with a model that may leave.
        copy_limit: distance below which a chest counts as a copy of a training chest.
    """

    mean: Float32
    components: Float32
    code_mean: NDArray[np.float64]
    code_factor: NDArray[np.float64]
    window_hu: tuple[int, int]
    signatures: Float32
    copy_limit: float

    @classmethod
    def fit(
        cls, chests: Sequence[Chest], window_hu: tuple[int, int], *, max_components: int = MAX_COMPONENTS
    ) -> ChestModel:
        """Of training chests.

        Raises:
            InputError: fewer than three.
        """
        if len(chests) < MIN_CHESTS:
            raise InputError(f"chests of nobody are drawn from {MIN_CHESTS} volumes and more, not from {len(chests)}")
        pictures = np.stack([chest.picture.ravel() for chest in chests])
        mean = pictures.mean(axis=0)
        _, spread, components = np.linalg.svd(pictures - mean, full_matrices=False)
        kept = min(max_components, int(np.count_nonzero(spread > 1e-6 * max(float(spread[0]), 1e-12))))
        components = components[: max(1, kept)]
        sizes = np.stack([chest.sizes for chest in chests])
        roots = np.sqrt(np.stack([np.concatenate([chest.shares, chest.fine_shares]) for chest in chests]))
        codes = np.hstack([(pictures - mean) @ components.T, sizes, roots]).astype(np.float64)
        factor = (codes - codes.mean(axis=0)).T / np.sqrt(len(chests) - 1)
        signatures = np.stack([signature(chest) for chest in chests])
        return cls(
            mean.astype(np.float32),
            components.astype(np.float32),
            codes.mean(axis=0),
            factor,
            window_hu,
            signatures,
            copy_limit=float(others_nearest(signatures).min()) / 2,
        )

    @property
    def edge(self) -> int:
        """Of the pictures."""
        return round(float(np.cbrt(len(self.mean))))

    def drawn(self, rng: np.random.Generator) -> Chest:
        """A chest of nobody."""
        code = self.code_mean + self.code_factor @ rng.standard_normal(self.code_factor.shape[1])
        return self.chest(code)

    def chest(self, code: NDArray[np.float64]) -> Chest:
        """The chest of scores, sizes and roots of shares."""
        scores, sizes, roots = np.split(code, [len(self.components), len(self.components) + NUM_SIZES])
        picture = np.clip(self.mean + scores.astype(np.float32) @ self.components, 0.0, 1.0)
        own = roots[: self.window_hu[1] - self.window_hu[0] + 1]
        return Chest(
            picture.reshape((self.edge,) * 3).astype(np.float32), sizes, _shares(own), _shares(roots[len(own) :])
        )

    def nearest(self, chest: Chest) -> float:
        """Distance to the nearest training chest: root mean square of the share of the window."""
        return float(distances(signature(chest)[None], self.signatures).min())

    def save(self, path: Path) -> None:
        """Write all of it."""
        save_arrays(
            path,
            {
                "format": FORMAT,
                "mean": self.mean.astype(np.float16),
                "components": self.components.astype(np.float16),
                "code_mean": self.code_mean,
                "code_factor": self.code_factor,
                "window_hu": self.window_hu,
                "signatures": self.signatures,
                "copy_limit": self.copy_limit,
            },
        )

    @classmethod
    def load(cls, path: Path) -> ChestModel:
        """Read what `save` wrote.

        Raises:
            InputError: it is missing or damaged.
        """
        stored = load_arrays(path, "a distribution of chests")
        try:
            if str(stored["format"]) not in (FORMAT, WITHOUT_SHARES):
                raise InputError(f"{path} is of format {stored['format']}; this version reads {FORMAT}")
            low, high = (int(v) for v in stored["window_hu"])
            return cls(
                stored["mean"].astype(np.float32),
                stored["components"].astype(np.float32),
                stored["code_mean"],
                stored["code_factor"],
                (low, high),
                stored["signatures"],
                float(stored["copy_limit"]),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise InputError(f"{path} holds no distribution of chests, or a damaged one ({error})") from error


def _shares(roots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares that sum to 1 of roots that were drawn; none of none."""
    squares = np.maximum(roots, 0.0) ** 2
    total = float(squares.sum())
    return squares / total if total > 0 else NONE


def signature(chest: Chest) -> Float32:
    """(8³,) block means of a picture: its shape without its detail."""
    edge = chest.picture.shape[0]
    blocks = chest.picture.reshape(8, edge // 8, 8, edge // 8, 8, edge // 8)
    means: Float32 = blocks.mean(axis=(1, 3, 5)).ravel().astype(np.float32)
    return means


def distances(some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """(N, M) root mean squares of the differences of vectors."""
    a, b = some.astype(np.float64), others.astype(np.float64)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0) / a.shape[1]))


def others_nearest(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Distance of each vector to the nearest of the others."""
    among = distances(vectors, vectors)
    np.fill_diagonal(among, np.inf)
    return np.asarray(among.min(axis=1))


def _centres(first: float, last: float, number: int) -> NDArray[np.float64]:
    """Where the middles of `number` equal parts of the voxels first … last lie, in voxel indices."""
    return np.asarray(first + (np.arange(number) + 0.5) * (last - first) / number - 0.5)
