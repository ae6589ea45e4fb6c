"""Write the reference of docs/ from what the program itself says: verbs, keys, metrics, docstrings.

    python scripts/reference_pages.py FOLDER

commands/VERB.md    from the argument parsers        configuration.md    from conf/base.toml
python/ROOM.rst     one page per room, whose docstrings Sphinx reads        metrics.md     from what is exported

Nothing of it is committed: `make docs` makes it anew, so a verb, a key or a function cannot differ from its page.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipdsf_spark.cli.main import VERBS, parser_for
from ipdsf_spark.monitoring.prometheus import METRICS

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = "ipdsf_spark"
SPLIT: Final = ("lidar",)  # rooms so large that each of their own rooms has a page
# Rooms that a program of somebody else imports; the others are engines around them, which verbs and jobs start.
IMPORTED: Final = frozenset(
    [
        "lidar",
        "forecast",
        "tensor",
        "deep_edges",
        "ct",
        "gan",
        "archive",
        "plots",
        "config",
        "sites",
        "kafka",
        "storage",
    ]
)
KEY: Final = re.compile(r"(?P<name>\w+) = (?P<value>\[[^\]]*\]|\"[^\"]*\"|[^#]*?)\s*(?:# (?P<said>.*))?")


def main() -> int:
    """Write all pages below the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write; pages that are there are replaced")
    write(parser.parse_args().folder)
    return 0


