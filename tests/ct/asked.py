"""What tests ask of volumes that were read, and change in files that are to be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ipdsf_spark.ct.reading import survey
from ipdsf_spark.ct.volume import Volume

AFFINE = np.diag([-0.7, -0.7, 2.5, 1.0])


def said(volume: Volume, kind: str) -> str:
    return "; ".join(str(p) for p in volume.problems if p.kind == kind)


def kinds(volume: Volume, *, serious: bool) -> set[str]:
    return {p.kind for p in volume.problems if p.is_serious == serious}


def kinds_at(path: Path) -> dict[str, bool]:
    return {p.kind: p.is_serious for p in survey(path).problems}


def rewritten(path: Path, **attributes: Any) -> None:
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
