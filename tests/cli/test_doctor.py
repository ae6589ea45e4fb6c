"""`ipdsf doctor` and `ipdsf checkpoint inspect`: what is wrong is named, and nothing else stops the looking."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.security import certificates

OFFSETS = """v1
{"batchWatermarkMs":0,"batchTimestampMs":1795680170376,"conf":{"spark.sql.shuffle.partitions":"2"}}
{"files":{"10":7,"2":5}}"""


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["check"]: line for line in lines}


def checkpoint(tmp_path: Path, *, offsets: str = OFFSETS, committed: tuple[int, ...] = (0,)) -> str:
    home = tmp_path / "stream" / "checkpoint"
    for folder in ("offsets", "commits", "state/0/0", "state/0/1"):
        (home / "live" / folder).mkdir(parents=True)
    (home / "parameters.txt").write_text("files_topic=files\nstate_partitions=2\n")
    (home / "live" / "metadata").write_text('{"id":"0"}')
    for number in (0, 1):
        (home / "live" / "offsets" / str(number)).write_text(offsets)
    for number in committed:
        (home / "live" / "commits" / str(number)).write_text('v1\n{"nextBatchWatermarkMs":0}')
    return f'stream.directory="{tmp_path / "stream"}"'


def test_a_machine_that_is_set_up_passes_without_kafka(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--without-kafka", "--json", "--set", f'stream.directory="{tmp_path}"'])

    found = told(capsys)
    assert code == 0
    assert set(found) == {"python", "java", "engines", "certificate", "sites", "disks", "checkpoint"}
    assert all(line["is_good"] for line in found.values())


def test_kafka_that_does_not_run_is_one_of_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--set", f'broker.directory="{tmp_path}"'])

    found = told(capsys)
    assert code == 1
    assert "start one with `ipdsf broker start`" in str(found["kafka"]["said"])
    assert found["python"]["is_good"]


@pytest.mark.parametrize(("days", "said"), [(-1, "it expired at"), (3, "issue a new one")])
def test_a_certificate_that_ends_is_named(
    days: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificates.make_authority(tmp_path, "a CA")
    (tmp_path / "key-password").write_text("x")
    certificates.issue(tmp_path, tmp_path, "somebody", days=days)
    path = tmp_path / certificates.CERTIFICATE

    code = main(["doctor", "--without-kafka", "--json", "--set", f'kafka.ssl_certificate_location="{path}"'])

    assert code == 1
    assert said in str(told(capsys)["certificate"]["said"])


def test_a_checkpoint_says_how_far_it_is_and_what_is_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["checkpoint", "inspect", "--set", checkpoint(tmp_path)])

    out = capsys.readouterr().out
    assert code == 0
    assert "batch 1 planned, 0 committed" in out
    assert "done again" in out
    assert "state in 2 partition(s)" in out
    assert out.index("files-2: 5") < out.index("files-10: 7")


@pytest.mark.parametrize("damage", ["", "v1\n{", "v2\n{}\n{}", "v1\n{}\n[3]"])
def test_a_damaged_log_is_named_with_what_to_do(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override = checkpoint(tmp_path, offsets=damage)

    assert main(["checkpoint", "inspect", "--set", override]) == 1
    assert "PROBLEM" in (out := capsys.readouterr().out)
    assert "offsets/1" in out
    assert main(["doctor", "--without-kafka", "--set", override]) == 1
    assert "FAIL checkpoint" in capsys.readouterr().out


def test_a_commit_without_its_plan_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "inspect", "--set", checkpoint(tmp_path, committed=(0, 1, 2))]) == 1
    assert "batch 2 is committed" in capsys.readouterr().out


def test_where_no_job_has_run_there_is_nothing_to_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "inspect", "--set", f'stream.directory="{tmp_path}"']) == 1
    assert "no checkpoint in" in capsys.readouterr().err
