"""The topics: files in; averages, products and sites (both compacted) out; quarantine."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    TopicMetadata,
)

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import BrokerError
from ipdsf_spark.kafka.client import Listener, client_options, explained, made

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 30.0
PRODUCT_PARTITIONS: Final = 4
QUARANTINE_PARTITIONS: Final = 1
STAMPED: Final = "message.timestamp.type"
BY_BROKER: Final = "LogAppendTime"
AVERAGES_KEPT_MS: Final = 30 * 86_400_000  # the archive keeps them for good


def admin(kafka: KafkaConfig, bootstrap: str, listener: Listener | None = None) -> AdminClient:
    """An admin client; `listener` learns why it cannot log in."""
    options: dict[str, object] = {**client_options(kafka, bootstrap)}
    if listener is not None:
        options["error_cb"] = listener
    return made(AdminClient, options)


def num_partitions(kafka: KafkaConfig, bootstrap: str, *, timeout_s: float = TIMEOUT_S) -> dict[str, int]:
    """Partitions of every topic.

    Raises:
        BrokerError: no broker answers, or none lets this client in.
    """
    listener = Listener()
    client = admin(kafka, bootstrap, listener)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            # In short turns: a login that fails is known at once, and would only be asked for again until the time-out.
            listed = client.list_topics(timeout=min(2.0, timeout_s))
            return {name: len(topic.partitions) for name, topic in listed.topics.items()}
        except KafkaException as error:
            client.poll(0.0)  # lets the listener hear
            if listener.login is not None or time.monotonic() >= deadline:
                raise BrokerError(explained(error.args[0], kafka, bootstrap, listener)) from error


def topic_settings(kafka: KafkaConfig) -> dict[str, tuple[int, dict[str, str]]]:
    """Partitions and settings of each topic.

    `min.insync.replicas` is what must have a record before it counts as acknowledged (`acks=all` waits for every copy
    that is in step). With two copies it is 1: a second one would stop all sending when one broker is down, which is
    what two brokers are for. From three copies on it is one less than there are: one broker may be down, and what was
    acknowledged is still in two places.
    """
    size = {"max.message.bytes": str(kafka.max_message_bytes)}
    safe = {"min.insync.replicas": str(max(1, kafka.replication_factor - 1))}
    # Stamped by the broker: agents learn its time from every acknowledgement, no clock of a site decides retention, and
    # no record is refused because the clock of the job is an hour ahead (message.timestamp.after.max.ms).
    stamped = {STAMPED: BY_BROKER}
    compacted = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.ms": "600000",
        "max.compaction.lag.ms": "900000",
    }
    return {
        kafka.files_topic: (kafka.partitions, size | safe | stamped),
        kafka.averages_topic: (PRODUCT_PARTITIONS, size | safe | stamped | {"retention.ms": str(AVERAGES_KEPT_MS)}),
        kafka.products_topic: (PRODUCT_PARTITIONS, compacted | safe | stamped),
        kafka.sites_topic: (1, compacted | safe | stamped),
        kafka.quarantine_topic: (
            QUARANTINE_PARTITIONS,
            size | safe | stamped | {"retention.ms": str(_quarantine_kept_ms(kafka))},
        ),
    }


def site_topic_settings(kafka: KafkaConfig) -> dict[str, str]:
    """Settings of a topic that holds one site's files: those of the topic that holds all."""
    return topic_settings(kafka)[kafka.files_topic][1]


def ensure_topics(kafka: KafkaConfig, bootstrap: str) -> None:
    """Create what is missing of the topics; grow the files topic; have the broker stamp those made by earlier versions.

    Raises:
        BrokerError: the broker refuses, or the files topic has more partitions than configured.
    """
    have = num_partitions(kafka, bootstrap)
    wanted = topic_settings(kafka)
    client = admin(kafka, bootstrap)
    new = [
        NewTopic(name, partitions, kafka.replication_factor, config=config)
        for name, (partitions, config) in wanted.items()
        if name not in have
    ]
    made = {topic.topic for topic in new}
    if new and (met := _create(client, new)):
        # Made by somebody else meanwhile, or a moment ago: with which partitions is asked once they are shown.
        have |= _await_leaders(client, bootstrap, dict.fromkeys(met, 1))
        made -= met
    held = have.get(kafka.files_topic)
    if held is not None and held > kafka.partitions:
        raise BrokerError(
            f"topic {kafka.files_topic} has {held} partitions, kafka.partitions is {kafka.partitions}: partitions "
            f"cannot be taken away; set kafka.partitions={held} or use another kafka.files_topic"
        )
    if held is not None and held < kafka.partitions and _grow(client, kafka, held):
        made.add(kafka.files_topic)
    _await_leaders(client, bootstrap, {name: wanted[name][0] for name in made})
    if earlier := [name for name in wanted if name in have]:
        _stamp(client, earlier)


