"""One page of all experiments that were measured: tables, pictures, the presentation's claims and their verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from ipdsf_spark.errors import InputError
from ipdsf_spark.experiments.pictures import Picture
from ipdsf_spark.experiments.result import Result, csv_name, markdown, readable, shown, verdict

TEMPLATE: Final = "page.html"
MARKDOWN: Final = "experiments.md"
BEGIN: Final = "<!-- experiments: begin -->"
END: Final = "<!-- experiments: end -->"


def write_page(
    results: Sequence[Result], pictures: Mapping[str, Sequence[Picture]], titles: Mapping[str, str], out: Path
) -> Path:
    """Render `out`/index.html, and the same as `out`/experiments.md; returns the page."""
    loaders = [PackageLoader("ipdsf_spark.experiments", ""), PackageLoader("ipdsf_spark.monitoring", "pages")]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=select_autoescape(), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["shown"] = shown
    environment.filters["words"] = lambda name: str(name).replace("_", " ")
    environment.filters["verdict"] = verdict
    claims = [claim for result in results for claim in result.claims]
    page = environment.get_template(TEMPLATE).render(
        results=results,
        pictures=pictures,
        titles=titles,
        csv_name=csv_name,
        readable=readable,
        num_holding=sum(claim.holds is True for claim in claims),
        num_failing=sum(claim.holds is False for claim in claims),
        num_open=sum(claim.holds is None for claim in claims),
    )
    path = out / "index.html"
    path.write_text(page, encoding="utf-8")
    parts = [f"## {titles[result.experiment]}\n\n{_measured(result)}\n\n{markdown(result)}" for result in results]
    (out / MARKDOWN).write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def write_into(document: Path, out: Path) -> None:
    """Put what was found between the marks of a document.

    Args:
        document: a text with `BEGIN` and `END` on lines of their own; replaced as a whole.
        out: folder with the Markdown that `write_page` wrote.

    Raises:
        InputError: the document is not there, or has no marks.
    """
    found = (out / MARKDOWN).read_text(encoding="utf-8").replace("## ", "### ")
    write_between(document, BEGIN, END, found)


def write_between(document: Path, begin_mark: str, end_mark: str, found: str) -> None:
    """Put a text between two marks of a document.

    Args:
        document: replaced as a whole.
        begin_mark: a line of its own.
        end_mark: likewise, below it.
        found: what stands between them afterwards.

    Raises:
        InputError: the document is not there, or has no marks.
    """
    try:
        text = document.read_text(encoding="utf-8")
        before, begin, rest = text.partition(begin_mark)
        _, end, after = rest.partition(end_mark)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot write into {document}: {error}") from error
    if not begin or not end:
        raise InputError(f"{document} needs the lines {begin_mark} and {end_mark}, between which the tables go")
    part = document.with_name(f".{document.name}.part")
    part.write_text(f"{before}{begin_mark}\n{found}{end_mark}{after}", encoding="utf-8")
    part.replace(document)


def _measured(result: Result) -> str:
    at = result.provenance
    return f"`{at.command}`, {at.date}, {at.machine}, load {at.load:.1f} before, commit {at.commit}"
