"""What an experiment found, as JSON (all of it) and CSV (a file per table); written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.products.plain import without_nan
from ipdsf_spark.monitoring.provenance import Provenance

FORMAT: Final = "ipdsf-experiment/1"
NONE: Final = "–"

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """Rows of one kind: names with units, and values.

    Attributes:
        name: of the table in its experiment.
        title: for people.
        columns: names.
        rows: a value per column.
        is_series: points of a curve, for pictures and programs.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_series: bool = False

    @classmethod
    def of(
        cls, name: str, title: str, rows: Sequence[Any], *, kind: type | None = None, is_series: bool = False
    ) -> Table:
        """From dataclasses of one type; `kind` names it where there may be no row."""
        columns = tuple(each.name for each in dataclasses.fields(kind or type(rows[0])))
        values = tuple(tuple(getattr(row, column) for column in columns) for row in rows)
        return cls(name, title, columns, values, is_series)

    def column(self, name: str) -> list[Any]:
        """The values of one column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def as_rows(self, kind: type[Any]) -> list[Any]:
        """The dataclasses again.

        Raises:
            InputError: the table has other columns.
        """
        names = tuple(each.name for each in dataclasses.fields(kind))
        if names != self.columns:
            raise InputError(f"table {self.name} has the columns {self.columns}, not {names}: measure it with --again")
        values = ((math.nan if cell is None else cell for cell in row) for row in self.rows)
        return [kind(*row) for row in values]


@dataclass(frozen=True)
class Claim:
    """What the presentation says, and what was found here.

    Attributes:
        said: by the presentation.
        found: the figures.
        holds: None where this measurement cannot tell.
    """

    said: str
    found: str
    holds: bool | None


@dataclass(frozen=True)
class Found:
    """What the runs of an experiment gave.

    Attributes:
        tables: what was measured.
        notes: what a reader must know, and what could not be measured with the reason.
    """

    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One experiment.

    Attributes:
        experiment: its name.
        settings: what was asked for.
        provenance: where and how.
        tables: what was measured.
        claims: of the presentation, judged.
        notes: what a reader must know, and what could not be measured with the reason.
        seconds: it took.
    """

    experiment: str
    settings: Mapping[str, Any]
    provenance: Provenance
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def table(self, name: str) -> Table:
        """One of the tables."""
        return next(table for table in self.tables if table.name == name)


def write_result(result: Result, folder: Path) -> Path:
    """`EXPERIMENT.json` and a CSV per table in the folder; returns the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in result.tables:
        with (folder / csv_name(result, table)).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([table.columns, *([_plain(cell) for cell in row] for row in table.rows)])
    path = path_of(result.experiment, folder)
    part = path.with_name(f".{path.name}.part")
    content = {"format": FORMAT, **dataclasses.asdict(result)}
    part.write_text(json.dumps(without_nan(content), indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return path


def path_of(experiment: str, folder: Path) -> Path:
    """Where the result of an experiment lies."""
    return folder / f"{experiment}.json"


def csv_name(result: Result, table: Table) -> str:
    """Name of a table's file."""
    return f"{result.experiment}.csv" if table is result.tables[0] else f"{result.experiment}-{table.name}.csv"


def read_result(path: Path) -> Result:
    """What `write_result` wrote.

    Raises:
        InputError: it is not there, damaged, or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise InputError(f"{path} is of another format than {FORMAT}: measure it with --again")
        tables = tuple(
            Table(**{**each, "columns": tuple(each["columns"]), "rows": tuple(tuple(row) for row in each["rows"])})
            for each in content.pop("tables")
        )
        claims = tuple(Claim(**each) for each in content.pop("claims"))
        provenance = Provenance(**content.pop("provenance"))
        notes = tuple(content.pop("notes"))
        return Result(tables=tables, claims=claims, provenance=provenance, notes=notes, **content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no result of an experiment, or a damaged one ({error})") from error


def shown(cell: Cell) -> str:
    """A value as a person reads it."""
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return NONE
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}" if abs(cell) < 10 else f"{cell:.1f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def readable(result: Result) -> list[Table]:
    """Tables that a person reads."""
    return [table for table in result.tables if table.rows and not table.is_series]


def markdown(result: Result) -> str:
    """Tables and claims for a document."""
    lines = []
    for table in readable(result):
        lines += [f"**{table.title}**", "", _line(table.columns), _line(["---"] * len(table.columns))]
        lines += [*(_line([shown(cell) for cell in row]) for row in table.rows), ""]
    if result.claims:
        lines += [_line(("the presentation says", "found", "holds")), _line(["---"] * 3)]
        lines += [_line((claim.said, claim.found, verdict(claim))) for claim in result.claims]
        lines += [""]
    return "\n".join([*lines, *(f"* {note}" for note in result.notes)])


def verdict(claim: Claim) -> str:
    """In words."""
    return {True: "holds", False: "does not hold", None: "cannot be said here"}[claim.holds]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(cell: Cell) -> Cell:
    return f"{cell:.6g}" if isinstance(cell, float) else cell
