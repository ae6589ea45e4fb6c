"""Settings every Kafka client of the project shares: where the brokers are, and how to log in."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import ConfigError

SASL_PROTOCOLS = ("SASL_PLAINTEXT", "SASL_SSL")


def client_options(
    kafka: KafkaConfig, bootstrap: str, environment: Mapping[str, str] | None = None
) -> dict[str, str | int | float | bool]:
    """Options of librdkafka for a producer, consumer or admin client.

    Args:
        kafka: where and how.
        bootstrap: host:port list.
        environment: where the secrets lie; the process environment by default.

    Raises:
        ConfigError: SASL is asked for and its environment variables are not set.
    """
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap,
        "security.protocol": kafka.security_protocol,
    }
    if kafka.ssl_ca_location:
        options["ssl.ca.location"] = kafka.ssl_ca_location
    if kafka.security_protocol in SASL_PROTOCOLS:
        username, password = _credentials(kafka, os.environ if environment is None else environment)
        options |= {"sasl.mechanism": kafka.sasl_mechanism, "sasl.username": username, "sasl.password": password}
    return options


def spark_options(kafka: KafkaConfig, bootstrap: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The same for Spark's Kafka source and sink (Java client names, prefixed with ``kafka.``)."""
    options = {"kafka.bootstrap.servers": bootstrap, "kafka.security.protocol": kafka.security_protocol}
    if kafka.ssl_ca_location:
        options["kafka.ssl.truststore.type"] = "PEM"
        options["kafka.ssl.truststore.location"] = kafka.ssl_ca_location
    if kafka.security_protocol in SASL_PROTOCOLS:
        username, password = _credentials(kafka, os.environ if environment is None else environment)
        module = "scram.ScramLoginModule" if kafka.sasl_mechanism.startswith("SCRAM") else "plain.PlainLoginModule"
        options["kafka.sasl.mechanism"] = kafka.sasl_mechanism
        options["kafka.sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required "
            f'username="{_quoted(username)}" password="{_quoted(password)}";'
        )
    return options


def _credentials(kafka: KafkaConfig, environment: Mapping[str, str]) -> tuple[str, str]:
    names = (kafka.sasl_username_env, kafka.sasl_password_env)
    missing = [name for name in names if not environment.get(name)]
    if missing or not kafka.sasl_mechanism:
        wanted = [*missing, *([] if kafka.sasl_mechanism else ["kafka.sasl_mechanism"])]
        raise ConfigError(
            f"kafka.security_protocol is {kafka.security_protocol}, but {' and '.join(wanted)} is not set"
        )
    return environment[names[0]], environment[names[1]]


def _quoted(secret: str) -> str:
    return secret.replace("\\", "\\\\").replace('"', '\\"')
