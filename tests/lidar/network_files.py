"""Small files of the networks' own formats, made when they are needed: a layer of 3e-6 below 300 m, noise above."""

from __future__ import annotations

from typing import Any

import numpy as np
from made_files import add, written

NUM_PROFILES, NUM_GATES = 4, 60
START = np.datetime64("2026-06-21T09:00:00", "us")
TIMES = START + np.arange(NUM_PROFILES) * np.timedelta64(300, "s")
UNIX_S = (TIMES - np.datetime64("1970-01-01", "us")) / np.timedelta64(1, "s")
RANGE_M = (np.arange(NUM_GATES) + 0.5) * 10.0


def backscatter(seed: int = 3) -> Any:
    """(T, G) attenuated backscatter [m-1 sr-1]."""
    random = np.random.default_rng(seed)
    return np.where(RANGE_M < 300.0, 3e-6, 3e-7) + random.normal(0.0, 5e-8, (NUM_PROFILES, NUM_GATES))


def dimensions(file: Any, **lengths: int) -> None:
    for name, length in lengths.items():
        file.createDimension(name, length)


def arm_ceil(*, layout: str = "NETCDF3_CLASSIC", unit: str = "1/(sr*km*10000)", attributes: Any = None) -> bytes:
    """An ARM ``ceil.b1`` file: an obscured profile, a bad height, a profile of the lowest 32-bit number."""

    def write(file: Any) -> None:
        file.setncatts(attributes or {"datastream": "sgpceilC1.b1", "ceilometer_model": "Vaisala CL31"})
        dimensions(file, time=NUM_PROFILES, range=NUM_GATES, string_length=12)
        midnight = "seconds since 2026-06-21 00:00:00 0:00"
        add(file, "base_time", (), np.int32(UNIX_S[0] - 9 * 3600), units="seconds since 1970-1-1 0:00:00 0:00")
        add(file, "time_offset", ("time",), 9 * 3600.0 + 300.0 * np.arange(NUM_PROFILES), units=midnight)
        add(file, "time", ("time",), 9 * 3600.0 + 300.0 * np.arange(NUM_PROFILES), units=midnight)
        add(file, "range", ("range",), RANGE_M.astype("f4"), units="m")
        add(file, "detection_status", ("time",), np.array([1, 0, 4, 0], "i2"), missing_value=np.int16(-9999))
        metres = {"units": "m", "missing_value": np.float32(-9999)}
        add(file, "first_cbh", ("time",), np.array([500.0, 500.0, -9999.0, -9999.0], "f4"), **metres)
        add(file, "second_cbh", ("time",), np.full(NUM_PROFILES, -9999.0, "f4"), **metres)
        add(file, "third_cbh", ("time",), np.full(NUM_PROFILES, -9999.0, "f4"), **metres)
        quality = {"bit_1_assessment": "Bad", "bit_2_assessment": "Indeterminate"}
        add(file, "qc_first_cbh", ("time",), np.array([2, 1, 1, 1], "i4"), **quality)
        add(file, "vertical_visibility", ("time",), np.array([-9999.0, -9999.0, 90.0, -9999.0], "f4"), **metres)
        add(file, "tilt_angle", ("time",), np.array([3.0, 3.0, 3.0, -9999.0], "f4"), units="degree")
        add(file, "background_light", ("time",), np.full(NUM_PROFILES, 12.0, "f4"), units="mV")
        counts = (backscatter() / 1e-7).astype("f4")
        counts[3] = -(2.0**31)
        add(file, "backscatter", ("time", "range"), counts, units=unit)
        add(file, "lat", (), np.float32(36.6))
        add(file, "lon", (), np.float32(-97.5))
        add(file, "alt", (), np.float32(316.0))

    return written(write, layout=layout)


