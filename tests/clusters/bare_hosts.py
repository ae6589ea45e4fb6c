"""Hosts that lack this project: their Python, and all that their processes are told.

Workers run in an environment of their own: a bare virtual environment that sees the third-party packages of this one,
no PYTHONPATH, no IPDSF_CONF, another home folder. What `.pth` files of this environment add, an editable install of the
project among them, is not seen there.
"""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from typing import Final

KEPT: Final = ("PATH", "JAVA_HOME", "LANG", "LC_ALL", "TMPDIR")


def bare_python(folder: Path) -> Path:
    """The interpreter of a virtual environment with the packages of this one, less this project."""
    venv.create(folder, with_pip=False, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A line of a .pth file is a folder to look in; .pth files of that folder are not read in turn.
    (packages / "shared.pth").write_text("\n".join(p for p in sys.path if p.endswith("-packages")) + "\n")
    return folder / "bin" / "python"


def bare_environment(home: Path) -> dict[str, str]:
    """Variables of a host's processes."""
    return {key: os.environ[key] for key in KEPT if key in os.environ} | {"HOME": str(home)}
