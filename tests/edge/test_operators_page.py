"""The operator's page: its commands run, its words are those of the log, its keys exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from edge_node import topic

from ipdsf_spark.cli.edge_config import EXPLAINED, commented
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, load, with_overrides
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics, headers
from ipdsf_spark.storage.alone import alone

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "edge.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


def run_block(text: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"} | variables
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.kafka
@pytest.mark.slow
def test_the_commands_of_the_page_run_in_their_order(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    (tmp_path / "instrument").mkdir()
    (tmp_path / "instrument" / "a.dat").write_bytes(b"a")
    config = topic("page")
    ensure_topics(config, kafka.bootstrap_servers)
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "base.toml").write_text(
        f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\nfiles_topic = "{config.files_topic}"\n'
        f'[edge]\ndirectory = "{tmp_path / "edge"}"\nsettle_s = 0.5\n'
    )
    node = BLOCKS[:-1]  # the last one is run by the tests of `ipdsf broker`

    said = [run_block(text, tmp_path, IPDSF_CONF=str(conf)) for text in node]

    assert [ended.returncode for ended in said] == [0] * 5, [ended.stderr for ended in said]
    _, dry_run, once, status, as_json = (ended.stdout for ended in said)
    assert "would take a.dat (1 bytes)" in dry_run
    assert "delivered 1" in once
    assert "last delivery: 20" in status
    assert '"pending": 0' in as_json


def test_every_header_stands_on_the_page() -> None:
    named = set(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, flags=re.MULTILINE))
    shown = {word for cell in named for word in re.findall(r"`(\w+)`", cell)}

    assert set(headers.MEANING) - {headers.REPLAYED} == shown


def test_every_key_on_the_page_exists() -> None:
    config = Config()
    for section, key in re.findall(r"`(kafka|edge|broker)\.(\w+)`", PAGE):
        assert hasattr(getattr(config, section), key), f"{section}.{key}"


def test_what_is_told_on_the_page_stands_in_the_code() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ipdsf_spark").rglob("*.py"))
    told = [row.split("|")[2] for row in PAGE.splitlines() if row.startswith("| ") and row.count("|") == 5]
    sentences = [sentence for cell in told for sentence in re.findall(r"`([^`]+)`", cell)]

    assert len(sentences) >= 12
    for sentence in sentences:
        for words in re.split(r"[…:;()]| \d+ |oslo|edge\.", sentence):
            assert words.strip() in code or len(words.strip()) < 9, words


def test_a_written_configuration_loads_and_holds_what_was_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edge", "--watch", 'C:\\data "x"', "--site", "oslo", "--every", "60", "--generate-config"]) == 0
    path = tmp_path / "edge.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")

    config = load(path)

    assert (config.edge.watch, config.edge.site, config.edge.every_s) == ('C:\\data "x"', "oslo", 60.0)
    assert with_overrides(config, ['edge.watch=""', 'edge.site=""', "edge.every_s=0.0"]) == load()


def test_a_written_configuration_explains_every_key_it_holds() -> None:
    written = tomllib.loads(commented(Config()))

    assert {section: set(keys) for section, keys in written.items()} == {s: set(keys) for s, keys in EXPLAINED.items()}


def test_a_written_configuration_has_every_key_by_which_a_node_logs_in() -> None:
    logins = {key for key in asdict(Config().kafka) if key.startswith(("sasl_", "oauth_", "kerberos_", "ssl_"))}

    assert len(logins) >= 15
    assert logins | {"security_protocol"} <= set(EXPLAINED["kafka"])


@pytest.mark.parametrize("site", ["../oslo", "Oslo Blindern", "ø"])
def test_a_site_id_that_the_stream_would_refuse_is_refused_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], site: str
) -> None:
    assert main(["edge", "--watch", str(tmp_path), "--site", site, "--dry-run"]) == 2
    assert "is no site id: up to 64 letters" in capsys.readouterr().err


def test_once_without_kafka_ends_with_1_and_what_was_found_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.edge.arrived.TIMEOUT_S", 0.2)
    monkeypatch.setattr("ipdsf_spark.cli.edge.signal.signal", lambda *_: None)
    (tmp_path / "instrument").mkdir()
    (tmp_path / "instrument" / "a.dat").write_bytes(b"a")
    places = [
        "--watch",
        str(tmp_path / "instrument"),
        "--site",
        "oslo",
        "--set",
        f'edge.directory="{tmp_path / "edge"}"',
    ]
    common = [*places, "--set", "kafka.bootstrap_servers=localhost:1", "--set", "edge.settle_s=0.0"]

    assert main(["edge", *common, "--once"]) == 1
    assert "pending 1" in capsys.readouterr().out
    assert main(["edge", *common, "--status"]) == 0
    assert "oldest unsent: a.dat" in capsys.readouterr().out
    assert main(["edge", "--site", "bergen", *places[4:], "--status"]) == 1
    assert "no agent has run for site 'bergen'" in capsys.readouterr().err


def test_a_second_agent_of_a_site_ends_with_1_and_leaves_the_first_its_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ipdsf_spark.cli.edge.signal.signal", lambda *_: None)
    (tmp_path / "instrument").mkdir()
    (tmp_path / "instrument" / "a.dat").write_bytes(b"a")
    asked = ["edge", "--watch", str(tmp_path / "instrument"), "--site", "oslo", "--once"]
    asked += ["--set", "kafka.bootstrap_servers=localhost:1", "--set", f"edge.directory={tmp_path / 'edge'}"]
    unfinished = tmp_path / "edge" / "oslo" / "copies" / "waiting" / ".begun.part"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"half of a cop")

    with alone(tmp_path / "edge" / "oslo", "another agent"):
        ended = main(asked)

    assert ended == 1
    assert "another agent sends the files of oslo from" in capsys.readouterr().err
    assert unfinished.exists()
    assert [path.name for path in (tmp_path / "edge" / "oslo").iterdir()] == ["copies"]
    with alone(tmp_path / "edge" / "oslo", "another agent"):  # and the lock is given back
        pass


def test_an_agent_that_is_refused_leaves_no_folder(tmp_path: Path) -> None:
    asked = ["edge", "--watch", str(tmp_path / "none"), "--site", "oslo", "--once"]

    assert main([*asked, "--set", "kafka.bootstrap_servers=localhost:1", "--set", f"edge.directory={tmp_path}"]) == 1
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_that_was_there_before_an_agent_stays(tmp_path: Path) -> None:
    root = tmp_path / "edge" / "oslo"
    root.mkdir(parents=True)

    with alone(root, "another agent"):
        pass

    assert root.is_dir()


def test_where_no_folder_can_be_made_an_agent_begins_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "edge").write_text("a file lies in its place")

    with alone(tmp_path / "edge" / "oslo", "another agent"):
        pass
