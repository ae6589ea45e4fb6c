"""In which unit a table says its PM2.5, and which humidity is none."""

from __future__ import annotations

import numpy as np
import pytest

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.air_quality.monitor import read_humidity, read_monitor

HOUR = "2026-06-21T09:00Z"


@pytest.mark.parametrize(
    ("unit", "written", "expected"),
    [
        ("µg/m³", "12.5", 12.5), ("UG/M3", "12.5", 12.5), ("Micrograms/cubic meter (LC)", "12.5", 12.5),
        ("μg m-3", "12.5", 12.5), ("ug m**-3", "12.5", 12.5), ("", "12.5", 12.5),
        ("mg/m3", "0.0125", 12.5), ("kg m-3", "1.25e-8", 12.5), ("ng/m3", "5000", 5.0),
    ],
)  # fmt: skip
def test_a_column_of_units_says_what_the_numbers_are(unit: str, written: str, expected: float) -> None:
    found = read_monitor(f"time,pm25,units\n{HOUR},{written},{unit}\n")

    np.testing.assert_allclose(found.pm2p5, [expected])


def test_a_unit_that_is_no_mass_in_air_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"its PM2.5 is in 'ppb', which is no mass of particles in air; wanted µg/m3"):
        read_monitor(f"time,value,unit\n{HOUR},12,ppb\n")


@pytest.mark.parametrize(
    ("name", "expected"), [("PM2.5 (µg/m³)", 0.5), ("PM25 [ug/m3]", 0.5), ("pm2.5 (mg/m3)", 500.0)]
)
def test_a_unit_behind_the_name_of_a_column_counts(name: str, expected: float) -> None:
    np.testing.assert_allclose(read_monitor(f"time,{name}\n{HOUR},0.5\n").pm2p5, [expected])
    np.testing.assert_allclose(read_monitor(f"time,{name}\n{HOUR},0.5\n", value=name).pm2p5, [expected])


def test_a_hygrometer_that_says_nothing_at_all_is_broken_and_its_column_is_still_percent() -> None:
    lines = [f"2026-06-21T{hour:02d}:00Z,{humidity},9" for hour, humidity in enumerate((0, 0.0, 0, 80, 60))]
    table = "\n".join(["time,rh,pm25", *lines])

    assert list(read_humidity(table).values()) == pytest.approx([0.8, 0.6])
    np.testing.assert_allclose(read_monitor(table).relative_humidity, [np.nan, np.nan, np.nan, 0.8, 0.6])


def test_a_percent_sign_behind_the_name_says_percent() -> None:
    assert list(read_humidity(f"time,RH (%)\n{HOUR},1.0\n").values()) == pytest.approx([0.01])
