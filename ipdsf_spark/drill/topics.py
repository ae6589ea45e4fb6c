"""Faults of topics: more partitions, and a topic that is deleted and made anew."""

from __future__ import annotations

from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from ipdsf_spark.drill.ground import PARTITIONS, TOLD, Ground
from ipdsf_spark.drill.jobs import TURNS, warmed_up
from ipdsf_spark.drill.outcome import Found
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.topics import admin

MOVED = "moved"


def partitions_added(ground: Ground) -> Found:
    """The files topic gets twice the partitions under load: most sites change theirs."""
    job = ground.stream(network=MOVED)
    warmed_up(ground, job)
    before = ground.send(TURNS)
    kafka = ground.config.kafka
    client = admin(kafka, kafka.bootstrap_servers)  # its answers die with it
    grown = client.create_partitions([NewPartitions(kafka.files_topic, 2 * PARTITIONS)], operation_timeout=30.0)
    grown[kafka.files_topic].result(30.0)
    ground.overrides.append(f"kafka.partitions={2 * PARTITIONS}")
    ground.mark()
    after = ground.send(TURNS)
    found = ground.recovered(before, after, job=job)
    return found.with_remark(f"{PARTITIONS} to {2 * PARTITIONS} partitions; {found.account.quarantined} file(s) had "
                             "profiles that came late and stand in quarantine")  # fmt: skip


def topic_recreated(ground: Ground) -> Found:
    """The files topic is deleted and made anew under the running job; then its operator does what he is told."""
    job = ground.stream(network=MOVED)
    warmed_up(ground, job)
    config = ground.config.kafka
    client = admin(config, config.bootstrap_servers)
    client.delete_topics([config.files_topic], operation_timeout=30.0)[config.files_topic].result(30.0)
    ground.deadline.until(
        lambda: config.files_topic not in client.list_topics(timeout=10.0).topics, "the end of the topic"
    )
    ensure_topics(config, config.bootstrap_servers)
    ground.mark()
    after = ground.send(TURNS)
    ground.deadline.until(lambda: not job.is_running, "the job to notice", within_s=400.0)
    first = job.said(TOLD)
    job = ground.stream("stream.fail_on_data_loss=true", network=MOVED)
    ground.deadline.until(lambda: not job.is_running, "the job to refuse", within_s=400.0)
    told = [*first[-1:], *job.said(TOLD)[-1:]]
    job = ground.stream("stream.fail_on_data_loss=false", network=MOVED)
    found = ground.recovered(after, job=job)
    return found.with_told(*told, *job.said("made anew")).with_remark(
        "everything had been read before; the job stopped, refused to start, and went on once the setting it names "
        "was set; time to recover includes all three starts"
    )
