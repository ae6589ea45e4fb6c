"""A secured Kafka refuses whom it does not know, and says so at the client and in its log."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from ipdsf_spark.archive import feed
from ipdsf_spark.archive.tables import TABLES
from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, ConfigError, InputError
from ipdsf_spark.kafka import client_options, num_partitions, reading, sample
from ipdsf_spark.kafka.certificate import validity_of
from ipdsf_spark.kafka.health import health
from ipdsf_spark.kafka.sites import read_sites
from ipdsf_spark.kafka.topics import admin
from ipdsf_spark.security import certificates, rights
from ipdsf_spark.security.folder import SecurityFolder
from ipdsf_spark.security.roles import ADMIN
from tests.security.conftest import Secured

pytestmark = pytest.mark.kafka

QUICK_S = 2.0
TURNED_AWAY = "(SSL handshake failed)"  # Failed authentication with HOST


def refused(login: KafkaConfig, secured: Secured) -> str:
    with pytest.raises(BrokerError) as said:
        num_partitions(login, secured.bootstrap, timeout_s=QUICK_S)
    return str(said.value)


def with_certificate(login: KafkaConfig, folder: Path, authority: Path, *, days: int) -> KafkaConfig:
    folder.mkdir()
    (folder / "key-password").write_text("of no importance")
    certificates.issue(authority, folder, "edge-oslo", days=days)
    return replace(
        login,
        ssl_certificate_location=str(folder / certificates.CERTIFICATE),
        ssl_key_location=str(folder / certificates.KEY_FILE),
    )


@pytest.mark.parametrize("user", ["edge-oslo", "edge-munich"])
def test_a_site_sees_its_own_topic_and_no_other(secured: Secured, user: str) -> None:
    seen = num_partitions(secured.login(user), secured.bootstrap)

    assert seen == {f"ceilometer.files.{user.removeprefix('edge-')}": 1}


def test_a_certificate_as_pkcs12_is_as_good(secured: Secured) -> None:
    folder = secured.folder.path / "edge-oslo"
    login = replace(
        secured.login("edge-oslo"),
        ssl_certificate_location="",
        ssl_key_location="",
        ssl_keystore_location=str(folder / certificates.PKCS12),
        ssl_key_password_file=str(folder / "key-password"),
    )

    assert num_partitions(login, secured.bootstrap) == {"ceilometer.files.oslo": 1}


def test_who_has_no_certificate_is_refused(secured: Secured) -> None:
    login = replace(secured.login("edge-oslo"), ssl_certificate_location="", ssl_key_location="")
    before = len(secured.log)

    assert "none is given" in refused(login, secured)
    assert secured.has_logged(TURNED_AWAY, before)


def test_a_certificate_of_a_foreign_ca_is_refused(secured: Secured, tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, "somebody's CA")
    login = with_certificate(secured.login("edge-oslo"), tmp_path / "foreign", tmp_path, days=30)
    before = len(secured.log)

    assert "signed by a CA that the brokers trust" in refused(login, secured)
    assert secured.has_logged(TURNED_AWAY, before)


def test_an_expired_certificate_is_called_expired(secured: Secured, tmp_path: Path) -> None:
    login = with_certificate(secured.login("edge-oslo"), tmp_path / "old", secured.folder.path, days=-1)
    before = len(secured.log)

    assert "it expired at " in refused(login, secured)
    assert secured.has_logged(TURNED_AWAY, before)


def test_a_broker_that_the_client_does_not_trust_is_not_told_the_password(secured: Secured, tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, "somebody's CA")
    login = replace(secured.login("edge-oslo"), ssl_ca_location=str(tmp_path / "ca.pem"))

    assert "certificate verify failed" in refused(login, secured)


def test_a_wrong_password_is_refused(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("guessed")
    login = replace(secured.login("edge-oslo"), sasl_password_file=str(tmp_path / "password"))
    before = len(secured.log)

    said = refused(login, secured)

    assert "invalid credentials" in said
    assert str(tmp_path / "password") in said
    assert "guessed" not in said
    assert secured.has_logged("invalid credentials", before)


def test_another_sites_topic_is_refused_and_its_files_wait(
    secured: Secured, instrument: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secured.require_oslo_refused_at_munich(instrument, tmp_path, caplog)


def test_a_site_reads_nothing_not_even_its_own_files(secured: Secured) -> None:
    options = client_options(secured.login("edge-oslo"), secured.bootstrap) | {"group.id": "ipdsf-curious"}
    consumer = Consumer(options)
    consumer.assign([TopicPartition("ceilometer.files.oslo", 0, 0)])

    message = consumer.poll(20.0)

    consumer.close()
    assert message is not None
    error = message.error()
    assert error is not None
    assert error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)


def test_the_reader_of_products_writes_nothing(secured: Secured) -> None:
    producer = Producer(client_options(secured.login("reader"), secured.bootstrap) | {"message.timeout.ms": 5_000})
    failed: list[KafkaError] = []
    producer.produce("ceilometer.products", b"mine", on_delivery=lambda error, _: failed.append(error))

    try:
        producer.flush(20.0)
    except KafkaException as error:
        failed.append(error.args[0])

    assert [error.code() for error in failed] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def sites_of(login: KafkaConfig, secured: Secured) -> str:
    """What a reader of the topics is told that is not let in."""
    with pytest.raises(BrokerError) as said:
        read_sites(login, secured.bootstrap)
    return str(said.value)


def test_who_reads_topics_is_told_what_is_wrong_as_well_and_in_one_line(
    secured: Secured, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TIMEOUT_S", QUICK_S)
    login = secured.login("reader")
    (tmp_path / "password").write_text("wrong")
    wrong = replace(login, sasl_password_file=str(tmp_path / "password"))

    assert "kafka.sasl_username and" in sites_of(wrong, secured)
    assert "kafka.sasl_username and" in told_by_health(wrong, secured)
    bare = replace(login, ssl_certificate_location="", ssl_key_location="")
    assert "the client's certificate (none is given)" in sites_of(bare, secured)
    nowhere = replace(login, ssl_ca_location=str(tmp_path / "nowhere.pem"))
    assert f"no client for {secured.bootstrap}" in sites_of(nowhere, secured)
    assert "does not show this user topic ceilometer.sites: ask for the right" in sites_of(
        secured.login("edge-oslo"), secured
    )
    assert capfd.readouterr().err == ""


def test_archive_and_job_are_told_of_a_login_too_where_their_calls_report_a_timeout(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (feed, reading, sample):
        monkeypatch.setattr(module, "TIMEOUT_S", QUICK_S)
    (tmp_path / "password").write_text("wrong")
    wrong = replace(secured.login("reader"), sasl_password_file=str(tmp_path / "password"))

    with (
        pytest.raises(BrokerError, match=r"kafka\.sasl_username and"),
        feed.Feed(wrong, secured.bootstrap, "ceilometer.products", tmp_path / "table", TABLES[0]),
    ):
        pass
    assert sample.admission(wrong, secured.bootstrap, 1_000_000, 10).num_sampled == 0
    assert "kafka.sasl_username and" in caplog.text


def test_rights_are_an_administrators_to_give(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    wrong = replace(secured.login("admin"), sasl_password_file=str(tmp_path / "password"))

    with pytest.raises(BrokerError, match=r"authentication failed .* look at kafka\.sasl_mechanism"):
        rights.bring(secured.folder, wrong, secured.bootstrap)
    with pytest.raises(BrokerError, match=r"^cannot set the password of [\w-]+: this user may not, an administrator"):
        rights.bring(secured.folder, secured.login("reader"), secured.bootstrap)


def told_by_health(login: KafkaConfig, secured: Secured) -> str:
    with pytest.raises(BrokerError) as said:
        health(login, secured.bootstrap, timeout_s=QUICK_S)
    return str(said.value)


def test_a_site_that_was_removed_is_let_in_no_more_and_one_that_was_renewed_is(secured: Secured) -> None:
    kafka = KafkaConfig(topic_per_site=True)

    def tell() -> None:
        rights.bring(secured.folder, secured.folder.certified(kafka, ADMIN), secured.broker.inner_servers)

    secured.folder.add("bergen", kafka)
    tell()
    secured.folder.renew(["edge-bergen"])
    login = secured.login("edge-bergen")
    assert num_partitions(login, secured.bootstrap) == {"ceilometer.files.bergen": 1}
    password = secured.folder.password("edge-bergen")
    kept = secured.folder.path / "kept"
    shutil.copytree(secured.folder.path / "edge-bergen", kept)

    secured.folder.remove("bergen")
    tell()
    tell()

    (kept / "password").write_text(password)
    login = replace(login, sasl_password_file=str(kept / "password"),
                    ssl_certificate_location=str(kept / certificates.CERTIFICATE),
                    ssl_key_location=str(kept / certificates.KEY_FILE))  # fmt: skip
    assert "authentication failed" in refused(login, secured)
    listed = admin(secured.folder.certified(kafka, ADMIN), secured.broker.inner_servers)
    assert not listed.describe_acls(rights._all_of("edge-bergen")).result(30)
    assert listed.describe_acls(rights._all_of("edge-oslo")).result(30)
    shutil.rmtree(kept)


def test_secrets_are_readable_by_their_owner_only(secured: Secured) -> None:
    open_to_others = {
        path.name for path in secured.folder.path.rglob("*") if path.is_file() and path.stat().st_mode & 0o077
    }

    assert open_to_others <= {"ca.pem", "kafka.toml", "sites.txt", "removed.txt"}


def test_a_folder_is_made_once_and_sites_are_added(tmp_path: Path) -> None:
    folder = SecurityFolder.make(tmp_path, sites=["oslo"], hosts=["localhost"], kafka=KafkaConfig(topic_per_site=True))
    before = folder.password("edge-oslo")

    with pytest.raises(InputError, match="holds a CA already"):
        SecurityFolder.make(tmp_path, sites=[], hosts=[], kafka=KafkaConfig())
    folder.add("chennai", KafkaConfig(topic_per_site=True))

    assert SecurityFolder.at(tmp_path).users == ["admin", "stream", "reader", "edge-oslo", "edge-chennai"]
    assert folder.password("edge-oslo") == before != folder.password("edge-chennai")
    with pytest.raises(ConfigError, match="cannot have a user"):
        folder.add("oslo / roof", KafkaConfig())


def test_validity_is_read_as_openssl_reads_it(tmp_path: Path) -> None:
    certificates.make_authority(tmp_path, "a CA")
    told = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "ca.pem", "-noout", "-dates", "-dateopt", "iso_8601"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    validity = validity_of(tmp_path / "ca.pem")

    assert validity is not None
    assert f"notBefore={validity.start:%Y-%m-%d %H:%M:%S}Z" in told
    assert f"notAfter={validity.end:%Y-%m-%d %H:%M:%S}Z" in told


@pytest.mark.parametrize("damage", ["", "garbage", "short"])
def test_what_is_no_certificate_has_no_validity(tmp_path: Path, damage: str) -> None:
    certificates.make_authority(tmp_path, "a CA")
    text = (tmp_path / "ca.pem").read_text()
    (tmp_path / "damaged").write_text({"": "", "garbage": text.replace("M", "A"), "short": text[:200]}[damage])

    assert validity_of(tmp_path / "damaged") is None
    assert validity_of(tmp_path / "absent") is None
