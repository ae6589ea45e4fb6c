"""Arrays by name in one file: written whole or not at all, and read with any damage named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ipdsf_spark.errors import InputError, said_of_arrays


def save_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays, compressed, over what was there before.

    Raises:
        InputError: they cannot be written; what was there before is untouched.
    """
    part = path.with_name(f".{path.name}.part.npz")
    try:
        named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez_compressed(part, **named)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; what was there before is untouched"
        ) from error


def load_arrays(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """What `save_arrays` wrote.

    Args:
        path: of the file.
        what: it should hold, for the message.

    Raises:
        InputError: it is missing, damaged, or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; it should hold {what}") from error
    except Exception as error:  # unpacking raises whatever foreign bytes lead to
        told = said_of_arrays(error)
        raise InputError(f"{path} should hold {what} and is something else, or damaged ({told})") from error
