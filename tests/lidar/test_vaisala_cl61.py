"""Vaisala CL61 and DA10 of every firmware: clouds that were never written, depolarisation, status by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import add, place_of_chunk, profiles, written

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import vaisala_cl61
from ipdsf_spark.lidar.profiles import Profiles


def only_block(raw: bytes) -> Profiles:
    decoded = instruments.decode(raw)
    assert decoded.rejected == ()
    (block,) = decoded.blocks
    return block


@settings(max_examples=25)
@given(num_profiles=st.integers(1, 6), num_gates=st.integers(2, 40), seed=st.integers(0, 100))
def test_what_the_instrument_writes_is_read_back(num_profiles: int, num_gates: int, seed: int) -> None:
    made = profiles(num_profiles, num_gates, seed=seed)

    read = only_block(vaisala_cl61.encode_file(made))

    assert (read.instrument, read.message_type, read.is_calibrated) == ("Vaisala CL61", "netcdf schema 1.3", True)
    assert np.array_equal(read.time, made.time)
    assert read.range_m == pytest.approx(made.range_m)
    assert np.array_equal(read.beta, made.beta)
    assert read.depolarisation == pytest.approx(made.depolarisation, abs=1e-5)
    assert np.array_equal(read.cloud_base_m[:, :3], made.cloud_base_m, equal_nan=True)
    assert np.array_equal(read.vertical_visibility_m, made.vertical_visibility_m, equal_nan=True)
    assert np.array_equal(read.sky_cover_octas, made.sky_cover_octas, equal_nan=True)
    assert np.array_equal(read.sky_base_m, made.sky_base_m, equal_nan=True)
    assert np.array_equal(read.is_fog, made.is_fog)
    assert np.array_equal(read.is_precipitation, made.is_precipitation)
    assert np.array_equal(read.tilt_deg, made.tilt_deg)
    assert read.alarms == made.alarms
    assert read.health["window_transmission_percent"].tolist() == [97.0] * num_profiles
    assert (read.latitude_deg, read.longitude_deg, read.altitude_m) == (59.94, 10.72, 96.0)


def cl61_file(
    *, dimension: str = "time", num_layered: int = 3, status: dict[str, Any] | None = None, **more: Any
) -> bytes:
    """A file of five profiles and four gates whose cloud variable has only as many rows as it needed."""

    units = more.get("units", {})

    def write(file: Any) -> None:
        file.setncatts({"title": more.get("title", " "), "source": ""})
        for name, length in ((dimension, None), ("range", 4), ("layer", 5), ("module", 2)):
            file.createDimension(name, length)
        add(file, "time", (dimension,), 1.63e9 + np.arange(5.0), units="seconds since 1970-01-01 00:00:00.000")
        add(file, "range", ("range",), np.arange(4.0) * 4.8, units="m")
        beta = np.full((5, 4), 2e-6, "f4")
        add(file, "beta_att", (dimension, "range"), more.get("beta", beta), packed=True)
        if more.get("has_polarisation", True):
            add(file, "p_pol", (dimension, "range"), np.full((5, 4), 1.5e-6, "f4"), packed=True)
            add(file, "x_pol", (dimension, "range"), np.full((5, 4), 0.5e-6, "f4"), packed=True)
        bases = np.full((num_layered, 5), more.get("fill", -99), more.get("kind", "i4"))
        if num_layered:
            bases[num_layered - 1, 0] = 91
        variable = file.createVariable("cloud_base_heights", bases.dtype, (dimension, "layer"))
        variable.set_auto_maskandscale(False)
        if num_layered:
            variable[:num_layered] = bases
        for name, values in more.get("columns", {}).items():
            axes = () if np.ndim(values) == 0 else (dimension, "module")[: np.ndim(values)]
            add(file, name, axes, np.asarray(values), **({"units": unit} if (unit := units.get(name)) else {}))
        for name, kept in (status or {}).items():
            group = file.groups.get("status") or file.createGroup("status")
            if isinstance(kept, str):
                group.setncattr(name, kept)
            else:
                add(group, name, (dimension,), np.asarray(kept, "i2"))

    return written(write)


@pytest.mark.parametrize("num_layered", [0, 1, 3, 5])
@pytest.mark.parametrize("dimension", ["time", "profile"])
def test_rows_of_clouds_that_were_never_written_are_no_clouds(dimension: str, num_layered: int) -> None:
    read = only_block(cl61_file(dimension=dimension, num_layered=num_layered))

    assert read.cloud_base_m.shape == (5, 5) if num_layered else (5, 1)
    has_cloud = np.isfinite(read.cloud_base_m).any(axis=1)
    assert has_cloud.tolist() == [row == num_layered - 1 for row in range(5)]


@pytest.mark.parametrize(("kind", "fill"), [("i4", -99), ("f8", 9.969209968386869e36), ("f8", np.nan), ("f8", -999.9)])
def test_no_fill_value_becomes_a_cloud(kind: str, fill: float) -> None:
    read = only_block(cl61_file(num_layered=5, kind=kind, fill=fill))

    assert np.isfinite(read.cloud_base_m).sum() == 1


def test_gates_are_centred_although_the_file_gives_lower_edges() -> None:
    assert only_block(cl61_file()).range_m == pytest.approx([2.4, 7.2, 12.0, 16.8])


def test_depolarisation_is_the_ratio_of_the_two_components() -> None:
    assert only_block(cl61_file()).depolarisation == pytest.approx(np.full((5, 4), 1.0 / 3.0), rel=1e-5)


def test_a_visibility_of_zero_is_none_and_a_positive_one_is_fog() -> None:
    read = only_block(cl61_file(columns={"vertical_visibility": np.array([0, -99, 173, 0, 0], "i4")}))

    assert np.array_equal(read.vertical_visibility_m, [np.nan, np.nan, 173.0, np.nan, np.nan], equal_nan=True)
    assert read.is_fog.tolist() == [False, False, True, False, False]


def test_the_roof_the_instrument_stands_on_is_taken_off_its_cloud_bases() -> None:
    read = only_block(cl61_file(columns={"height_offset": np.full(5, 20, "i2")}))

    assert np.nanmax(read.cloud_base_m) == 71.0


def test_status_codes_are_told_by_level_and_name_profile_by_profile() -> None:
    read = only_block(cl61_file(status={"Window_condition": [0, 1, 2, 3, 0], "Receiver_memory": [3, 0, 0, 0, 0]}))

    assert sorted(read.alarms[0]) == ["alarm: receiver memory"]
    assert read.alarms[1:] == (
        ("status: window condition",),
        ("warning: window condition",),
        ("alarm: window condition",),
        (),
    )


def test_status_of_firmware_1_1_stands_in_attributes_and_holds_for_the_file() -> None:
    read = only_block(cl61_file(status={"Window_condition": "WARNING: 2", "Receiver_memory": "OK: 0"}))

    assert read.alarms == (("warning: window condition",),) * 5


def test_a_tilt_in_radians_is_read_in_degrees() -> None:
    columns = {"tilt_angle": np.full(5, np.radians(12.0), "f4")}

    in_radians, in_degrees = (
        only_block(cl61_file(columns=columns, units={"tilt_angle": unit})) for unit in ("radian", "degrees")
    )

    assert in_radians.tilt_deg == pytest.approx(np.full(5, 12.0), abs=1e-4)
    assert in_degrees.tilt_deg == pytest.approx(np.full(5, 0.2094), abs=1e-4)


def test_a_da10_has_no_depolarisation_and_tilts_with_its_near_range_unit() -> None:
    tilt = np.array([[2.8, 0.4]] * 5, "f4")

    read = only_block(
        cl61_file(title="Vaisala DIAL Atmospheric Profiler DA10", has_polarisation=False, columns={"tilt_angle": tilt})
    )

    assert read.instrument == "Vaisala DA10 DIAL"
    assert read.depolarisation is None
    assert read.tilt_deg == pytest.approx(np.full(5, 2.8))


def test_fill_values_in_the_backscatter_are_missing() -> None:
    beta = np.full((5, 4), 2e-6, "f4")
    beta[1, 2], beta[3, 3] = -999.0, 9.96921e36

    read = only_block(cl61_file(beta=beta))

    assert np.argwhere(np.isnan(read.beta)).tolist() == [[1, 2], [3, 3]]


def test_no_fill_value_becomes_housekeeping() -> None:
    columns = {"tilt_angle": np.full(5, -999.0, "f4"), "beta_att_noise_level": np.array([1, -999, 9.97e36, 2, 3])}

    read = only_block(cl61_file(columns=columns))

    assert (read.tilt_deg == 0.0).all()
    assert np.array_equal(read.health["noise_level"], [1.0, np.nan, np.nan, 2.0, 3.0], equal_nan=True)


def test_a_damaged_profile_is_rejected_alone_with_its_place() -> None:
    made = profiles(4, 400)
    raw = vaisala_cl61.encode_file(made)
    start = place_of_chunk(raw, "beta_att", row=2)

    decoded = instruments.decode(raw[:start] + b"\xff" * 20 + raw[start + 20 :])

    (read,) = decoded.blocks
    kept = [0, 1, 3]
    assert np.array_equal(read.time, made.time[kept])
    assert np.array_equal(read.beta, made.beta[kept])
    assert read.alarms == tuple(made.alarms[row] for row in kept)
    assert [len(values) for values in read.health.values()] == [3] * len(read.health)
    assert [(stretch.offset, "beta_att, row 2" in stretch.reason) for stretch in decoded.rejected] == [(start, True)]


def test_a_damaged_status_group_costs_no_profile() -> None:
    raw = vaisala_cl61.encode_file(profiles(4))
    start = raw.index(b"Receiver_overall")

    decoded = instruments.decode(raw[: start - 4] + b"\xff\xff\xff\xff" + raw[start:])

    assert decoded.num_profiles == 4


def test_the_components_add_up_to_the_backscatter_in_every_real_file(real_ceilometer_data: Path) -> None:
    """Why the parallel component needs not be unpacked."""
    num_files = 0
    for path in sorted(real_ceilometer_data.rglob("*.nc")):
        with netCDF4.Dataset(path) as file:
            if "p_pol" not in file.variables:
                continue
            across, along, beta = (np.asarray(file[name][...], float) for name in ("x_pol", "p_pol", "beta_att"))
        assert (np.abs(across + along - beta) <= 2e-7 * np.maximum(np.abs(across), np.abs(along))).all(), path.name
        num_files += 1
    assert num_files >= 14


def test_depolarisation_of_a_real_file_is_that_of_its_components(real_ceilometer_data: Path) -> None:
    path = next(real_ceilometer_data.rglob("live_20230730_001125.nc"))
    with netCDF4.Dataset(path) as file:
        expected = np.asarray(file["x_pol"][...], float) / np.asarray(file["p_pol"][...], float)

    read = only_block(path.read_bytes())

    is_sound = np.abs(expected) < 2.0  # beyond that both are noise around zero
    assert is_sound.sum() > 5000
    assert read.depolarisation is not None
    assert read.depolarisation[is_sound] == pytest.approx(expected[is_sound], abs=2e-3)
