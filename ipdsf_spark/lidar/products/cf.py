"""Heights as CF netCDF: one site, a time series (CF-1.8, section 9 and H.2.3)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark import __version__
from ipdsf_spark.lidar.layers.mixing_height import Layers, LayerSettings
from ipdsf_spark.lidar.products.discovery import assessments, discovery_attributes
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site

TOP_ALTITUDE: Final = (
    "altitude_at_top_of_atmosphere_boundary_layer_defined_by_ambient_aerosol_particles_backwards_scattering_"
    "by_ranging_instrument"
)
METHODS: Final = ("none", "edge", "cloud_base")
NONE, EDGE, CLOUD_BASE = 0, 1, 2
PLACE: Final = "station latitude longitude altitude"
POSITION: Final = ("latitude", "longitude")
AT_SEA_LEVEL: Final = "0 m above sea level, told so or assumed where no altitude is told"
PLACE_OF_PROFILES: Final = "station latitude longitude"  # whose vertical coordinate is their axis of heights
REFERENCES: Final = (
    "Brooks (2003) J. Atmos. Ocean. Technol. 20, 1092; Steyn, Baldi, Hoff (1999) J. Atmos. Ocean. Technol. 16, 944; "
    "Kotthaus et al. (2020) Remote Sens. 12, 3259"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Curtain:
    """Backscatter beside the heights.

    Attributes:
        height_m: (K,) above the instrument.
        beta: (N, K) attenuated backscatter [m-1 sr-1] at the times of the heights, NaN where missing.
    """

    height_m: NDArray[np.float64]
    beta: NDArray[np.float32]


def to_netcdf(
    layers: Layers,
    site: Site,
    *,
    instrument: str,
    settings: LayerSettings | None = None,
    history: str = "",
    inputs: Sequence[str] = (),
    curtain: Curtain | None = None,
) -> bytes:
    """The bytes of a netCDF-4 file.

    Args:
        layers: heights of the site, in time order.
        site: where the instrument stands; a position that is not known is left out.
        instrument: maker and model that was read.
        settings: parameters of the retrieval, written as provenance.
        history: one line: when, by which command.
        inputs: names of the files that were read.
        curtain: backscatter at the same times.
    """
    import netCDF4  # the C library takes a tenth of a second to load, and readers do without it

    settings = settings or LayerSettings()
    is_placed = bool(np.isfinite([site.latitude_deg, site.longitude_deg]).all())
    file: Any = netCDF4.Dataset("layers.nc", "w", memory=4096)
    file.setncatts(
        discovery_attributes(site, layers.time, settings.averaging_s)
        | _global_attributes(site, instrument, settings, history, inputs)
    )
    for name, length in (("time", len(layers)), ("candidate", layers.candidates_m.shape[1]), ("bound", 2)):
        file.createDimension(name, length)

    def put(name: str, kind: Any, axes: tuple[str, ...], values: Any, **attributes: Any) -> None:
        # A coordinate variable has no missing values (CF conventions 1.8, section 2.5.1).
        fill = netCDF4.default_fillvals[kind] if kind == "f4" and axes != (name,) else None
        if not is_placed and name in POSITION:
            return
        if not is_placed and "coordinates" in attributes:
            named = attributes["coordinates"].split()
            attributes["coordinates"] = " ".join(each for each in named if each not in POSITION)
        packed = {"zlib": True, "complevel": 4} if axes and len(layers) else {}
        variable = file.createVariable(name, kind, axes, fill_value=fill, **packed)
        variable.setncatts(attributes)
        if kind is str:
            variable[...] = np.array(values, dtype=object)
        else:
            array = np.asarray(values)
            variable[...] = np.where(np.isnan(array), fill, array) if fill is not None else array

    assumed = {} if site.altitude_m else {"comment": AT_SEA_LEVEL}
    half = settings.averaging_s / 2
    seconds = (layers.time - np.datetime64(0, "us")) / np.timedelta64(1, "s")
    put("station", str, (), site.id, long_name="site", cf_role="timeseries_id")
    put(
        "latitude",
        "f8",
        (),
        site.latitude_deg,
        standard_name="latitude",
        long_name="latitude of the instrument",
        units="degrees_north",
    )
    put(
        "longitude",
        "f8",
        (),
        site.longitude_deg,
        standard_name="longitude",
        long_name="longitude of the instrument",
        units="degrees_east",
    )
    put(
        "altitude",
        "f8",
        (),
        site.altitude_m,
        standard_name="altitude",
        long_name="altitude of the instrument above sea level",
        units="m",
        positive="up",
        axis="Z",
        **assumed,
    )
    put(
        "time",
        "f8",
        ("time",),
        seconds,
        standard_name="time",
        long_name="middle of the averaging interval",
        units="seconds since 1970-01-01 00:00:00 UTC",
        calendar="standard",
        axis="T",
        bounds="time_bounds",
    )
    put("time_bounds", "f8", ("time", "bound"), np.stack([seconds - half, seconds + half], axis=1))
    put(
        "candidate",
        "i4",
        ("candidate",),
        np.arange(1, layers.candidates_m.shape[1] + 1),
        long_name="rank of the layer top, strongest first",
        units="1",
    )
    put(
        "pblh",
        "f4",
        ("time",),
        layers.mixing_height_m,
        standard_name="atmosphere_boundary_layer_thickness",
        long_name="mixing layer height above the instrument",
        units="m",
        cell_methods="time: mean",
        coordinates=PLACE,
        ancillary_variables="pblh_uncertainty pblh_qc qc_pblh pblh_method num_profiles",
        coverage_content_type="physicalMeasurement",
    )
    put(
        "pblh_uncertainty",
        "f4",
        ("time",),
        layers.uncertainty_m,
        standard_name="atmosphere_boundary_layer_thickness standard_error",
        long_name="one standard deviation of the mixing layer height",
        units="m",
        coordinates=PLACE,
    )
    put(
        "pblh_altitude",
        "f4",
        ("time",),
        layers.mixing_height_m + site.altitude_m,
        standard_name=TOP_ALTITUDE,
        long_name="top of the mixing layer above sea level",
        units="m",
        cell_methods="time: mean",
        coordinates=PLACE,
        ancillary_variables="pblh_uncertainty pblh_qc pblh_method num_profiles",
        **assumed,
    )
    put(
        "pblh_qc",
        "i4",
        ("time",),
        layers.quality.astype(np.int32),
        standard_name="quality_flag",
        long_name="why a height is missing, or what to keep in mind when using it",
        units="1",
        flag_masks=np.array([int(flag) for flag in Quality], np.int32),
        flag_meanings=" ".join(str(flag.name).lower() for flag in Quality),
        coordinates=PLACE,
    )
    put(
        "qc_pblh",
        "i4",
        ("time",),
        layers.quality.astype(np.int32),
        standard_name="quality_flag",
        long_name="quality check results on variable: pblh",
        units="1",
        coordinates=PLACE,
        **assessments(),
    )
    put(
        "pblh_method",
        "i1",
        ("time",),
        _method(layers),
        standard_name="status_flag",
        long_name="method that gave the mixing layer height",
        units="1",
        flag_values=np.arange(len(METHODS), dtype=np.int8),
        flag_meanings=" ".join(METHODS),
        coordinates=PLACE,
    )
    for name, values, meaning in (
        ("pblh_below", layers.below_m, "upper bound of the mixing layer height where it is too low to be seen"),
        ("residual_layer_height", layers.residual_height_m, "top of the residual layer above the instrument"),
        ("nocturnal_layer_height", layers.nocturnal_height_m, "mixing layer height where the layer is a stable one"),
        ("entrainment_zone_thickness", layers.entrainment_m, "5 to 95 % of the fall at the mixing layer's top"),
    ):
        put(name, "f4", ("time",), values, long_name=meaning, units="m", cell_methods="time: mean", coordinates=PLACE)
    put(
        "num_profiles",
        "i4",
        ("time",),
        layers.num_profiles,
        standard_name="number_of_observations",
        long_name="profiles averaged",
        units="1",
        coordinates=PLACE,
    )
    put(
        "pblh_candidates",
        "f4",
        ("time", "candidate"),
        layers.candidates_m,
        standard_name="height",
        long_name="layer tops above the instrument, strongest first",
        units="m",
        positive="up",
        coordinates=PLACE,
        ancillary_variables="candidate_strength",
    )
    put(
        "candidate_strength",
        "f4",
        ("time", "candidate"),
        layers.candidate_strength,
        long_name="wavelet covariance transform of the layer top over the mean backscatter near the ground",
        units="1",
        coordinates=PLACE,
    )
    put(
        "cloud_base_altitude",
        "f4",
        ("time",),
        layers.cloud_base_m + site.altitude_m,
        standard_name="cloud_base_altitude",
        long_name="lowest cloud base above sea level",
        units="m",
        cell_methods="time: minimum",
        coordinates=PLACE,
        **assumed,
    )
    if curtain is not None:
        file.createDimension("height", len(curtain.height_m))
        put(
            "height",
            "f4",
            ("height",),
            curtain.height_m,
            standard_name="height",
            long_name="height above the instrument",
            units="m",
            positive="up",
            axis="Z",
        )
        put(
            "attenuated_backscatter",
            "f4",
            ("time", "height"),
            curtain.beta,
            standard_name="volume_attenuated_backwards_scattering_function_in_air",
            long_name="mean attenuated backscatter, clouds included",
            units="m-1 sr-1",
            cell_methods="time: mean",
            coordinates=PLACE_OF_PROFILES,
            coverage_content_type="physicalMeasurement",
        )
    return bytes(file.close())


def _method(layers: Layers) -> NDArray[np.int8]:
    """(N,) what the height is."""
    has_height = np.isfinite(layers.mixing_height_m)
    is_base = has_height & (layers.mixing_height_m == layers.cloud_base_m)
    return np.where(is_base, CLOUD_BASE, np.where(has_height, EDGE, NONE)).astype(np.int8)


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for a number that is none but null."""
    return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in values.items()}


def _global_attributes(
    site: Site, instrument: str, settings: LayerSettings, history: str, inputs: Sequence[str]
) -> dict[str, str]:
    return {
        "featureType": "timeSeries",
        "title": f"Mixing layer height at {site.id}",
        "source": f"{instrument}, attenuated backscatter; ipdsf_spark {__version__}",
        "history": history or f"retrieved by ipdsf_spark {__version__}",
        "references": REFERENCES,
        "comment": "A missing height has its reason in pblh_qc. Provisional heights are replaced by final ones.",
        "instrument": instrument,
        "software_version": __version__,
        "retrieval_settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
        "site_settings": json.dumps(_known(dataclasses.asdict(site)), sort_keys=True, allow_nan=False),
        "input_files": " ".join(inputs),
    }
