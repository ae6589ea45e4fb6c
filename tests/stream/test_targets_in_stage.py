"""Targets and calibration in the stream's stage, beside the heights."""

from __future__ import annotations

import json

from ipdsf_spark.config import load
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.lidar.targets.classes import Target
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece

SITE = Site("oslo", 59.94, 10.72, precipitable_water_mm=15.0)


def test_every_complete_interval_has_classes_and_neither_operator_fails(cl51_files: list[bytes]) -> None:
    stage = stage_of(load(overrides=['stream.operators=["layers", "targets", "calibration"]']))
    decoder = Decoder({SITE.id: SITE}, 300, 10**6)
    pieces = [
        Piece.from_bytes(decoder.row_of(SITE.id, raw, "", 1_624_269_600_000, 10**13, None, "f", 0, number)[1])
        for number, raw in enumerate(cl51_files)
    ]
    first = stage.step(SITE, pieces[: len(pieces) // 2], b"")
    assert first.state is not None
    second = stage.step(SITE, pieces[len(pieces) // 2 :], first.state.to_bytes())
    records = [*first.records, *second.records]

    rows = [json.loads(record.value) for record in records if record.kind == "targets"]
    assert len({row["time"] for row in rows}) == len(rows) >= len(cl51_files) - 3
    known = {target.name.lower() for target in Target}
    assert all({name for _, _, name in row["classes"]} <= known for row in rows)
    assert second.state is not None
    assert second.state.counts.faults == 0
