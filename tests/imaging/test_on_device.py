"""Everything on the device gives what the host gives: the path of a GPU, run on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.ct.volume import Volume
from ipdsf_spark.errors import InputError
from tests.imaging.conftest import Known


@settings(max_examples=15)
@given(
    shape=st.tuples(st.integers(3, 40), st.integers(3, 40), st.integers(3, 40)),
    batch=st.integers(1, 40),
    is_restored=st.booleans(),
    is_whole=st.booleans(),
    seed=st.integers(0, 9),
)
def test_slabs_made_on_the_device_are_those_of_the_host(
    known: Known, shape: tuple[int, int, int], batch: int, is_restored: bool, is_whole: bool, seed: int
) -> None:
    generation = known(lambda x: torch.tanh(x + x.mean(dim=(2, 3, 4), keepdim=True)))
    hu = np.random.default_rng(seed).uniform(-1200, 600, shape).astype(np.float32)
    hu = np.rint(hu).astype(np.int16) if is_whole else hu

    host = np.concatenate(list(generation.volume(hu) if is_restored else generation.levels(hu)))
    device = np.concatenate(list(generation.slabs_on_device(hu, batch=batch, is_restored=is_restored)))

    np.testing.assert_allclose(device, host, atol=0.02 if is_restored else 2e-5)  # HU, levels


def test_a_slab_that_was_given_away_does_not_change(known: Known, chest: Volume) -> None:
    slabs = list(known().slabs_on_device(chest.hu, batch=8, is_restored=True))
    copies = [slab.copy() for slab in known().slabs_on_device(chest.hu, batch=8, is_restored=True)]

    for slab, copy in zip(slabs, copies, strict=True):
        np.testing.assert_array_equal(slab, copy)


def test_values_that_are_no_number_are_refused_on_the_device_too(known: Known, chest: Volume) -> None:
    hu = chest.hu.astype(np.float32)
    hu[20, 3, 3] = np.nan

    with pytest.raises(InputError, match="no number"):
        list(known().slabs_on_device(hu, batch=8, is_restored=True))
