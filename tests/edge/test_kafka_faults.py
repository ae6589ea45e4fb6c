"""What an agent asks of Kafka when it resumes, and what keeps Kafka from taking its files.

Each fault is really done. Of every file, one record arrives: none is lost, none comes twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from edge_node import Node, arrived, once, records_of

from ipdsf_spark.edge import repair, resume, sender
from ipdsf_spark.edge.arrived import FilesTopic, Meter, partition_of
from ipdsf_spark.edge.entry import PENDING, Entry
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.resume import IN_FLIGHT_SINCE


@pytest.mark.kafka
def test_the_partition_of_a_site_is_the_one_that_kafkas_clients_choose(connected: Node) -> None:
    chosen: dict[str, int] = {}
    producer = Producer({"bootstrap.servers": connected.bootstrap, "partitioner": "murmur2_random"})
    keys = ["oslo", "bergen", "a", "ab", "abc", "münchen", "site-12345"]
    for key in keys:
        producer.produce(
            connected.kafka.files_topic,
            b"x",
            key=key,
            on_delivery=lambda _, message: chosen.update({message.key().decode(): message.partition()}),
        )
    producer.flush(30.0)

    assert chosen == {key: partition_of(key.encode(), connected.kafka.partitions) for key in keys}


@pytest.mark.kafka
def test_resuming_reads_no_record_before_the_last_known_one_and_no_other_partition(connected: Node) -> None:
    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent)
    agent.close()
    producer = Producer({"bootstrap.servers": connected.bootstrap, "partitioner": "murmur2_random"})
    for number in range(60):
        producer.produce(connected.kafka.files_topic, bytes(50_000), key=f"other-{number}")
    producer.flush(60.0)
    asked: list[tuple[int, int]] = []
    real = FilesTopic.records

    def counted(self: FilesTopic, partition: int, start: int, meter: Meter, **named: Any) -> Iterator[object]:
        asked.append((partition, start))
        yield from real(self, partition, start, meter, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FilesTopic, "records", counted)
        again = connected.agent()
        connected.write("b.dat", b"b")
        assert connected.passes(again)
        assert asked == []  # nothing was in flight: nothing is read
        again.close()
        (entry,) = again_journal_of(connected).of_file("b.dat")
        journal = again_journal_of(connected)
        journal.put([Entry(**{**entry.__dict__, "state": "pending", "in_flight": True})])
        journal.close()
        assert connected.passes(connected.agent())
        own = partition_of(b"oslo", connected.kafka.partitions)
        assert [partition for partition, _ in asked] == [own]


@pytest.mark.kafka
@pytest.mark.parametrize("has_arrived", [True, False], ids=["arrived", "lost"])
def test_resuming_reads_of_a_shared_partition_the_moments_of_the_flight_only(
    connected: Node, monkeypatch: pytest.MonkeyPatch, has_arrived: bool
) -> None:
    own = partition_of(b"oslo", connected.kafka.partitions)

    def others_write() -> None:
        producer = Producer({"bootstrap.servers": connected.bootstrap})
        for _ in range(80):
            producer.produce(connected.kafka.files_topic, bytes(50_000), key="other", partition=own)
        producer.flush(60.0)

    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent, 0.1)
    others_write()
    connected.write("b.dat", b"b")
    assert connected.passes(agent, 0.1)
    others_write()
    connected.write("c.dat", b"c")
    agent.take_in()
    agent.close()
    topic = FilesTopic(connected.kafka, connected.bootstrap, "oslo")
    taken_s = {each.entry.name: each.entry.delivered_s for each in topic.records(own, 0, Meter())}["b.dat"]
    topic.close()
    journal = again_journal_of(connected)
    assert abs(float(journal.fact(IN_FLIGHT_SINCE)) - taken_s) < resume.CLOCK_S
    # Killed before the journal knew of the acknowledgement; or before Kafka had anything.
    (entry,) = journal.of_file("b.dat" if has_arrived else "c.dat")
    journal.put([replace(entry, state=PENDING, in_flight=True)], marks={own: 1})
    journal.put_facts(**{IN_FLIGHT_SINCE: repr(taken_s)})
    journal.close()
    read = Meter()
    monkeypatch.setattr(resume, "Meter", lambda: read)
    monkeypatch.setattr(resume, "CLOCK_S", 0.0)
    monkeypatch.setattr(resume, "ARRIVES_WITHIN_S", 0.001)

    assert connected.passes(connected.agent(), 0.1)

    assert len(b"b") <= read.bytes <= 20 * 50_000, "of 160 records of another site in this partition"
    assert Counter(record.value for record in records_of(connected) if record.key == "oslo") == once(b"a", b"b", b"c")


def again_journal_of(node: Node) -> Journal:
    return Journal(node.home / repair.NAME)


@pytest.mark.kafka
def test_a_queue_that_is_full_holds_back_and_loses_nothing(connected: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Producer
    refused = []

    class Small:
        """A producer with room for three records."""

        def __init__(self, options: dict[str, object]) -> None:
            self._producer = real({**options, "queue.buffering.max.messages": 3, "linger.ms": 20})

        def produce(self, *args: object, **more: object) -> None:
            try:
                self._producer.produce(*args, **more)
            except BufferError:
                refused.append(1)
                raise

        def __getattr__(self, name: str) -> object:
            return getattr(self._producer, name)

    monkeypatch.setattr(sender, "Producer", Small)
    agent = connected.agent()
    values = [b"%d" % number for number in range(40)]
    for number, value in enumerate(values):
        connected.write(f"{number}.dat", value)

    assert connected.passes(agent)

    assert refused
    assert arrived(connected) == once(*values)


def test_what_kafka_has_not_acknowledged_in_time_is_not_sent_behind_the_journals_back(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Producer] = []

    def patient(options: dict[str, object]) -> Producer:
        made.append(Producer({**options, "message.timeout.ms": 60_000}))
        return made[-1]

    monkeypatch.setattr(sender, "Producer", patient)
    monkeypatch.setattr(sender, "ACKNOWLEDGED_WITHIN_S", 0.2)
    agent = node.agent()
    agent.clock.heard(node.clocks.wall_s)  # so that nothing has to be asked of Kafka before
    node.write("a.dat", b"a")

    assert not node.passes(agent)

    # Reports of what was given up may come a moment later; what is still to be sent would stay for a minute.
    assert [producer.flush(10.0) for producer in made] == [0]
    assert [entry.name for entry in agent.journal.in_flight()] == ["a.dat"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (KafkaError._AUTHENTICATION, "authentication failed"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, "does not allow it"),
        (KafkaError.LEADER_NOT_AVAILABLE, "has no leader"),
        (KafkaError.UNKNOWN_TOPIC_OR_PART, "has no topic"),
        (KafkaError._TRANSPORT, "no Kafka answers"),
    ],
)
def test_what_keeps_kafka_from_taking_files_is_told_once_by_its_name(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int, says: str
) -> None:
    def fails(self: FilesTopic) -> int:
        raise KafkaException(KafkaError(code))

    monkeypatch.setattr(FilesTopic, "partition", fails)
    agent = node.agent()
    node.write("a.dat", b"a")
    caplog.set_level(logging.WARNING)

    for _ in range(3):
        assert not node.passes(agent)

    told = [record.message for record in caplog.records]
    assert len(told) == 1
    assert says in told[0]
    assert "files of oslo wait on disk" in told[0]


@pytest.mark.kafka
def test_a_backlog_leaves_no_copy_behind_in_the_waiting_ones(connected: Node) -> None:
    agent = connected.agent()
    for number in range(250):
        connected.write(f"{number}.dat", b"%d" % number)
    assert connected.passes(agent)

    assert list(agent.store.waiting()) == []
    assert len(agent.journal.kept(999)) == 250
    assert all(agent.store.read(entry) for entry in agent.journal.kept(999))
