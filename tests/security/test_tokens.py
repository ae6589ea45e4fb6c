"""A Kafka that asks for tokens (OAUTHBEARER) lets in whom the provider vouches for, and says what is amiss."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from identity_provider import new_key
from running import until

from ipdsf_spark.cli.broker import protection_of
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import BrokerConfig, Config, EdgeConfig, KafkaConfig
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.errors import BrokerError, ConfigError
from ipdsf_spark.kafka import num_partitions
from ipdsf_spark.security.folder import SecurityFolder
from tests.security.conftest import WithTokens

pytestmark = pytest.mark.kafka

QUICK_S = 2.0
USER = "edge-oslo"
AT_THE_TOKEN = "its iss, aud, exp and key must be those that the brokers expect, whose log says which is not"
TURNED_AWAY = '({"status":"invalid_token"})'  # Failed authentication with HOST


def refused(kafka: WithTokens, **other: str) -> str:
    with pytest.raises(BrokerError) as said:
        num_partitions(replace(kafka.login(USER), **other), kafka.bootstrap, timeout_s=QUICK_S)
    return str(said.value)


@pytest.fixture(autouse=True)
def as_before(with_tokens: WithTokens) -> Iterator[None]:
    """What a test makes the provider say of its client, it says in that test alone."""
    yield
    with_tokens.provider.clients[USER] = with_tokens.client_of(USER)


@pytest.mark.parametrize("user", ["edge-oslo", "edge-munich"])
def test_the_name_in_the_token_decides_which_topic_a_site_sees(with_tokens: WithTokens, user: str) -> None:
    seen = num_partitions(with_tokens.login(user), with_tokens.bootstrap)

    assert seen == {f"ceilometer.files.{user.removeprefix('edge-')}": 1}


def test_who_has_a_certificate_of_oslo_and_a_token_of_munich_is_munich(with_tokens: WithTokens) -> None:
    oslo, munich = with_tokens.login("edge-oslo"), with_tokens.login("edge-munich")
    mixed = replace(oslo, sasl_username=munich.sasl_username, sasl_password_file=munich.sasl_password_file)

    assert num_partitions(mixed, with_tokens.bootstrap) == {"ceilometer.files.munich": 1}


def test_another_sites_topic_is_refused_to_a_token_and_the_files_wait(
    with_tokens: WithTokens, instrument: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_tokens.require_oslo_refused_at_munich(instrument, tmp_path, caplog)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"audience": "another service"}, "doesn't contain an acceptable identifier"),
        ({"issuer": "https://somebody.example.org"}, "Issuer (iss) claim value (https://somebody.example.org)"),
        ({"key": new_key()}, "Invalid JWS Signature"),
    ],
    ids=["audience", "issuer", "key"],
)
def test_a_token_for_others_or_by_others_is_refused_and_the_broker_says_why(
    with_tokens: WithTokens, wrong: dict[str, object], reason: str
) -> None:
    with_tokens.provider.clients[USER] = replace(with_tokens.client_of(USER), **wrong)
    before = len(with_tokens.log)

    said = refused(with_tokens)

    assert said.startswith(f"authentication failed at {with_tokens.bootstrap}: ")
    assert AT_THE_TOKEN in said
    assert with_tokens.provider.token_url in said
    assert with_tokens.has_logged(reason, before)
    assert with_tokens.has_logged(TURNED_AWAY, before)


def test_a_token_that_has_expired_is_called_so(with_tokens: WithTokens) -> None:
    with_tokens.provider.clients[USER] = replace(with_tokens.client_of(USER), lifetime_s=-60)

    said = refused(with_tokens)

    assert "Must supply an unexpired token" in said
    assert f"look at the clocks of this machine and of {with_tokens.provider.token_url}" in said


def test_a_wrong_secret_is_refused_by_the_provider_and_not_shown(with_tokens: WithTokens, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("guessed")

    said = refused(with_tokens, sasl_password_file=str(tmp_path / "secret"))

    assert "invalid_client" in said
    assert f"kafka.sasl_username and {tmp_path / 'secret'}" in said
    assert "guessed" not in said


def test_a_provider_that_does_not_answer_is_named(with_tokens: WithTokens) -> None:
    said = refused(with_tokens, oauth_token_url="https://localhost:1/token")

    assert "Failed to connect to localhost" in said
    assert "kafka.oauth_token_url (https://localhost:1/token)" in said


def test_a_provider_whose_certificate_is_not_trusted_is_told_no_secret(with_tokens: WithTokens) -> None:
    before = len(with_tokens.provider.given)

    said = refused(with_tokens, oauth_ca_location="")

    assert "unable to get local issuer certificate" in said
    assert "kafka.oauth_ca_location (certificates of the system)" in said
    assert len(with_tokens.provider.given) == before


@pytest.mark.slow
@pytest.mark.long
def test_files_wait_while_the_provider_is_away_longer_than_a_token_lasts_and_are_sent_when_it_is_back(
    with_tokens: WithTokens, instrument: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provider = with_tokens.provider
    before = len(provider.given)
    provider.clients[USER] = replace(with_tokens.client_of(USER), lifetime_s=6)
    watched = tmp_path / "watched"
    watched.mkdir()
    first, second, _ = sorted(instrument.iterdir())
    edge = EdgeConfig(watch=str(watched), directory=str(tmp_path / "edge"), settle_s=0.0)
    agent = EdgeAgent(edge, with_tokens.login(USER), with_tokens.bootstrap, "oslo")
    shutil.copy(first, watched)
    agent.take_in()
    assert agent.send_pending()
    provider.stop()
    own = provider.given[before:]
    until(lambda: all(each.ends_s < time.time() for each in own), "the tokens of the edge node have ended")
    shutil.copy(second, watched)
    agent.take_in()

    is_sent_without = agent.send_pending()
    said = caplog.text
    provider.start()
    until(agent.send_pending, "the files are sent")

    counts = agent.journal.counts()
    agent.close()
    assert not is_sent_without
    assert "Failed to connect to localhost" in said
    assert f"kafka.oauth_token_url ({provider.token_url})" in said
    assert (counts["pending"], counts["delivered"]) == (0, 2)


@pytest.mark.slow
def test_a_job_with_a_wrong_secret_ends_before_it_begins_with_one_line(with_tokens: WithTokens, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("guessed")
    login = str(with_tokens.folder.path / "stream" / "kafka.toml")
    own = ["kafka.bootstrap_servers=" + with_tokens.bootstrap, f'kafka.sasl_password_file="{tmp_path / "secret"}"']
    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "stream", "--config", login]

    ended = subprocess.run(
        [*command, *(part for each in own for part in ("--set", each)), "--set", f'stream.directory="{tmp_path}"'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 1
    assert "invalid_client" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "guessed" not in ended.stdout + ended.stderr


def test_a_broker_checks_tokens_only_where_it_is_told_of_whom_and_for_whom(with_tokens: WithTokens) -> None:
    careless = Config(broker=BrokerConfig(oauth_jwks_url="https://id/keys", oauth_issuer="https://id"))

    with pytest.raises(ConfigError, match=r"but broker.oauth_audience is not set"):
        protection_of(with_tokens.folder, careless)


def test_a_restart_that_would_not_know_how_to_check_tokens_stops_nothing(
    with_tokens: WithTokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped: list[Path] = []
    monkeypatch.setattr("ipdsf_spark.devkafka.daemon.stop_daemon", stopped.append)
    secured = ["--secure", str(with_tokens.folder.path)]

    assert main(["broker", "restart", "--directory", str(tmp_path), *secured]) == 2
    assert not list(tmp_path.iterdir()), "an open cluster is still known as one"

    (tmp_path / "security-folder").write_text(str(with_tokens.folder.path))
    assert main(["broker", "restart", "--directory", str(tmp_path)]) == 2

    assert "log in with tokens, but broker.oauth_jwks_url, broker.oauth_issuer" in capsys.readouterr().err
    assert stopped == []


def test_a_folder_for_tokens_names_the_provider_to_every_party_also_to_sites_added_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = KafkaConfig(sasl_mechanism="OAUTHBEARER", oauth_token_url="https://id/token", oauth_scope="kafka")
    with pytest.raises(ConfigError, match=r"kafka.oauth_token_url is not set"):
        SecurityFolder.make(tmp_path, sites=[], hosts=["localhost"], kafka=replace(asked, oauth_token_url=""))
    SecurityFolder.make(tmp_path, sites=["oslo"], hosts=["localhost"], kafka=asked).add("chennai", KafkaConfig())

    for user in ("stream", "edge-oslo", "edge-chennai"):
        told = (tmp_path / user / "kafka.toml").read_text()
        assert 'sasl_mechanism = "OAUTHBEARER"' in told
        assert f'sasl_username = "{user}"' in told
        assert 'oauth_token_url = "https://id/token"' in told
        assert 'oauth_scope = "kafka"' in told
    assert main(["security", "show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"# edge-oslo: OAUTHBEARER, client secret in {tmp_path / 'edge-oslo' / 'password'}" in shown
    assert (tmp_path / "edge-oslo" / "password").read_text() not in shown
