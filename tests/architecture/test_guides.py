"""The three guides: the physicist's is typed here, command by command; the others say who typed what they show."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import psutil
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
GUIDES = REPOSITORY / "docs" / "guide"


@pytest.fixture(scope="module")
def follow() -> ModuleType:
    spec = importlib.util.spec_from_file_location("follow_guide", REPOSITORY / "scripts" / "follow_guide.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.long
@pytest.mark.slow
def test_the_physicists_guide_can_be_followed_from_a_simulated_day_to_a_score(
    follow: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = follow.script_of((GUIDES / "physicist.md").read_text(encoding="utf-8"))

    code = follow.typed(script, tmp_path, limit_s=400, environment={"PYTHONPATH": str(REPOSITORY)})

    said = capfd.readouterr()
    assert code == 0, said.err[-3000:]
    assert {path.suffix for path in (tmp_path / "heights").iterdir()} == {".csv", ".nc", ".png"}
    assert (tmp_path / "score" / "score.json").is_file()
    assert (tmp_path / "targets.png").is_file()
    assert re.search(r"\d+ profiles, 0 rejected", said.out)


def test_what_the_radiologists_guide_calls_executed_is_what_the_readme_executes() -> None:
    mark = r"<!-- executed by tests/architecture/test_readme.py[^>]*-->\n```bash\n(.*?)^```"
    (shown,) = re.findall(mark, (GUIDES / "radiologist.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    executed = re.findall(mark, (REPOSITORY / "README.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)

    assert shown in executed


def test_a_guide_ends_with_the_first_command_that_fails_and_leaves_nothing_running(
    follow: ModuleType, tmp_path: Path
) -> None:
    page = "<!-- executed -->\n```bash\nsleep 600 & echo $! > pid\nfalse\ntouch never\n```\n"

    code = follow.typed(follow.script_of(page), tmp_path, limit_s=60)

    assert code == 1
    assert not (tmp_path / "never").exists()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_not_there_is_named_before_anything_is_typed(
    follow: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- executed -->\n```bash\ntouch typed\nuntil no-such-program --x | grep y; do sleep 1; done\n```\n"
    )

    assert follow.main([str(page), "--folder", str(tmp_path), "--minutes", "0.05"]) == 2

    assert capsys.readouterr().err.endswith("types what is not on the path: no-such-program\n")
    assert not (tmp_path / "typed").exists()


@pytest.mark.parametrize("name", ["operator.md", "physicist.md"])
def test_a_guide_names_programs_that_are_looked_for(follow: ModuleType, name: str) -> None:
    assert follow.missing_programs((GUIDES / name).read_text(encoding="utf-8")) == []


def test_continuous_integration_follows_the_operators_guide_and_ends() -> None:
    stages = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")

    assert re.search(r"scripts/follow_guide\.py docs/guide/operator\.md --minutes \d+$", stages, flags=re.MULTILINE)


def test_a_folder_that_is_not_there_is_named(
    follow: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- executed -->\n```bash\necho typed\n```\n", encoding="utf-8")

    assert follow.main([str(page), "--folder", str(tmp_path / "absent")]) == 2
    assert f"there is no folder {tmp_path / 'absent'}" in capsys.readouterr().err


def test_a_page_that_marks_nothing_is_no_guide(follow: ModuleType) -> None:
    with pytest.raises(SystemExit, match="marks no block"):
        follow.script_of("```bash\nls\n```\n")
