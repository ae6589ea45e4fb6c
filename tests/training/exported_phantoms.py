"""Phantoms as an exported set of cubes, without those of air: what chests of nobody are learnt from in tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from ipdsf_spark.ct.cube_set import ShardWriter, publish
from ipdsf_spark.ct.cubes import CubePlan, cubes_of, is_air
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.phantom import chest_phantom

SHAPE: Final = (32, 66, 64)
SPACING: Final = (9.0, 5.0, 5.6)  # mm
SIZE, OVERLAP = 16, 4  # of the cubes


def exported(folder: Path, seeds: Iterable[int]) -> Path:
    """The folder, with the cubes of a phantom for each seed."""
    volumes = {f"phantom-{k}": chest_phantom(SHAPE, seed=k, spacing_mm=SPACING).volume.hu for k in seeds}
    writer = ShardWriter(folder, 0)
    for name, hu in volumes.items():
        for key, cube in cubes_of(hu, CubePlan(SHAPE, SIZE, OVERLAP), name):
            if not is_air(cube):
                writer.add(cube[None], [key])
    writer.finish()
    sizes = [{"name": name, "shape": SHAPE, "spacing_mm": SPACING} for name in volumes]
    enhancement = Enhancement.fit({name: HuHistogram.of(hu) for name, hu in volumes.items()})
    facts = {"dataset": "phantoms", "overlap": OVERLAP, "volumes": sizes}
    publish(folder, enhancement, size=SIZE, shards=1, facts=facts)
    return folder
