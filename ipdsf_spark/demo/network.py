"""What the demonstration sends beside good files: a few that are broken, as every network has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

NOT_A_MESSAGE = b"-Ceilometer Logfile\r\n-power failure, restarting\r\n" + bytes(range(256)) * 4


def add_broken_files(root: Path, *, rng: np.random.Generator, num: int = 3) -> int:
    """Put broken files among the simulated ones, and return how many.

    Each site of the first few gets one: a copy of a real file with damaged bytes, one cut in the middle, one of noise.
    """
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name != "truth")
    written = 0
    for number, folder in enumerate(folders[:num]):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if len(files) < 3:
            continue
        model = files[len(files) // 2]
        raw = bytearray(model.read_bytes())
        if number % 3 == 0:
            for position in rng.integers(200, len(raw), 3):
                raw[position] ^= 0x15
        elif number % 3 == 1:
            raw = raw[: 2 * len(raw) // 3]
        else:
            raw = bytearray(NOT_A_MESSAGE)
        model.with_name(f"{model.stem}_damaged{model.suffix}").write_bytes(bytes(raw))
        written += 1
    return written
