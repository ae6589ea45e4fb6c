"""Where queries keep their progress, and what stands there: read from Spark's own logs, without Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ipdsf_spark.config import Config
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.spark.checksums import damaged_below
from ipdsf_spark.spark.fixed import RESTORE, held_parameters
from ipdsf_spark.storage.alone import alone
from ipdsf_spark.storage.location import mounted

LIVE: Final = "live"
LAST_MS: Final = 4_102_444_800_000  # 2100-01-01: a clock beyond it is none, and no batch was planned by it
VERSION: Final = "v1"  # first line of every entry of Spark's logs


def checkpoint_directory(config: Config) -> Path:
    """The folder of all queries; each has one of its own below it.

    Raises:
        ConfigError: `stream.directory` is no folder of this machine.
    """
    return mounted(config.stream.directory, "stream.directory") / "checkpoint"


@contextmanager
def one_job(config: Config, query: str) -> Iterator[None]:
    """Keep a second job from the checkpoint of a query while this one works with it.

    Two would read the same files and publish the same products, each from its own copy of the state, until the one that
    plans a batch second is ended by Spark. The lock lies beside the query's folder, which may be laid aside meanwhile.

    Raises:
        ConfigError: `stream.directory` is no folder of this machine.
        InputError: another job works with it.
    """
    directory = checkpoint_directory(config)
    with alone(directory / "running" / query, f"another job works with the checkpoint in {directory / query}"):
        yield


@dataclass(frozen=True)
class Inspected:
    """What a checkpoint holds.

    Attributes:
        directory: of the live query.
        parameters: what cannot be changed while it is used.
        last_planned, last_committed: batch numbers; -1 before the first. Where they differ, the batch is done again.
        planned_ms: when the last batch was planned [ms since 1970]; 0 before the first.
        offsets: next offset of every partition, as topic-partition, once the last planned batch is committed.
        state_partitions: of the state; 0 before the first.
        settings: Spark settings that the checkpoint fixes.
        problems: what cannot be read.
    """

    directory: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    last_planned: int = -1
    last_committed: int = -1
    planned_ms: int = 0
    offsets: Mapping[str, int] = field(default_factory=dict)
    state_partitions: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def inspected(config: Config) -> Inspected | None:
    """What the checkpoint of the live query holds; None if there is none."""
    home = checkpoint_directory(config)
    live = home / LIVE
    if not live.is_dir():
        return None
    problems: list[str] = []
    planned, committed = _entries(live / "offsets"), _entries(live / "commits")
    plan = _planned(live / "offsets", planned, problems)
    _commit(live / "commits", committed, problems)
    if committed and (not planned or max(committed) > max(planned)):
        problems.append(f"batch {max(committed)} is committed, but {live / 'offsets'} does not know it")
    _identity(live / "metadata", problems)
    state = live / "state" / "0"
    for path, said in damaged_below(live):
        if not any(problem.startswith(f"{path} ") for problem in problems):
            problems.append(f"{path} {said}: {_way_on(live, path, planned, committed)}")
    return Inspected(
        directory=str(live),
        parameters=_parameters(home, problems),
        last_planned=max(planned, default=-1),
        last_committed=max(committed, default=-1),
        planned_ms=plan.planned_ms,
        offsets=plan.offsets,
        state_partitions=sum(path.name.isdecimal() for path in state.iterdir()) if state.is_dir() else 0,
        settings=plan.settings,
        problems=tuple(problems),
    )


def _entries(log: Path) -> list[int]:
    return [int(path.name) for path in log.iterdir() if path.name.isdecimal()] if log.is_dir() else []


def _entry(log: Path, numbers: list[int], problems: list[str]) -> list[str]:
    """Lines of the newest entry, less the version; empty if there is none, or none that can be read."""
    if not numbers:
        return []
    path = log / str(max(numbers))
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    except UnicodeDecodeError:
        first = ""
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
        return []
    if first != VERSION:
        problems.append(
            f"{path} does not begin with {VERSION}: remove {_with_commit(path)} and the newer ones, and the batch is "
            "done again"
        )
        return []
    return lines


def _commit(log: Path, numbers: list[int], problems: list[str]) -> None:
    """The newest commit can be read."""
    for line in _entry(log, numbers, problems):
        try:
            json.loads(line)
        except ValueError as error:
            path = log / str(max(numbers))
            problems.append(f"{path} is damaged ({error}): remove it, and the batch is done again")


def _identity(path: Path, problems: list[str]) -> None:
    """The query has an identity."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(held, dict) or not held.get("id"):
            raise ValueError("no id")
    except FileNotFoundError:
        problems.append(f"{path} is missing: Spark takes this for a new query")
    except (OSError, ValueError) as error:
        problems.append(f"{path} is damaged ({error}): {RESTORE}")


