from __future__ import annotations

import argparse
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from ipdsf_spark import __version__
from ipdsf_spark.cli import main as command
from ipdsf_spark.errors import BrokerError, ConfigError, InputError, PrerequisiteError

Verb = Callable[[argparse.Namespace], int]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verb], None]:
    """Puts a verb `try` that does as it is told among the others."""

    def put(run: Verb) -> None:
        module = ModuleType("a_verb")
        module.run = run  # type: ignore[attr-defined]
        module.add_arguments = lambda parser: parser.add_argument("--loud", action="store_true")  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "a_verb", module)
        monkeypatch.setitem(command.VERBS, "try", ("a_verb", "does as it is told"))

    return put


def raises(error: BaseException) -> Verb:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


def test_the_exit_code_is_the_verbs(verb: Callable[[Verb], None]) -> None:
    verb(lambda args: 3 if args.loud else 0)

    assert command.main(["try"]) == 0
    assert command.main(["try", "--loud"]) == 3


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("no such file: x.dat"), 1),
        (BrokerError("the broker did not start"), 1),
        (PrerequisiteError("Java 17 is missing"), 1),
        (ConfigError("kafka.partitions must be at least 1, got 0"), 2),
    ],
)
def test_a_named_error_is_one_line_without_a_traceback(
    verb: Callable[[Verb], None], capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    verb(raises(error))

    assert command.main(["try"]) == code
    assert capsys.readouterr() == ("", f"ipdsf try: {error}\n")


def test_verbose_shows_where_a_named_error_came_from(
    verb: Callable[[Verb], None], caplog: pytest.LogCaptureFixture
) -> None:
    verb(raises(InputError("no such file: x.dat")))

    assert command.main(["-v", "try"]) == 1
    assert "Traceback" in caplog.text


def test_a_mistake_of_ours_keeps_its_traceback(verb: Callable[[Verb], None]) -> None:
    verb(raises(ZeroDivisionError("ours")))

    with pytest.raises(ZeroDivisionError, match="ours"):
        command.main(["try"])


def test_interrupting_is_exit_code_130(verb: Callable[[Verb], None]) -> None:
    verb(raises(KeyboardInterrupt()))

    assert command.main(["try"]) == 130


def test_an_unknown_verb_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        command.main(["lairs"])

    assert stop.value.code == 2
    assert "invalid choice: 'lairs'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("pyspark.sql", "needs pyspark; install it with: pip install 'ipdsf-spark[streaming]'"),
        ("SimpleITK", "needs SimpleITK; install it with: make setup, in a checkout"),
    ],
)
def test_a_missing_engine_is_named_with_what_installs_it(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    says: str,
) -> None:
    def import_nothing(name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    verb(lambda args: 0)
    monkeypatch.setattr(command.importlib, "import_module", import_nothing)

    assert command.main(["try"]) == 1
    assert says in capsys.readouterr().err


def test_a_missing_module_of_ours_keeps_its_traceback(verb: Callable[[Verb], None]) -> None:
    verb(raises(ModuleNotFoundError("No module named 'ipdsf_spark.lidar.lost'", name="ipdsf_spark.lidar.lost")))

    with pytest.raises(ModuleNotFoundError, match="lost"):
        command.main(["try"])


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "-o", "x", "--seed", "-1"],
        ["edges", "train", "-o", "x", "--seed", "-1"],
        ["forecast", "train", "-o", "x", "--seed", "-1"],
        ["forecast", "evaluate", "--seed", "1.5"],
        ["demo", "--seed", "-1"],
    ],
)
def test_a_seed_that_no_generator_takes_is_wrong_usage(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command.main(words)

    assert ended.value.code == 2
    assert "a seed is a whole number of at least 0, not" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--version"])

    assert capsys.readouterr().out == f"ipdsf {__version__}\n"


def test_a_reader_that_closes_the_pipe_early_is_no_error() -> None:
    script = (
        "import sys, types; from ipdsf_spark.cli import main as m\n"
        "v = types.ModuleType('v'); v.add_arguments = lambda p: None\n"
        "v.run = lambda a: [print('x' * 1000, flush=True) for _ in range(10_000)] and 0\n"
        "sys.modules['v'] = v; m.VERBS['try'] = ('v', 'h'); sys.exit(m.main(['try']))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_scheduler_that_ends_a_verb_of_ct_leaves_nothing_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def generates(args: object) -> int:
        with tempfile.TemporaryDirectory(dir=tmp_path):  # as of a private copy
            os.kill(os.getpid(), number)
        raise AssertionError("it went on")

    monkeypatch.setattr("ipdsf_spark.cli.ct_generate.run", generates)
    with pytest.raises(SystemExit) as ended:
        command.main(["ct", "generate", "scan", "--model", "m", "-o", "out.nii"])
    assert ended.value.code == 128 + number
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) is signal.SIG_DFL


def test_the_command_is_a_module_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["ipdsf", "--version"])

    with pytest.raises(SystemExit) as stop:
        runpy.run_module("ipdsf_spark.cli", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("ipdsf ")
