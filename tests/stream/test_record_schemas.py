"""Every record that the stream publishes is what its JSON schema says, and nothing stands in it beside that."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from network_records import network_beta
from site_pieces import piece_of
from test_network_stage import SETTINGS, SITES, as_cells

from ipdsf_spark.archive.averages import from_message
from ipdsf_spark.forecast.series import LEADS_MIN
from ipdsf_spark.kafka.schemas import KINDS, record_schema
from ipdsf_spark.lidar.calibration.flags import CalibrationFlag
from ipdsf_spark.lidar.edges.records import SIGNS
from ipdsf_spark.lidar.operators import KNOWN, Parameters, operators_named
from ipdsf_spark.lidar.products.plain import without_nan
from ipdsf_spark.lidar.products.quality import Quality
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import Target, TargetFlag
from ipdsf_spark.stream.network_query import product_of
from ipdsf_spark.stream.network_stage import NetworkStage
from ipdsf_spark.stream.site_stage import AVERAGES_KIND, Record, SiteStage, Topics
from ipdsf_spark.tensor import alarms
from tests.kafka.json_schema import breaches

TOPICS = Topics("files", "averages", "products", "sites", "bad", 10**6)


def said(record: Record) -> tuple[str, Any]:
    """Kind and value of a record as its schema describes it."""
    if record.kind == AVERAGES_KIND:
        (row,) = from_message(record.value).to_pylist()
        return "averages", json.loads(json.dumps(without_nan(row), default=str))  # a gate without a value is NaN
    if record.headers is not None:
        return "dead_letter", {name: value.decode() for name, value in record.headers}
    return record.kind, json.loads(record.value)


def morning(files: list[bytes]) -> list[Record]:
    """What every operator makes of a site's files and of its silence."""
    stage = SiteStage(operators_named(list(KNOWN), Parameters()), TOPICS)
    site = Site("oslo", 59.94, 10.72)
    first = stage.step(site, [piece_of(raw, number) for number, raw in enumerate(files)], b"")
    assert first.state is not None
    silent = stage.step(site, [], first.state.to_bytes(), is_silent=True)
    assert silent.state is not None
    assert silent.state.counts.faults == 0
    return [*first.records, *silent.records]


@pytest.fixture(scope="module")
def records(cl51_files: list[bytes], stratus_files: list[bytes]) -> list[tuple[str, Any]]:
    """What a clear morning with a broken file, one under stratus, and a network with a fault come to."""
    made = morning([*cl51_files, b"nothing an instrument would say"]) + morning(stratus_files)
    beta = network_beta(150, SITES, np.random.default_rng(6))
    beta[:, :, 50:][np.random.default_rng(1).random((150, 8, 10)) < 0.3] = np.nan
    beta[110:, 2] *= 0.4
    network = NetworkStage(SETTINGS)
    with pytest.MonkeyPatch.context() as patched:
        network.model.alarms.least_slices = 20.0  # not the hours that a site is watched for first ...
        patched.setattr(alarms, "THRESHOLD", alarms.THRESHOLD / 10.0)  # ... nor those that a fault is
        rows = network.step(as_cells(beta)).rows
    rows += network.follow([row.site for row in rows if row.kind == "network_alarm"])
    return [said(record) for record in (*made, *(product_of(row, "p") for row in rows))]


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_is_what_its_schema_says(records: list[tuple[str, Any]], kind: str) -> None:
    schema = record_schema(kind)
    values = [value for name, value in records if name == kind]

    assert values or kind == "network_fill"  # that is offered only where it beats the climatology
    found = [breach for value in values for breach in breaches(value, schema)]
    assert not found, "\n".join(found[:20])


def test_no_kind_is_without_a_schema(records: list[tuple[str, Any]]) -> None:
    assert {kind for kind, _ in records} <= set(KINDS)


def test_schemas_of_the_package_are_those_of_its_folder_and_say_what_every_value_means() -> None:
    folder = Path(__file__).parents[2] / "ipdsf_spark" / "kafka" / "schemas"

    assert {path.stem for path in folder.glob("*.json")} == set(KINDS)
    for kind in KINDS:
        schema = record_schema(kind)
        assert schema["additionalProperties"] is False
        assert all("description" in each or "const" in each for each in schema["properties"].values())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mixing_height_m": "800"}, "is none of"),
        ({"time": "yesterday"}, "does not match"),
        ({"more": 1}, "more is not in the schema"),
        ({"quality": [1]}, "quality[0]"),
    ],
)
def test_a_record_that_is_otherwise_breaks_its_schema(
    records: list[tuple[str, Any]], changed: dict[str, Any], says: str
) -> None:
    good = next(value for kind, value in records if kind == "layers")

    assert says in "\n".join(breaches(good | changed, record_schema("layers")))


@pytest.mark.parametrize(
    ("kind", "path", "known"),
    [
        ("edges", ("quality",), [flag.name for flag in Quality]),
        ("edges", ("edges", "sign"), SIGNS.values()),
        ("targets", ("quality",), [flag.name for flag in TargetFlag]),
        ("targets", ("classes", 2), [target.name for target in Target]),
        ("calibration", ("quality",), [flag.name for flag in CalibrationFlag]),
        ("forecast", ("filled_because",), [*(flag.name for flag in Quality), "no_data"]),
        ("forecast", ("forecast", "lead_min"), [lead for lead in LEADS_MIN if lead]),
    ],
)
def test_words_of_a_schema_are_all_that_the_code_can_say(
    kind: str, path: tuple[str | int, ...], known: Iterable[str | int | None]
) -> None:
    part: Any = record_schema(kind)
    for step in path:
        part = part.get("items") or part  # of a list
        part = part["prefixItems"][step] if isinstance(step, int) else part["properties"][step]
    part = part.get("items", part)

    assert part["enum"] == [word.lower() if isinstance(word, str) else word for word in known]


@pytest.mark.parametrize(
    ("classes", "breach"),
    [
        ([[0.0, 100.0]], "too few"),
        ([[0.0, 100.0, "fog", 1]], "more than"),
        ([[0.0, 100.0, "smoke"]], "none of"),
        ([[0.0, "fog", 100.0]], "none of"),
    ],
)
def test_a_stretch_of_another_form_is_a_breach(classes: list[list[Any]], breach: str) -> None:
    schema = record_schema("targets")["properties"]["classes"]

    assert any(breach in found for found in breaches(classes, schema))
    assert not [*breaches([[0.0, 100.0, "fog"]], schema)]
