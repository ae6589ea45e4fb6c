"""The package as it lies beside these scripts: a bare GPU machine has a checkout, and nothing is installed there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]

if str(REPOSITORY) not in sys.path:
    sys.path.insert(0, str(REPOSITORY))
os.environ.setdefault("IPDSF_CONF", str(REPOSITORY / "conf"))
