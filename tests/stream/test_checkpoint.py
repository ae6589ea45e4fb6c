"""What a checkpoint fixes is kept, refused or begun anew before a query starts; needs no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.spark.checkpoint import inspected
from ipdsf_spark.stream.follow import lay_aside
from ipdsf_spark.stream.job import with_fixed_parameters


def configured(tmp_path: Path, *overrides: str) -> Config:
    return load(overrides=[f'stream.directory="{tmp_path}"', *overrides])


def test_the_number_of_state_partitions_is_the_checkpoints_then_the_configurations_then_the_clusters(
    tmp_path: Path,
) -> None:
    first = with_fixed_parameters(configured(tmp_path), 3, "topic-1")
    on_more_cores = with_fixed_parameters(configured(tmp_path), 64, "topic-1")

    assert first.stream.state_partitions == on_more_cores.stream.state_partitions == 3
    with pytest.raises(ConfigError, match="state_partitions was 3, is 5"):
        with_fixed_parameters(configured(tmp_path, "stream.state_partitions=5"), 64, "topic-1")
    elsewhere = configured(tmp_path / "other", "stream.state_partitions=5")
    assert with_fixed_parameters(elsewhere, 64, "topic-1").stream.state_partitions == 5


def test_a_checkpoint_of_the_first_stage_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "parameters.txt").write_text(
        "files_topic=ceilometer.files\naveraging_s=300\nstate_partitions=2\n"
    )

    with pytest.raises(ConfigError, match=r"state was 1, is 2.*name another stream\.directory"):
        with_fixed_parameters(configured(tmp_path), 2, "topic-1")


@pytest.mark.parametrize(("former", "kept"), [("topic-1", "topic-1"), ("D/8r+UIi", "D_8r-UIi")])
def test_a_topic_that_was_made_anew_is_refused_or_begun_with_and_never_continued(
    tmp_path: Path, former: str, kept: str
) -> None:
    with_fixed_parameters(configured(tmp_path), 2, former)
    live = tmp_path / "checkpoint" / "live"
    live.mkdir()

    with pytest.raises(ConfigError, match=r"was made anew.*fail_on_data_loss=false"):
        with_fixed_parameters(configured(tmp_path), 2, "topic-2")
    assert live.exists()

    with_fixed_parameters(configured(tmp_path, "stream.fail_on_data_loss=false"), 2, "topic-2")
    assert not live.exists()  # its offsets would skip the first records of the new topic
    assert (tmp_path / "checkpoint" / f"live.of-topic-{kept}").exists()
    with_fixed_parameters(configured(tmp_path), 2, "topic-2")


@pytest.mark.parametrize("text", ['v1\n{}\n{"files": {"0": 1', "", "v2\n"])
def test_a_damaged_plan_is_removed_with_its_commit_or_spark_meets_the_commit_again(tmp_path: Path, text: str) -> None:
    live = tmp_path / "checkpoint" / "live"
    for log in ("offsets", "commits"):
        (live / log).mkdir(parents=True)
        (live / log / "7").write_text("v1\n{}")
    (live / "offsets" / "7").write_text(text)

    seen = inspected(configured(tmp_path))

    assert seen is not None
    assert any(f"remove it and {live / 'commits' / '7'}" in problem for problem in seen.problems)


def test_the_checkpoint_of_a_topic_that_came_back_and_went_again_is_kept_beside_the_former(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "live").mkdir()
        (tmp_path / "live" / "which").write_text(str(number))
        lay_aside(tmp_path, "live", topic="files", former_id="a/b", may=True, goes_with_it="")

    kept = sorted(path for path in tmp_path.iterdir())
    assert [path.name for path in kept] == ["live.of-topic-a_b", "live.of-topic-a_b.2", "live.of-topic-a_b.3"]
    assert [(path / "which").read_text() for path in kept] == ["0", "1", "2"]
