"""How clients log in: pure functions, secrets from the environment only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaError

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, ConfigError
from ipdsf_spark.kafka import client, client_options, spark_options
from ipdsf_spark.kafka.client import Listener, explained, group_id
from ipdsf_spark.kafka.reading import consumer_of
from ipdsf_spark.kafka.topics import admin
from ipdsf_spark.security.certificates import make_authority

SASL = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", ssl_ca_location="/ca.pem")
SECRETS = {"IPDSF_KAFKA_USERNAME": "edge", "IPDSF_KAFKA_PASSWORD": 'p"w\\d'}


def test_a_plain_client_needs_no_secret() -> None:
    assert client_options(KafkaConfig(), "host:9092", {}) == {
        "bootstrap.servers": "host:9092",
        "security.protocol": "PLAINTEXT",
        "log_level": 0,
    }


def test_a_client_whose_broker_is_away_writes_no_lines_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    client = admin(KafkaConfig(), "127.0.0.1:1")
    client.poll(0.2)

    assert capfd.readouterr().err == ""


def test_both_clients_get_the_same_login() -> None:
    librdkafka = client_options(SASL, "host:9092", SECRETS)
    spark = spark_options(SASL, "host:9092", SECRETS, {"/ca.pem": "THE CA"}.__getitem__)

    assert (librdkafka["sasl.username"], librdkafka["sasl.password"]) == ("edge", 'p"w\\d')
    assert librdkafka["ssl.ca.location"] == "/ca.pem"
    assert spark["kafka.ssl.truststore.certificates"] == "THE CA"  # executors have no such file
    assert 'username="edge"' in spark["kafka.sasl.jaas.config"]
    assert 'password="p\\"w\\\\d"' in spark["kafka.sasl.jaas.config"]
    assert "ScramLoginModule" in spark["kafka.sasl.jaas.config"]


def test_a_missing_secret_is_named_and_no_secret_is_shown() -> None:
    with pytest.raises(ConfigError, match="IPDSF_KAFKA_PASSWORD is not set") as raised:
        client_options(SASL, "host:9092", {"IPDSF_KAFKA_USERNAME": "somebody"})

    assert "somebody" not in str(raised.value)


TLS = KafkaConfig(security_protocol="SSL", ssl_certificate_location="/cert.pem", ssl_key_location="/key.pem")
FILES = {"/cert.pem": "CERTIFICATE", "/key.pem": "-----BEGIN PRIVATE KEY-----", "/password": "of a file\n"}


def test_a_client_certificate_goes_to_both_clients() -> None:
    secrets = {"IPDSF_KAFKA_KEY_PASSWORD": "k"}

    librdkafka = client_options(TLS, "host:9093", secrets, FILES.__getitem__)
    spark = spark_options(TLS, "host:9093", secrets, FILES.__getitem__)

    assert librdkafka == {
        "bootstrap.servers": "host:9093",
        "security.protocol": "SSL",
        "log_level": 0,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.certificate.location": "/cert.pem",
        "ssl.key.location": "/key.pem",
        "ssl.key.password": "k",
    }
    assert {name: value for name, value in spark.items() if "ssl" in name} == {
        "kafka.ssl.endpoint.identification.algorithm": "https",
        "kafka.ssl.keystore.type": "PEM",
        "kafka.ssl.keystore.certificate.chain": "CERTIFICATE",
        "kafka.ssl.keystore.key": "-----BEGIN PRIVATE KEY-----",
        "kafka.ssl.key.password": "k",
    }


def test_one_file_with_certificate_and_key_is_named_by_its_path() -> None:
    config = replace(TLS, ssl_key_location="")

    assert client_options(config, "h", {})["ssl.key.location"] == "/cert.pem"
    assert spark_options(config, "h", {})["kafka.ssl.keystore.location"] == "/cert.pem"


def test_a_key_that_java_cannot_read_is_named_with_what_converts_it() -> None:
    with pytest.raises(ConfigError, match="openssl pkcs8 -topk8"):
        spark_options(TLS, "h", {}, lambda path: "-----BEGIN RSA PRIVATE KEY-----")


def test_a_pkcs12_file_goes_to_both_clients_with_its_password_from_the_environment() -> None:
    config = KafkaConfig(security_protocol="SSL", ssl_keystore_location="/me.p12", ssl_check_hostname=False)
    secrets = {"IPDSF_KAFKA_KEY_PASSWORD": "k"}

    librdkafka, spark = client_options(config, "h", secrets), spark_options(config, "h", secrets)

    assert (librdkafka["ssl.keystore.location"], librdkafka["ssl.keystore.password"]) == ("/me.p12", "k")
    assert librdkafka["ssl.endpoint.identification.algorithm"] == "none"
    assert (spark["kafka.ssl.keystore.location"], spark["kafka.ssl.keystore.password"]) == ("/me.p12", "k")
    assert (spark["kafka.ssl.keystore.type"], spark["kafka.ssl.endpoint.identification.algorithm"]) == ("PKCS12", "")


def test_a_java_keystore_goes_to_spark_and_others_are_told_what_converts_it() -> None:
    config = KafkaConfig(security_protocol="SSL", ssl_keystore_location="/me.jks", ssl_key_password_file="/password")

    assert spark_options(config, "h", {}, FILES.__getitem__)["kafka.ssl.keystore.type"] == "JKS"
    assert spark_options(config, "h", {}, FILES.__getitem__)["kafka.ssl.keystore.password"] == "of a file"
    with pytest.raises(ConfigError, match=r"keytool -importkeystore -srckeystore /me.jks"):
        client_options(config, "h", {}, FILES.__getitem__)


def test_a_name_may_stand_in_the_configuration_and_is_preferred() -> None:
    options = client_options(replace(SASL, sasl_username="edge-oslo"), "h", SECRETS)

    assert (options["sasl.username"], options["sasl.password"]) == ("edge-oslo", SECRETS["IPDSF_KAFKA_PASSWORD"])


def test_a_certificate_that_a_broker_refuses_is_no_broker_that_does_not_answer() -> None:
    alert = KafkaError(KafkaError._TRANSPORT, "Receive failed: ssl/tls alert certificate unknown: SSL alert number 46")

    assert "authentication failed at h" in explained(alert, TLS, "h")
    assert "no certificate can be read there" in explained(alert, TLS, "h")
    assert "no Kafka answers" in explained(KafkaError(KafkaError._TRANSPORT), TLS, "h")


def test_a_site_may_have_a_topic_of_its_own() -> None:
    assert KafkaConfig().files_topic_of("oslo") == "ceilometer.files"
    assert KafkaConfig(topic_per_site=True).files_topic_of("oslo") == "ceilometer.files.oslo"


def test_oauth_asks_the_identity_provider() -> None:
    config = KafkaConfig(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url="https://id/token",
        oauth_scope="kafka",
    )
    librdkafka, spark = client_options(config, "h", SECRETS), spark_options(config, "h", SECRETS)

    assert {name: value for name, value in librdkafka.items() if "oauth" in name} == {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "edge",
        "sasl.oauthbearer.client.secret": 'p"w\\d',
        "sasl.oauthbearer.token.endpoint.url": "https://id/token",
        "sasl.oauthbearer.scope": "kafka",
    }
    assert spark["kafka.sasl.oauthbearer.token.endpoint.url"] == "https://id/token"
    assert 'OAuthBearerLoginModule required clientId="edge"' in spark["kafka.sasl.jaas.config"]
    with pytest.raises(ConfigError, match=r"kafka.oauth_token_url is not set"):
        client_options(replace(config, oauth_token_url=""), "h", SECRETS)


def test_a_token_that_ended_because_no_new_one_was_to_be_had_is_told_with_that() -> None:
    listener = Listener()
    config = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth_token_url="https://id/token")
    refused = KafkaError(KafkaError._AUTHENTICATION, 'SASL authentication error: {"status":"invalid_token"}')
    listener(refused)
    assert explained(refused, config, "h", listener).endswith("whose log says which is not")

    listener(KafkaError(KafkaError._AUTHENTICATION, "Failed to acquire SASL OAUTHBEARER token: Failed to connect"))
    listener(refused)

    said = explained(refused, config, "h", listener)
    assert "its iss, aud, exp and key must be those that the brokers expect" in said
    assert "Failed to connect: kafka.oauth_token_url (https://id/token)" in said


def test_certificates_of_the_system_are_named_where_none_are_given_for_the_provider(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth_token_url="https://id/token")
    (tmp_path / "system.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no such file"))
    monkeypatch.setattr("ipdsf_spark.kafka.client.SYSTEM_CERTIFICATES", (tmp_path / "other", tmp_path / "system.pem"))
    assert client_options(config, "h", SECRETS)["https.ca.location"] == tmp_path / "system.pem"

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "system.pem"))
    assert client_options(config, "h", SECRETS)["https.ca.location"] == str(tmp_path / "system.pem")

    monkeypatch.setattr("ipdsf_spark.kafka.client.SYSTEM_CERTIFICATES", ())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "no such file"))
    assert "https.ca.location" not in client_options(config, "h", SECRETS)


def test_certificates_to_trust_at_the_provider_travel_to_spark_as_text_of_one_line() -> None:
    config = KafkaConfig(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url="https://id/token",
        oauth_ca_location="/id.pem",
    )
    read = {"/id.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"}.__getitem__

    assert client_options(config, "h", SECRETS, read)["https.ca.location"] == "/id.pem"
    jaas = spark_options(config, "h", SECRETS, read)["kafka.sasl.jaas.config"]
    assert 'ssl.truststore.type="PEM"' in jaas
    assert r'certificates="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"' in jaas
    assert "\n" not in jaas  # a text of JAAS ends with its line


def test_kerberos_needs_no_password() -> None:
    config = KafkaConfig(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="GSSAPI",
        kerberos_principal="edge@EXAMPLE.ORG",
        kerberos_keytab="/edge.keytab",
    )
    librdkafka, spark = client_options(config, "h", {}), spark_options(config, "h", {})

    assert librdkafka["sasl.kerberos.principal"] == "edge@EXAMPLE.ORG"
    assert (librdkafka["sasl.kerberos.keytab"], librdkafka["sasl.kerberos.service.name"]) == ("/edge.keytab", "kafka")
    assert spark["kafka.sasl.kerberos.service.name"] == "kafka"
    assert 'keyTab="/edge.keytab" principal="edge@EXAMPLE.ORG"' in spark["kafka.sasl.jaas.config"]


def test_a_password_may_lie_in_a_file() -> None:
    config = replace(SASL, sasl_password_file="/password")

    options = client_options(config, "h", {"IPDSF_KAFKA_USERNAME": "edge"}, FILES.__getitem__)

    assert options["sasl.password"] == "of a file"


def test_consumer_groups_stand_under_the_prefix_that_an_acl_allows() -> None:
    config = KafkaConfig(group_prefix="observatory.")

    assert group_id(config, "edge").startswith("observatory.edge-")
    assert spark_options(config, "h", {})["groupIdPrefix"] == "observatory.spark"


@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_a_login_without_mechanism_is_named(protocol: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka.sasl_mechanism is not set"):
        client_options(KafkaConfig(security_protocol=protocol), "h", SECRETS)


@pytest.mark.parametrize(
    ("key", "value"), [("security_protocol", "TLS"), ("sasl_mechanism", "SCRAM"), ("ssl_keystore_location", "/me.p12")]
)
def test_what_no_client_knows_is_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        replace(TLS, **{key: value})


def test_an_error_of_a_login_is_not_told_of_a_client_that_was_let_in_since() -> None:
    listener = Listener()
    listener(KafkaError(KafkaError._AUTHENTICATION))
    listener.forget()

    said = explained(KafkaError(KafkaError._ALL_BROKERS_DOWN), SASL, "host:9093", listener)

    assert "authentication" not in said


def test_paths_may_begin_with_the_home_of_whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    asked = KafkaConfig(ssl_ca_location="~/ca.pem", sasl_password_file="~/password", kerberos_keytab="~/keytab")

    assert client_options(asked, "h", {})["ssl.ca.location"] == "/home/me/ca.pem"
    assert (asked.sasl_password_file, asked.kerberos_keytab) == ("/home/me/password", "/home/me/keytab")


def test_each_error_of_a_login_names_what_to_look_at() -> None:
    listener = Listener()
    listener(KafkaError(KafkaError._AUTHENTICATION))

    said = explained(KafkaError(KafkaError._TRANSPORT), SASL, "host:9093", listener)

    assert "authentication failed at host:9093" in said
    assert "IPDSF_KAFKA_USERNAME and IPDSF_KAFKA_PASSWORD" in said


def test_a_refusal_of_long_ago_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(client.time, "monotonic", lambda: now_s)
    listener, away = client.Listener(), KafkaError(KafkaError._TRANSPORT)
    listener(KafkaError(KafkaError._AUTHENTICATION))

    now_s = 110.0
    listener.forget_older(20.0)
    assert client.is_refusal(away, listener)
    now_s = 121.0
    listener.forget_older(20.0)
    assert not client.is_refusal(away, listener)


@pytest.mark.parametrize("secret", ["p", "p\n", "p\r\n", "\ufeffp\n"])
def test_what_editors_and_echo_put_around_a_secret_is_no_part_of_it(secret: str) -> None:
    of_environment = SECRETS | {"IPDSF_KAFKA_USERNAME": "edge\n", "IPDSF_KAFKA_PASSWORD": secret}
    in_file = replace(SASL, sasl_password_file="/secret")

    for options in (
        client_options(SASL, "host:9092", of_environment),
        client_options(in_file, "host:9092", {"IPDSF_KAFKA_USERNAME": "edge"}, {"/secret": secret}.__getitem__),
    ):
        assert (options["sasl.username"], options["sasl.password"]) == ("edge", "p")


def test_a_secret_whose_first_blanks_one_client_would_leave_out_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match="secret in IPDSF_KAFKA_PASSWORD begins with a blank") as raised:
        client_options(SASL, "host:9092", SECRETS | {"IPDSF_KAFKA_PASSWORD": "\tsecret"})
    assert "\tsecret" not in str(raised.value)

    in_file = replace(TLS, ssl_key_password_file="/password")
    for options_of in (client_options, spark_options):
        with pytest.raises(ConfigError, match="secret in /password begins with a blank"):
            options_of(in_file, "host:9092", {}, (FILES | {"/password": " k"}).__getitem__)


def test_an_empty_file_in_the_place_of_a_secret_is_named() -> None:
    in_file = replace(SASL, sasl_password_file="/secret")

    with pytest.raises(ConfigError, match="/secret is empty"):
        client_options(in_file, "host:9092", {"IPDSF_KAFKA_USERNAME": "edge"}, {"/secret": "\n"}.__getitem__)


def test_a_keystore_whose_password_java_cannot_take_is_refused_for_spark_alone() -> None:
    kafka = KafkaConfig(security_protocol="SSL", ssl_keystore_location="/k.p12")
    secrets = {"IPDSF_KAFKA_KEY_PASSWORD": "schlüssel"}

    assert client_options(kafka, "host:9092", secrets)["ssl.keystore.password"] == "schlüssel"
    with pytest.raises(ConfigError, match=r"password of /k\.p12 has other letters than those of ASCII"):
        spark_options(kafka, "host:9092", secrets)


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("ssl_ca_location", {}),
        ("ssl_certificate_location", {}),
        ("ssl_keystore_location", {}),
        ("ssl_key_location", {"ssl_certificate_location": "/certificate"}),
    ],
)
def test_a_file_that_a_client_cannot_use_is_named_with_its_key(
    key: str, others: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no certificate, no key")
    if others:
        make_authority(tmp_path, "somebody")
        others = {name: str(tmp_path / "ca.pem") for name in others}
    kafka = replace(KafkaConfig(security_protocol="SSL"), **{key: str(tmp_path / "file")}, **others)

    with pytest.raises(BrokerError, match=rf"look at kafka\.{key} \({tmp_path / 'file'}\)"):
        admin(kafka, "127.0.0.1:1")
    with pytest.raises(BrokerError, match=rf"look at kafka\.{key} "), consumer_of(kafka, "127.0.0.1:1", "test"):
        pass


def test_where_nobody_answers_the_protocol_that_was_spoken_is_told() -> None:
    hung_up = KafkaError(KafkaError._TRANSPORT, "Failed to get metadata")

    assert "kafka.security_protocol is PLAINTEXT" in explained(hung_up, KafkaConfig(), "host:9093")
