"""Steps of the demonstration end with it: what runs is asked to, and what comes next is not begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ipdsf_spark.cli.ending import ended_as_by_ctrl_c
from ipdsf_spark.demo.steps import IPDSF, Steps
from ipdsf_spark.errors import IpdsfError

# A step that tidies up when it is asked to end, as every verb does.
STEP = """
import signal, sys
from pathlib import Path

place = Path(sys.argv[1])
def end(*_):
    place.write_text("tidied")
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
place.write_text("runs")
signal.pause()
"""
LIMIT_S = 60.0


def signalled_when(places: list[Path]) -> threading.Thread:
    """Ends this process, as a scheduler does, as soon as all steps run."""

    def watch() -> None:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline and not all(p.exists() and p.read_text() == "runs" for p in places):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_steps_of_a_demonstration_that_a_scheduler_ends_tidy_up_and_the_next_is_not_begun(tmp_path: Path) -> None:
    one, beside, next_one = (tmp_path / name for name in ("one", "beside", "next"))
    watching = signalled_when([one, beside])

    with (
        pytest.raises(SystemExit) as ended,
        ended_as_by_ctrl_c(),
        ThreadPoolExecutor(1) as pool,
        Steps((sys.executable, "-c", STEP)) as steps,
    ):
        quiet = pool.submit(steps.run_quietly, [[str(beside)], [str(next_one)]])
        steps.run([str(one)])
    watching.join()

    assert ended.value.code == 128 + signal.SIGTERM
    assert (one.read_text(), beside.read_text(), next_one.exists()) == ("tidied", "tidied", False)
    with pytest.raises(IpdsfError):
        quiet.result()


def test_a_step_that_fails_ends_the_one_beside_it(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    script = f"import sys\nif sys.argv[1] == 'wrong': sys.exit(3)\n{STEP}"

    with (
        pytest.raises(IpdsfError, match="`ipdsf wrong` failed"),
        ThreadPoolExecutor(1) as pool,
        Steps((sys.executable, "-c", script)) as steps,
    ):
        pool.submit(steps.run_quietly, [[str(beside)]])
        deadline = time.monotonic() + LIMIT_S
        while not (beside.exists() and beside.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        steps.run(["wrong"])

    assert beside.read_text() == "tidied"


def test_what_quiet_steps_say_is_kept_without_the_bars_that_move() -> None:
    script = "import sys; print(sys.argv[1]); sys.stderr.write('10 %\\r100 %\\n')"

    with Steps((sys.executable, "-c", script)) as steps:
        told = steps.run_quietly([["first"], ["second"]])

    assert sorted(told.split()) == sorted(["first", "100", "%", "second", "100", "%"])


def test_the_command_is_ipdsf() -> None:
    done = subprocess.run([*IPDSF, "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("ipdsf ")
