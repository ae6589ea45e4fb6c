"""Files that hold no profile of a ceilometer are named for what they are."""

from __future__ import annotations

from typing import Any

import network_files as made
import numpy as np
import pytest
from made_files import add, written

from ipdsf_spark.lidar import instruments

NAMED = {
    "ARM ceilometer layer heights": ("bl_height_1", "time"),
    "ARM micropulse lidar": ("signal_return_co_pol", "time"),
    "MPLNET micropulse lidar": ("extinction", "surface_altitude"),
    "NCAS ceilometer": ("cloud_base_altitude", "layer_index"),
    "NCAS lidar": ("range_squared_corrected_backscatter_power", "time"),
    "Doppler lidar": ("radial_velocity", "time"),
    "Raman lidar": ("attenuated_backscatter_1064nm", "attenuated_backscatter_355nm"),
}
SAID = {
    "Doppler lidar": {"cloudnet_file_type": "doppler-lidar"},
    "Cloudnet product": {"cloudnet_file_type": "categorize"},
    "cloud radar": {"source": "94 GHz radar"},
    "microwave radiometer": {"radiometer_system": " RPG-HATPRO"},
}


@pytest.mark.parametrize(("instrument", "names"), NAMED.items())
def test_products_without_profiles_are_named_by_instrument_and_product(instrument: str, names: tuple[str, ...]) -> None:
    def write(file: Any) -> None:
        made.dimensions(file, x=2)
        for name in names:
            add(file, name, ("x",), np.arange(2.0))

    raw = written(write)
    decoded = instruments.decode(raw)

    assert (decoded.instrument, decoded.blocks) == (instrument, ())
    assert instruments.recognise(raw) == instrument
    assert len(decoded.rejected[0].reason) > 30


@pytest.mark.parametrize(("kind", "attributes"), SAID.items())
def test_files_of_other_instruments_are_named_by_what_they_say(kind: str, attributes: dict[str, str]) -> None:
    def write(file: Any) -> None:
        made.dimensions(file, x=2)
        file.setncatts(attributes)
        add(file, "beta", ("x",), np.arange(2.0))

    decoded = instruments.decode(written(write))

    assert (decoded.instrument, decoded.blocks) == (kind, ())
    assert "not of a lidar" not in decoded.rejected[0].reason


def test_the_steps_of_an_axis_of_which_gates_were_left_out_are_said() -> None:
    def write(file: Any) -> None:
        file.instrument_type = "CL31"
        made.dimensions(file, time=2, range=6)
        add(file, "time", ("time",), np.array([17600.0, 17600.1]), units="days since 1970-01-01 00:00:00")
        add(file, "range", ("range",), np.array([10.0, 30.0, 60.0, 80.0, 110.0, 130.0], "f4"), units="m")
        add(file, "rcs_0", ("time", "range"), np.ones((2, 6)), units="V*m^2")

    (why,) = instruments.decode(written(write)).rejected

    assert "equal steps: they are of 20 to 30 m" in why.reason
