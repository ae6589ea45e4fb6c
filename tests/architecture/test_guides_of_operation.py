"""The pages on security and monitoring: names exist, the one-machine flow begins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import load
from ipdsf_spark.monitoring.prometheus import METRICS

PAGES = ("security.md", "monitoring.md")


def text_of(repository: Path, page: str) -> str:
    return (repository / "docs" / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_key_that_is_named_exists(repository: Path, page: str) -> None:
    config = load()
    for section, key in re.findall(r"`(kafka|monitoring|stream)\.([a-z_]+)", text_of(repository, page)):
        assert hasattr(getattr(config, section), key), f"{section}.{key}"


def test_every_metric_that_is_named_is_told(repository: Path) -> None:
    named = re.findall(r"`((?:ipdsf|kafka_consumergroup)_\w+)[`{]", text_of(repository, "monitoring.md"))

    assert set(named) <= set(METRICS)
    assert len(named) >= 10


def test_the_number_of_rules_is_that_of_the_file(repository: Path) -> None:
    rules = (repository / "deploy" / "monitoring" / "alerts.yml").read_text(encoding="utf-8").count("- alert:")

    assert f"{rules} now)" in text_of(repository, "monitoring.md")


def test_the_folder_of_the_guide_is_made_extended_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "sec")

    assert main(["security", "init", folder, "--site", "oslo", "--site", "munich"]) == 0
    assert main(["security", "add", folder, "--site", "chennai"]) == 0
    assert main(["security", "show", folder]) == 0

    shown = capsys.readouterr().out
    assert "--allow-principal User:edge-chennai --operation Write --topic 'ceilometer.files.chennai'" in shown
    for path in Path(folder).glob("*/password"):
        assert path.read_text() not in shown
