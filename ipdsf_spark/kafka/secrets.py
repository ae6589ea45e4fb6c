"""Users, passwords and keys of a Kafka client: where the configuration says they lie, as every client takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import ConfigError

BLANKS: Final = " \t\n\v\f\r"


class Secrets:
    """Where secrets lie; each is looked up only when it is needed."""

    def __init__(self, kafka: KafkaConfig, environment: Mapping[str, str], read: Callable[[str], str]) -> None:
        self._kafka, self._environment, self.read = kafka, environment, read

    def login(self) -> tuple[str, str]:
        """User and password, or OAuth client and secret."""
        kafka = self._kafka
        username = kafka.sasl_username or bare(self._environment.get(kafka.sasl_username_env, ""))
        password = self._of(kafka.sasl_password_env, kafka.sasl_password_file)
        missing = [] if username else [kafka.sasl_username_env]
        missing += [] if password else [kafka.sasl_password_env]
        if missing:
            raise ConfigError(
                f"kafka.security_protocol is {kafka.security_protocol}, but {' and '.join(missing)} is not set"
            )
        return username, password

    def key_password(self) -> str:
        """Of the private key or the PKCS12 file; empty if there is none."""
        return self._of(self._kafka.ssl_key_password_env, self._kafka.ssl_key_password_file)

    def _of(self, variable: str, file: str) -> str:
        held = bare(self._environment.get(variable, ""))
        if held or not file:
            return _usable(held, variable)
        return secret_of(file, self.read)


def text_of(path: str) -> str:
    """The text of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def secret_of(path: str, read: Callable[[str], str] = text_of) -> str:
    """The secret in a file, as every client takes it.

    Raises:
        ConfigError: the file cannot be read, is empty, or holds what no client can be given.
    """
    secret = bare(read(path))
    if not secret:
        raise ConfigError(f"{path} is empty: it must hold the secret, on one line")
    return _usable(secret, path)


def bare(secret: str) -> str:
    """Less what editors and `echo` put around it: the mark of UTF-8, and the end of the line."""
    return secret.removeprefix("\ufeff").rstrip("\r\n")


def _usable(secret: str, where: str) -> str:
    """Blanks at the beginning of what it is told librdkafka leaves out, and Java's client does not."""
    if secret and secret[0] in BLANKS:
        raise ConfigError(
            f"the secret in {where} begins with a blank, which edge nodes and tools (librdkafka) would leave out: "
            "take it away, or choose another secret"
        )
    return secret
