"""Values of `ipdsf ct` options that nothing can be done with are refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipdsf_spark.cli.arguments import here
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


@pytest.mark.parametrize(
    "words",
    [
        ["export", "--name", "c"],
        ["train-synthesis", "--cubes", "c"],
        ["synthesize", "--model", "m"],
        ["generate", "v", "--model", "m"],
        ["evaluate", "v", "--model", "m"],
    ],
)
def test_nothing_is_written_to_a_folder_called_like_the_scheme_of_a_url(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(SystemExit) as ended:
        main(["ct", *words, "-o", "s3://bucket/out"])

    assert ended.value.code == 2
    assert "s3://bucket/out is no path of this machine" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert here("file:///mnt/a%20b") == Path("/mnt/a b")
    assert here("a b%20") == Path("a b%20")
