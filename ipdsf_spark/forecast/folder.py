"""A model's folder: versioned files with their hashes in a manifest, and nothing is used that does not agree with it.

    manifest.json         format, layout, facts, and name, size and SHA-256 of the weights
    weights-<hash>.npz    the weights; earlier versions stay until `KEPT_VERSIONS` newer ones have come

The weights are written first, the manifest last and by one rename: a folder always holds a whole model or none.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from ipdsf_spark.errors import InputError, said_of_arrays
from ipdsf_spark.forecast.model import (
    FACTORS,
    FACTORS_SHAPE,
    Array,
    ForecastModel,
    layout,
    model_of,
    required_shapes,
)

FORMAT: Final = "ipdsf-forecast/1"
MANIFEST: Final = "manifest.json"
KEPT_VERSIONS: Final = 3
LARGEST_BYTES: Final = 64 << 20
SHIPPED: Final = "shipped"


def shipped_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(str(resources.files("ipdsf_spark.forecast") / SHIPPED))


def save_model(folder: Path, arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> str:
    """Write a version of a model; returns the SHA-256 of its weights.

    Args:
        folder: made if it is not there.
        arrays: as `required_shapes` names them; with `FACTORS` where filled gaps are to be widened.
        facts: how it was trained; anything that JSON can hold.

    Raises:
        InputError: it cannot be written.
    """
    content = _packed(arrays)
    sha256 = hashlib.sha256(content).hexdigest()
    name = f"weights-{sha256[:12]}.npz"
    num_layers = sum(key.startswith("bias_") for key in arrays)
    before = _versions(folder)
    manifest = {
        "format": FORMAT,
        "layout": layout(),
        "num_layers": num_layers,
        "width": int(arrays["hidden_weights_0"].shape[1]),
        "weights": {"file": name, "bytes": len(content), "sha256": sha256},
        "earlier": [version for version in before if version != name][: KEPT_VERSIONS - 1],
        "facts": dict(facts),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / name, content)
        _replace(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
        for old in before[KEPT_VERSIONS - 1 :]:
            if old != name:
                (folder / old).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write the model to {folder}: {error.strerror or error}") from error
    return sha256


def load_model(folder: Path, expected_sha256: str = "") -> ForecastModel:
    """Read the model of a folder, if all of it is what the manifest says.

    Args:
        folder: of the model.
        expected_sha256: of the weights, or how it begins; empty = whatever the manifest names.

    Raises:
        InputError: what is missing, altered, or of another version; by name.
    """
    manifest = _manifest(folder)
    stated = manifest["weights"]
    file = folder / str(stated["file"])
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise InputError(f"{file} has {file.stat().st_size} bytes; weights of a forecast have far less")
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"the manifest in {folder} names {file.name}: {error.strerror or error}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != stated["sha256"]:
        raise InputError(
            f"{file} was altered: its SHA-256 is {sha256[:12]}…, the manifest says {str(stated['sha256'])[:12]}…; "
            "restore the file, or train anew"
        )
    if expected_sha256 and not sha256.startswith(expected_sha256.lower()):
        raise InputError(f"the model in {folder} is {sha256[:12]}…, not {expected_sha256[:12]}… as configured")
    arrays = _unpacked(content, file, manifest)
    return model_of(arrays, int(manifest["num_layers"]), sha256, manifest["facts"])


def is_model(folder: Path) -> bool:
    """Whether a model's manifest lies there."""
    return (folder / MANIFEST).is_file()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"no forecast model in {folder} ({MANIFEST} is missing); `ipdsf forecast train` writes one"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        said = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise InputError(f"{path} is of format {said!r}; this version reads {FORMAT}")
    if manifest.get("layout") != layout():
        raise InputError(
            f"the model in {folder} was trained with another layout ({manifest.get('layout')}); this version has "
            f"{layout()}: train anew"
        )
    weights = manifest.get("weights")
    numbers = (manifest.get("num_layers"), manifest.get("width"))
    if (
        not isinstance(weights, dict)
        or not {"file", "sha256"} <= weights.keys()
        or "facts" not in manifest
        or not all(isinstance(number, int) and 0 < number <= 4096 for number in numbers)
    ):
        raise InputError(f"{path} is incomplete: it must name weights with their SHA-256, num_layers, width and facts")
    if Path(str(weights["file"])).name != weights["file"]:
        raise InputError(f"{path} names weights outside its folder: {weights['file']}")
    return manifest


def _unpacked(content: bytes, file: Path, manifest: Mapping[str, Any]) -> dict[str, Array]:
    shapes = required_shapes(manifest["num_layers"], manifest["width"])
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            shapes |= {FACTORS: FACTORS_SHAPE} if FACTORS in held.files else {}
            arrays = {name: np.ascontiguousarray(held[name], np.float32) for name in shapes}
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise InputError(f"{file} holds no weights of a forecast: {said_of_arrays(error)}") from error
    for name, shape in shapes.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise InputError(f"{file}: {name} must be {shape} finite numbers, got {arrays[name].shape}")
    return arrays


def _packed(arrays: Mapping[str, Array]) -> bytes:
    content = io.BytesIO()
    weights: dict[str, Any] = {name: np.asarray(arrays[name], np.float32) for name in sorted(arrays)}
    np.savez(content, **weights)
    return content.getvalue()


def _versions(folder: Path) -> list[str]:
    """Names of the weights that the manifest knows, newest first; those that nobody knows are not touched."""
    try:
        manifest = _manifest(folder)
    except InputError:
        return []
    return [str(manifest["weights"]["file"]), *(str(name) for name in manifest.get("earlier", ()))]


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
