"""Benchmarks are run by hand and rarely: each must at least start."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = sorted(Path(__file__).parent.glob("bench_*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(path), "--help"])
    monkeypatch.syspath_prepend(str(path.parent))  # as Python does for a script

    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")

    assert not ended.value.code
    assert path.stem in capsys.readouterr().out
