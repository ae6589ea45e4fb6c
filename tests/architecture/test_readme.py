"""What the README tells a newcomer to type can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import VERBS, parser_for

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MARK = "<!-- executed by tests/architecture/test_readme.py -->\n"
CT_MARK = "<!-- executed by tests/architecture/test_readme.py, on phantoms and with a tiny network -->\n"
BLOCK = re.compile(rf"^(?P<mark>{re.escape(MARK)})?```(?P<language>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(*, executed: bool) -> list[tuple[str, str]]:
    """Language and text of the code blocks that a test runs, or of the others."""
    return [(m["language"], m["text"]) for m in BLOCK.finditer(README) if bool(m["mark"]) == executed]


def shell_lines() -> list[str]:
    """Every command the README shows, in blocks and in the text."""
    in_blocks = [line for language, text in blocks(executed=False) if language == "bash" for line in text.splitlines()]
    in_text = re.findall(r"`((?:make|ipdsf|pip install|\./)[^`\n]*[^`\s])`", README)
    return sorted({line.partition("  #")[0].strip() for line in [*in_blocks, *in_text]} - {""})


def run_marked_blocks(folder: Path, *, programs: Path) -> None:
    """Run the blocks marked as executed one after the other, as a newcomer does."""
    for language, text in blocks(executed=True):
        run_block(language, text, folder, programs=programs)


def run_block(language: str, text: str, folder: Path, *, programs: Path) -> None:
    """Run a block in `folder`, with `programs` first on the path."""
    interpreters = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [str(programs / "python"), "-c"]}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("IPDSF_", "PYTHON"))}
    ended = subprocess.run(
        [*interpreters[language], text],
        cwd=folder,
        env={**environment, "PATH": f"{programs}{os.pathsep}{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ended.returncode == 0, f"{text}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"


@pytest.mark.slow
def test_the_blocks_marked_as_executed_run_in_an_empty_folder(tmp_path: Path) -> None:
    run_marked_blocks(tmp_path, programs=Path(sys.executable).parent)

    assert {language for language, _ in blocks(executed=True)} == {"bash", "python"}
    assert any(tmp_path.rglob("*.png")), "the sixty seconds end with a picture"


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.training
def test_the_imaging_commands_run_from_volumes_to_a_report_and_a_clean_volume(tmp_path: Path) -> None:
    from ipdsf_spark.ct.dicom_writing import write_dicom
    from ipdsf_spark.ct.phantom import chest_phantom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.reading import survey
    from ipdsf_spark.ct.writing import write_volume

    (text,) = re.findall(rf"{re.escape(CT_MARK)}```bash\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    made = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
    for seed, name in enumerate(("train/a", "train/b", "test/c")):
        (tmp_path / "volumes" / name).parent.mkdir(parents=True, exist_ok=True)
        chest = chest_phantom((32, 64, 64), seed=seed, spacing_mm=(8.0, 5.6, 5.6)).volume
        write_volume(tmp_path / "volumes" / f"{name}.nii.gz", chest, made)
    write_dicom(tmp_path / "noisy", chest.grid, [chest.hu], made, source=chest.source)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "base.toml").write_text(  # found before that of the checkout
        '[storage]\nroot = "storage"\n[training]\ncache_directory = "cache"\nwidth = 4\nhalvings = 2\nepochs = 1\n'
    )

    run_block("bash", text, tmp_path, programs=Path(sys.executable).parent)

    assert (tmp_path / "report" / "index.html").is_file()
    assert survey(tmp_path / "clean.nii.gz").hu.shape == chest.hu.shape


@pytest.mark.parametrize("line", shell_lines())
def test_a_command_of_the_readme_exists(line: str) -> None:
    words = shlex.split(line)
    match words:
        case ["make", *rest]:
            ended = subprocess.run(["make", "-n", *rest], cwd=REPOSITORY, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr
            assert "Nothing to be done" not in ended.stdout
        case ["ipdsf", verb, *rest] if "--help" not in rest:
            parser_for(verb).parse_args([verb, *rest])
        case ["ipdsf", verb, "--help"]:
            assert verb in VERBS
        case ["ipdsf", "--help"]:
            pass
        case ["./spark-submit.sh", job, *_]:
            assert (REPOSITORY / "jobs" / f"{job}.py").is_file()
        case ["pip", "install", target]:
            extra = re.fullmatch(r"\.(?:\[(\w+)\])?", target)
            assert extra, f"{line}: install what?"
            known = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
            assert extra[1] is None or extra[1] in known["optional-dependencies"]
        case _:
            pytest.fail(f"README shows {line!r}, which no test knows how to check")


def test_every_verb_stands_in_the_table_of_jobs() -> None:
    shown = {line.split()[1] for line in shell_lines() if line.startswith("ipdsf ")}

    assert set(VERBS) <= shown


def test_every_room_stands_on_the_map() -> None:
    rooms = {path.name for path in (REPOSITORY / "ipdsf_spark").iterdir() if (path / "__init__.py").is_file()}

    assert rooms <= set(re.findall(r"^  (\w+)/  ", README, flags=re.MULTILINE))


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_to_a_file_leads_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]

    assert [link for link in linked if not (REPOSITORY / link).exists()] == []


def test_the_targets_a_developer_wants_exist() -> None:
    for target in ("setup", "demo", "test", "lint", "format", "typecheck", "bench", "clean", "help"):
        ended = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        assert "Nothing to be done" not in ended.stdout


def test_the_demo_passes_its_options_on() -> None:
    ended = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo", "DATA=my files", "SITES=3", "SPEED=60", "CT=my scans"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )

    words = shlex.split(ended.stdout.replace("\\\n", " ").splitlines()[-1])
    assert words[1:] == ["demo", "--data", "my files", "--sites", "3", "--speed", "60", "--ct", "my scans"]
    parser_for("demo").parse_args(words[1:])
