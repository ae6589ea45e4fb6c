"""Follow a page literally: type its blocks one after the other, and end with the first that fails.

    python scripts/follow_guide.py docs/guide/operator.md [--folder FOLDER] [--minutes M]

Only blocks of bash and Python that the page marks with `<!-- executed -->` are typed, all into one shell, with the
programs of this Python's environment first on the path. A program that is not there is named before anything is typed.
Whatever the blocks leave running is ended with the last one.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import psutil

REPOSITORY: Final = Path(__file__).resolve().parents[1]
BLOCK: Final = re.compile(r"^<!-- executed -->\n```(bash|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEREDOC: Final = re.compile(r"<<-?'?(\w+)'?[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)
PROGRAM: Final = re.compile(
    r"(?:^|[|;(]|&&)\s*(?:(?:do|until|while|if|then|!)\s+)*([a-z][\w.+-]*)(?=\s|$)", re.MULTILINE
)
HEAD: Final = """set -euo pipefail -m
trap 'echo "failed: $BASH_COMMAND" >&2' ERR
said() { printf '\\n--- block %s, %s s\\n' "$1" "$SECONDS" >&2; }
"""
GRACE_S: Final = 20.0
MARK: Final = "IPDSF_GUIDE"


def main(argv: Sequence[str] | None = None) -> int:
    """Type the blocks; 0 where every command did what it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="Markdown")
    parser.add_argument("--folder", type=Path, default=REPOSITORY, help="where to type: a checkout (default: this one)")
    parser.add_argument("--minutes", type=float, default=20.0, help="after which it has failed (default: 20)")
    args = parser.parse_args(argv)
    page = args.page.read_text(encoding="utf-8")
    if missing := missing_programs(page):
        print(f"{args.page} types what is not on the path: {', '.join(missing)}", file=sys.stderr)
        return 2
    if not args.folder.is_dir():
        print(f"there is no folder {args.folder}: make it first, as a checkout of the project", file=sys.stderr)
        return 2
    script = script_of(page)
    started = time.monotonic()
    code = typed(script, args.folder, limit_s=60 * args.minutes)
    print(f"{args.page}: {'done' if code == 0 else f'failed with {code}'} after {time.monotonic() - started:.0f} s")
    return code


def script_of(page: str) -> str:
    """The marked blocks as one script.

    Raises:
        SystemExit: the page marks none.
    """
    blocks = BLOCK.findall(page)
    if not blocks:
        raise SystemExit("the page marks no block as executed")
    parts = [HEAD]
    for number, (language, text) in enumerate(blocks, 1):
        lines = text if language == "bash" else f"python - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\n"
        parts.append(f"said {number}\n{lines}")
    return "\n".join(parts)


def missing_programs(page: str) -> list[str]:
    """Programs that the marked blocks of bash begin a command with and that this shell would not find."""
    text = "\n".join(HEREDOC.sub("", block) for language, block in BLOCK.findall(page) if language == "bash")
    names = sorted(set(PROGRAM.findall(re.sub(r"'[^']*'", "", text.replace("\\\n", " ")))))
    known = 'for name; do type -t -- "$name" > /dev/null || echo "$name"; done'
    asked = ["bash", "-c", known, "bash", *names]
    return subprocess.run(asked, capture_output=True, text=True, check=False, env=_environment()).stdout.split()


def _environment() -> dict[str, str]:
    """That of the shell: programs of this Python's environment first."""
    programs = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))}


def typed(script: str, folder: Path, *, limit_s: float, environment: Mapping[str, str] | None = None) -> int:
    """Exit code of the script in a shell of its own; 124 if it took too long. Nothing of it runs afterwards."""
    mark = uuid4().hex  # in the environment of everything that is started: brokers leave the shell's session
    with tempfile.NamedTemporaryFile("w", suffix=".sh", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        given = {**_environment(), **(environment or {}), MARK: mark}
        shell = subprocess.Popen(["bash", file.name], cwd=folder, env=given)
        try:
            return shell.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return 124
        finally:
            end(marked(mark))
            shell.wait()
            end(marked(mark))  # a process that was just becoming another program showed no environment


def marked(mark: str) -> list[psutil.Process]:
    """Processes that carry this mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                found.append(process)
    return found


def end(processes: Sequence[psutil.Process]) -> None:
    """End them, politely first; a number that another process has taken since is let be."""
    for kind in ("terminate", "kill"):
        for each in (each for each in processes if each.is_running()):
            with suppress(psutil.NoSuchProcess):
                getattr(each, kind)()
        psutil.wait_procs(processes, timeout=GRACE_S)


if __name__ == "__main__":
    sys.exit(main())
