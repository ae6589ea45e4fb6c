"""`ipdsf network --map` draws what the archive holds of the network, and says so where it holds nothing."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.tables import PARTITION, PRODUCTS, PRODUCTS_SCHEMA, Record, file_schema, product_rows
from ipdsf_spark.cli import main as cli

TIME = "2026-06-21T12:02:30Z"


def archived(directory: Path) -> None:
    """An archive with a warm network of three sites; one is under alarm, one has no place."""
    rows = [
        {"kind": "network", "site": "network", "is_warm": True, "strengths": [3.0, -1.0], "num_sites": 3},
        *({"kind": "network_site", "site": site, "weights": [1.0, -0.5]} for site in ("oslo", "munich", "unknown")),
        {"kind": "network_alarm", "site": "munich", "is_standing": True, "alarms": [{"feature": "level"}]},
        {"kind": "network_alarm", "site": "oslo", "is_standing": False, "alarms": []},
    ]
    records = [
        Record(
            f"{row['site']}|{row['kind']}".encode(), json.dumps(row | {"time": TIME}).encode(), 1_782_043_200_000, 0, n
        )
        for n, row in enumerate(rows)
    ]
    by_day, faults = product_rows(records)
    assert faults == []
    table = directory / PRODUCTS
    adds = [write_file(table, each, file_schema(PRODUCTS_SCHEMA), {PARTITION: day}) for day, each in by_day.items()]
    commit(table, schema=PRODUCTS_SCHEMA, partition_columns=[PARTITION], adds=adds, transactions={}, operation="WRITE")


def drawn(tmp_path: Path, *more: str) -> int:
    settings = ["--set", f'stream.archive_directory="{tmp_path / "archive"}"']
    return cli.main(["network", "--map", str(tmp_path / "map.svg"), *settings, *more])


def test_the_map_shows_sites_weights_and_alarms_of_the_archive(tmp_path: Path) -> None:
    archived(tmp_path / "archive")

    assert drawn(tmp_path) == 0

    svg = ElementTree.parse(tmp_path / "map.svg").getroot()
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert titles == ["network, 2026-06-21 12:02 UTC", "oslo: weight 1.00", "munich: weight 1.00; alarm: level"]
    assert "under alarm: 1" in texts
    assert "without a position: unknown" in texts


def test_what_cannot_be_drawn_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drawn(tmp_path) == 1
    archived(tmp_path / "archive")
    assert drawn(tmp_path, "--component", "3") == 2

    assert "--component is a number from 1 to 2, got 3" in capsys.readouterr().err
