"""`ipdsf doctor` and `ipdsf checkpoint inspect`: what is wrong is named, and nothing else stops the looking."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest

from ipdsf_spark.cli import doctor
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.security import certificates
from ipdsf_spark.spark.checksums import damage_of
from ipdsf_spark.spark.fixed import keep_parameters

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
    assert set(found) == {"python", "java", "engines", "certificate", "sites", "operators", "disks", "checkpoint"}
    assert all(line["is_good"] for line in found.values())


def test_an_operator_that_cannot_be_made_is_found_before_the_job_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", f'stream.directory="{tmp_path}"', "--set", 'stream.operators=["layers", "my_cloud:operator"]']

    assert main(["doctor", "--without-kafka", "--json", *settings]) == 1
    assert "operator 'my_cloud:operator' cannot be imported" in str(told(capsys)["operators"]["said"])


def test_kafka_that_does_not_run_is_one_of_three_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--set", f'broker.directory="{tmp_path}"'])

    found = told(capsys)
    assert code == 1
    assert "start one with `ipdsf broker start`" in str(found["kafka"]["said"])
    assert found["python"]["is_good"]


@pytest.mark.parametrize(
    "verb", [["doctor"], ["sites", "oslo", "--forget"], ["quarantine", "list"], ["archive", "rebuild"], ["replay", "."]]
)
def test_a_certificate_authority_that_is_not_there_is_named_by_every_verb(
    verb: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "oslo").mkdir()
    (tmp_path / "oslo" / "a.dat").write_bytes(b"a")
    monkeypatch.chdir(tmp_path)
    settings = ["bootstrap_servers=127.0.0.1:1", "security_protocol=SSL", "ssl_ca_location=no.pem"]
    words = [word for setting in settings for word in ("--set", f"kafka.{setting}")]

    assert main([*verb, *words, "--set", f'stream.directory="{tmp_path / "stream"}"']) == 1
    told = capsys.readouterr()
    assert "no client for 127.0.0.1:1: Failed to create" in told.out + told.err
    assert "ssl.ca.location" in told.out + told.err


@pytest.mark.parametrize(("key", "value"), [("layers.averaging_s", 600), ("stream.state_partitions", 3)])
def test_what_the_checkpoint_cannot_change_is_found_before_the_job_is(
    key: str, value: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = checkpoint(tmp_path)
    held = {"files_topic": "files", "averaging_s": "300", "state_partitions": "2"}
    keep_parameters(tmp_path / "stream" / "checkpoint", held)
    words = ["--without-kafka", "--json", "--set", directory, "--set", "kafka.files_topic=files"]

    main(["doctor", *words])
    assert told(capsys)["checkpoint"]["is_good"]
    assert main(["doctor", *words, "--set", f"{key}={value}"]) == 1
    said = told(capsys)["checkpoint"]["said"]
    assert f"{key} is {value}, it was written with {held[key.partition('.')[2]]}" in str(said)


@pytest.mark.kafka
def test_a_topic_that_has_more_partitions_than_configured_is_found_before_the_job_is(
    kafka: EmbeddedKafka, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {f"{name}_topic": f"counted.{name}" for name in ("files", "averages", "products", "sites", "quarantine")}
    ensure_topics(KafkaConfig(**names, partitions=2), kafka.bootstrap_servers)
    settings = [f"kafka.{name}={topic}" for name, topic in names.items()]
    settings.append(f"kafka.bootstrap_servers={kafka.bootstrap_servers}")
    words = ["doctor", "--json", *(word for setting in settings for word in ("--set", setting))]

    for partitions, expected in ((1, "counted.files has 2, kafka.partitions is 1:"), (3, "`ipdsf stream` makes it 3")):
        main([*words, "--set", f"kafka.partitions={partitions}"])
        topics = told(capsys)["topics"]
        assert expected in str(topics["said"]) and topics["is_good"] == (partitions == 3)


@pytest.mark.parametrize("key", ["stream.directory", "stream.archive_directory"])
def test_a_file_in_the_place_of_a_folder_is_found_before_the_job_is(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").write_text("something else")

    code = main(["doctor", "--without-kafka", "--json", "--set", f'{key}="{tmp_path / "there" / "below"}"'])

    assert code == 1
    assert f"{key}: {tmp_path / 'there'} is a file, and a folder is needed" in str(told(capsys)["disks"])


def test_kafka_that_does_not_answer_is_told_by_the_checks_alone(capfd: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--set", "kafka.bootstrap_servers=localhost:1"])

    written = capfd.readouterr()
    assert "Connection refused" not in written.err
    assert '"clock", "is_good": false, "said": "not asked: see kafka"' in written.out  # waited for once


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


def as_hadoop_writes(path: Path, content: str) -> None:
    """A file with its checksums beside it."""
    raw = content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    parts = [raw[at : at + 512] for at in range(0, len(raw), 512)]
    sums = b"crc\0" + struct.pack(f">i{len(parts)}I", 512, *map(zlib.crc32, parts))
    path.with_name(f".{path.name}.crc").write_bytes(sums)


def whole_checkpoint(tmp_path: Path) -> tuple[str, Path]:
    """Three batches of a query with a state of two partitions, in every file that Spark 4 writes."""
    override = checkpoint(tmp_path)
    live = tmp_path / "stream" / "checkpoint" / "live"
    keep_parameters(live.parent, {"files_topic": "files", "averaging_s": "300", "state_partitions": "2"})
    as_hadoop_writes(live / "metadata", '{"id":"c96ccf97-7c17-4ab1-9d0c-d9a5b1f9e6a1"}')
    as_hadoop_writes(live / "sources" / "0" / "0", '\0v1\n{"files":{"0":0}}')
    as_hadoop_writes(live / "state" / "0" / "_metadata" / "metadata", 'v1\n{"operatorInfo":{"operatorId":0}}')
    for number in range(3):
        as_hadoop_writes(live / "offsets" / str(number), OFFSETS)
        as_hadoop_writes(live / "commits" / str(number), 'v1\n{"nextBatchWatermarkMs":0}')
        for partition in "01":
            as_hadoop_writes(live / "state" / "0" / partition / f"{number + 1}.changelog", f"state {number} " * 200)
    as_hadoop_writes(live / "state" / "0" / "0" / "_metadata" / "schema", "v2")
    return override, live.parent


def test_checksums_are_those_of_hadoop() -> None:
    commit = b'v1\n{"nextBatchWatermarkMs":0}'

    assert damage_of(commit, bytes.fromhex("6372630000000200f32abfdd")) == ""  # as Hadoop 3.4 wrote it
    assert damage_of(commit[:-1], bytes.fromhex("6372630000000200f32abfdd")) != ""


def test_a_whole_checkpoint_has_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    override, _ = whole_checkpoint(tmp_path)

    assert main(["checkpoint", "inspect", "--set", override]) == 0
    assert "PROBLEM" not in capsys.readouterr().out


@pytest.mark.parametrize("sums", [b"", b"crc\0", b"crc\0\0\0\2\0"])
def test_what_a_running_job_is_writing_and_a_killed_one_never_ended_is_no_damage(
    sums: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override, home = whole_checkpoint(tmp_path)
    begun = home / "live" / "state" / "0" / "1" / ".4.changelog.6459213b-b646-4d2c-b1a3-15efd1cef6c7.TID6.tmp"
    begun.write_bytes(b"half a st")
    begun.with_name(f".{begun.name}.crc").write_bytes(sums)

    assert main(["checkpoint", "inspect", "--set", override]) == 0
    assert "PROBLEM" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "way_on"),
    [
        ("parameters.txt", "bring the folder"),
        ("live/metadata", "bring the folder"),
        ("live/offsets/2", "remove it and"),
        ("live/offsets/0", "a later one is there"),
        ("live/commits/2", "the batch is done again"),
        ("live/commits/1", "a later one is there"),
        ("live/sources/0/0", "not needed once a batch is planned"),
        ("live/state/0/_metadata/metadata", "the query goes on without it"),
        ("live/state/0/0/_metadata/schema", "bring the folder"),
        ("live/state/0/1/3.changelog", "for every batch K from 2 to 2"),
        ("live/state/0/0/2.changelog", "for every batch K from 1 to 2"),
        ("live/state/0/0/1.changelog", "bring the folder"),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "one bit", "longer", "empty"])
def test_every_damaged_file_of_a_checkpoint_is_named_with_what_to_do(
    name: str, way_on: str, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override, home = whole_checkpoint(tmp_path)
    raw = (home / name).read_bytes()
    middle = len(raw) // 2
    changed = {
        "cut": raw[:middle],
        "one bit": raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :],
        "longer": raw + b"x" * 600,
        "empty": b"",
    }[damage]
    (home / name).write_bytes(changed)

    assert main(["checkpoint", "inspect", "--set", override]) == 1
    problems = [line for line in capsys.readouterr().out.splitlines() if line.startswith("PROBLEM")]
    assert [str(home / name) in line for line in problems] == [True]
    assert way_on in problems[0]
    assert main(["doctor", "--without-kafka", "--set", override]) == 1


def test_of_a_batch_that_was_not_finished_the_commit_before_it_is_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override, home = whole_checkpoint(tmp_path)
    (home / "live" / "commits" / "2").unlink()
    (home / "live" / "commits" / ".2.crc").unlink()
    newest = home / "live" / "commits" / "1"
    newest.write_bytes(newest.read_bytes().replace(b"0", b"1"))  # JSON as before

    assert main(["checkpoint", "inspect", "--set", override]) == 1
    assert f"{newest} is not what was written, from byte 0 of 29 on: remove it" in capsys.readouterr().out


def test_of_a_plan_that_can_still_be_read_the_damage_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override, home = whole_checkpoint(tmp_path)
    newest = home / "live" / "offsets" / "2"
    newest.write_bytes(newest.read_bytes().replace(b"7", b"8"))  # JSON as before, and other offsets

    assert main(["checkpoint", "inspect", "--set", override]) == 1
    assert f"remove it and {home / 'live' / 'commits' / '2'}, and the batch is planned again" in capsys.readouterr().out


def test_a_damaged_change_of_the_state_before_a_snapshot_is_not_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override, home = whole_checkpoint(tmp_path)
    state = home / "live" / "state" / "0" / "0"
    as_hadoop_writes(state / "2.zip", "a snapshot")
    (state / "1.changelog").write_text("")
    main(["checkpoint", "inspect", "--set", override])
    assert "a later snapshot is there" in capsys.readouterr().out

    (state / "2.zip").write_text("")
    main(["checkpoint", "inspect", "--set", override])
    assert "for every batch K from 1 to 2" in capsys.readouterr().out
    as_hadoop_writes(state / "3.zip", "a later one")
    main(["checkpoint", "inspect", "--set", override])
    assert "for every batch" not in capsys.readouterr().out


def test_a_commit_without_its_plan_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "inspect", "--set", checkpoint(tmp_path, committed=(0, 1, 2))]) == 1
    assert "batch 2 is committed" in capsys.readouterr().out


def test_where_no_job_has_run_there_is_nothing_to_inspect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "inspect", "--set", f'stream.directory="{tmp_path}"']) == 1
    assert "no checkpoint in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "plan",
    [
        b'v1\n{"batchTimestampMs":1e400}\n{"files":{"2":5}}',
        b'v1\n{"batchTimestampMs":99999999999999999}\n{"files":{"2":5}}',
        b'v1\n{"batchTimestampMs":-5}\n{"files":{"2":5}}',
        b'v1\n{"batchTimestampMs":"noon"}\n{"files":{"2":5}}',
        b'v1\n{"conf":3}\n{"files":{"2":5}}',
        b'v1\n[1]\n{"files":{"2":5}}',
        b'v1\n{}\n{"files":{"2":1e400}}',
        b"v1\n\xff\xfe\x00",
    ],
)
def test_a_plan_that_is_json_of_another_kind_is_damaged_too(
    plan: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    override = checkpoint(tmp_path)
    newest = tmp_path / "stream" / "checkpoint" / "live" / "offsets" / "1"
    newest.write_bytes(plan)

    assert main(["checkpoint", "inspect", "--json", "--set", override]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem.startswith(f"{newest} ")
    assert "remove it" in problem
    assert main(["doctor", "--without-kafka", "--json", "--set", override]) == 1
    assert str(newest) in str(told(capsys)["checkpoint"]["said"])


def test_a_check_that_stumbles_is_one_line_like_the_others() -> None:
    def stumbling(config: Config) -> str:
        raise KeyError("conf")

    found = doctor.found("checkpoint", stumbling, Config())

    assert (found.is_good, found.said) == (False, "this check itself failed: KeyError: 'conf'")
