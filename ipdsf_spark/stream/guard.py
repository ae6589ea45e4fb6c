"""The operators of many sites, each in a guard of its own.

An exception costs its operator the state of that site, and nobody else notices: what an operator does for many sites at
once it does again for one after the other when it has raised. One that does not end is ended, and costs the same; where
it had to be ended for several sites of a batch it gets no more time in this one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ipdsf_spark.lidar.operators import Case, News, Operator, Result, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.limits import TooLongError, at_most
from ipdsf_spark.stream.values import iso, plain

logger = logging.getLogger(__name__)

MOST_ENDED = 3  # sites of a batch for which an operator is waited for to the end of its time
MOST_BYTES = 1_000_000  # of an operator's state at a site
LONGEST_S = 30.0


@dataclass
class Turn:
    """One site's turn with all operators.

    Attributes:
        site: where it is and how it is set up.
        news: what came.
        held: operators' states by name, with their versions.
        rows: what the operators made, by name.
        kept: their new states; one that raised has none.
        flags: what is to be told of the site.
        faults: operators that raised, and what.
    """

    site: Site
    news: News
    held: Mapping[str, tuple[int, bytes]]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    kept: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    faults: list[tuple[Operator, BaseException]] = field(default_factory=list)

    def follow(self, former: Turn) -> None:
        """Begin with what another turn of the same site left: its states, and what is to be told."""
        self.held = former.kept
        self.flags += former.flags
        self.faults += former.faults


def run_operators(operators: Sequence[Operator], turns: Sequence[Turn], *, longest_s: float = LONGEST_S) -> None:
    """Every operator of every site; what they make is written into the turns.

    Args:
        operators: in their order.
        turns: one for every site.
        longest_s: what an operator may take for one site, and for all of them at once [s]; 0 = as long as it likes.
    """
    for operator in operators:
        num_ended = 0
        cases: list[tuple[Turn, Case]] = []
        for turn in turns:
            try:
                cases.append((turn, _case_of(operator, turn)))
            except Exception as error:
                _fault(operator, turn, error)
        results = _together(operator, [case for _, case in cases], longest_s)
        for at, (turn, case) in enumerate(cases):
            try:
                if num_ended >= MOST_ENDED:
                    raise TooLongError(f"it was ended for {num_ended} sites of this batch and not begun for this one")
                with at_most(longest_s, f"{operator.name} of site {turn.site.id}"):
                    found, new = operator.step(*case) if results is None else results[at]
                    checked = [_checked(row) for row in found]
                turn.kept[operator.name] = (operator.version, _bounded(bytes(new)))
                turn.rows[operator.name] = checked
            except TooLongError as error:
                num_ended += 1
                _fault(operator, turn, error)
            except Exception as error:
                _fault(operator, turn, error)


def _bounded(state: bytes) -> bytes:
    """An operator's state, which goes to Python and back with every file of its site.

    Raises:
        ValueError: it has more bytes than any site can be given.
    """
    if len(state) > MOST_BYTES:
        raise ValueError(f"its state has {len(state)} bytes, at most {MOST_BYTES} are kept")
    return state


def _case_of(operator: Operator, turn: Turn) -> Case:
    version, raw = turn.held.get(operator.name, (operator.version, b""))
    if version != operator.version:
        turn.flags.append(f"{operator.name}_state_of_another_version")
        raw = operator.migrate(version, raw) if operator.migrate else b""
    if not operator.after:
        return turn.site, turn.news, raw
    before = {name: tuple(turn.rows[name]) for name in operator.after if name in turn.rows}
    return turn.site, replace(turn.news, rows=before), raw


def _together(operator: Operator, cases: Sequence[Case], longest_s: float) -> Sequence[Result] | None:
    """Results of all sites, or None if they are to be taken one by one."""
    if operator.step_many is None or len(cases) < 2:
        return None
    try:
        with at_most(longest_s, operator.name):
            results = operator.step_many(cases)
        if len(results) == len(cases):
            return results
        logger.warning("operator %s gave %d results for %d sites", operator.name, len(results), len(cases))
    except (Exception, TooLongError) as error:
        logger.warning("operator %s, %d sites at once: %s: %s", operator.name, len(cases), type(error).__name__, error)
    return None


def _fault(operator: Operator, turn: Turn, error: BaseException) -> None:
    turn.flags.append(f"{operator.name}_began_anew")
    turn.faults.append((operator, error))


def _checked(row: Row) -> Row:
    """The row, if it is one.

    Raises:
        TypeError: it is none, or has values that no record can hold.
        ValueError: its time is outside the years that records can name.
    """
    kind, time_us, values = row
    if not isinstance(kind, str) or not isinstance(values, Mapping):
        raise TypeError(f"a row is a kind, a time and a mapping of values, got {row!r:.200}")
    iso(int(time_us))
    json.dumps(values, default=plain)
    return Row(kind, int(time_us), values)
