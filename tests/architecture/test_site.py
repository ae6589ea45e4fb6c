"""What the site of the documentation is made of: the reference, and what is looked for in the finished pages."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from ipdsf_spark.cli.main import VERBS
from ipdsf_spark.monitoring.prometheus import METRICS


@pytest.fixture
def script(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(repository / "scripts")
    return importlib.import_module("reference_pages")


@pytest.fixture
def site(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(repository / "scripts")
    return importlib.import_module("build_docs")


def test_the_reference_has_every_verb_key_metric_and_module(
    repository: Path, script: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "commands").mkdir()
    (tmp_path / "commands" / "gone.md").write_text("of a verb that is no more")

    script.write(tmp_path)

    assert {path.stem for path in (tmp_path / "commands").iterdir()} == set(VERBS)
    keys = tomllib.loads((repository / "conf" / "base.toml").read_text(encoding="utf-8"))
    configuration = (tmp_path / "configuration.md").read_text(encoding="utf-8")
    assert all(f"`{section}.{key}` = `" in configuration for section, table in keys.items() for key in table)
    assert all(f"`{name}`" in (tmp_path / "metrics.md").read_text(encoding="utf-8") for name in METRICS)
    layers = (tmp_path / "python" / "lidar.layers.rst").read_text(encoding="utf-8")
    assert ".. automodule:: ipdsf_spark.lidar.layers.mixing_height\n" in layers
    rooms = {path.parent.name for path in (repository / "ipdsf_spark").glob("*/__init__.py")}
    index = (tmp_path / "python.md").read_text(encoding="utf-8")
    assert all(f"`{room}`" in index for room in rooms)


def test_a_verb_below_a_verb_has_its_options_on_the_page(script: ModuleType) -> None:
    page = script.command_page("ct", "CT volumes")

    assert "## ct pack" in page and "## ct synthesize" in page
    assert "`--test-share SHARE`\n: of the patients (default 0.2)" in page
    assert "`-o PATH`, `--output PATH`\n" in page


@pytest.mark.parametrize(
    ("text", "says"),
    [("[a]\nb = 1\n", "without a comment"), ('[a]\n"b c" = 1 # said\n', "would not")],
)
def test_a_key_that_the_page_could_not_explain_ends_the_build(script: ModuleType, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        script.configuration_page(text)


def test_a_comment_above_a_key_and_one_behind_it_are_one(script: ModuleType) -> None:
    (key,) = script.keys_of('[a]\n# first, and\nb = "#1" # second\n')

    assert (key.section, key.name, key.value, key.said) == ("a", "b", '"#1"', "first, and second")


def test_a_page_that_leads_nowhere_or_loads_from_elsewhere_is_named(site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.html").write_text('<p id="here"><a href="../a.html#there">a</a>')
    (tmp_path / "style.css").write_text('@font-face { src: url("https://fonts.example/x.woff2") }')
    (tmp_path / "a.html").write_text(
        '<h1 id="there">a</h1><a href="sub/b.html#here">good</a><a href="https://example.org/x">not followed</a>'
        '<a href="sub/b.html#nowhere">place</a><a href="gone.html">page</a><img src="gone.png">'
        '<script src="https://cdn.example/x.js"></script><link rel="stylesheet" href="style.css">'
    )

    faults = list(site.faults_of(tmp_path))

    assert faults == [
        "a.html loads https://cdn.example/x.js from elsewhere",
        "a.html: gone.png leads nowhere",
        "a.html: sub/b.html#nowhere names a place that is not there",
        "a.html: gone.html leads nowhere",
        "style.css loads something from elsewhere",
    ]