def ncas_backscatter(*, ground: str = "191 m (WGS84)", first_m: float = 196.0) -> bytes:
    """An NCAS ``aerosol-backscatter`` file with one bad cell."""

    def write(file: Any) -> None:
        file.setncatts({"source": "NCAS Vaisala CL51 Ceilometer unit 1", "platform_altitude": ground})
        file.instrument_serial_number = "J4910003"
        dimensions(file, time=NUM_PROFILES, altitude=NUM_GATES, latitude=1, longitude=1)
        add(file, "time", ("time",), UNIX_S, units="seconds since 1970-01-01 00:00:00", calendar="standard")
        altitude = first_m + 10.0 * np.arange(NUM_GATES)
        add(file, "altitude", ("altitude",), altitude.astype("f4"), units="m")
        add(file, "latitude", ("latitude",), np.array([51.1], "f4"), units="degrees_north")
        add(file, "longitude", ("longitude",), np.array([-1.4], "f4"), units="degrees_east")
        axes, fill = ("time", "altitude"), np.float32(-1e20)
        name = "attenuated_aerosol_backscatter_coefficient"
        add(file, name, axes, backscatter().astype("f4"), fill=fill, units="m-1 sr-1")
        flag = np.ones((NUM_PROFILES, NUM_GATES), "i1")
        flag[1, 2] = 2
        meanings = "not_used\ngood_data\nbad_data_outside_instrument_operational_range\nsuspect_data_time_stamp_error"
        add(file, "qc_flag", axes, flag, flag_values="0b,1b,2b,3b", flag_meanings=meanings)
        add(file, "laser_temperature", ("time",), np.full(NUM_PROFILES, 300.0, "f4"), units="K")

    return written(write, layout="NETCDF4_CLASSIC")


def mplnet_nrb(*, ground_km: float = 0.05, axes: tuple[str, ...] = ("altitude",), ratio: str = "") -> bytes:
    """An MPLNET version 3 NRB file; its axis begins 30 m above the sea."""

    def write(file: Any) -> None:
        file.setncatts({"title": "MPLNET NRB", "level": "L15", "instrument": "MPL44258"})
        dimensions(file, wavelength=1, time=NUM_PROFILES, altitude=NUM_GATES)
        add(file, "time", ("time",), UNIX_S / 86400.0 + 2440587.5, units="julian date")
        altitude = np.broadcast_to((0.03 + 0.03 * np.arange(NUM_GATES)).astype("f4"), (NUM_PROFILES, NUM_GATES))
        one = {("altitude",): altitude[0], ("altitude", "wavelength"): altitude[:1].T, ("altitude", "time"): altitude.T}
        add(file, "altitude", axes, one[axes], units="km")
        if ratio:
            add(file, ratio, ("wavelength", "time", "altitude"), np.full((1, NUM_PROFILES, NUM_GATES), 0.02, "f4"))
        add(file, "surface_altitude", ("time",), np.full(NUM_PROFILES, ground_km, "f4"), units="km")
        zenith = {"units": "degrees", "scale_factor": np.float32(-1), "add_offset": np.float32(180)}
        add(file, "zenith", ("time",), np.zeros(NUM_PROFILES, "f4"), **zenith)
        signal = backscatter()[None].astype("f4") * 1e5
        add(file, "nrb", ("wavelength", "time", "altitude"), signal, fill=np.float32(-9999), packed=True)
        add(file, "latitude", ("time",), np.full(NUM_PROFILES, 39.0, "f4"))

    return written(write)


def mpl2nc_file() -> bytes:
    """What mpl2nc makes of an MPL's binary records."""

    def write(file: Any) -> None:
        dimensions(file, profile=NUM_PROFILES, range=NUM_GATES)
        add(file, "time", ("profile",), UNIX_S.astype("u8"), units="seconds since 1970-01-01 00:00:00")
        add(file, "bin_time", ("profile",), np.full(NUM_PROFILES, 2e-7), units="s")
        add(file, "elevation_angle", ("profile",), np.full(NUM_PROFILES, 85.0, "f4"), units="degree")
        add(file, "energy_monitor", ("profile",), np.full(NUM_PROFILES, 3500, "u4"), units="mJ")
        add(file, "temp_2", ("profile",), np.full(NUM_PROFILES, 2510, "u4"))
        add(file, "nrb_copol", ("profile", "range"), backscatter() * 1e5)
        add(file, "nrb_crosspol", ("profile", "range"), backscatter() * 1e4)

    return written(write)


def eprofile_l1(
    *,
    model: str = "CL61",
    unit: str = "m^-1.sr^-1",
    tilt: Any = -999.9,
    axis: str = "range",
    signal: str = "rcs_0",
    axis_unit: str = "m",
) -> bytes:
    """An E-PROFILE level 1 file of any instrument; `tilt` None leaves the variable out."""

    def write(file: Any) -> None:
        file.setncatts({"instrument_type": model, "title": f"Somewhere {model}"})
        dimensions(file, time=NUM_PROFILES, **{axis: NUM_GATES}, layer=3)
        add(file, "time", ("time",), UNIX_S / 86400.0, units="days since 1970-01-01 00:00:00")
        values = RANGE_M + (500.0 if axis == "altitude" else 0.0)
        scale = 1e-3 if axis_unit == "km" else 1.0
        add(file, axis, (axis,), (values * scale).astype("f4"), units=axis_unit)
        add(file, signal, ("time", axis), backscatter().astype("f4"), fill=np.float32(-999.9), units=unit)
        if signal == "rcs_1":
            add(file, "rcs_2", ("time", axis), (0.1 * backscatter()).astype("f4"), units=unit)
        bases = np.full((NUM_PROFILES, 3), -999.9, "f4")
        bases[0, 0] = 400.0
        add(file, "cloud_base_height", ("time", "layer"), bases, units="m")
        if tilt is not None:
            add(file, "tilt_angle", ("time",), np.full(NUM_PROFILES, tilt, "f4"), units="degree")
        add(file, "station_altitude", (), np.float32(500.0), units="m")

    return written(write)


