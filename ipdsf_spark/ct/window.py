"""The HU window on whose scale degradations and qualities are stated: 0 … 1 from air to soft tissue."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HU_WINDOW: Final = (-1000, 400)  # air to soft tissue: the window of the published baselines


def windowed(hu: NDArray[Any], window_hu: tuple[float, float] = HU_WINDOW) -> NDArray[np.float32]:
    """HU clipped to a window and scaled to [0, 1], float32: the space with data range 1."""
    low, high = window_hu
    share: NDArray[np.float32] = (np.clip(hu, low, high).astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return share


def unwindowed(share: NDArray[Any], window_hu: tuple[float, float] = HU_WINDOW) -> NDArray[np.float32]:
    """HU, float32, of shares of a window."""
    low, high = window_hu
    hu: NDArray[np.float32] = share.astype(np.float32) * np.float32(high - low) + np.float32(low)
    return hu
