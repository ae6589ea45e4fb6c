"""Commands as documents show them, and whether the programs they name would take them: parsed, not run."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.cli.main import VERBS, parser_for
from ipdsf_spark.config import load

BLOCK: Final = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEREDOC: Final = re.compile(r"<<-?'?(\w+)'?[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
BETWEEN: Final = frozenset({"|", "||", "&&", ";", "&", "(", ")", ";;"})
COMMENT: Final = re.compile(r"(^|\s)#\s.*")  # a blank follows: `archive.tar.gz#name` is a word
REDIRECTION: Final = re.compile(r"\d?(>>?|<<?|>&|&>)")
KEYWORDS: Final = frozenset({"do", "then", "else", "if", "while", "until", "!", "done", "fi"})
# Programs of others that a page may call.
FOREIGN: Final = frozenset([
    "cat", "cd", "cp", "curl", "databricks", "docker", "echo", "export", "for", "grep", "install", "kill",
    "kubectl", "ls", "mkdir", "mv", "prometheus", "promtool", "python3.11", "rm", "sed", "sleep", "systemctl",
    "tail", "tar", "useradd", "wait",
])  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One simple command of a document.

    Attributes:
        variables: set for it alone, `MASTER=yarn`.
        words: program and arguments.
    """

    variables: dict[str, str]
    words: list[str]

    @property
    def text(self) -> str:
        """As one line."""
        return shlex.join(self.words)


def commands_of(document: str) -> list[Command]:
    """Every simple command in the shell blocks of a Markdown page."""
    return [command for block in BLOCK.findall(document) for command in commands_in(block)]


def commands_in(script: str) -> Iterator[Command]:
    """Every simple command of a script, without keywords, redirections and comments."""
    for line in HEREDOC.sub("", script).replace("\\\n", " ").splitlines():
        reader = shlex.shlex(COMMENT.sub("", line), posix=True, punctuation_chars=True)
        reader.whitespace_split, reader.commenters = True, ""
        words: list[str] = []
        for token in [*reader, ";"]:
            if token not in BETWEEN:
                words.append(token)
                continue
            if command := simple(words):
                yield command
            words = []


def simple(words: list[str]) -> Command | None:
    """The command of these words; None where there are only keywords or assignments."""
    kept, skips = [], False
    for word in words:
        if skips:
            skips = False
        elif REDIRECTION.fullmatch(word):
            if kept and kept[-1].isdigit() and len(kept) > 1:
                kept.pop()  # the 2 of 2>
            skips = True
        else:
            kept.append(word)
    while kept and kept[0] in KEYWORDS:
        kept.pop(0)
    variables = {}
    while kept and re.match(r"[A-Za-z_]\w*=", kept[0]):
        name, _, variables[name] = kept.pop(0).partition("=")
    return Command(variables, kept) if kept else None


def require(repository: Path, command: Command) -> None:
    """The program exists and takes these words; variables are those that spark-submit.sh describes.

    Raises:
        AssertionError, SystemExit: it does not.
    """
    words = command.words
    program = words[0].rpartition("/")[2]
    if program in {"ipdsf", "spark-submit.sh"}:
        require_ipdsf(repository, words)
    elif program == "make":
        require_target(repository, words)
    elif program in {"python", "python3"} and words[1] not in {"-c", "-m"}:
        require_script(repository, words[1:])
    elif program == "pip":
        require_extra(repository, words)
    else:
        assert program in FOREIGN or program in {"python", "python3", "spark-class"}, f"{command.text}: unknown"
    if program == "spark-submit.sh":
        described = (repository / "spark-submit.sh").read_text(encoding="utf-8").partition("set -euo")[0]
        assert all(name in described for name in command.variables), command.variables


def require_ipdsf(repository: Path, words: list[str]) -> None:
    """`ipdsf VERB …` or `spark-submit.sh JOB …`."""
    if words[0].endswith("spark-submit.sh"):
        require_job(repository, repository / "jobs" / f"{words[1]}.py", words[2:])
    elif len(words) == 3 and words[2] == "--help":
        assert words[1] in VERBS
    elif words[1] != "--help":
        require_configured(repository, parser_for(words[1]).parse_args(words[1:]))


def require_job(repository: Path, job: Path, words: list[str]) -> None:
    """The job of jobs/ takes these words, and the configuration these keys."""
    assert job.is_file(), job
    main: Callable[[list[str]], Any] = runpy.run_path(str(job))["main"]
    used = main.__globals__
    before, used["run_job"] = used["run_job"], _parsed
    try:
        require_configured(repository, main(words))
    finally:
        used["run_job"] = before


def _parsed(
    name: str, _: str, add_arguments: Callable[[argparse.ArgumentParser], None], *others: Any, **__: Any
) -> Any:
    parser = argparse.ArgumentParser(name)
    add_arguments(parser)
    return parser.parse_args(others[1])


def require_configured(repository: Path, args: argparse.Namespace) -> None:
    """Of the files that --config names those of conf/ are there; keys that are set exist."""
    named = getattr(args, "config", None) or []
    held = [repository / "conf" / name.rpartition("/")[2] for name in ([named] if isinstance(named, str) else named)]
    load(*(path for path in held if path.is_file()), overrides=getattr(args, "set", None) or [])


def require_target(repository: Path, words: list[str]) -> None:
    """`make TARGET …`."""
    ended = subprocess.run(["make", "-n", *words[1:]], cwd=repository, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Nothing to be done" not in ended.stdout


def require_script(repository: Path, words: list[str]) -> None:
    """`python PATH …`: the script is there and knows the options by name."""
    script = repository / words[0]
    assert script.is_file(), script
    beside = "".join(path.read_text(encoding="utf-8") for path in script.parent.glob("*.py"))
    for option in (word.partition("=")[0] for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in beside, f"{script} knows no {option}"


def require_extra(repository: Path, words: list[str]) -> None:
    """`pip install .` or `pip install .[EXTRA]`."""
    extra = re.fullmatch(r"\.(?:\[(\w+)\])?", words[-1])
    assert extra, f"install what: {words}"
    known = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra[1] is None or extra[1] in known["optional-dependencies"]
