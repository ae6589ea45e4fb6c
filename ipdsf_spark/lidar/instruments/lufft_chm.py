"""Lufft (Jenoptik) CHM 15k and CHM 8k netCDF files (CHM 15k manual R13, section 8.4).

Mode 0 writes `beta_raw`, a range-corrected signal that a site's calibration turns into backscatter; mode 1 (firmware
1.05 and later) writes `beta_att` [m-1 sr-1] = c_cal · beta_raw with the maker's c_cal. The UK Met Office rewrites files
with upper-case names, kilometres, hours and its own calibration. Names are therefore looked up without their case, and
units are read.

`cbh` carries the height offset `cho`, the altitude of the site if the operator wants heights above sea level. So does
`pbl`: on every real file with an offset (Bucharest, cho 70, 199 values; Payerne, cho 490) `pbl - cho` falls on the
range gates and `pbl` does not. Each file is tested, because firmware may change. Of an instrument set up with a zenith
angle the heights are corrected by it (manual R09, section 9.6), the profile is not.

Old firmware writes the factor of its tenths as the text "10": what is written as text is no factor here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.containers import cf, cf_time, netcdf3
from ipdsf_spark.lidar.containers.container import Damage, Dataset, Variable
from ipdsf_spark.lidar.instruments import axes, fields, units
from ipdsf_spark.lidar.profiles import Float32, Profiles

RAIN, FOG, SNOW, PARTICLES = 1, 2, 3, 4  # sky condition index
FOG_VISIBILITY_M: Final = 1000.0  # WMO: fog is visibility below 1 km
NEAR_GATES: Final = 70  # the lowest kilometre
LARGEST_SCALE: Final = 1e12  # noise over gain of a sound detector is around 1
FIRST_RANGE_CORRECTED: Final = 0.702
ZERO_CELSIUS_K: Final = 273.15
EPOCH: Final = np.datetime64("1904-01-01", "us")
DEFAULT_CALIBRATION: Final = 3.2e-12  # m-1 sr-1 per unit of beta_raw: the maker's c_cal in a mode 1 file

ERROR_BITS: Final = (
    "error: signal quality",
    "error: signal recording",
    "error: signal values null or void",
    "error: mainboard detection",
    "error: create netCDF file",
    "error: write netCDF file",
    "error: RS485 telegram",
    "error: SD card absent or defective",
    "error: detector high voltage",
    "warning: internal temperature out of range",
    "error: laser optical unit temperature",
    "error: laser trigger not detected",
    "error: laser driver board temperature",
    "error: laser interlock",
    "error: laser head temperature",
    "warning: replace laser, ageing",
    "warning: signal quality, high noise",
    "warning: window contaminated",
    "warning: signal processing",
    "warning: laser detector misaligned or window soiled",
    "warning: file system repaired",
    "warning: RS485 baud rate reset",
    "warning: AFD",
    "warning: configuration",
    "warning: laser optical unit temperature",
    "warning: external temperature",
    "warning: detector temperature out of range",
    "warning: laser",
    "note: more than three layers with standard telegram",
    "note: started or power save",
    "note: standby",
    "note: time synchronisation",
)

_PERCENT: Final = {
    "laser_quality_percent": ("state_laser",),
    "detector_quality_percent": ("state_detector",),
    "window_transmission_percent": ("state_optics",),
}
_KELVIN: Final = {
    "laser_temperature_celsius": ("temp_lom",),
    "internal_temperature_celsius": ("temp_int",),
    "external_temperature_celsius": ("temp_ext",),
    "detector_temperature_celsius": ("temp_det",),
}
_COUNTS: Final = {
    "laser_pulses": ("laser_pulses", "npulses"),
    "laser_hours": ("life_time",),
    "baseline_counts": ("base",),
    "noise_counts": ("stddev",),
    "calibration_pulse_counts": ("p_calc", "p_cal"),
    "calibration_factor": ("c_cal", "calibration_factor"),
}


def recognise(dataset: Dataset) -> str | None:
    """``"Lufft CHM15k"`` or ``"Lufft CHM8k"``, or None for another instrument's file."""
    names = {name.lower() for name in dataset.variables}
    if not names & {"beta_raw", "beta_att"}:
        return None
    told = " ".join(dataset.text(key) for key in ("title", "source", "device_name", "source_file", "serlom")).lower()
    if "chm8k" in told or "chm 8k" in told:
        return "Lufft CHM8k"
    is_chm = any(word in told for word in ("chm", "chx", "nimbus", "tub"))
    return "Lufft CHM15k" if is_chm or ({"nn1", "stddev", "cbh", "pbl"} & names and "sci" in names) else None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or signal that could not be read; their rows are NaN.

    Raises:
        UnreadableFile: an axis or the signal is missing or makes no sense.
    """
    file = _Fields(dataset, {name.lower(): name for name in dataset.variables})
    time = cf_time.times(file.require("time"), damage)
    range_m, resolution_m = axes.range_axis(dataset, file.stored_name("range"), text_factors=False)
    num_profiles, num_gates = len(time), len(range_m)
    fields.check_profiles(num_profiles, num_gates)
    beta, is_calibrated, message_type = _signal(dataset, file, damage, num_profiles, num_gates)
    if not is_calibrated and _firmware(dataset) < FIRST_RANGE_CORRECTED:
        beta = _range_corrected(file, beta, range_m, num_profiles)

    condition = file.codes("sci", num_profiles=num_profiles)
    visibility_m = file.heights("vor" if "vor" in file.names else "visibility", num_profiles)[:, 0]
    offset_m = file.scalar("cho")
    offset_m = offset_m if -500.0 < offset_m < 9000.0 else 0.0
    layers = file.heights("pbl", num_profiles)
    covers = fields.heights(file.column("tcc", num_profiles)[:, None])
    return Profiles(
        instrument=recognise(dataset) or "Lufft CHM15k",
        message_type=message_type,
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=beta,
        is_calibrated=is_calibrated,
        wavelength_nm=_or(file.scalar("wavelength"), 1064.0),
        cloud_base_m=_without(offset_m, file.heights("cbh", num_profiles)),
        vertical_visibility_m=visibility_m,
        maker_layer_height_m=_without(_layer_offset_m(layers, offset_m, resolution_m), layers),
        sky_cover_octas=np.where(covers <= 8, covers, np.float32(np.nan)),
        sky_base_m=np.full_like(covers, np.nan),
        is_precipitation=(condition == RAIN) | (condition == SNOW) | (condition == PARTICLES),
        is_fog=(condition == FOG) | (visibility_m < FOG_VISIBILITY_M),
        tilt_deg=fields.tilt_deg(dataset, file.stored_name("zenith"), num_profiles, text_factors=False),
        alarms=named_bits(ERROR_BITS, file.codes("error_ext", "message_bits", num_profiles=num_profiles)),
        health=_health(file, num_profiles),
        latitude_deg=file.scalar("latitude"),
        longitude_deg=file.scalar("longitude"),
        altitude_m=file.scalar("altitude"),
        identity=fields.identity(dataset, "device_name", "source"),
    )


@dataclass(frozen=True)
class _Fields:
    """Variables by lower-case name, absent ones as NaN."""

    dataset: Dataset
    names: dict[str, str]

    def require(self, name: str) -> Variable:
        return self.dataset.require(self.stored_name(name))

    def scalar(self, name: str) -> float:
        return fields.scalar(self.dataset, self.stored_name(name), text_factors=False)

    def stored_name(self, name: str) -> str:
        return self.names.get(name, name)

    def column(self, name: str, num_profiles: int) -> Float32:
        return fields.column(self.dataset, self.stored_name(name), num_profiles, text_factors=False)

    def codes(self, *names: str, num_profiles: int) -> NDArray[np.int64]:
        """(T,) whole numbers as stored under the first of `names` that is there, 0 where there are none."""
        values = next(
            (found for name in names if (found := self.dataset.stored(self.stored_name(name))) is not None), None
        )
        if values is None or values.shape != (num_profiles,) or values.dtype.kind not in "iu":
            return np.zeros(num_profiles, np.int64)
        return values.astype(np.int64)

    def heights(self, name: str, num_profiles: int) -> Float32:
        """(T, L) metres, NaN where there is none; one column of NaN if the file has no such variable."""
        stored_name = self.stored_name(name)
        found = fields.layers(self.dataset, stored_name, num_profiles, text_factors=False)
        return fields.heights(fields.in_metres(self.dataset, stored_name, found))


def _signal(
    dataset: Dataset, file: _Fields, damage: list[Damage], num_profiles: int, num_gates: int
) -> tuple[Float32, bool, str]:
    """The signal, whether it is calibrated, and what to call the layout."""
    name, is_calibrated, message_type = _layout(file)
    signal = file.require(name)
    stored = cf.physical32(signal, damage=damage, text_factors=False)
    beta = fields.by_time(signal, stored, file.require("time").name, num_profiles, num_gates)
    unit = signal.text("units")
    units.refuse_logarithm(name, unit)
    if not is_calibrated:
        return beta, False, message_type
    factor, remark = units.backscatter_factor(name, unit, beta[:, :NEAR_GATES], assumed=1.0)
    if remark:
        dataset.note(remark)
    return (beta if factor == 1.0 else beta * np.float32(factor)), True, message_type


def _layout(file: _Fields) -> tuple[str, bool, str]:
    """Name of the signal, whether it is calibrated, and what to call the layout."""
    if "beta_att" in file.names:
        return "beta_att", True, "netcdf mode 1"
    if "beta" in file.names:
        return "beta", True, "netcdf Met Office"
    return "beta_raw", False, "netcdf mode 0"


def _firmware(dataset: Dataset) -> float:
    """Firmware number from texts like ``17.05.1 2.13 1.040 0`` or ``0.556``, or whole thousandths; NaN if none."""
    words = str(dataset.attributes.get("software_version", dataset.attributes.get("firmware_version", ""))).split()
    version = cf.number(dataset.attributes.get("software_version"))
    if np.isfinite(version):
        return version / 1000.0 if version >= 100.0 else version
    return cf.number(words[2]) if len(words) > 2 else float("nan")


def _range_corrected(file: _Fields, beta: Float32, range_m: Any, num_profiles: int) -> Float32:
    """Signal of firmware before 0.702 on the scale of later ones: times noise, over detector gain, times range².

    The gain follows the monitor count nn1 (CloudnetPy, lufft reader, after Jenoptik's evaluation).
    """
    noise, monitor = file.column("stddev", num_profiles), file.column("nn1", num_profiles)
    middle = float(np.nanmedian(monitor)) if np.isfinite(monitor).any() else 0.0
    gain: Any = np.ones(num_profiles)
    if 120.0 < middle < 160.0:
        gain = 1.24 ** (-(monitor - 140.0) / 5.0)
    elif 3200.0 < middle < 4000.0:
        gain = 1.035 ** (-(monitor - 3685.0))
    scale = noise / gain
    is_sane = (scale > 0.0) & (scale < LARGEST_SCALE)
    if not is_sane.all():
        file.dataset.note(
            f"{np.count_nonzero(~is_sane)} of {num_profiles} profiles have a noise (stddev) or a gain (nn1) that no "
            "detector has: their signal is missing"
        )
    scale = np.where(is_sane, scale, np.nan)
    corrected: Float32 = (beta * scale[:, None] * range_m[None, :] ** 2).astype(np.float32)
    return corrected


def _without(offset_m: float, heights_m: Float32) -> Float32:
    """Heights less an offset, NaN below the instrument."""
    return fields.heights(heights_m - offset_m) if offset_m else heights_m


def _layer_offset_m(layers_m: Float32, offset_m: float, resolution_m: float) -> float:
    """The offset that layer heights carry: `offset_m`, unless they lie on the gates only without subtracting it."""
    if offset_m == 0.0:
        return offset_m
    found = layers_m[np.isfinite(layers_m)]
    if not len(found):
        return offset_m

    def misfit(heights: Any) -> float:
        return float(np.abs(heights - np.rint(heights / resolution_m) * resolution_m).max())

    is_without = misfit(found) <= 0.6 < misfit(found - offset_m)
    return 0.0 if is_without else offset_m


def named_bits(names: Sequence[str], codes: NDArray[np.int64]) -> tuple[tuple[str, ...], ...]:
    """The names of the bits set in each of (T,) status codes; `names` begins with bit 0."""
    return tuple(
        tuple(name for bit, name in enumerate(names) if code >> bit & 1) if code else () for code in codes.tolist()
    )


def _health(file: _Fields, num_profiles: int) -> dict[str, Float32]:
    health = {}
    for group in (_PERCENT, _COUNTS, _KELVIN):
        for key, names in group.items():
            name = next((name for name in names if name in file.names), None)
            if name is None:
                continue
            values = file.column(name, num_profiles)
            if group is _KELVIN:
                # Re-written files apply the factor 0.1 twice; no part of an instrument is at 29 K.
                values = np.where(values < 100.0, values * np.float32(10.0), values) - np.float32(ZERO_CELSIUS_K)
            health[key] = values
    quality = file.heights("pbs", num_profiles)
    for layer in range(quality.shape[1] if "pbs" in file.names else 0):
        health[f"maker_layer_{layer + 1}_quality"] = quality[:, layer]
    return health


def _or(value: float, default: float) -> float:
    return default if np.isnan(value) else value


def encode_file(
    profiles: Profiles, *, mode: int = 0, calibration: float = DEFAULT_CALIBRATION, height_offset_m: int = 0
) -> bytes:
    """The netCDF-3 file a CHM 15k (firmware 1.040) would have written for `profiles`.

    Args:
        profiles: any instrument's; times become whole seconds, heights whole metres.
        mode: 0 writes `beta_raw`, 1 writes `beta_att` and `c_cal`.
        calibration: factor from `beta_raw` to m-1 sr-1, used where `profiles` are calibrated.
        height_offset_m: `cho`, added to cloud bases and layer heights as the instrument does.
    """
    num_profiles, num_layers = len(profiles), 3
    resolution_m = profiles.range_resolution_m
    seconds = (profiles.time - EPOCH) / np.timedelta64(1, "s")
    raw = profiles.beta / np.float32(calibration) if profiles.is_calibrated else profiles.beta
    beta = np.where(np.isfinite(raw), raw, 0.0).astype(np.float32)
    condition = np.where(profiles.is_fog, FOG, np.where(profiles.is_precipitation, RAIN, 0))
    stamp = profiles.time[0].astype("datetime64[D]").item() if num_profiles else None

    def column(key: str, default: float, scale: float = 1.0) -> Any:
        values = profiles.health.get(key, np.full(num_profiles, default))
        return np.rint(np.nan_to_num(values, nan=default) * scale)

    def layers(values: Float32) -> Any:
        table = np.full((num_profiles, num_layers), np.nan)
        width = min(num_layers, values.shape[1])
        table[:, :width] = values[:, :width]
        return np.where(np.isfinite(table), np.rint(table) + height_offset_m, -1)

    def kelvin(key: str, default: float) -> Any:
        return np.rint((profiles.health.get(key, np.full(num_profiles, default)) + ZERO_CELSIUS_K) * 10.0)

    def per_gate(values: Any) -> Any:
        return np.asarray(values, np.float32)

    time, gates, layer = ("time",), ("range",), ("time", "layer")
    cover = profiles.sky_cover_octas[:, :1]
    total = np.where(np.isfinite(cover), cover, -1)[:, 0] if cover.shape[1] else np.full(num_profiles, -1)
    visibility = profiles.vertical_visibility_m
    signal: netcdf3.Written = (
        ("beta_raw", ("time", "range"), beta, {"units": "", "long_name": "normalized range corrected signal"})
        if mode == 0
        else (
            "beta_att",
            ("time", "range"),
            (beta * np.float32(calibration)).astype(np.float32),
            {"units": "1/m 1/sr", "long_name": "attenuated backscatter"},
        )
    )
    metre: Mapping[str, str | float] = {"units": "m"}
    tenth_kelvin: Mapping[str, str | float] = {"units": "K", "scale_factor": 0.1}
    variables: list[netcdf3.Written] = [
        ("time", time, seconds.astype("f8"), {"units": "seconds since 1904-01-01 00:00:00.000 00:00", "axis": "T"}),
        ("range", gates, per_gate((np.arange(len(profiles.range_m)) + 1) * resolution_m), {"units": "m", "axis": "Z"}),
        ("layer", ("layer",), np.arange(1, num_layers + 1, dtype="i4"), {"long_name": "layer index"}),
        ("latitude", (), per_gate(np.nan_to_num(profiles.latitude_deg)), {"units": "degrees_north"}),
        ("longitude", (), per_gate(np.nan_to_num(profiles.longitude_deg)), {"units": "degrees_east"}),
        ("altitude", (), per_gate(np.nan_to_num(profiles.altitude_m)), metre),
        ("zenith", (), per_gate(profiles.tilt_deg[0] if num_profiles else 0.0), {"units": "degree"}),
        ("wavelength", (), per_gate(profiles.wavelength_nm), {"units": "nm"}),
        ("range_gate", (), per_gate(resolution_m), metre),
        ("average_time", time, np.full(num_profiles, 15000, "i4"), {"units": "ms"}),
        ("life_time", time, column("laser_hours", 10000).astype("i4"), {"units": "h"}),
        ("laser_pulses", time, column("laser_pulses", 100_000).astype("i4"), {}),
        ("error_ext", time, _error_codes(profiles), {"long_name": "32 bit service code"}),
        ("state_laser", time, column("laser_quality_percent", 100).astype("i1"), {"units": "percent"}),
        ("state_detector", time, column("detector_quality_percent", 100).astype("i1"), {"units": "percent"}),
        ("state_optics", time, column("window_transmission_percent", 98).astype("i1"), {"units": "percent"}),
        ("temp_int", time, kelvin("internal_temperature_celsius", 20.0).astype("i2"), tenth_kelvin),
        ("temp_ext", time, kelvin("external_temperature_celsius", 10.0).astype("i2"), tenth_kelvin),
        ("temp_det", time, kelvin("detector_temperature_celsius", 25.0).astype("i2"), tenth_kelvin),
        ("temp_lom", time, kelvin("laser_temperature_celsius", 35.0).astype("i2"), tenth_kelvin),
        signal,
        ("pbl", layer, layers(profiles.maker_layer_height_m).astype("i2"), metre),
        ("pbs", layer, np.where(layers(profiles.maker_layer_height_m) >= 0, 1, 0).astype("i1"), {}),
        ("tcc", time, total.astype("i1"), {"long_name": "total cloud cover"}),
        ("sci", time, condition.astype("i1"), {"long_name": "sky condition index"}),
        ("vor", time, np.where(np.isfinite(visibility), np.rint(visibility), -1).astype("i2"), metre),
        ("cbh", layer, layers(profiles.cloud_base_m).astype("i2"), {"units": "m", "long_name": "cloud base height"}),
        ("cho", (), np.asarray(height_offset_m, "i2"), {"units": "m", "long_name": "cloud height offset"}),
    ]
    if mode == 1:
        variables.append(("c_cal", (), per_gate(calibration), {"long_name": "calibration constant (c)"}))
    date = {} if stamp is None else {"day": stamp.day, "month": stamp.month, "year": stamp.year}
    return netcdf3.to_bytes(
        {"time": num_profiles, "range": len(profiles.range_m), "layer": num_layers},
        {"title": "CHM15k Nimbus", "source": "CHM000000", **date, "software_version": "17.05.1 2.13 1.040 0"},
        variables,
        record="time",
    )


def _error_codes(profiles: Profiles) -> Any:
    bit_of = {name: bit for bit, name in enumerate(ERROR_BITS)}
    codes = [sum(1 << bit_of[name] for name in names if name in bit_of) for names in profiles.alarms]
    return np.array(codes or [0] * len(profiles), np.uint32).astype(np.int32)