def write(folder: Path) -> None:
    """Write every page that differs from what is there, and remove those that no longer belong."""
    wanted = dict(pages())
    for path in folder.rglob("*.*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def pages() -> Iterator[tuple[str, str]]:
    """Name below the folder, and text, of every page."""
    os.environ["COLUMNS"] = "96"  # to which argparse folds usages
    yield "commands.md", commands_index()
    for verb, (_, said) in VERBS.items():
        yield f"commands/{verb}.md", command_page(verb, said)
    yield "configuration.md", configuration_page((REPOSITORY / "conf" / "base.toml").read_text(encoding="utf-8"))
    yield "metrics.md", metrics_page()
    rooms = list(rooms_of(REPOSITORY / PACKAGE))
    yield "python.md", python_index(rooms)
    for room in rooms:
        yield f"python/{room.name}.rst", room.page()


# -- verbs -----------------------------------------------------------------------------------------------------------


def commands_index() -> str:
    """All verbs with the line that stands in `ipdsf --help`."""
    rows = [f"| [`ipdsf {verb}`](commands/{verb}.md) | {cell(said)} |" for verb, (_, said) in VERBS.items()]
    return "\n".join([
        "# Commands", "",
        "Every verb explains itself: `ipdsf VERB --help`. These pages are made from the same argument parsers. Exit",
        "codes are 0 done, 1 a named error, 2 wrong usage or configuration, 130 interrupted.", "",
        "| command | what it does |", "|---|---|", *rows, "",
        toctree(f"commands/{verb}" for verb in VERBS),
    ])  # fmt: skip


def command_page(verb: str, said: str) -> str:
    """A verb and the verbs below it."""
    parser = parser_for(verb)
    (below,) = [parsers for action in parser._actions if (parsers := choices_of(action))]
    return "\n".join([f"# ipdsf {verb}", "", sentence(said), "", *parser_text(below[verb], level=2)])


def parser_text(parser: argparse.ArgumentParser, *, level: int) -> Iterator[str]:
    """Usage, arguments, examples; then the same of every verb below, one level deeper."""
    below = {name: each for action in parser._actions for name, each in choices_of(action).items()}
    usage = re.sub(r"^usage: ", "", parser.format_usage().strip())
    yield from ("```text", re.sub(r"\n\s+", "\n    ", usage), "```", "")
    for group in parser._action_groups:
        actions = [each for each in group._group_actions if not choices_of(each) and each.dest != "help"]
        if actions:
            title = {"positional arguments": "arguments"}.get(group.title or "", group.title or "options")
            yield from (f"**{cell(title)}**", "")
            for each in actions:
                yield from (argument_of(each), f": {cell(expanded(parser, each)) or '–'}", "")
    if parser.epilog:
        yield from ("```text", parser.epilog.strip(), "```", "")
    for name, verb in below.items():
        yield from (f"{'#' * level} {verb.prog.removeprefix('ipdsf ') or name}", "")
        if verb.description:
            yield from (sentence(verb.description), "")
        yield from parser_text(verb, level=level + 1)


def choices_of(action: argparse.Action) -> dict[str, argparse.ArgumentParser]:
    """Parsers of the verbs that an argument chooses among."""
    return dict(action.choices) if isinstance(action, argparse._SubParsersAction) else {}


def argument_of(action: argparse.Action) -> str:
    """As it is typed: `-o DIR`, `--output DIR`."""
    metavar = action.metavar or action.dest.upper()
    value = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if not action.option_strings:
        return f"`{value}`"
    takes = "" if action.nargs == 0 else f" {value}"
    return ", ".join(f"`{name}{takes}`" for name in action.option_strings)


def expanded(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Its help, with the default filled in."""
    return parser._get_formatter()._expand_help(action) if action.help else ""


# -- keys ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key of the configuration as base.toml says it."""

    section: str
    name: str
    value: str
    said: str


def configuration_page(text: str) -> str:
    """Every key with default and meaning, section by section."""
    keys = list(keys_of(text))
    lines = [
        "# Configuration", "",
        "Every key with its default. `conf/local.toml` and `conf/cluster.toml` hold what differs there; `--config`",
        "takes another file, `--set section.key=value` one key. A key that does not exist is refused, and the nearest",
        "one offered. Secrets are named here, by environment variable or file; they stand in no configuration.", "",
    ]  # fmt: skip
    for section in dict.fromkeys(key.section for key in keys):
        lines += [f"## {section}", ""]
        for key in (each for each in keys if each.section == section):
            lines += [f"`{section}.{key.name}` = `{key.value}`", f": {cell(key.said)}", ""]
    return "\n".join(lines)


def keys_of(text: str) -> Iterator[Key]:
    """The keys in their order. A comment on a line of its own belongs to the key below it.

    Raises:
        ValueError: a key has no comment, or TOML holds others than were found.
    """
    section, above, found = "", "", []
    for line in text.splitlines():
        if header := re.fullmatch(r"\[([\w.]+)\]", line.strip()):
            section, above = header[1], ""
        elif line.startswith("#"):
            above = f"{above} {line.lstrip('# ')}".strip()
        elif match := KEY.fullmatch(line):
            said = f"{above} {match['said'] or ''}".strip()
            found.append(Key(section, match["name"], match["value"], said))
            above = ""
        else:
            above = ""
    stated = [(name, key) for name, table in tomllib.loads(text).items() for key in table]
    if [(key.section, key.name) for key in found] != stated:
        raise ValueError("conf/base.toml holds keys that its page would not")
    if unsaid := [f"{key.section}.{key.name}" for key in found if not key.said]:
        raise ValueError(f"without a comment in conf/base.toml: {', '.join(unsaid)}")
    return iter(found)


def metrics_page() -> str:
    """Every metric that the job or an edge node exports."""
    rows = [f"`{name}` ({kind})\n: {cell(said)}\n" for name, (kind, said) in METRICS.items()]
    return "\n".join([
        "# Metrics", "",
        "What `/metrics` of a job and of an edge node says, in Prometheus' text format; how to read them is told under",
        "[monitoring](../monitoring.md).", "", *rows,
    ])  # fmt: skip


# -- docstrings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """A package whose modules share a page.

    Attributes:
        name: `lidar.layers`, below the package.
        modules: dotted names of all modules with something public, the package itself first.
        said: first sentence of its docstring.
    """

    name: str
    modules: tuple[str, ...]
    said: str

    def page(self) -> str:
        """The page: one section per module."""
        title = f"{PACKAGE}.{self.name}" if self.name != PACKAGE else PACKAGE
        lines = [title, "=" * len(title), ""]
        first, *others = self.modules
        lines += [f".. automodule:: {first}", "   :no-members:", ""]
        for module in others:
            short = module.removeprefix(f"{PACKAGE}.{self.name}.").removeprefix(f"{PACKAGE}.")
            lines += [short, "-" * len(short), "", f".. automodule:: {module}", ""]
        return "\n".join(lines)


def rooms_of(package: Path) -> Iterator[Room]:
    """The rooms that have a page: folders of the package, and what lies beside them."""
    beside = [f"{PACKAGE}.{path.stem}" for path in sorted(package.glob("*.py")) if path.stem != "__init__"]
    yield Room(PACKAGE, (PACKAGE, *beside), sentence_of(package / "__init__.py"))
    for folder in sorted(path.parent for path in package.glob("*/__init__.py")):
        if folder.name not in IMPORTED:
            continue
        if folder.name not in SPLIT:
            yield room_of(folder, package, deep=True)
            continue
        yield room_of(folder, package, deep=False)
        yield from (room_of(path.parent, package, deep=True) for path in sorted(folder.glob("*/__init__.py")))


def room_of(folder: Path, package: Path, *, deep: bool) -> Room:
    """One room, with the modules of the folders below it if it is `deep`."""
    name = ".".join(folder.relative_to(package).parts)
    found = folder.rglob("*.py") if deep else folder.glob("*.py")
    modules = sorted(
        ".".join((PACKAGE, *path.relative_to(package).with_suffix("").parts))
        for path in found
        if path != folder / "__init__.py" and has_public(path)
    )
    modules = [module.removesuffix(".__init__") for module in modules]
    return Room(name, (f"{PACKAGE}.{name}", *modules), sentence_of(folder / "__init__.py"))


def has_public(path: Path) -> bool:
    """Whether a module is public and defines something public."""
    kinds = ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef
    body = ast.parse(path.read_text(encoding="utf-8")).body
    is_private = path.stem.startswith("_") and path.stem != "__init__"
    return not is_private and any(isinstance(each, kinds) and not each.name.startswith("_") for each in body)


def sentence_of(path: Path) -> str:
    """First line of a module's docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def python_index(rooms: list[Room]) -> str:
    """All rooms with what they are for; those that programs of others import with their page."""
    rows = [f"| [`{room.name}`](python/{room.name}.rst) | {cell(room.said)} |" for room in rooms]
    folders = sorted(path.parent for path in (REPOSITORY / PACKAGE).glob("*/__init__.py"))
    others = [f"| `{each.name}` | {cell(sentence_of(each / '__init__.py'))} |" for each in folders
              if each.name not in IMPORTED]  # fmt: skip
    return "\n".join([
        "# Python", "",
        "One page per room of the package, from its docstrings. *Kernels* are numbers in, numbers out, and know no",
        "engine; *adapters* hold no formula. Arrays are numpy, lengths metres, times UTC.", "",
        "| room | what is in it |", "|---|---|", *rows, "",
        "The others are engines around them, which commands and jobs start:", "",
        "| room | what is in it |", "|---|---|", *others, "",
        toctree(f"python/{room.name}" for room in rooms),
    ])  # fmt: skip


# -- text ------------------------------------------------------------------------------------------------------------


def toctree(entries: Iterator[str]) -> str:
    """What the side bar shows below a page."""
    return "\n".join(["```{toctree}", ":hidden:", "", *entries, "```", ""])


def cell(text: str) -> str:
    """Text that a cell of a table can hold."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def sentence(text: str) -> str:
    """With a capital, and a full stop unless it has one."""
    text = cell(text)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", ":")) else ".")


if __name__ == "__main__":
    sys.exit(main())
