"""Micropulse lidars as two others write them: MPLNET version 3 (NASA) and mpl2nc, both normalised relative backscatter.

MPLNET ``NRB``, levels 1, 1.5 and 2: `nrb` on (wavelength, time, altitude), altitudes and the instrument's
`surface_altitude` in kilometres above the sea, time a Julian date (file format page of the network). mpl2nc: two
polarisations on (profile, range), total = along + 2 across (Flynn et al. 2007, Opt. Express 15, 2785, eq. 5), gates
from the sampling time. Neither is calibrated in m-1 sr-1.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ipdsf_spark.lidar.containers import cf, cf_time
from ipdsf_spark.lidar.containers.container import Damage, Dataset, NotUnderstood, UnreadableFile
from ipdsf_spark.lidar.instruments import axes, fields, micropulse, units
from ipdsf_spark.lidar.profiles import Float32, Float64, Profiles, Time

MPLNET: Final = "MPLNET micropulse lidar"
SIGMA_MPL: Final = micropulse.MPL
WAVELENGTH_NM: Final = 532.0
KM_M: Final = 1000.0
LIGHT_M_S: Final = 299_792_458.0
_JULIAN: Final = (2.44e6, 2.52e6)  # days, 1968 to 2187
_JULIAN_UNIT: Final = "days since -4712-01-01 12:00:00"
_DEPOLARISATION: Final = (
    "volume_depolarization_ratio",
    "volume_depol_ratio",
    "vol_depol_ratio",
    "depolarization_ratio",
)
_HEALTH: Final = {
    "energy": "laser_energy_uj",
    "energy_monitor": "laser_energy_uj",
    "laser_energy": "laser_energy_uj",
    "laser_temperature": "laser_temperature_celsius",
    "temp_2": "laser_temperature_celsius",
    "detector_temperature": "detector_temperature_celsius",
    "temp_0": "detector_temperature_celsius",
}
_COUNTED: Final = {"energy_monitor": 1e-3, "temp_0": 1e-2, "temp_2": 1e-2}


def recognise(dataset: Dataset) -> str | None:
    """Instrument, or None for a file of another kind."""
    names = dataset.variables
    if "nrb" in names and "altitude" in names:
        return MPLNET
    return SIGMA_MPL if {"nrb_copol", "nrb_crosspol", "bin_time"} <= set(names) else None


def profiles(dataset: Dataset, damage: list[Damage]) -> Profiles:
    """The profiles of a file.

    Args:
        dataset: an open file.
        damage: receives the stretches of time or signal that could not be read; their rows are NaN.

    Raises:
        NotUnderstood: an axis or the signal is missing or makes no sense.
    """
    is_network = "nrb" in dataset.variables
    time = _times(dataset, damage)
    num_profiles = len(time)
    range_m, resolution_m = _above_instrument(dataset) if is_network else _sampled(dataset, num_profiles)
    fields.check_profiles(num_profiles, len(range_m))
    shape = (num_profiles, len(range_m))
    if is_network:
        beta = _field(dataset, "nrb", damage, *shape)
    else:
        beta = _field(dataset, "nrb_copol", damage, *shape) + 2.0 * _field(dataset, "nrb_crosspol", damage, *shape)
    depolarisation = _depolarisation(dataset, *shape)
    above = int(np.searchsorted(range_m, 0.0, side="right"))  # an axis above the sea may begin below the instrument
    if above:
        range_m, beta = range_m[above:], beta[:, above:]
        depolarisation = None if depolarisation is None else depolarisation[:, above:]
    nm = fields.scalar(dataset, "wavelength")
    nm = nm * 1e3 if 0.2 < nm < 3.0 else nm  # some write micrometres
    position = ("latitude", "longitude", "surface_altitude") if is_network else (
        "gps_latitude", "gps_longitude", "gps_altitude")  # fmt: skip
    absent = fields.absent(num_profiles)
    return Profiles(
        instrument=MPLNET if is_network else SIGMA_MPL,
        message_type=_level(dataset) if is_network else "mpl2nc NRB",
        time=time,
        range_m=range_m,
        range_resolution_m=resolution_m,
        beta=beta,
        is_calibrated=False,
        wavelength_nm=nm if 200.0 < nm < 3000.0 else WAVELENGTH_NM,
        **{**absent, "tilt_deg": absent["tilt_deg"] if is_network else _tilt(dataset, num_profiles)},
        depolarisation=depolarisation,
        health=_health(dataset, num_profiles),
        latitude_deg=fields.scalar(dataset, position[0]),
        longitude_deg=fields.scalar(dataset, position[1]),
        altitude_m=float(fields.in_metres(dataset, position[2], fields.scalar(dataset, position[2]))),
        identity=fields.identity(dataset, "instrument"),
    )


def _health(dataset: Dataset, num_profiles: int) -> dict[str, Float32]:
    """Housekeeping; mpl2nc leaves it in the whole numbers of the binary records, thousandths and hundredths."""
    factors = {name: np.float32(_COUNTED.get(name, 1.0)) for name in _HEALTH}
    found = {name: fields.column(dataset, name, num_profiles) for name in _HEALTH if name in dataset.variables}
    return {_HEALTH[name]: values * factors[name] for name, values in found.items()}


def _level(dataset: Dataset) -> str:
    level = next((dataset.text(key) for key in ("level", "data_level", "product_level") if dataset.text(key)), "")
    return f"MPLNET NRB {level}".strip()[:64]


def _times(dataset: Dataset, damage: list[Damage]) -> Time:
    variable = dataset.require("time")
    values = cf.physical(variable, damage=[])
    known = values[np.isfinite(values)]
    is_julian = known.size > 0 and _JULIAN[0] < float(np.median(known)) < _JULIAN[1]
    return cf_time.times(variable, damage, unit=_JULIAN_UNIT if is_julian else "")


def _above_instrument(dataset: Dataset) -> tuple[Float64, float]:
    """Gate centres of the network's files [m], and gate length [m]."""
    altitude_m = axes.along_m(dataset, "altitude", default=KM_M)
    _, spacing_m = axes.regular_grid(altitude_m)
    stored = fields.scalar(dataset, "surface_altitude")
    ground_m = float(fields.in_metres(dataset, "surface_altitude", stored, default=KM_M))
    if not -500.0 < ground_m < 9000.0:
        raise NotUnderstood("surface_altitude is missing, so heights above the instrument cannot be told")
    return altitude_m - ground_m, round(spacing_m, 3)


