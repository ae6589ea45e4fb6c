"""Classes as CF netCDF: time and height of one site (CF-1.8), flags by CF section 3.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ipdsf_spark import __version__
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import Target, TargetFlag
from ipdsf_spark.lidar.targets.series import Series

REFERENCES: Final = (
    "Tuononen et al. (2019) Atmos. Chem. Phys. 19, 1985; Hogan, Illingworth, O'Connor (2003) Q. J. R. Meteorol. Soc. "
    "129, 2089"
)
COMMENT: Final = (
    "Classes are those of one lidar, without radar or forecast model. attenuated: the beam is lost below, anything may "
    "be there. clipped: the instrument writes zeros where its signal is weak."
)
COMPRESSED: Final = {"zlib": True, "complevel": 4}
FILL: Final = np.float32(9.969209968386869e36)


def to_netcdf(series: Series, site: Site, *, history: str = "", inputs: Sequence[str] = ()) -> bytes:
    """The bytes of a netCDF-4 file.

    Args:
        series: classes of the site, in time order.
        site: where the instrument stands; a place that is not known is left out.
        history: one line: when, by which command.
        inputs: names of the files that were read.
    """
    import netCDF4  # the C library takes a tenth of a second to load, and most users of this room do without it

    file: Any = netCDF4.Dataset("targets.nc", "w", memory=4096)
    file.setncatts(_global_attributes(series, site, history, inputs))
    for name, length in (("time", len(series)), ("height", series.edges_m.size - 1), ("bound", 2)):
        file.createDimension(name, length)

    def put(name: str, kind: Any, axes: tuple[str, ...], values: Any, **attributes: Any) -> None:
        fill = FILL if kind == "f4" else None
        variable = file.createVariable(name, kind, axes, fill_value=fill, **(COMPRESSED if axes else {}))
        variable.setncatts(attributes)
        array = np.asarray(values)
        variable[...] = np.where(np.isnan(array), FILL, array) if kind == "f4" else array

    seconds = (series.time - np.datetime64(0, "us")) / np.timedelta64(1, "s")
    place = _put_place(put, site)
    # The vertical coordinate of what has gates is their axis; a second one would be ambiguous.
    place_of_gates = {name: text.removesuffix(" altitude") for name, text in place.items()}
    put(
        "time",
        "f8",
        ("time",),
        seconds,
        standard_name="time",
        long_name="time of the profile, or middle of the averaging interval",
        units="seconds since 1970-01-01 00:00:00 UTC",
        calendar="standard",
        axis="T",
    )
    put(
        "height",
        "f8",
        ("height",),
        (series.edges_m[1:] + series.edges_m[:-1]) / 2,
        standard_name="height",
        long_name="height above the instrument",
        units="m",
        positive="up",
        axis="Z",
        bounds="height_bounds",
    )
    put("height_bounds", "f8", ("height", "bound"), np.stack([series.edges_m[:-1], series.edges_m[1:]], axis=1))
    put(
        "target_classification",
        "i1",
        ("time", "height"),
        series.classes,
        long_name="what the beam met",
        units="1",
        flag_values=np.array([int(target) for target in Target], np.int8),
        flag_meanings=" ".join(target.name.lower() for target in Target),
        ancillary_variables="target_quality",
        **place_of_gates,
    )
    put(
        "target_quality",
        "i4",
        ("time",),
        series.flags,
        standard_name="quality_flag",
        long_name="what to keep in mind when using the classes",
        units="1",
        flag_masks=np.array([int(flag) for flag in TargetFlag], np.int32),
        flag_meanings=" ".join(str(flag.name).lower() for flag in TargetFlag),
        **place,
    )
    for name, values, meaning in (
        ("cloud_base_height", series.base_m, "lowest cloud base, found in the profile, as the maker would place it"),
        ("cloud_bottom_height", series.bottom_m, "where the return of the lowest cloud begins to rise"),
        ("cloud_top_height", series.top_m, "highest gate of the lowest cloud that was seen; its top or below it"),
        ("maker_cloud_base_height", series.maker_base_m, "lowest cloud base that the instrument reports"),
    ):
        attributes = {"standard_name": "height", "long_name": f"{meaning}, above the instrument", "units": "m"}
        attributes["positive"] = "up"
        put(name, "f4", ("time",), values, ancillary_variables="target_quality", **attributes, **place)
    return bytes(file.close())


def _put_place(put: Any, site: Site) -> dict[str, str]:
    """Write what is known of the place; the attributes of variables that stand there."""
    known: list[str] = []
    for name, value, units, more in (
        ("latitude", site.latitude_deg, "degrees_north", {}),
        ("longitude", site.longitude_deg, "degrees_east", {}),
        ("altitude", site.altitude_m, "m", {"positive": "up"}),
    ):
        if np.isfinite(value) and (name != "altitude" or known):
            put(name, "f8", (), value, standard_name=name, long_name=f"{name} of the instrument", units=units, **more)
            known.append(name)
    return {"coordinates": " ".join(known)} if known else {}


def _global_attributes(series: Series, site: Site, history: str, inputs: Sequence[str]) -> dict[str, str]:
    return {
        "Conventions": "CF-1.8",
        "title": f"Targets of a ceilometer at {site.id}",
        "source": f"{series.instrument}, attenuated backscatter; ipdsf_spark {__version__}",
        "history": history or f"classified by ipdsf_spark {__version__}",
        "references": REFERENCES,
        "comment": COMMENT,
        "instrument": series.instrument,
        "site": site.id,
        "software_version": __version__,
        "input_files": " ".join(inputs),
    }
