"""Settings every Kafka client of the project shares: where the brokers are, and how to log in.

The builders are pure: the same configuration, environment and files give the same options, for librdkafka (producers,
consumers, administration) and for the Java client inside Spark.
"""

from __future__ import annotations

import math
import os
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError, ConfigError
from ipdsf_spark.kafka.certificate import validity_of
from ipdsf_spark.kafka.secrets import Secrets, text_of

C = TypeVar("C")

SASL_PROTOCOLS: Final = ("SASL_PLAINTEXT", "SASL_SSL")
SSL_PROTOCOLS: Final = ("SSL", "SASL_SSL")
SYSTEM_CERTIFICATES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Raspberry Pi OS, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS
)
_JAAS: Final = "org.apache.kafka.common.security"
NO_TOKEN: Final = "OAUTHBEARER token"  # in the words of librdkafka where it could not get one
TLS_FILES: Final = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location")
_TLS_ERRORS: Final = frozenset({KafkaError._SSL})
_LOGIN_ERRORS: Final = _TLS_ERRORS | frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    }
)
_RIGHTS_ERRORS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)


def client_options(
    kafka: KafkaConfig,
    bootstrap: str,
    environment: Mapping[str, str] | None = None,
    read: Callable[[str], str] | None = None,
) -> dict[str, str | int | float | bool]:
    """Options of librdkafka for a producer, consumer or admin client.

    Args:
        kafka: where and how.
        bootstrap: host:port list.
        environment: where the secrets lie; the process environment by default.
        read: text of a file that holds a secret; the disk by default.

    Raises:
        ConfigError: a login is asked for, and what it needs is not set.
    """
    secrets = Secrets(kafka, os.environ if environment is None else environment, read or text_of)
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap,
        "security.protocol": kafka.security_protocol,
        # What goes wrong is raised or heard, and told once. The client itself writes a line for every attempt to
        # connect: twenty a second, half a gigabyte a day in the log of a job whose broker is away.
        "log_level": 0,
    }
    if kafka.ssl_ca_location:
        options["ssl.ca.location"] = kafka.ssl_ca_location
    if kafka.security_protocol in SSL_PROTOCOLS:
        options |= _librdkafka_tls(kafka, secrets)
    if kafka.security_protocol in SASL_PROTOCOLS:
        options |= {"sasl.mechanism": _mechanism(kafka)} | _librdkafka_login(kafka, secrets)
    return options


def producer_options(kafka: KafkaConfig, bootstrap: str) -> dict[str, str | int | float | bool]:
    """Options of a producer, whose records go to the partition of their key that every other writer takes.

    Spark and the edge nodes choose by murmur2, as Java's clients do; librdkafka alone would choose by CRC32. What comes
    later under a key would then lie beside what it replaces: out of order, and kept by compaction.

    Raises:
        ConfigError: a login is asked for, and what it needs is not set.
    """
    return client_options(kafka, bootstrap) | {"partitioner": "murmur2_random", "acks": "all"}


def made(kind: Callable[[Any], C], options: Mapping[str, Any]) -> C:
    """A client, `kind(options)`.

    Raises:
        BrokerError: the options are none that a client can be made with; a file that they name is not there.
    """
    try:
        return kind(options)
    except KafkaException as error:
        where, said = options["bootstrap.servers"], error.args[0].str()
        raise BrokerError(f"no client for {where}: {said}{_files_to_look_at(said, options)}") from error


def spark_options(
    kafka: KafkaConfig,
    bootstrap: str,
    environment: Mapping[str, str] | None = None,
    read: Callable[[str], str] | None = None,
) -> dict[str, str]:
    """The same for Spark's Kafka source and sink (Java client names, prefixed with ``kafka.``).

    The certificates to trust, and a client certificate whose key lies in a file of its own, travel with the job as
    text; one file with both, a keystore and a keytab are named by their path, which every executor must then have.

    Raises:
        ConfigError: a login is asked for, and what it needs is not set.
    """
    secrets = Secrets(kafka, os.environ if environment is None else environment, read or text_of)
    options = {"bootstrap.servers": bootstrap, "security.protocol": kafka.security_protocol}
    if kafka.ssl_ca_location:
        trusted = secrets.read(kafka.ssl_ca_location)
        options |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": trusted}
    if kafka.security_protocol in SSL_PROTOCOLS:
        options |= _java_tls(kafka, secrets)
    if kafka.security_protocol in SASL_PROTOCOLS:
        options |= {"sasl.mechanism": _mechanism(kafka)} | _java_login(kafka, secrets)
    return {f"kafka.{name}": value for name, value in options.items()} | {"groupIdPrefix": f"{kafka.group_prefix}spark"}


