"""Small volumes and folders of DICOM slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from synthetic_dicom import WriteSeries, save, slice_dataset

from ipdsf_spark.ct.phantom import chest_phantom


@pytest.fixture
def chest(rng: np.random.Generator) -> NDArray[np.int16]:
    """hu[z, y, x] without any symmetry."""
    return rng.integers(-1000, 400, (6, 16, 20)).astype(np.int16)


@pytest.fixture(scope="module")
def body() -> NDArray[np.int16]:
    """hu[z, y, x] with air, lung, fat, soft tissue and bone."""
    hu = chest_phantom((8, 40, 40), seed=5, spacing_mm=(30, 9, 9)).volume.hu
    return np.clip(hu, -1024, 3000).astype(np.int16)


@pytest.fixture
def write_series(tmp_path: Path) -> WriteSeries:
    """Writes hu[z, y, x] as slices 2.5 mm apart from z = 100 mm up, under names in reverse order."""

    def write(
        hu: NDArray[Any],
        *,
        folder: str = "series",
        first_mm: float = 100.0,
        step_mm: float = 2.5,
        prefix: str = "im",
        first_instance: int = 1,
        **attributes: Any,
    ) -> list[Path]:
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True, parents=True)
        written = []
        for k, values in enumerate(hu):
            position = attributes.get("position", (-10.0, -20.0, first_mm + k * step_mm))
            arguments = {"position": position, "InstanceNumber": first_instance + k, **attributes}
            dataset = slice_dataset(values, **arguments)
            written.append(save(dataset, directory / f"{prefix}{len(hu) - k:03d}.dcm"))
        return written

    return write
