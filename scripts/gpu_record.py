"""What a check on a GPU found: one JSON that is written anew after each part, and pictures."""

from __future__ import annotations

import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import checkout  # noqa: F401  first: it makes the package importable
import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.ct.window import HU_WINDOW, windowed

Float32 = NDArray[np.float32]


class Record:
    """Facts in a file.

    Args:
        path: of the JSON; its folder is made.
        total_s: after which everything is to have ended.
    """

    def __init__(self, path: Path, total_s: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._total_s, self._begin = path, total_s, time.monotonic()
        self.found: dict[str, Any] = {}

    @property
    def left_s(self) -> float:
        """Until the end."""
        return self._total_s - (time.monotonic() - self._begin)

    def keep(self, **facts: Any) -> None:
        """Write what is known by now."""
        self.found.update(facts, seconds=round(time.monotonic() - self._begin, 1))
        part = self.path.with_name(f".{self.path.name}.part")
        part.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        part.replace(self.path)
        print(f"[{self.found['seconds']:6.1f} s] {', '.join(facts)}", flush=True)


def picture(path: Path, columns: list[list[Float32]]) -> None:
    """Slices (shares of the window) as a grey PNG: columns from left to right, each from top to bottom."""
    height = max(sum(len(p) for p in column) for column in columns)
    strips = []
    for column in columns:
        width = max(p.shape[1] for p in column)
        strip = np.zeros((height, width), np.float32)
        row = 0
        for plane in column:
            strip[row : row + len(plane), : plane.shape[1]] = plane
            row += len(plane)
        strips.append(strip)
    grey = np.rint(255 * np.clip(np.hstack(strips), 0, 1)).astype(np.uint8)
    rows = np.hstack([np.zeros((len(grey), 1), np.uint8), grey]).tobytes()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def middles(hu: NDArray[Any]) -> list[Float32]:
    """The middle axial and coronal slice, head up."""
    share = windowed(hu, HU_WINDOW)
    return [share[len(share) // 2], share[::-1, share.shape[1] // 2]]
