"""`ipdsf inspect` against INVENTORY.csv, file by file; every difference has its reason here."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.lidar import instruments

# What the inventory counts but no profile can come of: it counted message headers.
DAMAGED = {
    "celio_chennai_2025-03-11.dat": (3, "profile has 1591 hex digits"),  # the third of four messages breaks off
    "C5061800-first-invalid.DAT": (2, "hex digits"),  # the first of three has too many
    "cl51-corrupted-profile.cl": (2, "checksum"),  # one of three fails its checksum
}
# The inventory lists model output by its time steps; it is no instrument's and gives no profiles.
MODELS = ("20200402_bucharest_ecmwf.nc", "ecmwf_model.nc")
# Heights as stored; cbh and pbl of these files carry the altitude of the site (cho), which inspect takes off.
HEIGHT_OFFSET_M = {"CHM170137": 70.0, "1-profile": 70.0}
# The first message is damaged, so the first time is that of the second.
FIRST_TIME = {"C5061800-first-invalid.DAT": "2015-06-18T00:00:40"}
NAMES = {
    "CHM15k (E-PROFILE L2 / product)": "Lufft CHM15k",
    "Vaisala CL51 (L1/L2 nc)": "Vaisala CL51",
}
LAYERS = re.compile(r"(\d+)% of profiles, ([\d.]+)-([\d.]+) m")


@pytest.fixture(scope="module")
def inventory(real_ceilometer_data: Path) -> dict[str, dict[str, str]]:
    with (real_ceilometer_data / "INVENTORY.csv").open(newline="") as lines:
        return {row["path"]: row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def summaries(
    real_ceilometer_data: Path, inventory: dict[str, dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """One run of the command over all files, as a user would type it."""
    from contextlib import redirect_stdout

    answer = tmp_path_factory.mktemp("inspect") / "answer.jsonl"
    with answer.open("w") as out, redirect_stdout(out):
        assert main(["inspect", "--json", *(str(real_ceilometer_data / path) for path in inventory)]) == 0
    found = [json.loads(line) for line in answer.read_text().splitlines()]
    return {str(Path(told["file"]).relative_to(real_ceilometer_data)): told for told in found}


def offset_of(path: str) -> float:
    return next((offset for word, offset in HEIGHT_OFFSET_M.items() if word in path), 0.0)


def stored(row: dict[str, str], *keys: str) -> tuple[int, float, float] | None:
    """Share [%], lowest and highest height of a kind as the inventory gives them."""
    for part in row["truth"].split(";"):
        name, _, told = part.strip().partition(": ")
        match = LAYERS.match(told)
        if name.split(" (")[0] in keys and match:
            return int(match[1]), float(match[2]), float(match[3])
    return None


def test_the_command_answers_for_every_file_of_the_inventory(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    assert summaries.keys() == inventory.keys()
    assert all(
        list(told)
        == [
            "file",
            "instrument",
            "message_type",
            "profiles",
            "gates",
            "range_resolution_m",
            "first_time",
            "last_time",
            "cloud_base_count",
            "cloud_base_min_m",
            "cloud_base_max_m",
            "vertical_visibility_count",
            "maker_layer_heights_m",
            "clipped_profiles",
            "rejected",
        ]
        for told in summaries.values()
    )


def test_instruments_are_named_as_in_the_inventory(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    for path, row in inventory.items():
        if not path.endswith("README"):  # which lies beside the lists of hits and is none
            assert summaries[path]["instrument"] == NAMES.get(row["instrument"], row["instrument"]), path


def test_profiles_gates_and_resolution_are_those_of_the_inventory(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    for path, row in inventory.items():
        told, name = summaries[path], Path(path).name
        expected = 0 if name in MODELS else DAMAGED.get(name, (int(row["profiles"] or 0), ""))[0]
        assert told["profiles"] == expected, path
        if expected and row["gates"]:
            assert told["gates"] == int(row["gates"]), path
        if expected and row["res_m"]:
            assert told["range_resolution_m"] == float(row["res_m"]), path


def test_what_gave_no_profile_is_told_with_place_and_reason(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    for path, row in inventory.items():
        told, name = summaries[path], Path(path).name
        if name in DAMAGED:
            assert [DAMAGED[name][1] in stretch["reason"] for stretch in told["rejected"]] == [True], path
            assert told["rejected"][0]["offset"] >= 0
        elif row["profiles"] and name not in MODELS:
            assert told["rejected"] == [], path
        else:
            assert [set(stretch) for stretch in told["rejected"]] == [{"offset", "reason"}], path


def test_times_are_those_of_the_inventory_to_the_second(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    for path, row in inventory.items():
        told, name = summaries[path], Path(path).name
        if name in MODELS:
            continue
        for key, stamp in (("first_time", row["t0"]), ("last_time", row["t1"])):
            expected = stamp.replace("/", "-").replace(" ", "T")
            if key == "first_time":
                expected = FIRST_TIME.get(name, expected)
            if not expected:
                assert told[key] is None, path
                continue
            assert told[key].endswith("Z"), path
            difference = np.datetime64(told[key][:-1]) - np.datetime64(expected)
            assert abs(difference) <= np.timedelta64(1, "s"), path  # the inventory cuts fractions of a second


def test_cloud_bases_are_those_of_the_inventory_above_the_instrument(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]], real_ceilometer_data: Path
) -> None:
    num_compared = 0
    for path, row in inventory.items():
        told = summaries[path]
        expected = stored(row, "CBH in msg", "cloud_base_height", "cloud_base_heights", "cbh")
        if expected is None:
            if told["profiles"] and Path(path).name not in ("chm15k_20200402.nc", "20220729_norunda_cl51.nc"):
                assert (told["cloud_base_count"], told["cloud_base_min_m"]) == (0, None), path
            continue
        num_compared += 1
        share, lowest, highest = expected
        if Path(path).name not in DAMAGED:
            assert int(100 * told["cloud_base_count"] / told["profiles"]) == share, path
        assert told["cloud_base_min_m"] == pytest.approx(lowest - offset_of(path), abs=0.06), path
        # inspect tells the lowest layer of each profile, the inventory all layers (text files: the lowest)
        assert told["cloud_base_max_m"] <= highest - offset_of(path) + 0.06, path
        if row["format"] != "text":
            decoded = instruments.decode((real_ceilometer_data / path).read_bytes())
            top = max(float(np.nanmax(block.cloud_base_m)) for block in decoded.blocks)
            assert top == pytest.approx(highest - offset_of(path), abs=0.06), path
    assert num_compared >= 25


def test_vertical_visibility_is_that_of_the_inventory_and_no_cloud(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]]
) -> None:
    num_compared = 0
    for path, row in inventory.items():
        expected = stored(row, "vertical_visibility", "vor")
        told = summaries[path]
        if expected is None:
            assert told["vertical_visibility_count"] == 0, path
        else:
            num_compared += 1
            assert int(100 * told["vertical_visibility_count"] / told["profiles"]) == expected[0], path
    assert num_compared >= 11


def test_the_makers_layers_are_those_of_the_inventory_above_the_instrument(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]], real_ceilometer_data: Path
) -> None:
    num_compared = 0
    for path, row in inventory.items():
        expected = stored(row, "pbl")
        told = summaries[path]["maker_layer_heights_m"]
        if expected is None:
            assert told == {"count": 0, "min": None, "max": None}, path
            continue
        num_compared += 1
        share, lowest, highest = expected
        assert int(100 * told["count"] / summaries[path]["profiles"]) == share, path
        assert lowest - offset_of(path) <= told["min"] <= told["max"] <= highest - offset_of(path), path
        (block,) = instruments.decode((real_ceilometer_data / path).read_bytes()).blocks
        assert np.nanmin(block.maker_layer_height_m) == lowest - offset_of(path), path
        assert np.nanmax(block.maker_layer_height_m) == highest - offset_of(path), path
    assert num_compared >= 11


def test_reading_changes_no_file(
    summaries: dict[str, dict[str, Any]], inventory: dict[str, dict[str, str]], real_ceilometer_data: Path
) -> None:
    assert len(summaries) == len(inventory)
    for path, row in inventory.items():
        assert hashlib.sha256((real_ceilometer_data / path).read_bytes()).hexdigest() == row["sha256"], path
