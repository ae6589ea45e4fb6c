"""Products of known networks that hold no profile of backscatter: named by instrument and product.

Each reason says where the profiles are. What is neither these nor of a reader is named by its variables.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ipdsf_spark.lidar.containers.container import Dataset

_Test = Callable[[Dataset, frozenset[str]], bool]
_DOPPLER: Final = frozenset(("radial_velocity", "doppler", "radial_velocity_of_scatterers_away_from_instrument"))
_RAMAN: Final = frozenset(
    (
        "attenuated_backscatter_355nm",
        "volume_depolarization_ratio_355nm",
        "nitrogen_counts_low",
        "nitrogen_counts_high",
        "water_counts_high",
        "depolarization_counts_high",
    )
)


def _told(dataset: Dataset) -> str:
    keys = ("title", "source", "datastream", "platform_id", "institution", "product", "cloudnet_file_type")
    return " ".join(dataset.text(key) for key in keys).lower()


# Instrument and product, what the file is told by, and why it gives no profiles.
PRODUCTS: Final[tuple[tuple[str, _Test, str], ...]] = (
    (
        "ARM ceilometer layer heights",
        lambda _, names: "bl_height_1" in names and "backscatter" not in names,
        "ARM ceilpblht, layer heights found by BL-View: there is no backscatter in it; the profiles are in ceil.b1",
    ),
    (
        "ARM micropulse lidar",
        lambda _, names: "signal_return_co_pol" in names or "detector_counts_low" in names,
        "ARM mplpolfs, photon counts of a micropulse lidar: they need dead-time, afterpulse and overlap corrections",
    ),
    (
        "ARM ceilometer",
        lambda dataset, names: "first_cbh" in names and "backscatter" not in names,
        "ARM ceilometer file without backscatter: cloud bases alone give no layers",
    ),
    (
        "MPLNET micropulse lidar",
        lambda dataset, names: (
            "nrb" not in names
            and ("mplnet" in _told(dataset) or "surface_altitude" in names)
            and bool(
                names & {"extinction", "backscatter", "cloud_base", "mixed_layer_height", "cloud_top", "pbl", "aod"}
            )
        ),
        "MPLNET product derived from the signal (CLD, AER or PBL): the profiles are in the NRB product",
    ),
    (
        "NCAS ceilometer",
        lambda _, names: (
            bool(names & {"cloud_base_altitude", "cloud_coverage", "cloud_area_fraction"}) and "layer_index" in names
        ),
        "NCAS product cloud-base or cloud-coverage: the profiles are in the product aerosol-backscatter",
    ),
    (
        "NCAS lidar",
        lambda _, names: "range_squared_corrected_backscatter_power" in names,
        "NCAS product whose only signal is an uncalibrated logarithm (range_squared_corrected_backscatter_power): "
        "attenuated_aerosol_backscatter_coefficient is needed",
    ),
    (
        "Doppler lidar",
        lambda dataset, names: bool(names & _DOPPLER) or "doppler" in dataset.text("cloudnet_file_type").lower(),
        "file of a Doppler lidar: its signal has no calibration and its range no ceilometer",
    ),
    (
        "Vaisala BL-View",
        lambda _, names: bool(names & {"Bs_profile_data", "rcs_910"}),
        "BL-View netCDF: its profiles (Bs_profile_data of level 3, rcs_910 of level 2) are not read; "
        "export history files (.his) of level 2, or send the raw messages",
    ),
    (
        "Vaisala BL-View",
        lambda _, names: {"message_type", "cloud_data"} <= names or {"profile_scale", "profile_resolution"} <= names,
        "BL-View netCDF of an unknown layout: export history files (.his) of level 2, or send the raw messages",
    ),
    (
        "Vaisala BL-View",
        lambda _, names: bool(names & {"mlh", "mixing_layer_height", "bl_height"}),
        "layer heights of BL-View (level 3): there is no backscatter in it",
    ),
    (
        "Cloudnet product",
        lambda dataset, _: bool(dataset.text("cloudnet_file_type")),
        "Cloudnet product of another type than lidar: the profiles are in the file of type lidar",
    ),
    (
        "Raman lidar",
        lambda _, names: bool(names & _RAMAN),
        "file of a Raman lidar of several wavelengths (PollyXT, ARM rl), which is no ceilometer: it is not read",
    ),
    (
        "cloud radar",
        lambda dataset, _: "radar" in _told(dataset) and not re.search("lidar|ceilo", _told(dataset)),
        "file of a cloud radar, not of a ceilometer: there is no backscatter of light in it",
    ),
    (
        "E-PROFILE ceilometer",
        lambda _, names: "station_altitude" in names and "l0_wavelength" in names,
        "E-PROFILE file without rcs_0 and attenuated_backscatter_0: there is no backscatter in it",
    ),
)


def named(dataset: Dataset) -> tuple[str, str] | None:
    """Instrument and reason for a known product without profiles, or None."""
    names = frozenset(dataset.variables)
    return next(((kind, reason) for kind, test, reason in PRODUCTS if test(dataset, names)), None)
