"""Notebooks are plain Python in Databricks source format: linted, compiled and run like everything else."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from small_archives import archive_of_a_network, archive_of_a_site

from ipdsf_spark import __version__

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))
CELL = "\n# COMMAND ----------\n"
WHEELS = "/Volumes/main/ipdsf/wheels"
WHEEL = f"{WHEELS}/ipdsf_spark-{__version__}-py3-none-any.whl"
INSTALL = f"# MAGIC %pip install --quiet {WHEEL}\n"
# Horovod's wheel lies beside that of the package, for no index has one.
INSTALL_IMAGING = (
    f"# MAGIC %pip install --quiet {WHEELS}/horovod-0.28.1-cp312-cp312-linux_x86_64.whl\n"
    f'# MAGIC %pip install --quiet "{WHEEL}[imaging]"\n'
)
RESTART = "dbutils.library.restartPython()\n"
IMAGING = re.compile(r"^(?:from|import) ipdsf_spark\.(?:ct|packing|gan|imaging|training)\b", re.MULTILINE)
# A notebook is run to its end, not to a good model; of the drills the one that needs no streaming job.
SHORT = {"05_training_diary.py": ["--set", "samples=40"], "06_fault_drill.py": ["--set", "drills=edge-killed"]}
ARCHIVES = {"03_live_layers_and_air.py": archive_of_a_site, "04_network_day.py": archive_of_a_network}


def widgets_of(notebook: Path, folder: Path) -> list[str]:
    """Values of the widgets; what a notebook reads is made first."""
    if 'text(\n    "storage"' in notebook.read_text(encoding="utf-8"):
        folder.mkdir()
        return [*SHORT.get(notebook.name, []), "--set", f"storage={folder}"]
    if notebook.name not in ARCHIVES:
        return SHORT.get(notebook.name, [])
    folder.mkdir()
    ARCHIVES[notebook.name](folder)
    table = folder / "sites.toml"
    return ["--set", f"archive={folder}", *(["--set", f"sites={table}"] if table.is_file() else [])]


def run(notebook: Path, out: Path, *widgets: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/run_notebook.py", notebook, "--out", out, *widgets],
        cwd=REPOSITORY,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PYSPARK_")},
            "MPLBACKEND": "Agg",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_in_databricks_source_format(notebook: Path) -> None:
    source = notebook.read_text(encoding="utf-8")
    install = INSTALL_IMAGING if IMAGING.search(source) else INSTALL
    cells = source.replace(f"{CELL}\n{install}{CELL}\n{RESTART}", "").split(CELL)

    assert source.startswith("# Databricks notebook source\n# MAGIC %md\n# MAGIC # "), "a title in Markdown comes first"
    installing = [cell.lstrip() for cell in source.split(CELL)[1:3]]
    assert installing == [install, RESTART], "then what installs this version, with all that is needed, and a restart"
    assert 5 <= len(cells) <= 12, f"{len(cells)} cells: one idea a cell, five to twelve of them"
    assert "# MAGIC %md" in cells[-1], "the last cell says what the reader should have seen"
    assert not re.search(r"^\s*%|^# MAGIC %run", source, flags=re.MULTILINE), "magics only as # MAGIC lines, no %run"
    assert "dbutils.widgets.text(" in source, "what a reader may change is a widget"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_holds_no_logic(notebook: Path) -> None:
    tree = ast.parse(notebook.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]

    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno > 5] == []


def test_what_notebooks_read_and_keep_lies_in_the_volume_of_the_bundle() -> None:
    text = (REPOSITORY / "deploy" / "databricks.yml").read_text(encoding="utf-8")
    (volume,) = re.findall(r"default: (/Volumes/\S+/storage)$", text, flags=re.MULTILINE)
    named = {path for notebook in NOTEBOOKS for path in re.findall(r"/Volumes/[\w/]+", notebook.read_text("utf-8"))}

    assert len(named) >= 4
    assert {path for path in named if not path.startswith((volume, WHEELS))} == set()


def test_the_extra_for_imaging_brings_no_spark_beside_that_of_the_cluster() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {Requirement(text).name for text in extras["optional-dependencies"]["imaging"]}

    assert {"torch", "horovod", "petastorm", "SimpleITK"} <= named
    assert "pyspark" not in named
    assert extras["optional-dependencies"]["training"] == ["ipdsf-spark[streaming,imaging]"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_here_and_shows_something(notebook: Path, tmp_path: Path) -> None:
    (tmp_path / "driver").mkdir()
    held = tmp_path / "volume"
    widgets = widgets_of(notebook, held)

    ended = run(notebook, tmp_path / "shown", *widgets, TMPDIR=str(tmp_path / "driver"))

    assert ended.returncode == 0, ended.stderr[-3000:]
    if f"storage={held}" in widgets:  # what executors read or write lies there, not on the driver's own disk
        assert any(held.rglob("*.nii.gz"))
        kept = [*(tmp_path / "driver").rglob("*.nii.gz"), *(tmp_path / "driver").rglob("model.json")]
        assert kept == []
    shown = list((tmp_path / "shown").iterdir())
    assert any(path.stat().st_size > 1000 for path in shown), "display() was given nothing to see"


def test_a_secret_comes_from_the_environment_and_a_missing_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = tmp_path / "secret.py"
    notebook.write_text("displayHTML('<p>' + dbutils.secrets.get('ipdsf', 'pseudonym-key') + '</p>')", encoding="utf-8")

    monkeypatch.delenv("IPDSF_PSEUDONYM_KEY", raising=False)
    assert "set IPDSF_PSEUDONYM_KEY" in run(notebook, tmp_path / "without").stderr
    monkeypatch.setenv("IPDSF_PSEUDONYM_KEY", "planted")
    assert run(notebook, tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "01.html").read_text(encoding="utf-8") == "<p>planted</p>"


def test_display_writes_figures_and_tables_and_prints_the_rest(tmp_path: Path) -> None:
    notebook = tmp_path / "small.py"
    notebook.write_text(
        "import matplotlib.pyplot as plt, pandas as pd\n"
        "figure, axes = plt.subplots()\n"
        "display(figure, axes, pd.DataFrame({'height_m': [800]}), 'a word')\n",
        encoding="utf-8",
    )

    ended = run(notebook, tmp_path / "out")

    assert ended.returncode == 0, ended.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01.png", "02.png", "03.html"]
    assert (tmp_path / "out" / "01.png").read_bytes().startswith(b"\x89PNG")
    assert "<td>800</td>" in (tmp_path / "out" / "03.html").read_text(encoding="utf-8")
    assert ended.stdout.endswith("a word\n")


def test_a_cell_that_fails_stops_the_notebook_with_its_own_traceback(tmp_path: Path) -> None:
    notebook = tmp_path / "broken.py"
    notebook.write_text("heights = []\n\nheights[3]\n", encoding="utf-8")

    ended = run(notebook, tmp_path)

    assert ended.returncode == 1
    assert 'broken.py", line 3' in ended.stderr
    assert "IndexError" in ended.stderr


@pytest.mark.spark
def test_a_notebook_that_speaks_of_spark_is_given_a_session(tmp_path: Path) -> None:
    notebook = tmp_path / "sparkling.py"
    notebook.write_text("display(spark.range(3))\n", encoding="utf-8")

    ended = run(notebook, tmp_path / "out")

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (tmp_path / "out" / "01.html").read_text(encoding="utf-8").count("<td>") == 3
