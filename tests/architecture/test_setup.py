"""The set-up: what it asks for, what it locks, and that an interrupted one goes on where it stopped."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ipdsf_spark.spark.versions import VERSIONS, of_spark

REPOSITORY = Path(__file__).resolve().parents[2]
LOCKS = {name: (REPOSITORY / "requirements" / f"{name}.txt").read_text("utf-8") for name in ("lock", "oldest")}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETUP = REPOSITORY / "scripts" / "setup.sh"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """scripts/setup_environment.py with its stamps in a folder of its own."""
    spec = importlib.util.spec_from_file_location("setup_environment", REPOSITORY / "scripts" / "setup_environment.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "setup_environment", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STAMPS", tmp_path / "setup")
    yield module


def locked(name: str = "lock") -> dict[str, str]:
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCKS[name], flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


def declared() -> list[Requirement]:
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    every = [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]
    return [requirement for requirement in every if requirement.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_the_locks_satisfy_what_is_declared(requirement: Requirement) -> None:
    for name in LOCKS:
        assert requirement.specifier.contains(locked(name)[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_hash_and_no_host(name: str) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCKS[name], flags=re.MULTILINE)[1:]

    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted-host", LOCKS[name])


def test_the_two_locks_stand_at_the_two_ends_of_what_is_declared() -> None:
    for package in ("pyspark", "pyarrow", "numpy", "pandas"):
        assert Version(locked("oldest")[package]) < Version(locked("lock")[package])
    assert {".".join(locked(name)["pyspark"].split(".")[:2]) for name in LOCKS} == set(VERSIONS)


def test_the_page_on_versions_states_those_of_the_locks() -> None:
    page = (REPOSITORY / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = {cells[1]: cells[2:4] for line in page.splitlines() if len(cells := line.replace(" ", "").split("|")) == 5}

    for package in ("pyspark", "pyarrow", "pandas", "petastorm", "horovod", "torch"):
        assert rows[package] == [locked("lock")[package], locked("oldest")[package]]
    connectors = [of_spark(locked(name)["pyspark"]) for name in LOCKS]
    assert rows["Kafkaconnector"] == [each.kafka.rpartition(":")[2] for each in connectors]
    assert rows["Deltaconnector"] == [each.delta.rpartition(":")[2] for each in connectors]


@pytest.mark.parametrize(
    ("minor", "lock", "is_right"),
    [(13, "", True), (14, "", False), (11, "oldest.txt", True), (12, "oldest.txt", False)],
)
def test_the_oldest_set_is_set_up_with_one_python_only(tmp_path: Path, minor: int, lock: str, is_right: bool) -> None:
    path = with_commands(tmp_path / "bin", "bash", "dirname", "head", "sed", "sort", "java", "cmake", "c++")
    (path / "python3").write_text(f"""#!/bin/sh
