"""The pages of docs/: every command can be typed, every link leads somewhere, every page is on the site."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import VERBS, parser_for
from ipdsf_spark.errors import ConfigError
from tests.commands import Command, commands_in, commands_of, require

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
MADE = DOCS / "reference"  # by `make docs`, from the program itself
PAGES = sorted(path for path in DOCS.rglob("*.md") if MADE not in path.parents)
NAMES = [path.relative_to(DOCS).as_posix() for path in PAGES]
IN_TEXT = re.compile(r"`(?:\.venv/bin/)?ipdsf ([a-z]+)((?: [^`\n]*)?)`")
OF_CHECKOUT = re.compile(
    r"(?<![\w./-])(?:conf|deploy|docs|ipdsf_spark|jobs|notebooks|requirements|scripts|tests)/[\w./*@-]+"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Without blocks of code, in which brackets are no links."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.MULTILINE | re.DOTALL)


def typed() -> Iterator[tuple[str, Command]]:
    for name, page in zip(NAMES, PAGES, strict=True):
        yield from ((name, command) for command in commands_of(text_of(page)))


@pytest.mark.parametrize(("page", "command"), list(typed()), ids=lambda each: getattr(each, "text", each))
def test_a_command_of_a_page_can_be_typed(page: str, command: Command) -> None:
    require(REPOSITORY, command)


@pytest.mark.parametrize(
    "page", [*PAGES, *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))],
    ids=lambda page: page.relative_to(REPOSITORY).as_posix(),
)  # fmt: skip
def test_a_path_of_the_checkout_that_a_page_names_is_there(page: Path) -> None:
    named = {path.rstrip("/.").replace("KIND", "*") for path in OF_CHECKOUT.findall(text_of(page))}
    missing = {path for path in named if not any(REPOSITORY.glob(path))}

    assert missing == set()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("lidar/products/quality.py", "Quality"),
        ("lidar/targets/classes.py", "TargetFlag"),
        ("lidar/aerosol/flags.py", "AirFlag"),
        ("lidar/calibration/flags.py", "CalibrationFlag"),
    ],
)
def test_every_word_of_quality_is_explained_as_the_source_explains_it(module: str, name: str) -> None:
    source = (REPOSITORY / "ipdsf_spark" / module).read_text(encoding="utf-8")
    (body,) = re.findall(rf"class {name}\(IntFlag\):(.*?)(?=\n\S)", source, flags=re.DOTALL)
    words = re.findall(r"^    ([A-Z_]+) = (\d+)  # (.*)$", body, flags=re.MULTILINE)
    page = text_of(DOCS / "quality.md")

    assert len(words) == body.count(" = ")
    assert [word for word, bit, said in words if f"| `{word.lower()}` | {bit} | {said} |" not in page] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_verb_in_the_text_has_the_options_that_it_is_shown_with(name: str) -> None:
    for verb, rest in IN_TEXT.findall(text_of(DOCS / name)):
        assert verb in VERBS, f"ipdsf {verb}"
        known = helps_of(verb)
        assert all(option in known for option in re.findall(r"--[a-z][a-z-]+", rest)), f"ipdsf {verb}{rest}"


def helps_of(verb: str) -> str:
    """Help of a verb and of all verbs below it."""
    parsers = [parser_for(verb)]
    texts = []
    while parsers:
        parser = parsers.pop()
        texts.append(parser.format_help())
        for action in parser._actions:
            if isinstance(action.choices, dict):
                parsers += [each for name, each in action.choices.items() if parser.prog != "ipdsf" or name == verb]
    return " ".join(texts)


@pytest.mark.parametrize("name", NAMES)
def test_python_of_a_page_is_python_and_imports_what_there_is(name: str) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", text_of(DOCS / name), flags=re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ipdsf_spark"):
                module = importlib.import_module(node.module or "")
                assert all(hasattr(module, each.name) for each in node.names), ast.unparse(node)


@pytest.mark.parametrize("name", NAMES)
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(name: str) -> None:
    page = DOCS / name
    for link in (a or b for a, b in LINK.findall(prose_of(page))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if MADE in target.parents:
            continue  # `make docs` looks
        assert target.exists(), f"{name}: {link}"
        assert not anchor or anchor in anchors_of(target), f"{name}: {link}"


def anchors_of(page: Path) -> set[str]:
    """Of headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_on_the_site_once() -> None:
    index = text_of(DOCS / "index.md")
    trees = re.findall(r"^```{toctree}\n(?::[^\n]*\n)*\n(.*?)^```", index, flags=re.MULTILINE | re.DOTALL)
    listed = Counter(f"{entry}.md" for tree in trees for entry in tree.split())

    assert set(listed.values()) == {1}
    below = {name for name in NAMES if name.startswith("clusters/")}  # the side bar shows them below clusters.md
    assert {name for name in listed if not name.startswith("reference/")} | {"index.md"} | below == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_begins_with_its_only_title(name: str) -> None:
    assert re.findall(r"^# .*", prose_of(DOCS / name), flags=re.MULTILINE) == [text_of(DOCS / name).partition("\n")[0]]


def test_a_script_of_a_page_is_taken_apart_into_its_commands() -> None:
    script = """# a remark
MASTER=yarn ./spark-submit.sh pack --name x#y > log 2>&1 &   # and another
for site in a b; do ipdsf edge --site $site --once; done
! ipdsf sites | grep 'a | b' && make demo
cat > x <<'END'
ipdsf nothing
END
"""
    found = [(command.variables, command.words) for command in commands_in(script)]

    assert found == [
        ({"MASTER": "yarn"}, ["./spark-submit.sh", "pack", "--name", "x#y"]),
        ({}, ["for", "site", "in", "a", "b"]),
        ({}, ["ipdsf", "edge", "--site", "$site", "--once"]),
        ({}, ["ipdsf", "sites"]),
        ({}, ["grep", "a | b"]),
        ({}, ["make", "demo"]),
        ({}, ["cat"]),
    ]


@pytest.mark.parametrize("text", ["ipdsf nothing", "make nothing", "ipdsf sites --nothing", "ipdsf stream --set a.b=1"])
def test_a_command_that_nobody_takes_is_noticed(text: str) -> None:
    (command,) = commands_in(text)

    with pytest.raises((AssertionError, SystemExit, ConfigError)):
        require(REPOSITORY, command)
