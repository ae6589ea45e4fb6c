"""What attributes say of numbers and of time counts, whoever wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Attribute, Damage, UnreadableFile, Variable

EPOCH = np.datetime64("1970-01-01", "us")


class Stored(Variable):
    """A variable in memory."""

    def __init__(self, values: Any, **attributes: Any) -> None:
        self.name = "x"
        self._values = np.asarray(values)
        self.shape = self._values.shape
        self._attributes = attributes

    @property
    def dimensions(self) -> tuple[str, ...]:
        return ("time",)

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self._attributes

    def read(self, damage: list[Damage] | None = None, *, max_rows: int | None = None) -> NDArray[Any]:
        return self._values


def physical(values: Any, **attributes: Any) -> list[float]:
    found = cf.physical(Stored(values, **attributes)).reshape(-1)
    return [None if np.isnan(value) else round(float(value), 9) for value in found]  # type: ignore[misc]


@given(
    kind=st.sampled_from(["i1", "i2", "i4"]),
    factor=st.floats(1e-12, 1e3) | st.floats(-1e3, -1e-12),
    offset=st.floats(-1e3, 1e3),
    counts=st.lists(st.integers(-100, 100), min_size=1, max_size=8),
)
def test_packed_numbers_are_unpacked(kind: str, factor: float, offset: float, counts: list[int]) -> None:
    stored = Stored(np.array(counts, kind), scale_factor=factor, add_offset=offset)

    assert cf.physical(stored) == pytest.approx(np.array(counts) * factor + offset)
    assert cf.physical32(stored).dtype == np.float32


def test_every_fill_value_and_everything_outside_the_valid_range_is_missing() -> None:
    assert physical([1.0, -999.9, 9.97e36, np.nan], missing_value=-999.9) == [1.0, None, None, None]
    assert physical(np.array([1, -9, -8], "i2"), missing_value=np.array([-9, -8], "i2")) == [1.0, None, None]
    assert physical(np.array([[1, -32767]], "i2")) == [1.0, None]  # what the library writes where nothing is declared
    assert physical(np.array([1, 2, 3, 4], "i2"), valid_range=np.array([2, 3], "i2")) == [None, 2.0, 3.0, None]
    assert physical([1.0, 2.0, 3.0], valid_min=2.0) == [None, 2.0, 3.0]
    assert physical([1.0, 2.0, 3.0], valid_min=np.nan, valid_max="none") == [1.0, 2.0, 3.0]
    assert physical([1.0, 2.0], valid_range=np.array([5.0, -5.0])) == [1.0, 2.0]  # they exclude each other


def test_valid_limits_of_the_wider_type_are_those_of_the_unpacked_numbers() -> None:
    packed = np.array([0, 50, 150], "i2")

    assert physical(packed, scale_factor=0.1, valid_max=np.array([10.0])) == [0.0, 5.0, None]
    assert physical(packed, scale_factor=0.1, valid_max=np.array([100], "i2")) == [0.0, 5.0, None]


def test_unsigned_bytes_in_a_signed_type_are_read_as_unsigned() -> None:
    stored = np.array([1, -1, -2], "i1")

    assert physical(stored, _Unsigned="true", _FillValue=np.array([-1], "i1")) == [1.0, None, 254.0]


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf, np.array([1.0, 2.0])])
def test_a_factor_that_unpacks_nothing_is_refused_by_name(factor: Any) -> None:
    with pytest.raises(UnreadableFile, match="packed with scale_factor"):
        cf.physical(Stored([1.0], scale_factor=factor))


def test_a_factor_written_as_text_counts_unless_a_format_is_known_for_text_that_lies() -> None:
    stored = Stored(np.array([250], "i2"), scale_factor="0.1")

    assert cf.physical(stored) == pytest.approx([25.0])
    assert cf.physical(stored, text_factors=False) == pytest.approx([250.0])
    assert cf.physical(Stored(np.array([250], "i2"), scale_factor="tenths")) == pytest.approx([250.0])


UNITS = {"milliseconds": 1e-3, "s": 1.0, "seconds": 1.0, "min": 60.0, "Hours": 3600.0, "hr": 3600.0, "days": 86400.0}


@given(
    unit=st.sampled_from(sorted(UNITS)),
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
    epoch=st.datetimes(datetime(1800, 1, 1), datetime(2090, 1, 1)),
    zone_minutes=st.integers(-12 * 4, 14 * 4).map(lambda quarters: 15 * quarters),
    style=st.sampled_from(["{0:%Y-%m-%d %H:%M:%S} {1}", "{0:%Y-%m-%dT%H:%M:%S}{1}", "{0:%Y%m%dT%H%M%S}{1}"]),
)
def test_an_instant_is_the_same_whatever_epoch_unit_and_zone_it_is_counted_in(
    unit: str, moment: datetime, epoch: datetime, zone_minutes: int, style: str
) -> None:
    moment, epoch = moment.replace(microsecond=0), epoch.replace(microsecond=0)
    zone = timezone(timedelta(minutes=zone_minutes))
    sign, size = ("-" if zone_minutes < 0 else "+"), abs(zone_minutes)
    begin = epoch.replace(tzinfo=zone)
    told = f"{unit} since " + style.format(epoch, f"{sign}{size // 60:02d}:{size % 60:02d}")
    count = (moment.replace(tzinfo=UTC) - begin).total_seconds() / UNITS[unit]

    (found,) = cf_time.since(np.array([count]), told)

    assert abs(found - np.datetime64(moment, "us")) <= np.timedelta64(2, "ms")


@pytest.mark.parametrize(
    ("unit", "calendar", "count", "expected"),
    [
        ("seconds since 1992-10-8 15:15:42.5 -6:00", "", 0, "1992-10-08T21:15:42.5"),  # the example of CF
        ("seconds since 1904-01-01 00:00:00.000 00:00", "", 3.5e9, "2014-11-28T06:13:20"),
        ("hours since 2022-10-01 02:00 +2", "", 0, "2022-10-01T00:00"),
        ("hours since 2022-10-01 02:00 CEST", "", 0, "2022-10-01T00:00"),
        ("days since 2022-10-01 UTC", "", 0.5, "2022-10-01T12:00"),
        ("seconds since 2007-12-31, 00:00:00", "", 5, "2007-12-31T00:00:05"),
        ("seconds since 1-JAN-1970 00:00:00", "", 5, "1970-01-01T00:00:05"),
        ("days since 0000-01-00 00:00:00", "", 738400.25, "2021-09-01T06:00"),  # MATLAB's datenum
        ("days since 0001-01-01", "proleptic_gregorian", 738000, "2021-07-30"),
        ("days since 0001-01-01", "standard", 738000, "2021-07-28"),  # the Julian calendar is two days behind there
        ("days since -4712-01-01 12:00:00", "", 2459580.5, "2022-01-01"),  # Julian dates
        ("microseconds since 1970-01-01", "", 1.7e15, "2023-11-14T22:13:20"),
    ],
)
def test_epochs_as_programs_write_them(unit: str, calendar: str, count: float, expected: str) -> None:
    (found,) = cf_time.since(np.array([float(count)]), unit, "time", calendar)

    assert abs(found - np.datetime64(expected, "us")) <= np.timedelta64(1, "ms")


@pytest.mark.parametrize(
    ("unit", "calendar", "told"),
    [
        ("hours since 2022-10-01 02:00 XYZ", "", "zone 'XYZ' is not understood"),
        ("hours since 2022-10-01 02:00 +25:00", "", "none on Earth"),
        ("days since 2022-02-30", "", "impossible date"),
        ("months since 2022-01-01", "", "expected one like"),
        ("days since 2022-01-01", "noleap", "no clock runs"),
    ],
)
def test_what_no_clock_can_mean_is_refused_by_name(unit: str, calendar: str, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        cf_time.since(np.zeros(1), unit, "time", calendar)


@given(text=st.text(max_size=40))
def test_any_unit_is_understood_or_refused(text: str) -> None:
    for unit in (text, f"seconds since {text}"):
        try:
            assert len(cf_time.since(np.zeros(2), unit)) == 2
        except UnreadableFile as error:
            assert str(error)
