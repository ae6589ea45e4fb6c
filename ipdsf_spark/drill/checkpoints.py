"""Faults of the checkpoint: each of its files cut in the middle, as after a power cut on a disk that lies."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ipdsf_spark.drill.deadline import DrillError
from ipdsf_spark.drill.ground import TOLD, Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.drill.verbs import Verb

DAMAGED: Final = "damaged"
REMOVABLE: Final = re.compile(r"\S+/(?:offsets|commits)/\d+")
BATCHES: Final = re.compile(r"remove (\S+)/K and (\S+)/K .* from (\d+) to (\d+),")
REMOVED: Final = "it went on once the files that `ipdsf checkpoint inspect` names were removed"
ANEW: Final = "it went on with a new checkpoint, from the beginning of the topic, the former put aside"
NOTICES_S: Final = 600.0


def newest(folder: Path, pattern: str = "*") -> Path:
    """The file with the highest number in its name.

    Raises:
        DrillError: there is none.
    """
    found = [path for path in folder.glob(pattern) if path.is_file() and path.name.partition(".")[0].isdecimal()]
    if not found:
        raise DrillError(f"no file {pattern} in {folder.name} to damage")
    return max(found, key=lambda path: int(path.name.partition(".")[0]))


# Below the folder of the checkpoint, by the name that the drill has.
FILES: Final[dict[str, Callable[[Path], Path]]] = {
    "parameters": lambda home: home / "parameters.txt",
    "metadata": lambda home: home / "live" / "metadata",
    "offsets": lambda home: newest(home / "live" / "offsets"),
    "commits": lambda home: newest(home / "live" / "commits"),
    "source": lambda home: newest(home / "live" / "sources" / "0"),
    "state": lambda home: newest(home / "live" / "state" / "0" / "0"),
    "state-schema": lambda home: home / "live" / "state" / "0" / "0" / "_metadata" / "schema",
    "state-metadata": lambda home: home / "live" / "state" / "0" / "_metadata" / "metadata",
}


def damaged(kind: str) -> Callable[[Ground], Found]:
    """The drill that cuts a file of that kind."""
    return lambda ground: _damaged(ground, kind)


def _damaged(ground: Ground, kind: str) -> Found:
    job = ground.stream(network=DAMAGED)
    warmed_up(ground, job)
    job.stop()
    path = FILES[kind](ground.checkpoint_disk)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)
    job.forget()
    job.start()
    ground.mark()
    after = ground.send(TURNS)
    done = "the job went on by itself"
    told: list[str] = []
    while ended(ground, job) and done != ANEW:
        told += [*job.said(TOLD)[-1:], *inspected(ground)]
        if done != REMOVED and removed(told):
            done = REMOVED
        else:
            begin_anew(ground, kind)
            done = ANEW
        job.start()
    ground.await_back(job)
    ground.await_all(after, job=job)
    found = ground.recovered(ground.send(1), job=job)  # and it goes on after that
    cut = f"{path.relative_to(ground.checkpoint_disk)} cut from {size} to {size // 2} bytes; {done}"
    return found.with_told(*told).with_remark(cut)


def ended(ground: Ground, job: Verb) -> bool:
    """Whether a job ends before everything that was sent is accounted for."""

    def is_decided() -> bool:
        account = ground.account()
        return not job.is_running or not account.lost

    ground.deadline.until(is_decided, "the job to go on or to end", within_s=NOTICES_S)
    return not job.is_running


def inspected(ground: Ground) -> list[str]:
    """What `ipdsf checkpoint inspect` says is wrong."""
    return [line for line in ground.answer_of("checkpoint", "inspect") if line.startswith("PROBLEM")]


def removed(told: list[str]) -> bool:
    """Remove every file that a line says to remove, with its checksum; False if no line says so."""
    names = [name for line in told if ": remove " in line for name in REMOVABLE.findall(line)]
    for line in told:
        for offsets, commits, first, last in BATCHES.findall(line):
            names += [f"{log}/{number}" for log in (offsets, commits) for number in range(int(first), int(last) + 1)]
    for path in map(Path, names):
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    return bool(names)


def begin_anew(ground: Ground, kind: str) -> None:
    """Put the checkpoint aside."""
    home = ground.checkpoint_disk
    aside = home / f"before-{kind}"
    aside.mkdir()
    for name in ("live", "parameters.txt"):
        if (home / name).exists():
            (home / name).rename(aside / name)
