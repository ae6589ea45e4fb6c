"""`pip install .` as on a small computer beside an instrument: no Spark, no torch, and the readers work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import run_marked_blocks

REPOSITORY = Path(__file__).resolve().parents[2]
UV = Path(sys.executable).parent / "uv"


@pytest.fixture(scope="module")
def light_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the base and nothing else."""
    if not UV.exists():
        pytest.skip("make setup has not installed uv beside this Python, so no second environment can be made")
    folder = tmp_path_factory.mktemp("light")
    # The wheel is built from a copy, because setuptools leaves build folders beside what it builds.
    shutil.copytree(
        REPOSITORY / "ipdsf_spark", folder / "copy" / "ipdsf_spark", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / "copy")
    lock = (REPOSITORY / "requirements" / "lock.txt").read_text(encoding="utf-8")
    pins = folder / "pins.txt"
    pins.write_text("\n".join(re.findall(r"^[A-Za-z0-9._-]+==[^\\\n]+", lock, flags=re.MULTILINE)), encoding="utf-8")
    programs = folder / "venv" / "bin"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, programs.parent], check=True)
    into = ("--quiet", "--python", programs / "python")
    subprocess.run([UV, "pip", "install", *into, "--constraint", pins, folder / "copy"], check=True)
    return programs


@pytest.mark.slow
def test_the_base_brings_neither_spark_nor_torch(light_base: Path) -> None:
    listed = subprocess.run(
        [UV, "pip", "freeze", "--python", light_base / "python"], check=True, capture_output=True, text=True
    ).stdout

    assert not re.search(r"(?i)^(torch|pyspark|pandas|pyarrow|horovod|petastorm|nvidia)", listed, flags=re.MULTILINE)
    assert re.search(r"(?i)^netcdf4==", listed, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_sixty_seconds_of_the_readme_need_no_more_than_the_base(light_base: Path, tmp_path: Path) -> None:
    run_marked_blocks(tmp_path, programs=light_base)

    assert any(tmp_path.rglob("*.png"))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["inspect", "layers", "simulate", "edge"])
def test_the_verbs_beside_an_instrument_explain_themselves(light_base: Path, tmp_path: Path, verb: str) -> None:
    helped = subprocess.run(
        [light_base / "ipdsf", verb, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path
    ).stdout

    assert "examples:" in helped


@pytest.mark.slow
def test_a_verb_whose_engine_is_not_installed_says_what_installs_it(light_base: Path, tmp_path: Path) -> None:
    ended = subprocess.run([light_base / "ipdsf", "stream"], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ended.returncode == 1
    assert ended.stderr == "ipdsf stream: needs pyspark; install it with: pip install 'ipdsf-spark[streaming]'\n"
