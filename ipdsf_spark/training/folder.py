"""The folder of a model: what in it a training wrote, so that nothing else is ever replaced or removed.

    checkpoint.pt, model.pt, model.json     `gan.checkpoint`
    history.csv, validation.csv, tensorboard/events.out.tfevents…     `history`

A folder belongs to a training if it holds one of these with our own mark in it.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import CHECKPOINT_FILE, FACTS_FILE, MODEL_FILE, is_marked, json_is_marked
from ipdsf_spark.storage.lock import is_lock
from ipdsf_spark.training.history import BOARD_FOLDER, HISTORY_FILE, VALIDATION_FILE, Step, Validation

EVENTS: Final = "events.out.tfevents."
TABLES: Final = {HISTORY_FILE: Step, VALIDATION_FILE: Validation}
STOP_FILE: Final = ".ipdsf-stop"  # asks the workers of a training to end after a checkpoint
PARTS: Final = frozenset(f".{name}.part" for name in (CHECKPOINT_FILE, MODEL_FILE, FACTS_FILE, *TABLES))


def require_own(folder: Path, *, anew: bool = False) -> None:
    """Refuse a folder that a training must not write to.

    Args:
        folder: of the model; need not be there.
        anew: whether what is in it will be removed: then nothing else may be there.

    Raises:
        InputError: it is a file, holds something but no training, or, where it is to be made anew, holds more.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a model needs a folder")
    own, foreign = _sorted_out(folder)
    if not own and foreign:
        raise InputError(
            f"{folder} holds {_listed(foreign)} and no training of this project: nothing was touched; "
            "name a new folder, or that of a model"
        )
    if anew and foreign:
        raise InputError(
            f"{folder} holds {_listed(foreign)} beside a training: nothing was removed; "
            "move what is not of the training, or name another folder"
        )


def remove_training(folder: Path) -> None:
    """Remove what a training wrote, and nothing else.

    Raises:
        InputError: something else is there, or it cannot be removed.
    """
    require_own(folder, anew=True)
    try:
        for path in _sorted_out(folder)[0]:
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink(missing_ok=True)
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove the earlier training in {folder}: {error.strerror or error}") from error


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    """What a training wrote, and everything else; without a sure mark of a training all of it is something else."""
    if not folder.is_dir():
        return [], []
    own: list[Path] = []
    foreign: list[Path] = []
    is_sure = False
    for path in sorted(folder.iterdir()):
        if is_lock(path.name) or path.name == STOP_FILE:
            continue
        mark = _is_of_training(path)
        (foreign if mark is False else own).append(path)
        is_sure |= mark is True
    # A training that was killed while it began leaves an empty table.
    is_sure |= all(path.name in PARTS or (path.name in TABLES and not path.stat().st_size) for path in own)
    return (own, foreign) if is_sure else ([], own + foreign)


def _is_of_training(path: Path) -> bool | None:
    """True with our mark in it, None if only its name says so, False otherwise."""
    if path.is_symlink():
        return False
    if path.name == BOARD_FOLDER and path.is_dir():
        is_plain = all(p.name.startswith(EVENTS) and p.is_file() and not p.is_symlink() for p in path.iterdir())
        return None if is_plain else False
    if not path.is_file():
        return False
    if path.name in (CHECKPOINT_FILE, MODEL_FILE):
        return is_marked(path)
    if path.name == FACTS_FILE:
        return json_is_marked(path)
    if path.name in TABLES:
        return _has_header(path, TABLES[path.name])
    return None if path.name in PARTS else False


def _has_header(path: Path, row: type[Step] | type[Validation]) -> bool | None:
    """Whether a table is ours, by its first columns; None for an empty one."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = file.readline(2_000).strip()
    except OSError:
        return False
    first = ",".join(f.name for f in dataclasses.fields(row)[:3])
    return header.startswith(first) if header else None


def _listed(paths: list[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
