"""Two conventions whose half steps and sides are easily mistaken: where a whole HU lies, and which seam counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.ct.cubes import CubePlan
from ipdsf_spark.ct.enhancement import Enhancement, HuHistogram
from ipdsf_spark.ct.stitching import seam_ratio


@given(hu=st.integers(-999, 399), share=st.floats(0.1, 0.9))
def test_a_whole_hu_lies_half_way_up_its_own_share_of_the_voxels(hu: int, share: float) -> None:
    found = Enhancement.fit({"v": HuHistogram.of(np.full((4, 4, 4), hu, np.int16))}, linear_share=share)

    def level(at: int, below: float) -> float:
        return 2 * ((1 - share) * below + share * (at + 1000) / 1400) - 1

    for at, below in ((hu - 1, 0.0), (hu, 0.5), (hu + 1, 1.0)):
        assert found.levels[at + 1000] == pytest.approx(level(at, below), abs=1e-12)


@pytest.mark.parametrize(("where", "least"), [("faces", 5.0), ("blend", 2.0)])
def test_the_worse_of_the_two_seams_is_the_one_that_is_told(where: str, least: float) -> None:
    plan = CubePlan((56, 32, 32), 32, 8)
    ramp = np.arange(56.0)[:, None, None] + np.zeros((56, 32, 32))
    for start in plan.starts[0][1:]:
        for plane in [start] if where == "faces" else range(start + 2, start + plan.overlap - 2):
            ramp[plane:] += 10.0 if where == "faces" else 4.0

    assert seam_ratio(ramp, plan) > least
