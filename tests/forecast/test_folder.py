"""A model's folder: whole and unaltered, or refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipdsf_spark.errors import ConfigError, InputError
from ipdsf_spark.forecast.folder import KEPT_VERSIONS, MANIFEST, load_model, save_model, shipped_folder
from ipdsf_spark.forecast.model import layout
from ipdsf_spark.forecast.network import ForecastNetwork
from ipdsf_spark.lidar.operators import Parameters, operators_named


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def changed(folder: Path, **values: Any) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def test_the_model_of_the_package_is_whole_small_and_says_how_it_was_made() -> None:
    model = load_model(shipped_folder())

    assert sum(path.stat().st_size for path in shipped_folder().iterdir()) < 300_000
    assert model.facts["command"].startswith("ipdsf forecast train")
    assert model.facts["validation_loss"] < 0.7


def test_an_altered_file_is_refused_by_name(folder: Path) -> None:
    (weights,) = folder.glob("weights-*.npz")
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(raw)

    with pytest.raises(InputError, match=rf"{weights.name} was altered: its SHA-256"):
        load_model(folder)


def test_missing_files_are_named(folder: Path) -> None:
    (weights,) = folder.glob("weights-*.npz")
    weights.unlink()

    with pytest.raises(InputError, match=f"names {weights.name}: No such file"):
        load_model(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(InputError, match=r"no forecast model in .*manifest\.json is missing"):
        load_model(folder)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"format": "ipdsf-cgan/1"}, "of format 'ipdsf-cgan/1'"),
        ({"layout": layout() | {"features": 99}}, "trained with another layout"),
        ({"weights": {"file": "../../w.npz", "sha256": "0"}}, "outside its folder"),
        ({"weights": None}, "is incomplete"),
        ({"width": 7}, "must be"),
    ],
)
def test_a_manifest_of_something_else_is_refused(folder: Path, values: dict[str, Any], says: str) -> None:
    changed(folder, **values)

    with pytest.raises(InputError, match=says):
        load_model(folder)


def test_another_model_than_the_configured_one_is_refused(folder: Path) -> None:
    sha256 = load_model(folder).sha256

    assert load_model(folder, sha256[:12]).sha256 == sha256
    with pytest.raises(InputError, match=r"not 00000000… as configured"):
        load_model(folder, "00000000")


def test_a_few_versions_are_kept_and_nothing_of_others_is_removed(tmp_path: Path, network: ForecastNetwork) -> None:
    (tmp_path / "notes.npz").write_text("mine")
    for number in range(KEPT_VERSIONS + 2):
        save_model(tmp_path, network.arrays() | {"head_bias": np.full(25, number, np.float32)}, {})

    assert len(list(tmp_path.glob("weights-*.npz"))) == KEPT_VERSIONS
    assert (tmp_path / "notes.npz").read_text() == "mine"
    assert load_model(tmp_path).head_bias[0] == KEPT_VERSIONS + 1


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (Parameters(forecast_model="/nowhere"), "no forecast model in /nowhere"),
        (Parameters(forecast_sha256="00000000"), "not 00000000… as configured"),
        (Parameters(interval_s=600), "needs layers.averaging_s = 300, got 600"),
    ],
)
def test_what_is_wrong_with_the_model_is_a_fault_of_the_configuration(parameters: Parameters, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        operators_named(["layers", "forecast"], parameters)


def test_the_forecast_does_not_stand_before_the_heights() -> None:
    with pytest.raises(ConfigError, match="operator forecast needs layers before it, got forecast, layers"):
        operators_named(["forecast", "layers"], Parameters())