def _sampled(dataset: Dataset, num_profiles: int) -> tuple[Float64, float]:
    """Gate centres [m] and gate length [m] from the time between two samples of the detector [s]."""
    num_gates = fields.num_gates_of(dataset.require("nrb_copol"), num_profiles)
    resolution_m = 0.5 * LIGHT_M_S * fields.scalar(dataset, "bin_time")
    if not 0.5 < resolution_m < 500.0:
        raise NotUnderstood(f"bin_time would mean gates of {resolution_m:.3g} m")
    fields.check_profiles(1, num_gates)
    return (np.arange(num_gates, dtype=np.float64) + 0.5) * resolution_m, round(resolution_m, 3)


def _field(dataset: Dataset, name: str, damage: list[Damage], num_profiles: int, num_gates: int) -> Float32:
    variable = dataset.require(name)
    units.refuse_logarithm(name, variable.text("units"))
    values = cf.physical32(variable, damage=damage)
    if values.ndim == 3 and 0 not in values.shape:
        if values.shape[0] > 1:
            dataset.note(f"{name} of {values.shape[0]} wavelengths: only the first is read")
        values = values[0]
    return np.asarray(fields.by_time(variable, values, "time", num_profiles, num_gates), np.float32)


def _depolarisation(dataset: Dataset, num_profiles: int, num_gates: int) -> Float32 | None:
    name = next((name for name in _DEPOLARISATION if name in dataset.variables), None)
    try:
        return None if name is None else _field(dataset, name, dataset.gaps, num_profiles, num_gates)
    except UnreadableFile as error:
        dataset.note(str(error), error.offset)
        return None


def _tilt(dataset: Dataset, num_profiles: int) -> Float32:
    """Angle from the vertical of an `elevation_angle`; instruments without a scanner write 0."""
    elevation_deg = fields.column(dataset, "elevation_angle", num_profiles)
    return units.tilt(np.where(elevation_deg == 0.0, np.float32(0.0), 90.0 - elevation_deg))
