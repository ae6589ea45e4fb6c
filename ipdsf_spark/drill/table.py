"""The outcomes of drills as a page for operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ipdsf_spark.drill.outcome import Outcome

HEAD: Final = """# Faults, really done

Written by `make drill` (`ipdsf drill --help`); the record is `{record}`. Each fault was done to sites of its own in a
network of two embedded brokers and the job as a process, while files of a simulated instrument were sent.

* *Lost* is what a consumer finds neither among the products (with all its profiles) nor in quarantine when it reads
  both topics from their beginning after the drill.
* *Repeated as read* is what somebody who reads the newest record of each key sees twice, or a final height that was
  said a second time and differently.
* *Back* is the time from the fault, or from its end where it lasts, to the first height of a file sent after it;
  *caught up* to the moment when everything sent was accounted for.
* *Pages* are the questions to `/metrics` and the status page that were answered while the job's process lived, and
  the longest time without an answer, restarts included.

{when}

"""
BUSY: Final = 2.0  # processes that want a core, on average over a minute: more is not the drill alone
LONGEST_LINE: Final = 260
COLUMNS: Final = (
    "fault", "how it was done", "sent", "lost", "repeated as read", "in quarantine", "back", "caught up", "pages",
    "what the operator was told",
)  # fmt: skip


def markdown(outcomes: Sequence[Outcome], *, record: str, drills: Sequence[str] = ()) -> str:
    """The page.

    Args:
        outcomes: a row each.
        record: name of the file that holds them as JSON.
        drills: names of all that there are; those without an outcome are named below the table.
    """
    rows = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *map(row_of, outcomes)]
    held = sum(each.is_held for each in outcomes)
    summary = f"{held} of {len(outcomes)} drills held: nothing lost, nothing repeated, ended as they should."
    broken = [f"* **{each.name}**: {why(each)}" for each in outcomes if not each.is_held]
    tail = ["", "## What did not hold", "", *broken] if broken else []
    undone = [name for name in drills if name not in {each.name for each in outcomes}]
    if undone:
        tail += ["", "## What this record does not hold", ""]
        tail += [f"`make drill` has these as well; they were not done to their end here: {', '.join(undone)}."]
    return HEAD.format(record=record, when=when(outcomes)) + "\n".join([summary, "", *rows, *tail]) + "\n"


def when(outcomes: Sequence[Outcome]) -> str:
    """Dates, machines and commits, and how to read times."""
    if not outcomes:
        return "Nothing was drilled yet."
    dates = sorted(each.date for each in outcomes)
    loads = sorted({each.machine for each in outcomes})
    commits = ", ".join(sorted({each.commit for each in outcomes if each.commit}))
    bare = sorted({machine.rpartition(", load ")[0] or machine for machine in loads})
    busiest = max((float(machine.rpartition(", load ")[2].split()[0]) for machine in loads if ", load " in machine),
                  default=0.0)  # fmt: skip
    done = f"Done from {dates[0]} to {dates[-1]} on {'; '.join(bare)}; commit {commits}."
    if busiest <= BUSY:
        return done
    return (
        f"{done} Others used the machine at the same time (up to {busiest:.0f} processes wanted each core): times are "
        "upper bounds, and much of each is the start of a process."
    )


def row_of(outcome: Outcome) -> str:
    """One row."""
    found = outcome.found
    if found is None:
        cells = [outcome.fault, outcome.how, *["–"] * 6, pages(outcome), f"**did not end**: {outcome.failure}"]
        return _row(cells)
    account = found.account
    told = [f"`{shortened(line)}`" for line in found.told] or ["nothing"]
    told += [found.remark] if found.remark else []
    told += [f"**{outcome.failure}**"] if outcome.failure else []
    return _row([
        outcome.fault, outcome.how, f"{account.sent} {outcome.unit}", _bad(account.lost), _bad(account.repeated),
        str(account.quarantined), seconds(found.back_s), seconds(found.caught_up_s), pages(outcome), "<br>".join(told),
    ])  # fmt: skip


def shortened(line: str) -> str:
    """A line of a log, as far as a table can hold it; the record holds it whole."""
    words = " ".join(line.split())
    return words if len(words) <= LONGEST_LINE else f"{words[:LONGEST_LINE]} …"


def why(outcome: Outcome) -> str:
    """In what a drill did not hold."""
    if outcome.failure:
        return outcome.failure
    account = outcome.found.account if outcome.found else None
    return f"{account.lost} lost, {account.repeated} repeated of {account.sent}" if account else "no account"


def pages(outcome: Outcome) -> str:
    """Questions answered, and the longest silence."""
    if not outcome.pages_asked:
        return "–"
    return f"{outcome.pages_answered} of {outcome.pages_asked}, silent {outcome.silent_s:.0f} s at most"


def seconds(value: float | None) -> str:
    """A time, or that there is none."""
    return "–" if value is None else f"{value:.0f} s"


def _bad(number: int) -> str:
    return f"**{number}**" if number else "0"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
