"""Attenuated backscatter of a column of air, particles, cloud, rain and fog, as an ideal lidar sees it.

Particles and air follow an erf profile at the mixing layer's top (Steyn, Baldi, Hoff 1999, eq. 1). Water droplets have
a lidar ratio of 18.8 sr (O'Connor et al. 2004, J. Atmos. Ocean. Technol. 21, 777), so that an opaque liquid cloud
integrates to 1 / (2 η S) whatever its extinction.

T times · G gates; beta in m-1 sr-1, heights in metres above the instrument.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from ipdsf_spark.lidar.profiles import Float32, Float64
from ipdsf_spark.lidar.simulator.evolution import Weather

AEROSOL_LIDAR_RATIO_SR: Final = 50.0
DROPLET_LIDAR_RATIO_SR: Final = 18.8
ICE_LIDAR_RATIO_SR: Final = 25.0
RAIN_LIDAR_RATIO_SR: Final = 20.0
MULTIPLE_SCATTERING: Final = 0.7  # η: share of the extinction that removes light from a ceilometer's field of view
MOLECULAR_550_NM: Final = 1.39e-6  # m-1 sr-1 at sea level (Collis & Russell 1976: 5.45e-32 m2 sr-1 a molecule)
AIR_SCALE_M: Final = 8000.0
BACKGROUND_SCALE_M: Final = 3000.0
LOFTED_HEIGHT_M: Final = 3000.0
LOFTED_SIGMA_M: Final = 250.0
Rows = NDArray[np.int64]
CHUNK: Final = 1 << 19  # values worked on at a time, so that a day of a fine instrument fits the cache


def molecular(height_m: Float64, wavelength_nm: float) -> Float64:
    """(G,) backscatter of air [m-1 sr-1]."""
    at_ground = MOLECULAR_550_NM * (550.0 / wavelength_nm) ** 4
    return np.asarray(at_ground * np.exp(-height_m / AIR_SCALE_M))


def attenuated_backscatter(weather: Weather, edge_m: Float64, wavelength_nm: float, time_s: Float64) -> Float32:
    """(T, G) mean attenuated backscatter of every gate.

    Args:
        weather: (T,) state of the column.
        edge_m: (G + 1,) equally spaced lower edges of the gates, and the upper one of the last.
        wavelength_nm: of the laser.
        time_s: (T,) seconds, for plumes and for the streaks in the rain.
    """
    num_profiles, num_gates = len(weather.mixing_height_m), edge_m.size - 1
    beta = np.empty((num_profiles, num_gates), np.float32)
    step = max(1, CHUNK // num_gates)
    for start in range(0, num_profiles, step):
        rows = slice(start, min(start + step, num_profiles))
        beta[rows] = _clear_air(weather, edge_m, wavelength_nm, time_s, rows)
        _add_weather(beta, weather, edge_m, time_s, rows)
    return beta


def _clear_air(weather: Weather, edge_m: Float64, wavelength_nm: float, time_s: Float64, rows: slice) -> Float32:
    """(t, G) particles and air, with their own attenuation."""
    centre_m = (edge_m[:-1] + edge_m[1:]) / 2
    height_m = centre_m.astype(np.float32)
    air = molecular(centre_m, wavelength_nm).astype(np.float32)
    troposphere = np.exp(-height_m / BACKGROUND_SCALE_M)
    dust = np.exp(-(((height_m - LOFTED_HEIGHT_M) / LOFTED_SIGMA_M) ** 2) / 2)
    mixed = _below(height_m, weather.mixing_height_m[rows], weather.entrainment_m[rows])
    if weather.texture[rows].any():
        mixed *= _plumes(height_m, weather, time_s, rows)
    residual = _below(height_m, weather.residual_height_m[rows], np.full_like(weather.residual[rows], 110.0))
    residual *= weather.residual[rows, None].astype(np.float32)
    if weather.texture[rows].any():
        residual *= _sheets(height_m, weather, time_s, rows)
    share = np.maximum(mixed, residual, out=mixed)
    floor = _column(weather.background, rows) * troposphere[None, :]
    floor += _column(weather.lofted, rows) * dust[None, :]
    # `backscatter` is what the mixing layer shows at the ground, air included.
    total = _column(weather.backscatter, rows)
    beta = np.maximum(total - air[0], total / 5) * (floor + (1 - floor) * share)
    depth = np.cumsum(beta, axis=1, dtype=np.float32)
    depth -= beta / 2
    depth *= np.float32(-2.0 * AEROSOL_LIDAR_RATIO_SR * (edge_m[1] - edge_m[0]))
    beta += air
    beta *= np.exp(depth, out=depth)
    return np.asarray(beta)


def _plumes(height_m: Float32, weather: Weather, time_s: Float64, rows: slice) -> Float32:
    """(t, G) factor around 1: thermals that come and go, and particles that swell in the moist upper layer."""
    amplitude = _column(weather.texture, rows)
    seconds = time_s[rows, None]
    come_and_go = np.sin(seconds / 140.0) * np.sin(seconds / 531.0) + np.sin(seconds / 1907.0)
    swelling = np.minimum(height_m[None, :] / _column(weather.mixing_height_m, rows), 1.0) ** 2
    return np.asarray(1.0 + amplitude * (come_and_go.astype(np.float32) + 2.0 * swelling), np.float32)


def _sheets(height_m: Float32, weather: Weather, time_s: Float64, rows: slice) -> Float32:
    """(t, G) factor around 1: thin sheets that the residual layer settles into, slowly sinking."""
    sinking, height = time_s[rows, None] / 9000.0, height_m[None, :] / np.float32(70.0)
    # sin(a + b), without a sine of every gate
    wave = np.sin(height) * np.cos(sinking) + np.cos(height) * np.sin(sinking)
    return np.asarray(1.0 + _column(weather.texture, rows) * wave, np.float32)


def _column(values: Float64, rows: slice) -> Float32:
    return np.asarray(values[rows, None], np.float32)


def _below(height_m: Float32, top_m: Float64, s_m: Float64) -> Float32:
    """(t, G) 1 below the top, 0 above, erf in between."""
    x = (height_m[None, :] - top_m[:, None].astype(np.float32)) / s_m[:, None].astype(np.float32)
    return np.asarray(0.5 - 0.5 * erf(x), np.float32)


def _add_weather(beta: Float32, weather: Weather, edge_m: Float64, time_s: Float64, rows: slice) -> None:
    """Add droplets, ice and rain to `beta`, and attenuate what lies behind them; gate means are exact."""
    has_any = np.isfinite(weather.cloud_base_m[rows]) | np.isfinite(weather.cirrus_base_m[rows])
    has_any |= weather.is_fog[rows] | weather.is_rain[rows]
    wet = np.flatnonzero(has_any) + rows.start
    if not len(wet):
        return
    layers = (
        (_cloud(weather, wet, edge_m), DROPLET_LIDAR_RATIO_SR),
        (_cirrus(weather, wet, edge_m), ICE_LIDAR_RATIO_SR),
        (_rain(weather, wet, edge_m, time_s), RAIN_LIDAR_RATIO_SR),
        (_fog(weather, wet, edge_m), DROPLET_LIDAR_RATIO_SR),
    )
    extinction = np.zeros((len(wet), edge_m.size - 1))
    backscatter = np.zeros_like(extinction)
    for layer, lidar_ratio_sr in layers:
        extinction += layer
        backscatter += layer / lidar_ratio_sr
    step_m = edge_m[1] - edge_m[0]
    twice_depth = 2.0 * MULTIPLE_SCATTERING * step_m * extinction
    before = np.exp(-(np.cumsum(twice_depth, axis=1) - twice_depth))
    # mean of exp(-x) over a gate; droplets fade within one gate, so its middle would not do
    inside = np.where(twice_depth > 1e-6, -np.expm1(-twice_depth) / np.maximum(twice_depth, 1e-12), 1.0)
    beta[wet] = ((beta[wet] + backscatter) * before * inside).astype(np.float32)


def _share(edge_m: Float64, base_m: Float64, top_m: Float64) -> Float64:
    """(t, G) part of every gate that lies between base and top; 0 where they are NaN."""
    low = np.maximum(edge_m[None, :-1], np.nan_to_num(base_m, nan=np.inf)[:, None])
    high = np.minimum(edge_m[None, 1:], np.nan_to_num(top_m, nan=-np.inf)[:, None])
    return np.asarray(np.maximum(high - low, 0.0) / (edge_m[1] - edge_m[0]))


def _cloud(weather: Weather, wet: Rows, edge_m: Float64) -> Float64:
    """(t, G) droplets, growing from the base like an adiabatic cloud: extinction ~ height above base to 2/3."""
    base_m, depth_m = weather.cloud_base_m[wet], weather.cloud_depth_m[wet]
    centre_m = (edge_m[:-1] + edge_m[1:]) / 2
    with np.errstate(invalid="ignore"):
        inside = np.clip((centre_m[None, :] - base_m[:, None]) / 100.0, 0.05, 1.0) ** (2 / 3)
    shape = _share(edge_m, base_m, base_m + depth_m) * np.nan_to_num(inside)
    return np.asarray(shape * np.nan_to_num(weather.cloud_extinction_per_m[wet])[:, None])


def _cirrus(weather: Weather, wet: Rows, edge_m: Float64) -> Float64:
    base_m = weather.cirrus_base_m[wet]
    share = _share(edge_m, base_m, base_m + weather.cirrus_depth_m[wet])
    return np.asarray(share * np.nan_to_num(weather.cirrus_extinction_per_m[wet])[:, None])


def _rain(weather: Weather, wet: Rows, edge_m: Float64, time_s: Float64) -> Float64:
    """(t, G) streaks of rain that fall at 5 m/s, from the cloud to the ground."""
    top_m = weather.rain_top_m[wet]
    centre_m = (edge_m[:-1] + edge_m[1:]) / 2
    falling_s = time_s[wet][:, None] + centre_m[None, :] / 5.0
    streaks = 1.0 + 0.3 * np.sin(falling_s * (2 * np.pi / 400.0)) + 0.2 * np.sin(falling_s * (2 * np.pi / 137.0))
    share = _share(edge_m, np.where(np.isnan(top_m), np.nan, 0.0), top_m)
    return np.asarray(share * streaks * np.nan_to_num(weather.rain_extinction_per_m[wet])[:, None])


def _fog(weather: Weather, wet: Rows, edge_m: Float64) -> Float64:
    top_m = weather.fog_top_m[wet]
    share = _share(edge_m, np.where(np.isnan(top_m), np.nan, 0.0), top_m)
    return np.asarray(share * np.nan_to_num(weather.fog_extinction_per_m[wet])[:, None])
