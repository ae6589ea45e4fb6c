"""What holds of every storage array that is no disk of this machine."""

from __future__ import annotations

import json
import os
import socket

import pytest

from ipdsf_spark.errors import InputError
from ipdsf_spark.storage.fetched import fetched, require_volume
from ipdsf_spark.storage.files import Files
from ipdsf_spark.storage.location import Location
from ipdsf_spark.storage.lock import LOCK_FILE, locked


def require_replaced_in_one_step(files: Files, root: Location) -> None:
    """What is written is there whole, and so is what replaces it."""
    for content in (b"", b"first", bytes(3 * 2**20)):
        files.write(root / "a b#?.json", content)
        assert files.read(root / "a b#?.json") == content

    files.write(root / "part", b"new")
    files.move(root / "part", root / "a b#?.json")
    assert files.read(root / "a b#?.json") == b"new"
    assert files.files(root) == {"a b#?.json": 3}


def require_one_writer(files: Files, root: Location) -> None:
    """Of two writers one gives way; the dead of this host are not waited for, those of another are named."""
    here = socket.gethostname()
    dead = {"host": here, "pid": os.getpid(), "began": "1", "doing": "packing"}  # the number is another's by now
    files.write(root / f"{LOCK_FILE}-dead", json.dumps(dead).encode())

    with (
        locked(root, "packing", files),
        pytest.raises(InputError, match=f"in use .packing, process {os.getpid()} on {here}"),
        locked(root, "packing", files),
    ):
        pass
    assert not files.files(root)
    files.write(root / f"{LOCK_FILE}-far", json.dumps({**dead, "host": "elsewhere"}).encode())
    with pytest.raises(InputError, match=rf"elsewhere.*remove .*{LOCK_FILE}-far"), locked(root, "packing", files):
        pass
    assert list(files.files(root)) == [f"{LOCK_FILE}-far"]


def require_fetched(files: Files, root: Location) -> None:
    """Volumes by URL are files for as long as they are worked on."""
    volume = bytes(5 * 2**20)
    files.write(root / "series" / "1.dcm", b"one")
    files.write(root / "series" / "more #2" / "2.dcm", b"two")
    files.write(root / "v.nii.gz", volume)

    with fetched(str(root / "series")) as folder:
        there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.dcm")}
    with fetched(str(root / "v.nii.gz")) as file:
        assert (file.name, file.read_bytes()) == ("v.nii.gz", volume)

    assert there == {"1.dcm": b"one", "more #2/2.dcm": b"two"}
    assert not folder.exists()
    assert not file.exists()
    with pytest.raises(InputError, match=r"absent.nii does not exist"):
        require_volume(str(root / "absent.nii"))
