"""An older version of this project ran the job; this one goes on with its checkpoint."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found

OLDER: Final = "older"
COMMIT: Final = "df0ac3a"  # the last one before edges changed their bytes and the whole of a site was compressed
OPERATORS: Final = 'stream.operators=["layers", "air_quality", "edges"]'
REPOSITORY: Final = Path(__file__).resolve().parents[2]


def checkpoint_older(ground: Ground) -> Found:
    """The job of an older commit works and is stopped; the job of this one is started on the same checkpoint."""
    code = checked_out(COMMIT, ground.folder / "older-version")
    former = ground.stream(OPERATORS, network=OLDER, code=code)
    warmed_up(ground, former)
    ground.await_all(ground.send(TURNS), job=former)
    former.stop()
    job = ground.stream(OPERATORS, network=OLDER)
    ground.mark()
    found = ground.recovered(ground.send(TURNS), job=job)
    if found.account.quarantined:  # where an operator began anew there is a letter about it
        raise DrillError(f"{found.account.quarantined} letter(s): the state of the older version was not taken over")
    return found.with_remark(f"from the job of commit {COMMIT} to this one's; the job ran on")


def checked_out(commit: str, folder: Path) -> Path:
    """The files of a commit.

    Raises:
        DrillError: there is no history to take them from.
    """
    told = ["git", "-C", str(REPOSITORY), "archive", commit, "ipdsf_spark", "conf"]
    try:
        done = subprocess.run(told, capture_output=True, check=False)
    except OSError as error:
        raise DrillError(f"an older version is taken from the project's history, which needs git: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[:300]
        raise DrillError(f"an older version is taken from the project's history, which is not here: {said}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
