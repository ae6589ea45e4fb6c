from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ipdsf_spark.ct.phantom import LUNG_HU, NODULE_DIAMETERS_MM, PADDING_HU, chest_phantom
from ipdsf_spark.ct.volume import padding_in
from ipdsf_spark.errors import InputError


def test_the_same_seed_gives_the_same_chest_and_another_seed_another() -> None:
    one, again, other = (chest_phantom((24, 48, 48), seed=seed, spacing_mm=(10, 7, 7)) for seed in (1, 1, 2))

    np.testing.assert_array_equal(one.volume.hu, again.volume.hu)
    assert one.nodules == again.nodules
    assert (one.volume.hu != other.volume.hu).mean() > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_nodule_has_its_stated_place_size_and_density(seed: int) -> None:
    options = {"seed": seed, "spacing_mm": (2.0, 2.0, 2.0), "noise_hu": 0.0}
    chest = chest_phantom((120, 120, 160), num_nodules=3, **options)  # type: ignore[arg-type]
    # The generator draws nodules last, so a chest without them is the same chest.
    bare = chest_phantom((120, 120, 160), num_nodules=0, **options)  # type: ignore[arg-type]
    grid = chest.volume.grid
    painted = chest.volume.hu != bare.volume.hu
    world_mm = grid.world_mm(np.argwhere(painted).astype(float))

    for nodule in chest.nodules:
        distance = np.linalg.norm(world_mm - np.array(nodule.centre_mm), axis=1)
        near = distance < nodule.diameter_mm / 2 - 2
        assert NODULE_DIAMETERS_MM[0] <= nodule.diameter_mm <= NODULE_DIAMETERS_MM[1]
        assert distance[distance < nodule.diameter_mm / 2 + 4].max() <= nodule.diameter_mm / 2 + 2
        if near.any():
            inside = tuple(np.argwhere(painted)[near].T)
            assert np.median(chest.volume.hu[inside]) == pytest.approx(nodule.hu, abs=1)


def test_the_volume_of_a_nodule_is_that_of_its_sphere() -> None:
    options = {"seed": 5, "spacing_mm": (1.5, 1.5, 1.5), "noise_hu": 0.0}
    chest = chest_phantom((140, 140, 200), num_nodules=1, **options)  # type: ignore[arg-type]
    bare = chest_phantom((140, 140, 200), num_nodules=0, **options)  # type: ignore[arg-type]
    nodule = chest.nodules[0]

    # Partial volume: each voxel's share of nodule follows from how far its HU moved towards the nodule's.
    before, after = bare.volume.hu.astype(float), chest.volume.hu.astype(float)
    share = np.where(before != nodule.hu, (after - before) / (nodule.hu - before), 0.0)

    assert share.sum() * 1.5**3 == pytest.approx(np.pi / 6 * nodule.diameter_mm**3, rel=0.03)


def test_a_chest_is_mostly_air_lung_and_soft_tissue_with_some_bone() -> None:
    hu = chest_phantom(seed=1).volume.hu

    shares = np.histogram(hu, [-1100, -950, -700, -150, 150, 300, 700])[0] / hu.size
    air, lung, edge, soft, _, bone = shares
    assert lung > 0.08
    assert soft > 0.15
    assert air > 0.25
    assert 0.003 < bone < 0.06
    assert edge < 0.1


def test_lungs_hold_vessels() -> None:
    chest = chest_phantom(seed=1, noise_hu=0.0, num_nodules=0).volume
    lung = np.argwhere(chest.hu == LUNG_HU)
    z, y, x = lung.min(axis=0)
    top, back, left = lung.max(axis=0)
    box = chest.hu[z + 8 : top - 8, y + 12 : back - 12, x:left]

    assert (box > -700).any(axis=(0, 1)).mean() > 0.5


def test_noise_has_the_asked_deviation() -> None:
    outside = chest_phantom(seed=1, noise_hu=20.0).volume.hu[:, :6, :6]

    assert outside.std() == pytest.approx(20.0, rel=0.1)


def test_more_nodules_than_the_lungs_hold_are_refused() -> None:
    with pytest.raises(InputError, match="no room for nodule"):
        chest_phantom((24, 24, 24), seed=1, spacing_mm=(3, 3, 3), num_nodules=50)


def test_padding_lies_outside_the_circle_and_is_stated() -> None:
    volume = chest_phantom(seed=1, has_padding=True).volume

    assert volume.padding_hu == padding_in(volume.hu) == PADDING_HU
    assert (volume.hu == PADDING_HU).mean() == pytest.approx(1 - np.pi / 4, abs=0.01)


def test_a_phantom_lies_around_the_origin() -> None:
    grid = chest_phantom((10, 20, 30), seed=1, spacing_mm=(3, 2, 1)).volume.grid

    np.testing.assert_allclose(grid.world_mm((4.5, 9.5, 14.5)), (0, 0, 0), atol=1e-9)
    assert dataclasses.astuple(grid)[1] == (3, 2, 1)