def group_id(kafka: KafkaConfig, role: str) -> str:
    """A consumer group of its own for one client, under the prefix that an ACL allows."""
    return f"{kafka.group_prefix}{role}-{uuid.uuid4()}"


class Listener:
    """`error_cb` of a client: remembers why it cannot log in, which its calls report as a time-out."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None
        self.login: KafkaError | None = None
        self.login_s = -math.inf  # when it was last so, of a clock that nobody sets
        self.without_token: KafkaError | None = None  # librdkafka says once why it gets none, however long it goes on

    def __call__(self, error: KafkaError) -> None:
        """Remember it."""
        self.last = error
        if _is_login(error):
            self.login, self.login_s = error, time.monotonic()
        if NO_TOKEN in error.str():
            self.without_token = error

    def forget_older(self, than_s: float) -> None:
        """A refusal that is older than so many seconds: a client that has read for months was let in since."""
        if self.login_s < time.monotonic() - than_s:
            self.login = None

    def forget(self) -> None:
        """What was wrong is so no more: the client was let in."""
        self.last = self.login = self.without_token = None


def explained(error: KafkaError, kafka: KafkaConfig, bootstrap: str, listener: Listener | None = None) -> str:
    """What is wrong, where, and what to look at, in one line."""
    login = error if _is_login(error) else listener.login if listener else None
    if login is not None:
        said = f"authentication failed at {bootstrap}: {login.str()}: look at {_login_keys(kafka, login)}"
        missed = listener.without_token if listener else None
        if missed is None or NO_TOKEN in login.str():
            return said
        return f"{said}; before that a new token was not to be had: {missed.str()}: {_login_keys(kafka, missed)}"
    code = error.code()
    if code in _RIGHTS_ERRORS:
        who = f"user {kafka.sasl_username}" if kafka.sasl_username else "this user"
        return f"Kafka at {bootstrap} does not allow it to {who}: {error.str()}: ask for the right (ACL)"
    if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
        return f"Kafka at {bootstrap} has no topic {kafka.files_topic}, or does not show it to this user"
    if code in (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION):
        return f"this site's partition of {kafka.files_topic} has no leader (`ipdsf broker status` names it)"
    if code == KafkaError.INVALID_TIMESTAMP:
        return f"Kafka at {bootstrap} refuses the time of this machine: set its clock"
    if code == KafkaError._INVALID_ARG:
        files = {option: getattr(kafka, _key_of(option)) for option in TLS_FILES}
        return f"no client for {bootstrap}: {error.str()}{_files_to_look_at(error.str(), files)}"
    # A client without TLS at a listener with it, or the other way round, hears no more than that somebody hung up.
    return f"no Kafka answers at {bootstrap} ({error.str()}; kafka.security_protocol is {kafka.security_protocol})"


def _files_to_look_at(said: str, files: Mapping[str, Any]) -> str:
    """Keys and paths of the files that librdkafka cannot use, which says their options alone."""
    named = [
        f"kafka.{_key_of(option)} ({files[option]})" for option in TLS_FILES if option in said and files.get(option)
    ]
    if not named:
        return ""
    return f": look at {' and '.join(named)}: is it there, readable, whole, with its password, and does the key fit?"


def _key_of(option: str) -> str:
    return option.replace(".", "_")


def is_refusal(error: KafkaError, listener: Listener) -> bool:
    """Whether it is about this client (its login, its rights, its settings) and not about Kafka or a record."""
    is_own = error.code() in _RIGHTS_ERRORS or error.code() == KafkaError._INVALID_ARG
    return is_own or _is_login(error) or listener.login is not None


def failure(error: KafkaError, kafka: KafkaConfig, bootstrap: str, listener: Listener) -> BrokerError:
    """What failed, as an error of ours; where this client is refused, with what to look at."""
    if is_refusal(error, listener):
        return BrokerError(explained(error, kafka, bootstrap, listener))
    return BrokerError(f"Kafka at {bootstrap}: {error.str()}")


def _is_login(error: KafkaError) -> bool:
    """Whether it is about who this client is.

    With TLS 1.3 a broker refuses a client's certificate after the handshake, which librdkafka reports as a transport
    error with the alert's name.
    """
    return error.code() in _LOGIN_ERRORS or _is_tls(error)


def _is_tls(error: KafkaError) -> bool:
    is_alert = error.code() == KafkaError._TRANSPORT and "SSL alert" in error.str()
    return error.code() in _TLS_ERRORS or is_alert


def _mechanism(kafka: KafkaConfig) -> str:
    if not kafka.sasl_mechanism:
        raise ConfigError(f"kafka.security_protocol is {kafka.security_protocol}, but kafka.sasl_mechanism is not set")
    if kafka.sasl_mechanism == "OAUTHBEARER" and not kafka.oauth_token_url:
        raise ConfigError("kafka.sasl_mechanism is OAUTHBEARER, but kafka.oauth_token_url is not set")
    return kafka.sasl_mechanism


def _librdkafka_tls(kafka: KafkaConfig, secrets: Secrets) -> dict[str, str | int | float | bool]:
    options: dict[str, str | int | float | bool] = {
        "ssl.endpoint.identification.algorithm": "https" if kafka.ssl_check_hostname else "none"
    }
    password = secrets.key_password()
    if kafka.ssl_keystore_location:
        if _keystore_type(kafka) != "PKCS12":
            raise ConfigError(
                f"{kafka.ssl_keystore_location} is a Java keystore, which only Spark reads: "
                f"keytool -importkeystore -srckeystore {kafka.ssl_keystore_location} -deststoretype PKCS12 "
                "-destkeystore keystore.p12"
            )
        options |= {"ssl.keystore.location": kafka.ssl_keystore_location, "ssl.keystore.password": password}
    elif kafka.ssl_certificate_location:
        options["ssl.certificate.location"] = kafka.ssl_certificate_location
        options["ssl.key.location"] = kafka.ssl_key_location or kafka.ssl_certificate_location
        if password:
            options["ssl.key.password"] = password
    return options


def _java_tls(kafka: KafkaConfig, secrets: Secrets) -> dict[str, str]:
    options = {"ssl.endpoint.identification.algorithm": "https" if kafka.ssl_check_hostname else ""}
    password = secrets.key_password()
    if kafka.ssl_keystore_location:
        if not password.isascii():
            raise ConfigError(
                f"the password of {kafka.ssl_keystore_location} has other letters than those of ASCII, with which "
                "Java opens no keystore: make the file again with another, by `openssl pkcs12`"
            )
        options |= {
            "ssl.keystore.type": _keystore_type(kafka),
            "ssl.keystore.location": kafka.ssl_keystore_location,
            "ssl.keystore.password": password,
        }
    elif kafka.ssl_certificate_location:
        options["ssl.keystore.type"] = "PEM"
        if kafka.ssl_key_location:
            options["ssl.keystore.certificate.chain"] = secrets.read(kafka.ssl_certificate_location)
            options["ssl.keystore.key"] = _pkcs8(kafka.ssl_key_location, secrets.read(kafka.ssl_key_location))
        else:
            options["ssl.keystore.location"] = kafka.ssl_certificate_location
        if password:
            options["ssl.key.password"] = password
    return options


def _keystore_type(kafka: KafkaConfig) -> str:
    return "JKS" if kafka.ssl_keystore_location.lower().endswith(".jks") else "PKCS12"


def _pkcs8(path: str, key: str) -> str:
    """The Java client reads keys in this form only."""
    if "BEGIN PRIVATE KEY" in key or "BEGIN ENCRYPTED PRIVATE KEY" in key:
        return key
    raise ConfigError(
        f"{path} is no PKCS#8 key, which Spark's Kafka client needs: "
        f"openssl pkcs8 -topk8 -nocrypt -in {path} -out key.pem"
    )


def _librdkafka_login(kafka: KafkaConfig, secrets: Secrets) -> dict[str, str | int | float | bool]:
    options: dict[str, str | int | float | bool]
    if kafka.sasl_mechanism == "GSSAPI":
        options = {"sasl.kerberos.service.name": kafka.kerberos_service}
        if kafka.kerberos_principal:
            options["sasl.kerberos.principal"] = kafka.kerberos_principal
        if kafka.kerberos_keytab:
            options["sasl.kerberos.keytab"] = kafka.kerberos_keytab
        return options
    username, password = secrets.login()
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options = {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": username,
            "sasl.oauthbearer.client.secret": password,
            "sasl.oauthbearer.token.endpoint.url": kafka.oauth_token_url,
        }
        options |= {"sasl.oauthbearer.scope": kafka.oauth_scope} if kafka.oauth_scope else {}
        trusted = kafka.oauth_ca_location or system_certificates()
        return options | ({"https.ca.location": trusted} if trusted else {})
    return {"sasl.username": username, "sasl.password": password}


def system_certificates() -> str:
    """File of the certificates that this system trusts; empty if none is found.

    Told nothing, librdkafka's wheels look where the distribution that built them has its own (/etc/pki/tls/certs),
    which is not there on Debian, Ubuntu and Raspberry Pi OS, and get no token from anybody. A folder is no help: beside
    it that file is still read.
    """
    own = ssl.get_default_verify_paths().cafile  # $SSL_CERT_FILE, or that of Python's OpenSSL
    return own or next((path for path in SYSTEM_CERTIFICATES if Path(path).is_file()), "")


def _java_login(kafka: KafkaConfig, secrets: Secrets) -> dict[str, str]:
    if kafka.sasl_mechanism == "GSSAPI":
        options = (
            {"useKeyTab": "true", "storeKey": "true", "keyTab": kafka.kerberos_keytab}
            if kafka.kerberos_keytab
            else {"useTicketCache": "true"}
        )
        if kafka.kerberos_principal:
            options["principal"] = kafka.kerberos_principal
        return {
            "sasl.kerberos.service.name": kafka.kerberos_service,
            "sasl.jaas.config": _jaas("com.sun.security.auth.module.Krb5LoginModule", options),
        }
    username, password = secrets.login()
    if kafka.sasl_mechanism == "OAUTHBEARER":
        options = {"clientId": username, "clientSecret": password}
        options |= {"scope": kafka.oauth_scope} if kafka.oauth_scope else {}
        if kafka.oauth_ca_location:  # as text: executors need no such file
            trusted = secrets.read(kafka.oauth_ca_location)
            options |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": trusted}
        return {
            "sasl.oauthbearer.token.endpoint.url": kafka.oauth_token_url,
            "sasl.login.callback.handler.class": f"{_JAAS}.oauthbearer.OAuthBearerLoginCallbackHandler",
            "sasl.jaas.config": _jaas(f"{_JAAS}.oauthbearer.OAuthBearerLoginModule", options),
        }
    module = "scram.ScramLoginModule" if kafka.sasl_mechanism.startswith("SCRAM") else "plain.PlainLoginModule"
    return {"sasl.jaas.config": _jaas(f"{_JAAS}.{module}", {"username": username, "password": password})}


def _jaas(module: str, options: Mapping[str, str]) -> str:
    told = " ".join(f'{name}="{_quoted(value)}"' for name, value in options.items())
    return f"{module} required {told};"


def _quoted(secret: str) -> str:
    """As a Java text; lines of a certificate do not end it."""
    return secret.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n")


def _login_keys(kafka: KafkaConfig, error: KafkaError) -> str:
    if _is_tls(error) or kafka.security_protocol not in SASL_PROTOCOLS:
        return (
            f"kafka.security_protocol and the kafka.ssl_… keys: the client's certificate ({_own(kafka)}) must be "
            "signed by a CA that the brokers trust, and kafka.ssl_ca_location must name theirs"
        )
    if kafka.sasl_mechanism == "GSSAPI":
        return "kafka.kerberos_principal and kafka.kerberos_keytab"
    user = "kafka.sasl_username" if kafka.sasl_username else kafka.sasl_username_env
    secret = kafka.sasl_password_file or kafka.sasl_password_env
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return _oauth_keys(kafka, error, user, secret)
    return f"kafka.sasl_mechanism, {user} and {secret}"


def _oauth_keys(kafka: KafkaConfig, error: KafkaError, user: str, secret: str) -> str:
    """Whether there is no token, or one that the brokers do not want."""
    if NO_TOKEN not in error.str():
        return (
            f"the token that {kafka.oauth_token_url} gives this client: its iss, aud, exp and key must be those that "
            "the brokers expect, whose log says which is not"
        )
    if "unexpired token" in error.str():
        return f"the clocks of this machine and of {kafka.oauth_token_url}, and for how long its tokens last"
    return (
        f"kafka.oauth_token_url ({kafka.oauth_token_url}), kafka.oauth_ca_location "
        f"({kafka.oauth_ca_location or 'certificates of the system'}), {user} and {secret}"
    )


def _own(kafka: KafkaConfig) -> str:
    """This client's certificate, and what is wrong with it today."""
    if kafka.ssl_keystore_location or not kafka.ssl_certificate_location:
        return kafka.ssl_keystore_location or "none is given"
    validity = validity_of(kafka.ssl_certificate_location)
    said = validity.said(datetime.now(UTC)) if validity else "no certificate can be read there"
    return f"{kafka.ssl_certificate_location}: {said}" if said else kafka.ssl_certificate_location
