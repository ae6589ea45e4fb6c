"""A curtain as bare pixels, one a cell: for a page that draws axes, heights and words itself."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib import colormaps

from ipdsf_spark.lidar.profiles import Time
from ipdsf_spark.plots import style
from ipdsf_spark.plots.curtain import DECADES, brightest, log10_of
from ipdsf_spark.plots.raster import Raster

COLOURS: Final = 255  # and one for no value


@dataclass(frozen=True, eq=False)
class BareCurtain:
    """Pixels and what they stand for.

    Attributes:
        png: the picture, later times to the right, higher cells above.
        time_edges: (2,) of the picture.
        height_edges_m: of the picture, above the instrument.
        log10_range: of the backscatter that the colours span.
        is_absolute: it is in m-1 sr-1.
    """

    png: bytes
    time_edges: Time
    height_edges_m: tuple[float, float]
    log10_range: tuple[float, float]
    is_absolute: bool


def bare_curtain(cells: Raster) -> BareCurtain:
    """The pixels of a raster, in the colours of every curtain; transparent where nothing was measured."""
    log10 = log10_of(cells)
    high = brightest(log10, cells.height_edges_m, is_absolute=cells.is_absolute)
    share = np.clip((log10 - (high - DECADES)) / DECADES, 0.0, 1.0)
    pixels = np.where(np.isnan(share), 0.0, 1.0 + np.round(np.nan_to_num(share) * (COLOURS - 1))).astype(np.uint8)
    return BareCurtain(
        png=_png(pixels[::-1]),
        time_edges=cells.time_edges[[0, -1]],
        height_edges_m=(float(cells.height_edges_m[0]), float(cells.height_edges_m[-1])),
        log10_range=(high - DECADES, high),
        is_absolute=cells.is_absolute,
    )


def _png(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    """(R, C) indices of colours as PNG with a palette (ISO/IEC 15948), whose first colour is transparent."""
    height, width = pixels.shape
    colours = np.round(colormaps[style.BACKSCATTER_MAP](np.linspace(0.0, 1.0, COLOURS))[:, :3] * 255).astype(np.uint8)
    lines = np.hstack([np.zeros((height, 1), np.uint8), pixels])  # no filter
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))
        for name, held in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", b"\0\0\0" + colours.tobytes()),
            (b"tRNS", b"\0"),
            (b"IDAT", zlib.compress(lines.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
