"""A sheet of cubes shows each cube once, under its place."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.plots.ct_cubes import COLUMNS, cubes_figure


@pytest.mark.parametrize("num", [1, COLUMNS, COLUMNS + 1])
def test_every_cube_is_shown_once_with_its_middle_slice_and_its_place(num: int) -> None:
    cubes = np.arange(num * 4**3, dtype=np.int16).reshape(num, 4, 4, 4)
    places = [(k, 2 * k, -4) for k in range(num)]

    figure = cubes_figure(cubes, places, (-1000, 400), title="training cubes")

    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == [f"z {k} y {2 * k} x -4" for k in range(num)]
    for axes, cube in zip(shown, cubes, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), cube[2])
        assert axes.images[0].get_clim() == (-1000, 400)
