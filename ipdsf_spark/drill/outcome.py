"""What a drill found, as one line of the record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError

MOST_LINES: Final = 3  # of what an operator was told, in the table


@dataclass(frozen=True)
class Account:
    """What was sent, and what of it is read at the end.

    Attributes:
        sent: files (or records, cubes, steps: `unit` of the drill says what).
        lost: of these, neither among the products nor in quarantine, or not with all their profiles.
        repeated: told twice to whoever reads the newest record of each key, or differently the second time.
        quarantined: of these, kept in quarantine with a reason.
    """

    sent: int = 0
    lost: int = 0
    repeated: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class Found:
    """What a drill says at its end.

    Attributes:
        account: what was sent, lost, repeated.
        back_s: from the fault (or its end, where it lasts) to the first product of a file sent after it [s].
        caught_up_s: ... until everything sent so far was accounted for [s].
        told: what the operator was told, the actual lines.
        remark: what else is to be known.
    """

    account: Account
    back_s: float | None = None
    caught_up_s: float | None = None
    told: tuple[str, ...] = ()
    remark: str = ""

    def with_told(self, *lines: str) -> Found:
        """The same, with these lines before its own; each once."""
        return replace(self, told=tuple(dict.fromkeys((*lines, *self.told)))[:MOST_LINES])

    def with_remark(self, remark: str) -> Found:
        """The same, with this remark."""
        return replace(self, remark=remark)


@dataclass(frozen=True)
class Outcome:
    """One row of the table.

    Attributes:
        name: of the drill.
        fault, how: what was done, and by what means.
        unit: what is counted.
        found: what came of it; None if the drill did not end.
        failure: why it did not end as it should; empty if it did.
        pages_asked, pages_answered: questions to status page and metrics while the job's process lived.
        silent_s: the longest time in which neither answered, a killed process included [s].
        seconds: that the drill took.
        date, machine, commit: when and where.
    """

    name: str
    fault: str
    how: str
    unit: str
    found: Found | None
    failure: str
    pages_asked: int
    pages_answered: int
    silent_s: float
    seconds: float
    date: str
    machine: str
    commit: str

    @property
    def is_held(self) -> bool:
        """Whether nothing was lost, nothing repeated, and the drill ended."""
        return (
            not self.failure and self.found is not None and not (self.found.account.lost or self.found.account.repeated)
        )

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return asdict(self)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Outcome:
        """From the record.

        Raises:
            InputError: it is no outcome of a drill.
        """
        try:
            found = said["found"]
            read = None
            if found is not None:
                read = Found(**{**found, "account": Account(**found["account"]), "told": tuple(found["told"])})
            return cls(**{**{each.name: said[each.name] for each in fields(cls)}, "found": read})
        except (KeyError, TypeError) as error:
            raise InputError(f"this is no outcome of a drill: {json.dumps(said)[:200]} ({error})") from error


def merged(before: Iterable[Outcome], now: Iterable[Outcome], order: Sequence[str]) -> list[Outcome]:
    """The newest outcome of every drill, in the order of the drills."""
    newest = {each.name: each for each in (*before, *now)}
    return sorted(newest.values(), key=lambda each: order.index(each.name) if each.name in order else len(order))


def read_record(path: Path) -> list[Outcome]:
    """The outcomes of a record; none if there is no such file.

    Raises:
        InputError: it is no record of drills.
    """
    if not path.exists():
        return []
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return [Outcome.from_json(each) for each in said]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no record of drills: {error}") from error


def write_record(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the record anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(each.as_json(), ensure_ascii=False) for each in outcomes)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
