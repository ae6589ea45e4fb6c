"""Units of backscatter and length as files write them, and angles that an instrument can have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.lidar.containers import netcdf3
from ipdsf_spark.lidar.containers.container import Dataset, NotUnderstood
from ipdsf_spark.lidar.instruments import axes, units
from ipdsf_spark.lidar.instruments.netcdf import open_bytes


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("1/(m*sr)", 1.0),
        ("m-1 sr-1", 1.0),
        ("m^-1.sr^-1", 1.0),
        ("1/m 1/sr", 1.0),
        ("m**-1 sr**-1", 1.0),
        ("km^-1.sr^-1", 1e-3),
        ("/(km sr)", 1e-3),
        ("Mm-1 sr-1", 1e-6),
        ("1E-6*1/(m*sr)", 1e-6),
        ("10^-6 m^-1 sr^-1", 1e-6),
        ("10^(-9) 1/(m sr)", 1e-9),
        ("10e-9 m^-1 sr^-1", 1e-8),
        ("(100000 srad km)^-1", 1e-8),
        ("1/(sr*km*10000)", 1e-7),
        ("1/(10000*srad*km)", 1e-7),
        ("10⁻⁶ m⁻¹ sr⁻¹", 1e-6),
        ("km⁻¹·sr⁻¹", 1e-3),
        ("1/(m∙sr)", 1.0),
        ("1/(m⋅sr)", 1.0),
        ("m–1•sr–1", 1.0),
        ("1⁄(km sr)", 1e-3),
        ("10$^{-6}$ m$^{-1}$ sr$^{-1}$", 1e-6),
        ("m-1 ster-1", 1.0),
    ],
)
def test_units_of_backscatter_are_read_in_every_spelling(unit: str, factor: float) -> None:
    assert units.per_metre_steradian(unit) == pytest.approx(factor)


@pytest.mark.parametrize("unit", ["", "counts", "m", "sr", "1/m", "m sr", "V m^2", "((((", "1e999 m-1 sr-1", "dB"])
def test_other_units_are_none_of_backscatter(unit: str) -> None:
    assert units.per_metre_steradian(unit) is None


@given(unit=st.text(alphabet="1e-9/()*^. mksrMad", max_size=60))
def test_any_text_is_a_unit_of_backscatter_or_none(unit: str) -> None:
    factor = units.per_metre_steradian(unit)

    assert factor is None or 0.0 < factor < np.inf


def test_a_unit_that_no_air_can_have_is_named_and_not_believed() -> None:
    near = np.full((3, 5), 3e-6)

    assert units.backscatter_factor("x", "m-1 sr-1", near, assumed=1.0) == (1.0, "")
    factor, remark = units.backscatter_factor("x", "1e-9 m-1 sr-1", near, assumed=1.0)
    assert factor == 1.0
    assert "which no air has" in remark
    assert units.backscatter_factor("x", "", 3.0 * np.ones((2, 2)), assumed=1e-6) == (1e-6, "")


def test_a_unit_that_is_not_known_is_said_and_one_that_is_absent_is_that_of_the_format() -> None:
    near = np.full((3, 5), 30.0)

    factor, remark = units.backscatter_factor("x", "tenths of Mm-1", near, assumed=1e-7)
    assert factor == 1e-7
    assert "'tenths of Mm-1' is none of backscatter that is known" in remark
    for absent in ("", " ", "1", "-", "counts", "a.u."):
        assert units.backscatter_factor("x", absent, near, assumed=1e-7) == (1e-7, "")


def an_axis(gate: float, unit: str) -> Dataset:
    centres = (np.arange(9) + 0.5) * gate
    made = netcdf3.to_bytes({"range": 9}, {}, [("range", ("range",), centres, {"units": unit})], record="range")
    return open_bytes(made)


@pytest.mark.parametrize(("gate", "unit"), [(10.0, "m"), (0.1, "hm"), (1.0, "dam"), (10.0, "parsecs"), (0.01, "m")])
def test_gates_are_in_the_unit_that_is_said_or_the_one_that_can_be_meant(gate: float, unit: str) -> None:
    centres_m, length_m = axes.range_axis(an_axis(gate, unit), "range")

    assert length_m == 10.0
    assert centres_m == pytest.approx((np.arange(9) + 0.5) * 10.0)


@pytest.mark.parametrize(("gate", "unit"), [(0.05, "furlongs"), (0.1, "chains of 100 m")])
def test_gates_of_an_unknown_unit_are_not_guessed(gate: float, unit: str) -> None:
    with pytest.raises(NotUnderstood, match=unit):
        axes.range_axis(an_axis(gate, unit), "range")


@given(angle=st.floats(width=32))
def test_no_beam_is_tilted_by_more_than_an_instrument_can_be(angle: float) -> None:
    (found,) = units.tilt(np.array([angle]))

    assert found == (np.float32(angle) if abs(angle) <= units.STEEPEST_DEG else 0.0)


@pytest.mark.parametrize("fill", [-999.9, 4.6e19, np.nan, np.inf, -99.0, 9.97e36, 180.0])
def test_fill_values_are_no_angles(fill: float) -> None:
    assert units.tilt(np.array([fill, 3.0])).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("num", [1, 1000])
def test_sixty_degrees_are_still_an_angle_of_one_beam_and_of_many(num: int) -> None:
    assert set(units.tilt(np.full(num, 60.0)).tolist()) == {60.0}
    assert set(units.tilt(np.full(num, -60.0)).tolist()) == {-60.0}
    assert set(units.tilt(np.full(num, 60.1)).tolist()) == {0.0}


def test_an_axis_of_one_gate_is_no_grid() -> None:
    made = netcdf3.to_bytes({"range": 1}, {}, [("range", ("range",), np.array([15.0]), {"units": "m"})], record="range")

    with pytest.raises(NotUnderstood, match="at least two numbers"):
        axes.range_axis(open_bytes(made), "range")
