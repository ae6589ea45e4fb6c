"""What every runner of a peer does: its method over files, one JSON beside each, an error as what it is."""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

# name of a method -> times (datetime64) and heights [m], NaN where none
Found = Mapping[str, tuple[np.ndarray, np.ndarray]]


def run(method: Callable[[Path], Found]) -> None:
    """Every file of the command line; processor time with reading, without imports."""
    out, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    for path in files:
        start = time.process_time()
        try:
            heights = {name: _plain(*each) for name, each in method(path).items()}
            told = {"cpu_s": time.process_time() - start, "heights": heights}
        except Exception as error:  # whatever a stranger's code raises is what it had to say
            at = traceback.extract_tb(error.__traceback__)[-1]
            told = {"error": f"{type(error).__name__}: {error} ({Path(at.filename).name}, {at.name})"}
        (out / f"{path.stem}.json").write_text(json.dumps(told), encoding="utf-8")


def _plain(at: np.ndarray, height_m: np.ndarray) -> dict[str, list[float | None]]:
    seconds = np.asarray(at, "datetime64[us]").astype(np.int64) / 1e6
    heights = [float(value) if np.isfinite(value) else None for value in np.asarray(height_m, float)]
    return {"time_s": seconds.tolist(), "height_m": heights}