def history_level_2(*, decimal: bool = False, header: str = "History file\r\n") -> bytes:
    """A BL-View history file of profiles."""
    rows = []
    for unix_s, stamp, counts in zip(UNIX_S, TIMES, np.rint(backscatter() / 1e-9).astype(int), strict=True):
        date = str(stamp.astype("datetime64[s]")).replace("T", " ")
        digits = ", ".join(map(str, counts)) if decimal else "".join(f"{count & 0xFFFFF:05x}" for count in counts)
        rows.append(f"{date}, {int(unix_s)}, DEVICE_1, 16, {digits}\r\n")
    return (header + "CREATEDATE, UNIXTIME, CEILOMETER, PERIOD, BS_PROFILE\r\n" + "".join(rows)).encode()


def history_level_3() -> bytes:
    """A BL-View history file of layer heights: two layers and a cloud; then none, under full obscuration."""
    names = "CREATEDATE, UNIXTIME, CEILOMETER, PERIOD, SAMPLE_COUNT, BL_HEIGHT_1, BL_INDEX_1, BL_HEIGHT_2, BL_INDEX_2, "
    names += "BL_HEIGHT_3, BL_INDEX_3, CLOUD_STATUS, CLOUD_1, CLOUD_2, CLOUD_3, PARAMETERS"
    rows = [
        f"2026-06-21 09:00:00, {int(UNIX_S[0])}, DEVICE_1, 16, 52, 710, 3, 1200, 1, -999, -999, 1, 1500, -999, -999, 1",
        f"2026-06-21 09:05:00, {int(UNIX_S[1])}, DEVICE_1, 16, 52, " + "-999, " * 6 + "4, 150, 250, -999, 1",
    ]
    return "\r\n".join(["History file", names, *rows, ""]).encode()


def cl61_rewritten(
    *,
    time_unit: str = "seconds since 1970-01-01 00:00:00",
    counts: Any = UNIX_S,
    kind: str = "f4",
    fill: float = -999.0,
    factor: float = 1.0,
    offset: float = 0.0,
    unit: str = "1/(m*sr)",
    beta: Any = None,
    tilt: Any = 0.0,
    tilt_correction: int | None = None,
    cloud_base_m: float = 400.0,
    gate_m: float = 10.0,
) -> bytes:
    """A CL61 file as another program wrote it again: any epoch, packing, fill value and unit."""
    values = backscatter() if beta is None else beta
    stored = np.asarray(values, float)
    packed = (stored - offset) / factor
    packed = np.where(np.isfinite(stored), np.rint(packed) if np.dtype(kind).kind in "iu" else packed, fill)

    def write(file: Any) -> None:
        file.setncatts({"title": "CL61D CL61 with Depolarization", "schema_version": "1.3"})
        dimensions(file, time=NUM_PROFILES, range=NUM_GATES, layer=5)
        numbers = counts if isinstance(counts, np.ndarray) else np.asarray(counts, float)
        add(file, "time", ("time",), numbers, units=time_unit)
        add(file, "range", ("range",), gate_m * np.arange(NUM_GATES), units="m")
        own = {} if (factor, offset) == (1.0, 0.0) else {"scale_factor": factor, "add_offset": offset}
        add(file, "beta_att", ("time", "range"), packed.astype(kind), fill=np.dtype(kind).type(fill), units=unit, **own)
        bases = np.full((NUM_PROFILES, 5), -99, "i4")
        bases[:, 0] = cloud_base_m
        add(file, "cloud_base_heights", ("time", "layer"), bases, fill=np.int32(-99), units="m")
        add(file, "vertical_visibility", ("time",), np.full(NUM_PROFILES, -99, "i4"), fill=np.int32(-99), units="m")
        add(file, "tilt_angle", ("time",), np.full(NUM_PROFILES, tilt, "f4"))
        if tilt_correction is not None:
            add(file, "tilt_correction", ("time",), np.full(NUM_PROFILES, tilt_correction, "i2"), fill=np.int16(-999))

    return written(write)