def _way_on(live: Path, path: Path, planned: list[int], committed: list[int]) -> str:
    """What can be done about a damaged file of which nothing else has been said."""
    room, *below = path.relative_to(live).parts
    version = _version(path)
    if room == "sources" and planned:
        return "it is not needed once a batch is planned"
    if below[-2:] == ["_metadata", "metadata"] and planned:
        return "the query goes on without it"
    if room in ("offsets", "commits") and -1 < version < max(planned if room == "offsets" else committed):
        return "it is not needed, a later one is there"
    if room == "offsets":
        return f"remove {_with_commit(path)}, and the batch is planned again"
    if room == "commits":
        return "remove it, and the batch is done again"
    if room == "state" and version > -1 and "_metadata" not in below:
        return _batches_again(live, path, version, planned)
    return RESTORE


def _version(path: Path) -> int:
    """The number with which a file of the state or of a log is named, as `6.changelog` is; -1 for another file."""
    number = path.name.split(".")[0].split("_")[0]
    return int(number) if number.isdecimal() else -1


def _batches_again(live: Path, path: Path, version: int, planned: list[int]) -> str:
    """Batch K reads version K of the state and writes K + 1: what wrote the damaged one, or read it, is done again."""
    if any(_version(each) >= version for each in path.parent.glob("*.zip") if each != path):
        return "it is not needed, a later snapshot is there"
    again = [number for number in sorted(planned) if number >= version - 1]
    if not again:
        return "it is not needed, no batch has been planned with it"
    if version - 2 not in planned:
        return RESTORE  # Spark refuses a first batch where there is a state; and old plans are not kept
    return (
        f"remove {live / 'offsets'}/K and {live / 'commits'}/K with their checksums (.K.crc) for every batch K from "
        f"{again[0]} to {again[-1]}, and these are done again"
    )


def _with_commit(path: Path) -> str:
    """What is to be removed with an entry: a batch that is planned again must not stand there as committed."""
    commit = path.parent.parent / "commits" / path.name
    return f"it and {commit}" if commit != path and commit.exists() else "it"


class _Plan(NamedTuple):
    """What a plan says: when it was made, Spark's settings, and the next offset of every partition."""

    planned_ms: int
    settings: dict[str, str]
    offsets: dict[str, int]


def _planned(log: Path, numbers: list[int], problems: list[str]) -> _Plan:
    """Of the newest batch; an empty one where it cannot be read."""
    lines = _entry(log, numbers, problems)
    if not lines:
        return _Plan(0, {}, {})
    try:
        metadata, *sources = (json.loads(line) for line in lines if line != "-")
        offsets = {
            f"{topic}-{number}": int(offset)
            for source in sources
            for topic, parts in source.items()
            for number, offset in sorted(parts.items(), key=lambda item: int(item[0]))
        }
        planned_ms = int(metadata.get("batchTimestampMs") or 0)
        if not 0 <= planned_ms < LAST_MS:
            raise ValueError(f"planned {planned_ms} ms after 1970")
        settings = {str(name): str(value) for name, value in (metadata.get("conf") or {}).items()}
        return _Plan(planned_ms, settings, offsets)
    except (ValueError, AttributeError, TypeError, OverflowError) as error:
        path = log / str(max(numbers))
        problems.append(f"{path} is damaged ({error}): remove {_with_commit(path)}, and the batch is planned again")
        return _Plan(0, {}, {})


def _parameters(home: Path, problems: list[str]) -> dict[str, str]:
    try:
        return held_parameters(home)
    except ConfigError as error:
        problems.append(str(error))
        return {}
