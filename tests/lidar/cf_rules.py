"""What CF-1.8 asks of a file, as far as its structure tells."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

# Standard name → canonical unit, from version 83 of the CF table (only the names that are used).
STANDARD_NAMES = {
    "time": None,
    "latitude": "degrees_north",
    "longitude": "degrees_east",
    "altitude": "m",
    "height": "m",
    "atmosphere_boundary_layer_thickness": "m",
    "altitude_at_top_of_atmosphere_boundary_layer_defined_by_ambient_aerosol_particles_backwards_scattering_"
    "by_ranging_instrument": "m",
    "cloud_base_altitude": "m",
    "quality_flag": "1",
    "status_flag": "1",
    "volume_attenuated_backwards_scattering_function_in_air": "m-1 sr-1",
    "number_of_observations": "1",
}
MODIFIERS = {"standard_error", "detection_minimum", "status_flag"}
TYPES_OF_1_8 = {"S1", "int8", "int16", "int32", "float32", "float64"}  # unsigned and 64-bit integers came with CF-1.9


def breaches(file: Any, feature_type: str = "timeSeries") -> list[str]:
    """Sentences that name every breach of CF-1.8 that can be told from the file's structure.

    Args:
        file: an open netCDF4.Dataset.
        feature_type: what it should say that it is; empty = it need not say so.
    """
    found = []
    if not re.fullmatch(r"CF-1\.\d+(, ACDD-1\.3)?", getattr(file, "Conventions", "")):
        found.append("Conventions is not CF-1.x")
    for name in ("title", "source", "history", "references", "comment"):
        if not str(getattr(file, name, "")).strip():
            found.append(f"global attribute {name} is missing")
    bounds = {v.bounds for v in file.variables.values() if hasattr(v, "bounds")}
    roles = [v for v in file.variables.values() if getattr(v, "cf_role", "") == "timeseries_id"]
    if feature_type and (getattr(file, "featureType", "") != feature_type or len(roles) != 1):
        found.append(f"no {feature_type}: {len(roles)} variables have the cf_role timeseries_id")
    for name, variable in file.variables.items():
        found += [f"{name}: {breach}" for breach in _variable_breaches(file, variable, is_bounds=name in bounds)]
    return found


def _variable_breaches(file: Any, variable: Any, *, is_bounds: bool) -> list[str]:
    found = []
    attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
    is_text = variable.dtype is str
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", variable.name):
        found.append("name has other signs than letters, digits and underscores")
    if not is_text and str(variable.dtype) not in TYPES_OF_1_8:
        found.append(f"type {variable.dtype} is not of CF-1.8")
    if is_bounds:
        return found + [f"bounds carry {key}" for key in attributes if key not in ("_FillValue",)]
    if not {"long_name", "standard_name"} & set(attributes):
        found.append("neither long_name nor standard_name")
    if not is_text and "units" not in attributes:
        found.append("no units")
    if "standard_name" in attributes:
        words = str(attributes["standard_name"]).split()
        if words[0] not in STANDARD_NAMES or not set(words[1:]) <= MODIFIERS:
            found.append(f"standard name {attributes['standard_name']!r} is not in the table")
        elif (unit := STANDARD_NAMES[words[0]]) is not None and attributes["units"] != unit:
            found.append(f"unit {attributes['units']!r} where the table says {unit!r}")
    if "_FillValue" in attributes and np.asarray(attributes["_FillValue"]).dtype != variable.dtype:
        found.append("_FillValue has another type")
    if "_FillValue" in attributes and variable.dimensions == (variable.name,):
        found.append("a coordinate has no missing values")
    own = {*variable.dimensions, *str(attributes.get("coordinates", "")).split()} & set(file.variables)
    if attributes.get("standard_name") in ("height", "altitude") and attributes.get("positive") not in ("up", "down"):
        found.append("a height does not say which way it counts")
    vertical = sorted(name for name in own if getattr(file[name], "positive", "") or name == "altitude")
    if len(vertical) > 1:
        found.append(f"has several vertical coordinates: {', '.join(vertical)}")
    for key in ("flag_masks", "flag_values"):
        if key in attributes:
            flags = np.atleast_1d(attributes[key])
            if flags.dtype != variable.dtype:
                found.append(f"{key} has another type than the variable")
            if len(flags) != len(str(attributes["flag_meanings"]).split()):
                found.append(f"{key} and flag_meanings differ in number")
            if key == "flag_masks" and (len(set(flags.tolist())) != len(flags) or not flags.all()):
                found.append("flag_masks are not distinct bits")
    for key in ("coordinates", "ancillary_variables"):
        found += [
            f"{key} names {other}" for other in str(attributes.get(key, "")).split() if other not in file.variables
        ]
    if "bounds" in attributes:
        of = file.variables.get(attributes["bounds"])
        if of is None or of.dimensions[:-1] != variable.dimensions or of.shape[-1] != 2:
            found.append("bounds do not fit")
    if "cell_methods" in attributes and not re.fullmatch(
        r"(\w+: (mean|minimum|maximum|sum) ?)+", variable.cell_methods
    ):
        found.append(f"cell_methods {variable.cell_methods!r}")
    if attributes.get("axis") == "T" and not re.match(r"\w+ since \d{4}-\d\d-\d\d", attributes["units"]):
        found.append("time units have no reference date")
    return found
