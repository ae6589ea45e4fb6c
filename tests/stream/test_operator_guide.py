"""A second operator, added by what docs/operators.md says and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece

SITES = {"oslo": Site("oslo", 59.94, 10.72)}


def test_the_guides_operator_runs_beside_the_heights_after_one_line_of_configuration(
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cl51_files: list[bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    guide = (repository / "docs" / "operators.md").read_text(encoding="utf-8")
    code, trial = re.findall(r"<!-- executed by .*? -->\n```python\n(.*?)```", guide, flags=re.DOTALL)
    (line,) = re.findall(r"^operators = .*$", guide, flags=re.MULTILINE)
    (tmp_path / "my_clouds.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "network" / "sim-01").mkdir(parents=True)
    for number, raw in enumerate(cl51_files):
        (tmp_path / "network" / "sim-01" / f"{number:03}.dat").write_bytes(raw)
    exec(compile(trial, "operators.md", "exec"), {})
    assert "kind='cloud_cover'" in capsys.readouterr().out

    stage = stage_of(load(overrides=[f"stream.{line.replace(' = ', '=')}"]))
    decoder = Decoder(SITES, 300, 10**6)
    pieces = [
        Piece.from_bytes(decoder.row_of("oslo", raw, "", 1_624_269_600_000, 10**13, None, "f", 0, number)[1])
        for number, raw in enumerate(cl51_files)
    ]
    outcome = stage.step(SITES["oslo"], pieces, b"")

    rows = [json.loads(record.value) for record in outcome.records if record.kind == "cloud_cover"]
    closed = {json.loads(record.value)["time"] for record in outcome.records if record.kind == "layers"}
    assert len(rows) == len(cl51_files)
    assert {row["kind"] for row in rows} == {"cloud_cover"}
    assert all(0.0 <= row["cover"] <= 1.0 for row in rows)
    assert len(closed) == len(cl51_files)
    assert len(code.splitlines()) <= 26
