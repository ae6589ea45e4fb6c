"""Users and rights of a security folder, brought to a running Kafka by its administrator."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener
from ipdsf_spark.kafka.topics import admin, num_partitions, site_topic_settings
from ipdsf_spark.security import roles
from ipdsf_spark.security.folder import SCRAM, SecurityFolder
from ipdsf_spark.security.roles import Right

TIMEOUT_S: Final = 30.0
LOGIN_S: Final = 10.0
ITERATIONS: Final = 8_192  # of SCRAM's key derivation: twice what RFC 7677 asks for at least
THERE: Final = frozenset({"TOPIC_ALREADY_EXISTS", "RESOURCE_NOT_FOUND"})  # as it should be


def bring(folder: SecurityFolder, kafka: KafkaConfig, bootstrap: str) -> None:
    """Users, rights, and the sites' topics. Passwords are set to those of the folder.

    What others gave stays. Users of sites that were removed lose password and rights; their topics stay.

    Users whose tokens a provider signs are the provider's: Kafka is told of their rights alone.

    Args:
        folder: whose users.
        kafka: login of an administrator, names of the topics.
        bootstrap: where Kafka is.

    Raises:
        BrokerError: Kafka refuses, or does not answer.
    """
    # Who is not let in is told so here; what follows would only time out.
    num_partitions(kafka, bootstrap, timeout_s=LOGIN_S)
    client = admin(kafka, bootstrap, Listener())
    if folder.mechanism == SCRAM:
        _await(
            client.alter_user_scram_credentials(_credentials(folder), request_timeout=TIMEOUT_S), "set the password of"
        )
        if folder.removed:
            endings = client.alter_user_scram_credentials(_endings(folder), request_timeout=TIMEOUT_S)
            _await(endings, "take the password of")
    if folder.removed:
        _await(client.delete_acls([_all_of(roles.user_of(site)) for site in folder.removed]), "take the rights of")
    _await(client.create_acls([_binding(right) for right in folder.rights(kafka)]), "give the right")
    if kafka.topic_per_site:
        settings = site_topic_settings(kafka)
        topics = [
            NewTopic(kafka.files_topic_of(site), 1, kafka.replication_factor, config=settings) for site in folder.sites
        ]
        if topics:
            _await(client.create_topics(topics, operation_timeout=TIMEOUT_S), "create topic")


def _credentials(folder: SecurityFolder) -> list[UserScramCredentialAlteration]:
    scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    return [UserScramCredentialUpsertion(user, scram, folder.password(user).encode()) for user in folder.users]


def _endings(folder: SecurityFolder) -> list[UserScramCredentialAlteration]:
    gone = map(roles.user_of, folder.removed)
    return [UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512) for user in gone]


def _all_of(user: str) -> AclBindingFilter:
    """Whatever a user may do."""
    anything: Any = None  # what the client's own types do not allow for
    return AclBindingFilter(
        ResourceType.ANY, anything, ResourcePatternType.ANY, f"User:{user}", anything, AclOperation.ANY,
        AclPermissionType.ANY,
    )  # fmt: skip


def _binding(right: Right) -> AclBinding:
    return AclBinding(
        ResourceType.TOPIC if right.kind == "topic" else ResourceType.GROUP,
        right.name,
        ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
        f"User:{right.user}",
        "*",
        AclOperation[right.operation],
        AclPermissionType.ALLOW,
    )


def _await(futures: Mapping[Any, Future[Any]], verb: str) -> None:
    for what, future in futures.items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                raise BrokerError(
                    f"cannot {verb} {what}: this user may not, an administrator may: --config .../admin/kafka.toml"
                ) from error
            if error.args[0].name() not in THERE:
                raise BrokerError(f"cannot {verb} {what}: {error.args[0].str()}") from error
        except TimeoutError as error:
            raise BrokerError(f"Kafka did not {verb} {what} within {TIMEOUT_S:.0f} s") from error
