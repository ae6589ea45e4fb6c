"""Profiles as networks and makers' programs write them: ARM, NCAS, MPLNET, E-PROFILE level 1, BL-View, CL61 again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from typing import Any

import netCDF4
import network_files as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import add, only_block, written
from test_archive_netcdf import cl2nc_file

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.containers.container import Dataset
from ipdsf_spark.lidar.instruments import fields


@pytest.mark.parametrize("layout", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_arm_profiles_carry_their_unit_clouds_and_quality(layout: str) -> None:
    read = only_block(made.arm_ceil(layout=layout))

    assert (read.instrument, read.message_type, read.wavelength_nm) == ("Vaisala CL31", "ARM ceil", 910.0)
    assert np.array_equal(read.time, made.TIMES)
    assert read.range_m == pytest.approx(made.RANGE_M)
    assert read.beta[:3] == pytest.approx(made.backscatter()[:3], rel=1e-5)
    assert np.isnan(read.beta[3]).all()  # the lowest 32-bit number stands for a profile that is not there
    assert read.cloud_base_m[0, 0] == 500.0  # an indeterminate bit is not a bad one
    assert np.isnan(read.cloud_base_m[1]).all()
    assert read.vertical_visibility_m[2] == 90.0
    assert read.is_fog.tolist() == [False, False, True, False]
    assert read.tilt_deg.tolist() == [3.0, 3.0, 3.0, 0.0]
    assert (read.latitude_deg, read.altitude_m) == (pytest.approx(36.6), 316.0)


@pytest.mark.parametrize(
    ("attributes", "instrument"),
    [
        ({"datastream": "nsavceil25kC1.b1"}, "Vaisala CT25K"),
        ({"datastream": "sgpceilC1.b1", "ceilometer_model": "CL51"}, "Vaisala CL51"),
        ({"platform_id": "ceil10m", "ceilometer_model": "Vaisala CL31"}, "Vaisala CL31"),
        ({"zeb_platform": "twpvceil25kC3.b1"}, "Vaisala CT25K"),
    ],
)
def test_arm_files_of_all_instruments_are_told_by_what_they_say(attributes: dict[str, str], instrument: str) -> None:
    assert only_block(made.arm_ceil(attributes=attributes)).instrument == instrument


@pytest.mark.parametrize("unit", ["1/(sr km 10000)", "1/(10000*srad*km)", "", "counts"])
def test_arm_units_of_all_years_mean_the_same(unit: str) -> None:
    assert only_block(made.arm_ceil(unit=unit)).beta[0] == pytest.approx(made.backscatter()[0], rel=1e-5)


def test_ncas_altitudes_become_heights_and_bad_cells_are_missing() -> None:
    read = only_block(made.ncas_backscatter())

    assert (read.instrument, read.message_type) == ("Vaisala CL51", "NCAS aerosol-backscatter")
    assert read.range_m == pytest.approx(made.RANGE_M)
    assert np.argwhere(np.isnan(read.beta)).tolist() == [[1, 2]]
    assert (read.identity, read.altitude_m) == ("J4910003", 191.0)
    assert read.health["laser_temperature_celsius"][0] == pytest.approx(26.85)


@pytest.mark.parametrize(("ground", "first_m"), [("191 m", 5.0), ("", 205.0), ("unknown", 196.0)])
def test_an_ncas_ground_that_does_not_fit_is_said(ground: str, first_m: float) -> None:
    read = only_block(made.ncas_backscatter(ground=ground, first_m=first_m), remarks=1)

    assert read.range_m[0] == pytest.approx(5.0)


def test_mplnet_signal_lies_above_the_instrument_at_julian_dates() -> None:
    read = only_block(made.mplnet_nrb(ground_km=0.05))

    assert (read.message_type, read.is_calibrated, read.wavelength_nm) == ("MPLNET NRB L15", False, 532.0)
    assert np.abs(read.time - made.TIMES).max() <= np.timedelta64(1, "s")  # a Julian date in float64
    assert read.range_m[:2] == pytest.approx([10.0, 40.0], abs=0.01)  # the gate below the instrument is left out
    assert read.beta.shape == (made.NUM_PROFILES, made.NUM_GATES - 1)
    assert read.tilt_deg.tolist() == [0.0] * made.NUM_PROFILES


def test_mpl2nc_gates_come_from_the_sampling_time() -> None:
    read = only_block(made.mpl2nc_file())

    assert read.range_resolution_m == pytest.approx(29.979)
    assert read.beta == pytest.approx(made.backscatter() * 1.2e5, rel=1e-5)
    assert read.tilt_deg[0] == 5.0
    assert read.health["laser_energy_uj"][0] == pytest.approx(3.5)
    assert read.health["laser_temperature_celsius"][0] == pytest.approx(25.1)


@pytest.mark.parametrize(
    ("form", "calibrated"),
    [
        ({"tilt": -999.9}, True),
        ({"tilt": None}, True),
        ({"axis": "altitude"}, True),
        ({"axis_unit": "km"}, True),
        ({"model": "CHM15k", "unit": "m^2 counts/s", "tilt": 4.6e19}, False),
        ({"model": "MiniMPL", "unit": "V m^2", "signal": "rcs_1"}, False),
    ],
)
def test_e_profile_level_1_is_read_in_all_its_forms(form: dict[str, Any], calibrated: bool) -> None:
    read = only_block(made.eprofile_l1(**form))

    assert (read.message_type, read.is_calibrated) == ("E-PROFILE L1", calibrated)
    assert read.range_m == pytest.approx(made.RANGE_M, rel=1e-5)
    assert read.tilt_deg.tolist() == [0.0] * made.NUM_PROFILES
    assert read.beta == pytest.approx(made.backscatter() * (1.2 if "signal" in form else 1.0), rel=1e-5)
    assert read.cloud_base_m[0, 0] == pytest.approx(400.0)


@settings(max_examples=25, deadline=None)
@given(
    unit=st.sampled_from([("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0)]),
    zone=st.sampled_from([-6, 0, 2, 9]),
    kind=st.sampled_from([("i2", 2e-10, -32768.0), ("i4", 1e-13, -1.0), ("f4", 1.0, 1e20), ("f8", 1.0, -1.0)]),
    offset=st.sampled_from([0.0, 1e-6]),
)
def test_a_cl61_file_written_again_is_read_by_its_own_words(
    unit: tuple[str, float], zone: int, kind: tuple[str, float, float], offset: float
) -> None:
    dtype, factor, fill = kind
    offset = offset if np.dtype(dtype).kind == "i" else 0.0
    epoch = np.datetime64("2026-06-20T21:00:00", "us")
    local = (epoch.item() + timedelta(hours=zone)).replace(tzinfo=timezone(timedelta(hours=zone)))
    beta = made.backscatter()
    beta[2, 5] = np.nan
    raw = made.cl61_rewritten(
        time_unit=f"{unit[0]} since {local:%Y-%m-%d %H:%M:%S %z}",
        counts=(made.TIMES - epoch) / np.timedelta64(1, "s") / unit[1],
        kind=dtype,
        fill=fill,
        factor=factor,
        offset=offset,
        beta=beta,
    )

    read = only_block(raw)

    assert np.array_equal(read.time, made.TIMES)
    assert read.beta == pytest.approx(beta, abs=3e-10, nan_ok=True)


@pytest.mark.parametrize("unit", ["1e-9 m-1 sr-1", "Mm-1 sr-1", "km-1 sr-1"])
def test_a_unit_of_a_cl61_file_counts_unless_no_air_could_have_it(unit: str) -> None:
    factor = {"1e-9 m-1 sr-1": 1e-9, "Mm-1 sr-1": 1e-6, "km-1 sr-1": 1e-3}[unit]

    honest = only_block(made.cl61_rewritten(unit=unit, beta=made.backscatter() / factor, fill=1e20))
    assert honest.beta == pytest.approx(made.backscatter(), rel=1e-5)
    if factor < 1e-3:
        lying = only_block(made.cl61_rewritten(unit=unit), remarks=1)
        assert lying.beta == pytest.approx(made.backscatter(), rel=1e-5)


def test_counts_of_a_cl61_whose_packing_is_lost_are_refused_and_not_taken_for_fills() -> None:
    decoded = instruments.decode(made.cl61_rewritten(beta=made.backscatter() / 1e-10, fill=1e20))

    (refused,) = decoded.rejected
    assert decoded.num_profiles == 0
    assert "which no air has" in refused.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (made.cl61_rewritten(time_unit="fortnights since 2026-06-21"), "netCDF file not read: time has unit"),
        (made.cl61_rewritten(unit="log10(m-1 sr-1)"), "netCDF file not read: beta_att holds logarithms"),
        (made.cl61_rewritten(gate_m=1000.0), "netCDF file not read: the range axis"),
        (made.cl61_rewritten()[:900], "damaged netCDF file: "),
    ],
    ids=["unit of time", "logarithms", "range", "cut"],
)
def test_a_whole_file_that_is_not_understood_is_not_called_damaged(raw: bytes, reason: str) -> None:
    (refused,) = instruments.decode(raw).rejected

    assert refused.reason.startswith(reason)


@pytest.mark.parametrize("correction", [None, 0, 1])
def test_cloud_bases_of_a_tilted_cl61_are_slanted_once(correction: int | None) -> None:
    read = only_block(made.cl61_rewritten(tilt=30.0, tilt_correction=correction, cloud_base_m=400.0))

    slant = np.cos(np.radians(30.0))
    assert read.cloud_base_m[0, 0] == 400.0
    assert read.vertical_base_m[0, 0] == pytest.approx(400.0 if correction == 1 else 400.0 * slant)
    assert read.base_along_beam_m[0, 0] == pytest.approx(400.0 / slant if correction == 1 else 400.0)


@pytest.mark.parametrize(
    ("told", "identity"),
    [("T2520357", "T2520357"), ("CHM170137 ", "CHM170137"), ("", ""), ("a gateway", ""), ("x\x00\x01", ""), ("-", "")],
)
def test_an_instrument_is_told_from_another_by_its_serial_number(told: str, identity: str) -> None:
    assert fields.identity(Dataset({}, {"serial": told}), "absent", "serial") == identity


@pytest.mark.parametrize("tilt", [-999.9, 4.6e19, np.nan, 88.0])
def test_an_angle_that_no_instrument_has_is_none(tilt: float) -> None:
    assert only_block(made.cl61_rewritten(tilt=tilt)).tilt_deg.tolist() == [0.0] * made.NUM_PROFILES


def test_times_that_no_ceilometer_has_lived_are_rejected_one_by_one() -> None:
    counts = np.array([0.0, 1.0, 2.0, 3.0]) * 300.0 + 9 * 3600.0
    counts[[1, 3]] = np.nan, -2.0e9

    decoded = instruments.decode(made.cl61_rewritten(time_unit="seconds since 2026-06-21", counts=counts))

    assert decoded.num_profiles == 2
    assert [stretch.reason.split(":")[0] for stretch in decoded.rejected] == [
        "profile 2 of 4 has a time that is missing or a fill value",
        "profile 4 of 4 has the time 1963-02-03T20",
    ]


def test_thousands_of_impossible_times_are_counted_and_not_listed() -> None:
    def write(file: Any) -> None:
        made.dimensions(file, time=70_000, range=3)
        file.title = "CHM15k Nimbus"
        add(file, "time", ("time",), np.arange(70_000) % 2 * 4e9, units="seconds since 1904-01-01 00:00:00.000")
        add(file, "range", ("range",), np.array([15.0, 30.0, 45.0]), units="m")
        add(file, "beta_raw", ("time", "range"), np.ones((70_000, 3), "f4"))

    decoded = instruments.decode(written(write))

    assert decoded.num_profiles == 35_000
    assert len(decoded.rejected) < 40
    assert sum(int(stretch.reason.split()[0]) for stretch in decoded.rejected if "more" in stretch.reason) > 34_000


@pytest.mark.parametrize(
    ("beta", "reason"),
    [
        (made.backscatter() * 1e-6, "which no air has"),
        (np.full_like(made.backscatter(), -999.0), "not one number"),
    ],
    ids=["a factor too many", "fills alone"],
)
def test_backscatter_that_is_no_backscatter_is_said_to_be_none(beta: Any, reason: str) -> None:
    decoded = instruments.decode(made.cl61_rewritten(beta=beta))

    assert decoded.num_profiles == len(made.TIMES)
    (remark,) = decoded.rejected
    assert reason in remark.reason


@pytest.mark.parametrize("name", ["Bs_profile_data", "rcs_910"])
def test_netcdf_of_bl_view_that_holds_profiles_is_not_said_to_hold_none(name: str) -> None:
    def write(file: Any) -> None:
        made.dimensions(file, timeDim=2, rangeDim=3)
        add(file, "bl_height", ("timeDim",), np.array([700.0, 710.0]))
        add(file, name, ("timeDim", "rangeDim"), np.ones((2, 3)))

    (refused,) = instruments.decode(written(write)).rejected

    assert name in refused.reason
    assert ".his" in refused.reason
    assert "no backscatter" not in refused.reason


@pytest.mark.parametrize(
    ("unit", "epoch", "seconds"),
    [("seconds", "1970-01-01", 1.0), ("seconds", "1904-01-01", 1.0), ("days", "1970-01-01", 86_400.0)],
)
def test_times_stored_too_coarsely_to_tell_them_are_refused(unit: str, epoch: str, seconds: float) -> None:
    counts = (made.TIMES - np.datetime64(epoch, "us")) / np.timedelta64(1, "s") / seconds

    told = instruments.decode(made.cl61_rewritten(time_unit=f"{unit} since {epoch}", counts=counts.astype("f4")))
    assert told.num_profiles == 0
    assert "too coarse to tell the times" in told.rejected[0].reason
    told = instruments.decode(made.cl61_rewritten(time_unit=f"{unit} since {epoch}", counts=counts))
    assert told.blocks[0].time.tolist() == made.TIMES.tolist()


def test_times_stored_short_and_fine_enough_are_read() -> None:
    counts = (made.TIMES - np.datetime64("2026-06-21", "us")) / np.timedelta64(1, "h")

    told = instruments.decode(made.cl61_rewritten(time_unit="hours since 2026-06-21", counts=counts.astype("f4")))

    assert np.abs(told.blocks[0].time - made.TIMES).max() <= np.timedelta64(10, "ms")


def test_gates_that_reach_beyond_what_an_instrument_sees_are_refused() -> None:
    told = instruments.decode(made.cl61_rewritten(gate_m=480.0 * 4.8))

    assert told.num_profiles == 0
    assert "range" in told.rejected[0].reason


@pytest.mark.parametrize("unit", ["dB", "log(1/(m*sr))", "10 1/(m*sr)"])
def test_backscatter_of_no_air_is_refused(unit: str) -> None:
    beta = made.backscatter() * (1e6 if unit[0] == "1" else 1.0)

    told = instruments.decode(made.cl61_rewritten(unit=unit, beta=beta))

    assert told.num_profiles == 0
    assert unit in told.rejected[0].reason


def test_flags_that_lie_the_other_way_round_still_leave_their_cells_out() -> None:
    raw = made.ncas_backscatter()

    np.testing.assert_array_equal(only_block(turned(raw, only="qc_flag")).beta, only_block(raw).beta)


@pytest.mark.parametrize("make", [made.mpl2nc_file, cl2nc_file])
def test_tables_that_lie_the_other_way_round_are_the_same_profiles(make: Callable[[], bytes]) -> None:
    raw = make()

    np.testing.assert_array_equal(only_block(turned(raw)).beta, only_block(raw).beta)
    np.testing.assert_array_equal(only_block(turned(raw)).range_m, only_block(raw).range_m)


@pytest.mark.parametrize("make", [made.cl61_rewritten, made.arm_ceil, made.eprofile_l1, made.mplnet_nrb, cl2nc_file])
@pytest.mark.parametrize("place", ["first", "last"])
def test_an_axis_of_one_beside_time_and_range_changes_nothing(make: Callable[[], bytes], place: str) -> None:
    raw = make()

    def write(new: Any) -> None:
        new.createDimension("one", 1)
        for name, variable in copied(raw, new):
            is_table = len(variable.dimensions) > 1 and variable.dimensions[-1] in ("range", "altitude", "level")
            axes = ("one", *variable.dimensions) if place == "first" else (*variable.dimensions, "one")
            put(new, name, variable, axes if is_table else variable.dimensions)

    np.testing.assert_array_equal(only_block(written(write)).beta, only_block(raw).beta)


@pytest.mark.parametrize("make", [made.cl61_rewritten, made.arm_ceil, made.eprofile_l1])
def test_a_range_that_was_copied_for_every_profile_is_one(make: Callable[[], bytes]) -> None:
    raw = make()

    def write(new: Any) -> None:
        for name, variable in copied(raw, new):
            put(new, name, variable, ("time", "range") if name == "range" else variable.dimensions)

    np.testing.assert_array_equal(only_block(written(write)).range_m, only_block(raw).range_m)


@pytest.mark.parametrize("fill", [32767, 65535, 99999])
def test_a_fill_value_that_no_file_declares_is_no_cloud(fill: int) -> None:
    bases = only_block(made.cl61_rewritten(cloud_base_m=fill)).cloud_base_m

    assert np.isnan(bases).all()
    assert only_block(made.cl61_rewritten(cloud_base_m=14_000)).cloud_base_m[0, 0] == 14_000.0


def copied(raw: bytes, new: Any) -> Iterator[tuple[str, Any]]:
    """Dimensions and attributes of a file into another; then its variables, one by one."""
    with netCDF4.Dataset("raw.nc", memory=raw) as old:
        for name, dimension in old.dimensions.items():
            new.createDimension(name, len(dimension))
        new.setncatts(old.__dict__)
        for name, variable in old.variables.items():
            variable.set_auto_maskandscale(False)
            yield name, variable


def put(new: Any, name: str, variable: Any, axes: tuple[str, ...]) -> None:
    """A variable with the attributes and numbers of another on other axes."""
    attributes = dict(variable.__dict__)
    copy = new.createVariable(name, variable.dtype, axes, fill_value=attributes.pop("_FillValue", None))
    copy.set_auto_maskandscale(False)
    copy.setncatts(attributes)
    values = variable[...]
    copy[...] = values.reshape(copy.shape) if "one" in axes else np.broadcast_to(values, copy.shape)


def turned(raw: bytes, *, only: str = "", kind: str = "") -> bytes:
    """A netCDF file whose tables, or the only one named, have their axes the other way round, or another type."""

    def write(new: Any) -> None:
        for name, variable in copied(raw, new):
            attributes = dict(variable.__dict__)
            fill = attributes.pop("_FillValue", None)
            is_meant = only in ("", name)
            values = variable[...]
            if is_meant and kind and np.asarray(values).dtype.kind in "iuf":
                with np.errstate(all="ignore"):
                    values, fill = np.asarray(values).astype(kind), None
            step = -1 if is_meant and not kind else 1
            copy = new.createVariable(name, values.dtype, variable.dimensions[::step], fill_value=fill)
            copy.set_auto_maskandscale(False)
            copy.setncatts(attributes)
            copy[...] = values.T if step < 0 else values

    return written(write, layout="NETCDF4")
