"""Vaisala CL61 ceilometer and DA10 differential-absorption profiler, netCDF-4.

Firmware 1.0 counts a `profile` dimension and has no tilt; 1.1 counts `time` and keeps status and monitoring as
attributes of two groups; from 1.2 they are variables. Of growing variables only what was needed is written: a file
without clouds has no rows of `cloud_base_heights` at all.

`beta_att` is the sum of the components `p_pol` and `x_pol`, in 30 files of four firmwares to the last bit of a float.
So the depolarisation ratio x_pol / p_pol is taken as x_pol / (beta_att - x_pol): a third field would cost a third more.

Cloud heights are along the beam unless the instrument's tilt correction is on; then they, but not the profile, are
vertical. `height_offset` is added by the instrument to cloud bases and is
taken off here. Files that other programs wrote again are read by their own attributes: epoch, unit, packing, fills.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood, UnreadableFile
from ipdsf_spark.lidar.instruments import axes, fields, units
from ipdsf_spark.lidar.profiles import Float32, Profiles

CL61: Final = "Vaisala CL61"
DA10: Final = "Vaisala DA10 DIAL"
WAVELENGTH_NM: Final = 910.55
EPOCH: Final = np.datetime64("1970-01-01", "us")
INSTRUMENTS_UNIT: Final = "seconds since 1970-01-01 00:00:00.000"
NEAR_GATES: Final = 200  # the lowest kilometre
HIGHEST_FILL: Final = -99.0  # of the instrument's, in columns of one number a profile
FILLS_FROM: Final = 100.0  # beyond are the fill values of the instrument, and of other programs
MOST_FILLS: Final = 8  # different ones in one variable
LEVELS: Final = {1: "status", 2: "warning", 3: "alarm"}
NUM_LAYERS: Final = 5
LOWEST_VISIBILITY_M: Final = 0.1  # 0 says that there is none

_MONITORING: Final = {
    "window_condition": "window_transmission_percent",
    "laser_power_percent": "laser_energy_percent",
    "background_radiance": "background_radiance",
    "internal_temperature": "internal_temperature_celsius",
    "internal_humidity": "internal_humidity_percent",
    "internal_pressure": "internal_pressure_hpa",
    "laser_temperature": "laser_temperature_celsius",
    "transmitter_enclosure_temperature": "transmitter_temperature_celsius",
    "window_blower": "window_blower_on",
    "window_blower_heater": "window_blower_heater_on",
    "internal_heater": "internal_heater_on",
}
_HOUSEKEEPING: Final = {
    "beta_att_sum": "beta_sum_sr",
    "beta_att_noise_level": "noise_level",
    "receiver_gain": "receiver_gain",
    "cloud_calibration_factor_user": "calibration_factor",
    "sky_condition_total_cloud_cover": "total_cloud_cover_octas",
}
_NEEDED: Final = (
    *("vertical_visibility", "height_offset", "precipitation_detection", "fog_detection", "tilt_angle"),
    "tilt_correction",
)
_LAYERED: Final = ("cloud_base_heights", "sky_condition_cloud_layer_heights", "sky_condition_cloud_layer_covers")


def recognise(dataset: Dataset) -> str | None:
    """``"Vaisala CL61"`` or ``"Vaisala DA10 DIAL"``, or None for another instrument's file."""
    names = dataset.variables
    if "beta_att" not in names or "cloud_base_heights" not in names or "range" not in names:
        return None
    told = f"{dataset.text('title')} {dataset.text('source')}"
    return DA10 if "DA10" in told or ("p_pol" not in names and "module" in names) else CL61


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or backscatter that could not be read; their rows are NaN.

    Raises:
        NotUnderstood: an axis or the backscatter is missing or makes no sense.
    """
    # Counts of the unit the file says; the instrument's own where it says none.
    time = cf_time.times(dataset.require("time"), damage, default_unit=INSTRUMENTS_UNIT)
    num_profiles = len(time)
    range_m, resolution_m = axes.range_axis(dataset, "range")
    fields.check_profiles(num_profiles, len(range_m))
    beta = _field(dataset, "beta_att", damage, num_profiles, len(range_m))
    unit = dataset.require("beta_att").text("units")
    factor, remark = units.backscatter_factor("beta_att", unit, beta[:, :NEAR_GATES], assumed=1.0)
    if remark:
        dataset.note(remark)
    columns = _columns(dataset, num_profiles)
    base_m, sky_m, cover = (_layers(dataset, name, num_profiles) for name in _LAYERED)
    visibility_m = fields.heights(columns["vertical_visibility"], lowest=LOWEST_VISIBILITY_M)
    offset_m = np.where(columns["height_offset"] == columns["height_offset"], columns["height_offset"], 0.0)
    tilt = units.tilt(fields.in_degrees(dataset, "tilt_angle", columns["tilt_angle"]))
    if offset_m.any():
        base_m, sky_m = (fields.heights(heights - offset_m[:, None]) for heights in (base_m, sky_m))
    is_vertical = columns["tilt_correction"] == 1
    return Profiles(
        instrument=recognise(dataset) or CL61,
        message_type=_message_type(dataset),
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=_own(beta) if factor == 1.0 else beta * np.float32(factor),
        is_calibrated=True,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=base_m,
        vertical_visibility_m=visibility_m,
        maker_layer_height_m=np.empty((num_profiles, 0), np.float32),
        sky_cover_octas=np.where(cover <= 8, cover, np.float32(np.nan)),
        sky_base_m=sky_m,
        is_precipitation=columns["precipitation_detection"] == 1,
        is_fog=(columns["fog_detection"] == 1) | (visibility_m > 0.0),
        tilt_deg=tilt,
        base_tilt_deg=np.where(is_vertical, np.float32(0.0), tilt),
        depolarisation=_depolarisation(dataset, beta, num_profiles, len(range_m)),
        alarms=_alarms(dataset, num_profiles),
        health=_health(dataset, columns),
        latitude_deg=_position(dataset, "latitude"),
        longitude_deg=_position(dataset, "longitude"),
        altitude_m=_position(dataset, "elevation"),
        identity=fields.identity(dataset, "instrument_serial_number"),
    )


def _message_type(dataset: Dataset) -> str:
    schema = dataset.text("schema_version").lstrip("v")
    return f"netcdf schema {schema}" if schema else f"netcdf firmware {dataset.text('history').strip() or '1'}"[:64]


def _own(beta: Float32) -> Float32:
    """The same numbers, not in the bytes of the file."""
    return beta if beta.flags.writeable else beta.copy()


def _field(dataset: Dataset, name: str, damage: list[Damage], num_profiles: int, num_gates: int) -> Float32:
    """(T, G) numbers of a variable, NaN for fills; read-only where they still lie in the bytes of the file."""
    variable = dataset.require(name)
    told = units.per_metre_steradian(variable.text("units"))
    limit = FILLS_FROM / min(told or 1.0, 1.0)
    # As the instrument writes it, it needs no second look at every number; packed again it does.
    if cf.is_plain(variable, -limit, limit):
        values = variable.read(damage)
        if values.dtype.kind not in "iuf":
            raise NotUnderstood(f"{name} holds no numbers")
        values = values.astype(np.float32, copy=False)
    else:
        values = cf.physical32(variable, damage=damage)
    values = fields.by_time(variable, values, "time", num_profiles, num_gates)
    # Fill values are -999 or 9.97e36; real backscatter is a thousand times below 1 in the densest cloud.
    if not (values.max(initial=0.0) < limit and values.min(initial=0.0) > -limit):
        is_sound = np.abs(values) < limit
        _refuse_counts(name, values[:, :NEAR_GATES], is_sound[:, :NEAR_GATES])
        values = np.where(is_sound, values, np.float32(np.nan))
    return values


def _refuse_counts(name: str, near: Float32, is_sound: NDArray[np.bool_]) -> None:
    """Fills are a few numbers again and again; many different ones are counts whose packing somebody lost.

    Raises:
        NotUnderstood: most of what stands near the ground are such counts.
    """
    beyond = near[~is_sound & np.isfinite(near)]
    if 2 * beyond.size > near.size and len(np.unique(beyond)) > MOST_FILLS:
        raise NotUnderstood(
            f"{name} holds numbers like {beyond[0]:.4g}, which no air has: its scale_factor was lost, or its unit"
        )


def _depolarisation(dataset: Dataset, beta: Float32, num_profiles: int, num_gates: int) -> Float32 | None:
    if "x_pol" not in dataset.variables:
        return None
    across = _field(dataset, "x_pol", dataset.gaps, num_profiles, num_gates)
    factors = [units.per_metre_steradian(dataset.require(name).text("units")) for name in ("beta_att", "x_pol")]
    if factors[0] and factors[1] and factors[0] != factors[1]:
        across = across * np.float32(factors[1] / factors[0])
    along = beta - across
    ratio: Float32 = np.divide(across, along, out=along)
    ratio[np.isinf(ratio)] = np.nan
    return ratio


def _columns(dataset: Dataset, num_profiles: int) -> dict[str, Float32]:
    """(T,) numbers by name, NaN for fills and what was never written; of two optics units the near-range one.

    They are cleaned together: one by one it would cost as much as unpacking the profiles.
    """
    found = [(name, _numbers(dataset, name)) for name in _NEEDED]
    found += [(name, _numbers(dataset, name)) for name in _HOUSEKEEPING if name in dataset.variables]
    monitoring = _group(dataset, "monitoring")
    if monitoring is not None:
        found += [(name, _numbers(monitoring, name)) for name in _MONITORING if name in monitoring.variables]
    block = np.full((len(found), num_profiles), np.nan, np.float32)
    for row, (_, stored) in zip(block, found, strict=True):
        if stored is None or stored.dtype.kind not in "iuf" or 0 in stored.shape[1:] or stored.ndim > 2:
            continue
        if stored.ndim < 2 and (stored.ndim == 0 or len(stored) == num_profiles):
            row[:] = stored
        elif len(stored) <= num_profiles:
            row[: len(stored)] = stored if stored.ndim == 1 else stored[:, 0]
    block[(block <= HIGHEST_FILL) | (block > cf.FILL_LIMIT)] = np.nan
    return {name: row for (name, _), row in zip(found, block, strict=True)}


def _numbers(dataset: Dataset, name: str) -> NDArray[Any] | None:
    """Numbers of a variable that a profile can do without, unpacked where they are packed; None if there are none."""
    variable = dataset.optional(name)
    if variable is None or not cf.is_plain(variable, HIGHEST_FILL, cf.FILL_LIMIT):
        return cf.optional(dataset, name)
    return dataset.stored(name)


def _group(dataset: Dataset, name: str) -> Dataset | None:
    if name not in dataset.variables:
        return None
    try:
        return dataset.groups[name]
    except UnreadableFile as error:
        dataset.gaps.append(Damage(error.offset, 0, 0, 0, f"group {name}: {error}"))
        return None


def _layers(dataset: Dataset, name: str, num_profiles: int) -> Float32:
    """(T, 5) heights or covers, NaN where there are none."""
    stored = _numbers(dataset, name)
    if stored is None or stored.ndim != 2 or stored.shape[1] == 0:
        return np.full((num_profiles, 1), np.nan, np.float32)
    table = fields.table(dataset.variables[name], stored, num_profiles)
    return fields.heights(fields.in_metres(dataset, name, table))


def _alarms(dataset: Dataset, num_profiles: int) -> tuple[tuple[str, ...], ...]:
    """Names of the status codes that are set: variables of a group, or attributes ``"OK: 0"`` for the whole file."""
    set_names: list[list[str]] = [[] for _ in range(num_profiles)]
    for group in filter(None, (_group(dataset, name) for name in ("status", "monitoring"))):
        for name, value in group.attributes.items():
            word, colon, code = str(value).rpartition(": ")
            if word and colon and code.isdigit() and int(code):
                label = _label(name, int(code))
                for names in set_names:
                    names.append(label)
    status = _group(dataset, "status")
    for name in status.variables if status is not None else ():
        stored = status.stored(name) if status is not None else None
        if stored is None or stored.dtype.kind not in "iu" or stored.shape != (num_profiles,):
            continue
        codes = stored.tolist()
        if any(codes):
            for row, code in enumerate(codes):
                if code > 0:
                    set_names[row].append(_label(name, code))
    return tuple(map(tuple, set_names))


def _label(name: str, code: int) -> str:
    return f"{LEVELS.get(code, f'code {code}')}: {name.replace('_', ' ').lower()}"


def _health(dataset: Dataset, columns: dict[str, Float32]) -> dict[str, Float32]:
    names = {**_HOUSEKEEPING, **_MONITORING}
    health = {key: columns[name] for name, key in names.items() if name in columns}
    if "beta_sum_sr" in health:
        health["beta_sum_sr"] = health["beta_sum_sr"] * np.float32(1e-4)
    monitoring = _group(dataset, "monitoring")
    if monitoring is not None and not monitoring.variables:  # firmware 1.1 keeps one value a file as attributes
        for name, key in _MONITORING.items():
            value = cf.number(monitoring.attributes.get(name))
            if np.isfinite(value):
                health[key] = np.full(len(columns[_NEEDED[0]]), value, np.float32)
    return health


def _position(dataset: Dataset, name: str) -> float:
    stored = _numbers(dataset, name)
    if stored is None or not stored.size or stored.dtype.kind not in "iuf":
        return float("nan")
    first = float(stored.flat[0])
    return first if first > -900.0 else float("nan")


def encode_file(profiles: Profiles, *, compression: int = 2) -> bytes:
    """The netCDF-4 file that a CL61 of schema 1.3 would have written for `profiles`.

    Args:
        profiles: calibrated profiles of any instrument; without depolarisation all light counts as parallel.
        compression: deflate level; the instrument uses 2.
    """
    import netCDF4  # only writers need the C library, which takes a tenth of a second to load

    num_profiles, num_gates = profiles.beta.shape
    ratio = np.zeros_like(profiles.beta) if profiles.depolarisation is None else profiles.depolarisation
    ratio = np.nan_to_num(ratio)
    beta = np.nan_to_num(profiles.beta)
    across = (beta * ratio / (1.0 + ratio)).astype(np.float32)
    file = netCDF4.Dataset("cl61.nc", "w", memory=1024)
    file.setncatts({"title": "CL61D CL61 with Depolarization", "source": "", "conventions": "CF-1.8"})
    file.setncatts({"schema_version": "1.3", "sw_version": "1.2.7", "overlap_is_corrected": "1"})
    for name, length in (("range", num_gates), ("layer", NUM_LAYERS), ("time", None)):
        file.createDimension(name, length)

    lengths = {"time": 1024, "range": num_gates, "layer": NUM_LAYERS}

    def put(group: Any, name: str, kind: str, axes: Any, fill: float, values: Any, **attributes: str) -> None:
        chunks = [lengths[axis] for axis in axes] if len(axes) < 2 else [1, lengths[axes[1]]]
        packed = {"zlib": True, "complevel": compression, "chunksizes": chunks} if axes else {}
        variable = group.createVariable(name, kind, axes, fill_value=fill, **packed)
        variable.setncatts(attributes)
        variable[...] = np.where(np.isfinite(values), values, fill)

    def layers(values: Float32) -> Any:
        table = np.full((num_profiles, NUM_LAYERS), np.nan)
        width = min(NUM_LAYERS, values.shape[1])
        table[:, :width] = values[:, :width]
        return np.rint(table)

    def health(key: str, default: float) -> Any:
        return profiles.health.get(key, np.full(num_profiles, default))

    time, gates, layered = ("time",), ("time", "range"), ("time", "layer")
    unit, metre, percent = {"units": "1/(m*sr)"}, {"units": "m"}, {"units": "percent"}
    seconds = (profiles.time - EPOCH) / np.timedelta64(1, "s")
    counted = {"units": "seconds since 1970-01-01 00:00:00.000", "comment": "end of the averaging period"}
    put(file, "cloud_base_heights", "i4", layered, -99, layers(profiles.cloud_base_m), **metre)
    put(file, "vertical_visibility", "i4", time, -99, np.rint(profiles.vertical_visibility_m), **metre)
    put(file, "p_pol", "f4", gates, -999.0, beta - across, **unit)
    put(file, "x_pol", "f4", gates, -999.0, across, **unit)
    put(file, "beta_att", "f4", gates, -999.0, beta, **unit)
    put(file, "linear_depol_ratio", "f4", gates, -999.0, ratio)
    put(file, "time", "f8", time, -999.0, seconds, **counted)
    put(file, "range", "f8", ("range",), -999.0, np.arange(num_gates) * profiles.range_resolution_m, **metre)
    put(file, "tilt_angle", "f4", time, -999.0, profiles.tilt_deg, units="degrees")
    put(file, "tilt_correction", "i2", time, -999, np.zeros(num_profiles))
    put(file, "height_offset", "i2", time, -999, np.zeros(num_profiles), **metre)
    put(file, "sky_condition_cloud_layer_covers", "i2", layered, -99, layers(profiles.sky_cover_octas), units="oktas")
    put(file, "sky_condition_cloud_layer_heights", "i4", layered, -99, layers(profiles.sky_base_m), **metre)
    put(file, "precipitation_detection", "i2", time, -999, profiles.is_precipitation.astype(float))
    put(file, "fog_detection", "i2", time, -999, profiles.is_fog.astype(float))
    put(file, "beta_att_sum", "f8", time, -999.0, beta.sum(axis=1, dtype=float) * profiles.range_resolution_m * 1e4)
    put(file, "latitude", "f8", (), -999.0, profiles.latitude_deg, units="degrees_north")
    put(file, "longitude", "f8", (), -999.0, profiles.longitude_deg, units="degrees_east")
    put(file, "elevation", "i4", (), -999, np.rint(profiles.altitude_m), **metre)
    monitoring = file.createGroup("monitoring")
    put(
        monitoring, "window_condition", "f4", time, -999.0, health("window_transmission_percent", 98.0), units="percent"
    )
    put(monitoring, "laser_power_percent", "f4", time, -999.0, health("laser_energy_percent", 100.0), **percent)
    put(monitoring, "laser_temperature", "f4", time, -999.0, health("laser_temperature_celsius", 25.0), units="celsius")
    status = file.createGroup("status")
    names = sorted({alarm for names in profiles.alarms for alarm in names})
    for label in ("alarm: device overall", *(name for name in names if name != "alarm: device overall")):
        level, _, word = label.partition(": ")
        code = next((code for code, name in LEVELS.items() if name == level), 0)
        codes = [code if label in names else 0 for names in profiles.alarms] or [0] * num_profiles
        put(status, word.replace(" ", "_").capitalize(), "i2", time, -999, np.array(codes, float))
    return bytes(file.close())
