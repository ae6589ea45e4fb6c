"""What makes a volume the same volume: its voxels, whatever file, folder or format they come in.

A name says nothing: two patients' series lie in folders of one name, and one series in two formats. So a volume is
known by a hash of its voxels, and a part or a longer piece of it by hashes of its axial slices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NAME_DIGITS: Final = 10
NUM_MARKS: Final = 64  # so many slices, chosen by their hash, are remembered of a volume


def whole_hu(hu: NDArray[Any]) -> NDArray[np.int16]:
    """HU rounded to whole numbers and held within int16: the form in which they are packed and compared."""
    if hu.dtype == np.int16:
        return np.asarray(hu, np.int16)
    limits = np.iinfo(np.int16)
    whole: NDArray[np.int16] = np.rint(np.clip(hu, limits.min, limits.max)).astype(np.int16)
    return whole


def content_of(hu: NDArray[Any]) -> str:
    """Hash of the voxels hu[z, y, x] and of their number along each axis."""
    whole = np.ascontiguousarray(whole_hu(hu), "<i2")
    digest = hashlib.blake2b(repr(whole.shape).encode(), digest_size=16)
    digest.update(whole.data)
    return digest.hexdigest()


def made_name(content: str) -> str:
    """The name of a volume for which none was given: by its content, so that it says nothing and is always the same."""
    return f"ct-{content[:NAME_DIGITS]}"


def slice_marks(hu: NDArray[Any], num_marks: int = 0) -> tuple[str, ...]:
    """Hashes of the axial slices that show more than one value, in rising order.

    Args:
        hu: [z, y, x].
        num_marks: keep only so many of the lowest; 0 = all. Hashes fall anywhere, so that these are a random choice of
            slices, and the same one for every volume that holds them (bottom-k sketch, Cohen & Kaplan 2007).
    """
    whole = np.ascontiguousarray(whole_hu(hu), "<i2")
    marks = {hashlib.blake2b(s.data, digest_size=8).hexdigest() for s in whole if s.size and s.min() != s.max()}
    return tuple(sorted(marks)[: num_marks or None])


def share_of_marks(known: Iterable[str], found: Iterable[str]) -> float:
    """Which share of the remembered slices of a volume is among those of another."""
    remembered, among = set(known), set(found)
    return len(remembered & among) / len(remembered) if remembered else 0.0