def _stamp(client: AdminClient, names: list[str]) -> None:
    """Let the broker stamp the records of topics that it does not stamp yet, where this user may.

    Never the end of whoever asks: who may not even see a topic's settings did not make it, and an administrator did.
    """
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    for resource, answer in client.describe_configs(asked, request_timeout=TIMEOUT_S).items():
        try:
            held = answer.result(2 * TIMEOUT_S).get(STAMPED)
        except (KafkaException, TimeoutError) as error:
            logger.info("settings of topic %s are not shown to this user: %s", resource.name, error)
            continue
        if held is None or held.value == BY_BROKER:
            continue
        to_set = ConfigEntry(STAMPED, BY_BROKER, incremental_operation=AlterConfigOpType.SET)
        changed = ConfigResource(ConfigResource.Type.TOPIC, resource.name, incremental_configs=[to_set])
        try:
            for done in client.incremental_alter_configs([changed], request_timeout=TIMEOUT_S).values():
                done.result(2 * TIMEOUT_S)
        except (KafkaException, TimeoutError) as error:
            logger.warning(
                "topic %s does not have %s=%s, and this user may not set it (%s): its records are refused while the "
                "clock here is more than an hour ahead of the broker's; let an administrator set it",
                resource.name, STAMPED, BY_BROKER, error,
            )  # fmt: skip


def _grow(client: AdminClient, kafka: KafkaConfig, held: int) -> bool:
    """Have the files topic given its partitions; False where this user may not, who goes on with those there are."""
    future = client.create_partitions([NewPartitions(kafka.files_topic, kafka.partitions)])[kafka.files_topic]
    try:
        future.result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.INVALID_PARTITIONS:
            return True  # somebody else grows it as well, and was faster: whoever waits sees whether it has as many
        if error.args[0].code() != KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise BrokerError(f"cannot grow topic {kafka.files_topic}: {error.args[0].str()}") from error
        logger.warning("topic %s stays at %d partitions, not the %d of kafka.partitions: this user may not change it",
                       kafka.files_topic, held, kafka.partitions)  # fmt: skip
        return False
    logger.warning("topic %s grows from %d to %d partitions", kafka.files_topic, held, kafka.partitions)
    return True


def _quarantine_kept_ms(kafka: KafkaConfig) -> int:
    """What could not be read is nobody's to forget: without a number of days, Kafka's word for ever."""
    return kafka.quarantine_keep_days * 86_400_000 or -1


def ensure_files_topic(kafka: KafkaConfig, bootstrap: str) -> int:
    """Partitions of the files topic as it is; all three topics are created only if this one is missing.

    Who only sends needs no right to create or change a topic that is there.

    Raises:
        BrokerError: the broker refuses.
    """
    held = num_partitions(kafka, bootstrap).get(kafka.files_topic)
    if held is None:
        ensure_topics(kafka, bootstrap)
    return held or kafka.partitions


def _await_leaders(client: AdminClient, bootstrap: str, made: Mapping[str, int]) -> dict[str, int]:
    """Brokers learn of new partitions and their leaders a moment after the controller has made them.

    Args:
        client: asks.
        bootstrap: for the error.
        made: how many partitions of each topic are to be led.

    Returns:
        How many partitions each has then.

    Raises:
        BrokerError: that is not shown in time.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while made:
        have = client.list_topics(timeout=TIMEOUT_S).topics
        if all(name in have and _num_led(have[name]) >= number for name, number in made.items()):
            return {name: len(have[name].partitions) for name in made}
        if time.monotonic() > deadline:
            raise BrokerError(f"{bootstrap} does not show {', '.join(sorted(made))} after {TIMEOUT_S:.0f} s")
        time.sleep(0.05)
    return {}


def _num_led(topic: TopicMetadata) -> int:
    return sum(partition.leader >= 0 for partition in topic.partitions.values())


def _create(client: AdminClient, new: list[NewTopic]) -> set[str]:
    """Make topics; returns those that there were already."""
    there: set[str] = set()
    for topic, future in client.create_topics(new, operation_timeout=TIMEOUT_S).items():
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise BrokerError(f"cannot create topic {topic}: {error.args[0].str()}") from error
            there.add(topic)
    return there
