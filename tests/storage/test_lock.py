"""One writer at a time, and no lock outlives its writer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage import lock
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import LOCK_FILE, locked

HOLDER = """
import sys
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import locked
with locked(location_of(sys.argv[1]), "packing"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_who_writes_and_a_killed_ones_lock_means_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        said = rf"in use \(packing, process {holder.pid} on {socket.gethostname()} since 20"
        with pytest.raises(InputError, match=said), locked(location_of(str(tmp_path)), "packing"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()

    assert (tmp_path / LOCK_FILE).exists()
    with locked(location_of(str(tmp_path)), "packing"):
        pass
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_folder_made_for_the_lock_does_not_stay_empty(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(location_of(str(tmp_path / "new")), "packing"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def held_by(path: Path, **holder: object) -> None:
    (path / LOCK_FILE).write_text(json.dumps(holder))


def test_without_the_kernel_a_lock_of_a_process_that_runs_no_more_is_taken_over_and_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(lock.errno.ENOLCK, "no locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    here = socket.gethostname()
    held_by(tmp_path, host=here, pid=os.getpid(), began="1", doing="packing")  # the number is another's by now
    place = location_of(str(tmp_path))
    with (
        locked(place, "packing"),
        pytest.raises(InputError, match=f"process {os.getpid()}"),
        locked(place, "packing"),
    ):
        pass
    held_by(tmp_path, host="elsewhere", pid=1, began="1", doing="packing")
    with pytest.raises(InputError, match=r"elsewhere.*remove"), locked(location_of(str(tmp_path)), "packing"):
        pass
    assert (tmp_path / LOCK_FILE).exists()
