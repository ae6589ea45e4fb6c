"""The folder of a model that makes chests of nobody: what in it its training wrote, so that nothing else is replaced.

    chests.npz  guard.npz     the distribution and the guard against copies: of the training volumes of both stages
    mid/  fine/               the stages, each the folder of a training (`folder`)
    synthesis.json            what a whole training came to
    .mid-cubes/               training data, while a stage learns from it

A folder belongs to such a training if it holds one of these with our own mark in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.chests import CHESTS_FILE, STAGES, ChestModel
from ipdsf_spark.ct.cube_set import is_file_of_set
from ipdsf_spark.ct.likeness import GUARD_FILE, CubeGuard
from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import is_lock, locked
from ipdsf_spark.training.folder import require_own

FORMAT: Final = "ipdsf-synthesis/1"
FACTS_FILE: Final = "synthesis.json"
MID_CUBES: Final = ".mid-cubes"
PARTS: Final = tuple(f".{name}.part.npz" for name in (CHESTS_FILE, GUARD_FILE))


@contextmanager
def claimed_for_synthesis(folder: Path, *, anew: bool = False) -> Iterator[None]:
    """Hold the folder of a model against other trainings, from before anything in it is written.

    Args:
        folder: of the model; need not be there.
        anew: whether what is in its stages will be replaced.

    Raises:
        InputError: another training writes to it, or it holds what no such training wrote.
    """
    require_own_synthesis(folder, anew=anew)
    with locked(location_of(str(folder)), "training chests of nobody"):
        require_own_synthesis(folder, anew=anew)
        yield


def require_own_synthesis(folder: Path, *, anew: bool = False) -> None:
    """Refuse a folder that a training of chests must not write to.

    Args:
        folder: of the model; need not be there.
        anew: whether what is in its stages will be replaced.

    Raises:
        InputError: it is a file, or holds something that would be replaced, or nothing of such a training.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a model needs a folder")
    if not folder.is_dir():
        return
    marks = {path: _is_of_training(path, anew=anew) for path in sorted(folder.iterdir()) if not is_lock(path.name)}
    names = {CHESTS_FILE, GUARD_FILE, FACTS_FILE, MID_CUBES, *PARTS}
    is_sure = True in marks.values()
    foreign = [p.name for p, mark in marks.items() if mark is False or (mark is None and p.is_file() and not is_sure)]
    wrong = [name for name in foreign if name in names] if is_sure else foreign
    if wrong:
        raise InputError(
            f"{folder} holds {', '.join(wrong[:3])}, which `ipdsf ct train-synthesis` did not write: nothing was "
            "touched; name a new folder"
        )


def _is_of_training(path: Path, *, anew: bool) -> bool | None:
    """True with our mark in it, None if only its name says so, False otherwise.

    Raises:
        InputError: it is the folder of a stage and holds what no training wrote.
    """
    if path.is_symlink():
        return False
    if path.name in STAGES and path.is_dir():
        require_own(path, anew=anew)
        return True if any(not is_lock(inner.name) for inner in path.iterdir()) else None
    if path.name == MID_CUBES and path.is_dir():
        return all(is_file_of_set(inner.name) and inner.is_file() for inner in path.iterdir())
    if not path.is_file():
        return False
    if path.name == FACTS_FILE:
        return _facts_are_marked(path)
    if path.name in (CHESTS_FILE, GUARD_FILE):
        try:
            (ChestModel if path.name == CHESTS_FILE else CubeGuard).load(path)
        except InputError:  # cut off, or of somebody else: what else is there decides
            return None
        return True
    return None if path.name in PARTS else False


def _facts_are_marked(path: Path) -> bool:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == FORMAT
