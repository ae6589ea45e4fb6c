"""Bars for people: where nobody reads them any more, the work goes on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ipdsf_spark.progress import progress_bar

WITHOUT_A_READER = """
import os, sys, threading
from ipdsf_spark.progress import progress_bar
read, write = os.pipe()
os.dup2(write, 2)
os.close(write)
os.close(read)
with progress_bar(total=3, mininterval=0) as bar:
    thread = threading.Thread(target=bar.update)  # as the one that follows a training's history
    thread.start()
    thread.join()
    bar.update()
print("done")
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_broken_pipe_neither_ends_nor_holds_what_shows_its_progress(unbuffered: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_READER],
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},  # what Python holds back it tries to write as it ends
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_a_bar_is_drawn_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with progress_bar(range(3), desc="counted", mininterval=0) as bar:
        assert list(bar) == [0, 1, 2]

    out, err = capfd.readouterr()
    assert out == ""
    assert "counted: 100%" in err
