"""Values of `ipdsf ct` options that nothing can be done with are refused before anything is read."""

from __future__ import annotations

import pytest

from ipdsf_spark.cli.main import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "--cubes", "c", "-o", "m", "--threads", "-1"], "--threads must be at least 0, got -1"),
        (["train-synthesis", "--cubes", "c", "-o", "m", "--threads", "-1"], "--threads must be at least 0, got -1"),
        (["evaluate", "v", "--model", "m", "--sigma", "-1"], "--sigma must be a share of the window, 0 … 1, got -1.0"),
        (["evaluate", "v", "--model", "m", "--sigma", "nan"], "--sigma must be a share of the window, 0 … 1, got nan"),
        (["evaluate", "v", "--model", "m", "--slices", "-5"], "--slices must be 0 or more, got -5"),
    ],
)
def test_an_impossible_number_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ct", *words]) == 2
    assert said in capsys.readouterr().err
