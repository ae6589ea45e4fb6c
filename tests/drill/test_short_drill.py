"""The short form, really done: a garbage file of ten, a driver and an edge agent killed; and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipdsf_spark.drill import DRILLS
from tests.conftest import run_ipdsf

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]


@pytest.mark.long
def test_the_short_drill_loses_nothing_repeats_nothing_and_writes_its_table(tmp_path: Path) -> None:
    record = tmp_path / "drills.json"

    ended = run_ipdsf("drill", "--short", "--record", record, "--output", tmp_path, check=False)

    rows = json.loads(record.read_text())
    assert [row["name"] for row in rows] == [drill.name for drill in DRILLS if drill.is_short]
    assert [row["failure"] for row in rows] == [""] * len(rows), ended.stderr[-3000:]
    assert [(row["found"]["account"]["lost"], row["found"]["account"]["repeated"]) for row in rows] == [(0, 0)] * 3
    page = (tmp_path / "drills.md").read_text()
    assert all(drill.fault in page for drill in DRILLS if drill.is_short)
    assert ended.returncode == 0