case "$2" in *version_info*) exec {sys.executable} -c "import sys; sys.version_info = (3, {minor}, 0)
$2" ;; esac
""")
    (path / "python3").chmod(0o755)

    ended = check(tmp_path / "checkout", path, IPDSF_LOCK=lock)

    assert (ended.returncode == 0) == is_right, ended.stderr


def test_a_version_cap_states_its_reason() -> None:
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = text[text.index("[project]") : text.index("[project.scripts]")]
    capped = [line for line in dependencies.splitlines() if re.match(r'\s*"[\w.-]+[^"]*<', line)]

    assert capped
    assert [line for line in capped if "#" not in line] == []


def with_commands(folder: Path, *names: str) -> Path:
    """A folder that holds only these commands of this machine."""
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, f"{name} is not on this machine"
        (folder / name).symlink_to(found)
    return folder


def check(checkout: Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`setup.sh --check` of a checkout that was never set up, seeing only the commands in `path`."""
    (checkout / "scripts").mkdir(parents=True)
    script = shutil.copy(SETUP, checkout / "scripts")
    return subprocess.run(
        [shutil.which("bash") or "bash", script, "--check"],
        env={"PATH": str(path), "HOME": str(checkout), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_bare_machine_is_told_everything_it_lacks_at_once(tmp_path: Path) -> None:
    ended = check(tmp_path / "checkout", with_commands(tmp_path / "bin", "bash", "dirname", "head", "sed", "sort"))

    assert ended.returncode == 1
    for lack in ("Python 3.11", "Java 17", "C++ compiler", "cmake"):
        assert lack in ended.stderr
    for command in ("sudo apt-get install", "sudo dnf install", "brew install"):
        assert command in ended.stderr
    assert "openjdk-17-jre-headless" in ended.stderr and "java-17-openjdk-headless" in ended.stderr


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = with_commands(tmp_path / "bin", "bash", "dirname", "head", "sed", "sort", "java", "cmake", "c++")

    ended = check(tmp_path / "checkout", path)

    assert "Python 3.11" in ended.stderr
    assert "Java" not in ended.stderr and "cmake" not in ended.stderr and "C++ compiler" not in ended.stderr


@pytest.mark.parametrize(
    ("version", "is_right"),
    [("1.8.0_412", False), ("11.0.22", False), ("17.0.15", True), ("21.0.3", True), ("24", False)],
)
def test_java_must_be_of_a_version_that_spark_runs_on(tmp_path: Path, version: str, is_right: bool) -> None:
    path = with_commands(tmp_path / "bin", "bash", "dirname", "head", "sed", "sort")
    (path / "java").write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    (path / "java").chmod(0o755)

    ended = check(tmp_path / "checkout", path)

    assert ("Java 17 or 21" not in ended.stderr) == is_right


def test_a_machine_that_kept_the_horovod_wheel_needs_no_compiler(tmp_path: Path) -> None:
    wheel = tmp_path / "cache" / "ipdsf" / "horovod" / "torch" / "horovod-0.28.1-cp311.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()

    ended = check(
        tmp_path / "checkout",
        with_commands(tmp_path / "bin", "bash", "dirname", "head", "sed", "sort", "java"),
        PYTHON=sys.executable,
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )

    assert ended.stderr == ""
    assert ended.stdout == "All prerequisites are here.\n"


def test_a_step_is_done_once(environment: ModuleType) -> None:
    done = []
    step = environment.Step("jars", "jars", "recipe 1", lambda: done.append("fetched"))

    step.run()

    assert step.is_done()
    assert done == ["fetched"]


def test_a_step_is_due_again_when_its_recipe_changes_or_its_result_is_gone(environment: ModuleType) -> None:
    environment.Step("jars", "jars", "recipe 1", lambda: None).run()

    assert not environment.Step("jars", "jars", "recipe 2", lambda: None).is_done()
    assert not environment.Step("jars", "jars", "recipe 1", lambda: None, lambda: False).is_done()


def test_an_interrupted_step_is_due_again_even_if_it_was_done_before(environment: ModuleType) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    environment.Step("jars", "jars", "recipe 1", lambda: None).run()
    with pytest.raises(KeyboardInterrupt):
        environment.Step("jars", "jars", "recipe 1", interrupted).run()

    assert not environment.Step("jars", "jars", "recipe 1", lambda: None).is_done()


def test_the_set_up_goes_on_with_the_step_that_failed(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = []

    def fail() -> None:
        raise environment.SetupError("no network")

    first = environment.Step("first", "the first", "1", lambda: done.append("first"))
    monkeypatch.setattr(environment, "steps", lambda: [first, environment.Step("second", "the second", "1", fail)])
    assert environment.main() == 1
    assert "no network" in capsys.readouterr().err

    second = environment.Step("second", "the second", "1", lambda: done.append("second"))
    monkeypatch.setattr(environment, "steps", lambda: [first, second])
    assert environment.main() == 0

    assert done == ["first", "second"]
    assert "[1/2]" not in capsys.readouterr().out


def test_a_change_of_the_lock_or_of_the_index_of_torch_renews_what_stands_on_it(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recipes() -> dict[str, str]:
        return {step.name: step.made_from for step in environment.steps()}

    before = recipes()
    monkeypatch.setenv("TORCH_INDEX_URL", "https://packages.example/cpu")

    changed = {name for name, recipe in recipes().items() if recipe != before[name]}

    assert {"packages", "horovod", "project", "check"} <= changed
    assert not {"venv", "uv"} & changed


def test_a_failed_command_shows_the_end_of_its_log(environment: ModuleType) -> None:
    with pytest.raises(environment.SetupError, match=r"(?s)exit 3.*the reason.*resumes here"):
        environment.run("jars", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])


def test_a_long_command_says_that_it_goes_on(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard, said = tmp_path / "heard", []
    until_heard = (
        f"import pathlib\nprint('half way', flush=True)\nwhile not pathlib.Path({str(heard)!r}).exists(): pass"
    )

    def hear(line: str) -> None:
        said.append(line)
        if "half way" in line:
            heard.touch()

    monkeypatch.setattr(environment, "SAY_EVERY_S", 0.05)
    monkeypatch.setattr(environment, "say", hear)
    environment.run("jars", [sys.executable, "-c", until_heard])

    assert re.search(r"\d+ s: half way$", said[-1])


def test_a_step_that_removes_its_own_log_goes_on(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log, heard = environment.STAMPS / "venv.log", tmp_path / "heard"
    until_heard = (
        f"import pathlib\npathlib.Path({str(log)!r}).unlink()\nwhile not pathlib.Path({str(heard)!r}).exists(): pass"
    )
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if "waiting" in line and not log.exists():
            heard.touch()

    monkeypatch.setattr(environment, "SAY_EVERY_S", 0.05)
    monkeypatch.setattr(environment, "say", hear)
    environment.run("venv", [sys.executable, "-c", until_heard])

    assert said[-1].endswith("waiting")


def test_torch_from_another_index_leaves_its_own_libraries_to_that_index(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setenv("TORCH_INDEX_URL", "https://packages.example/cpu")
    monkeypatch.setattr(environment, "uv_pip_install", lambda *words: asked.append(words))

    environment.install_packages()

    chosen = (environment.STAMPS / "requirements.txt").read_text()
    assert not re.search(r"^(torch|triton|nvidia|cuda|horovod)", chosen, flags=re.MULTILINE)
    assert re.search(r"^numpy==", chosen, flags=re.MULTILINE)
    assert asked[1][-3:] == ("--index-url", "https://packages.example/cpu", f"torch=={locked()['torch']}")


def test_the_index_of_torch_is_remembered_until_it_is_unset(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "uv_pip_install", lambda *words: None)
    monkeypatch.setenv("TORCH_INDEX_URL", "https://packages.example/cpu")
    environment.install_packages()

    monkeypatch.delenv("TORCH_INDEX_URL")
    assert environment.torch_index() == "https://packages.example/cpu"
    monkeypatch.setenv("TORCH_INDEX_URL", "")
    assert environment.torch_index() == ""
