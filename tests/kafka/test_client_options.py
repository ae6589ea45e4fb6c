"""How clients log in: pure functions, secrets from the environment only."""

from __future__ import annotations

import pytest

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.kafka import client_options, spark_options

SASL = KafkaConfig(security_protocol="SASL_SSL", sasl_mechanism="SCRAM-SHA-512", ssl_ca_location="/ca.pem")
SECRETS = {"IPDSF_KAFKA_USERNAME": "edge", "IPDSF_KAFKA_PASSWORD": 'p"w\\d'}


def test_a_plain_client_needs_no_secret() -> None:
    assert client_options(KafkaConfig(), "host:9092", {}) == {
        "bootstrap.servers": "host:9092",
        "security.protocol": "PLAINTEXT",
    }


def test_both_clients_get_the_same_login() -> None:
    librdkafka = client_options(SASL, "host:9092", SECRETS)
    spark = spark_options(SASL, "host:9092", SECRETS)

    assert (librdkafka["sasl.username"], librdkafka["sasl.password"]) == ("edge", 'p"w\\d')
    assert librdkafka["ssl.ca.location"] == spark["kafka.ssl.truststore.location"] == "/ca.pem"
    assert 'username="edge"' in spark["kafka.sasl.jaas.config"]
    assert 'password="p\\"w\\\\d"' in spark["kafka.sasl.jaas.config"]
    assert "ScramLoginModule" in spark["kafka.sasl.jaas.config"]


def test_a_missing_secret_is_named_and_no_secret_is_shown() -> None:
    with pytest.raises(ConfigError, match="IPDSF_KAFKA_PASSWORD is not set") as raised:
        client_options(SASL, "host:9092", {"IPDSF_KAFKA_USERNAME": "somebody"})

    assert "somebody" not in str(raised.value)
