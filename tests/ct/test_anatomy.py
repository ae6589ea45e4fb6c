"""Whether a chest is made of whole organs."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.ct.anatomy import measured_anatomy
from ipdsf_spark.ct.phantom import chest_phantom

SHAPE, SPACING = (64, 128, 128), (4.8, 2.8, 2.8)
SURFACE = "surface of the lungs for their volume, 1/cm"


def ball(radius_mm: float) -> np.ndarray:
    """A lung of that shape in soft tissue in air; voxels of 2 mm."""
    z, y, x = np.meshgrid(*[2.0 * np.arange(60) - 60.0] * 3, indexing="ij")
    hu = np.full((60, 60, 60), -1000.0)
    hu[:, 5:-5, 5:-5] = 40.0
    hu[z**2 + y**2 + x**2 < radius_mm**2] = -850.0
    return hu


def test_a_ball_has_the_surface_of_the_cubes_it_is_made_of() -> None:
    # The faces of a ball's voxels are those of its three projections, twice each: 6 pi r^2, not 4 pi r^2.
    assert measured_anatomy(ball(40.0), (2.0, 2.0, 2.0))[SURFACE] == pytest.approx(4.5 / 4.0, rel=0.03)
    assert measured_anatomy(ball(20.0), (2.0, 2.0, 2.0))[SURFACE] == pytest.approx(4.5 / 2.0, rel=0.05)


def test_air_around_the_body_is_no_lung() -> None:
    whole = np.full((20, 40, 40), -1000.0)
    whole[:, 10:30, 10:30] = 40.0

    assert measured_anatomy(whole, (1.0, 1.0, 1.0))[SURFACE] == 0


def test_crumbs_and_specks_are_counted_and_the_shares_of_tissues_do_not_see_them() -> None:
    hu = chest_phantom(SHAPE, seed=3, spacing_mm=SPACING).volume.hu.astype(float)
    rng = np.random.default_rng(0)
    lung = np.argwhere((hu < -700) & (hu > -950))
    crumbled = hu.copy()
    for z, y, x in lung[rng.choice(len(lung), 300, replace=False)]:
        crumbled[z, y, x] = 300.0

    whole, broken = (measured_anatomy(volume, SPACING) for volume in (hu, crumbled))

    litres = hu.size * np.prod(SPACING) / 1e6
    assert (broken["crumbs of bone, 1/l"] - whole["crumbs of bone, 1/l"]) * litres == pytest.approx(300, rel=0.1)
    assert broken["specks of tissue in air, 1/l"] > whole["specks of tissue in air, 1/l"] + 5
    assert broken[SURFACE] > 1.02 * whole[SURFACE]
    assert broken["pieces of bone"] == whole["pieces of bone"]
    assert np.mean(crumbled > 150) < np.mean(hu > 150) + 0.001


def test_a_phantom_is_of_one_piece_of_lung_on_either_side_and_of_ribs() -> None:
    found = measured_anatomy(chest_phantom(SHAPE, seed=1, spacing_mm=SPACING).volume.hu, SPACING)

    assert 0.3 < found[SURFACE] < 3
    assert 1 < found["pieces of bone"] < 100
