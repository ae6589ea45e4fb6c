"""What became of records in flight, where the topic or a clock is not what it was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer
from edge_node import Node, records_of

from ipdsf_spark.edge import clock, repair, resume
from ipdsf_spark.edge.arrived import FilesTopic, Meter, partition_of
from ipdsf_spark.edge.clock import EdgeClock
from ipdsf_spark.edge.entry import PENDING
from ipdsf_spark.edge.journal import Journal
from ipdsf_spark.edge.resume import IN_FLIGHT_SINCE, _starts


def killed(node: Node, name: str, marks: dict[int, int], *, since: str = "") -> None:
    """As if the agent had been killed before its journal knew of the acknowledgement of this file."""
    journal = Journal(node.home / repair.NAME)
    (entry,) = journal.of_file(name)
    for partition in journal.marks():
        journal._db.execute("DELETE FROM marks WHERE partition = ?", (partition,))
    journal.put([replace(entry, state=PENDING, in_flight=True)], marks=marks)
    journal.put_facts(**{IN_FLIGHT_SINCE: since})
    journal.close()


def sent(node: Node, *names: str) -> None:
    agent = node.agent()
    for name in names:
        node.write(name, name.encode())
        assert node.passes(agent, 0.1)
    agent.close()


@pytest.mark.kafka
def test_of_other_sites_no_more_than_the_limit_is_read_though_no_own_record_comes(
    connected: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = partition_of(b"oslo", connected.kafka.partitions)
    sent(connected, "a.dat")
    producer = Producer({"bootstrap.servers": connected.bootstrap})
    for _ in range(100):
        producer.produce(connected.kafka.files_topic, bytes(50_000), key="other", partition=own)
    producer.flush(60.0)
    killed(connected, "a.dat", {own: 1})  # the time of the flight is not known: the topic has no times of Kafka's
    read = Meter()
    monkeypatch.setattr(resume, "Meter", lambda: read)
    monkeypatch.setattr(resume, "RESUME_BYTES", 500_000)

    assert connected.passes(connected.agent(), 0.1)

    assert 500_000 < read.bytes <= 600_000
    assert Counter(record.value for record in records_of(connected) if record.key == "oslo") == {b"a.dat": 2}


@pytest.mark.kafka
@pytest.mark.parametrize("has_time", [True, False], ids=["time-known", "time-unknown"])
@pytest.mark.parametrize("where", ["grown", "anew", "anew-with-fewer"])
def test_what_arrived_in_a_topic_that_has_grown_or_was_made_anew_is_not_sent_again(
    connected: Node, where: str, has_time: bool
) -> None:
    own = partition_of(b"oslo", connected.kafka.partitions)
    sent(connected, "a.dat")
    topic = FilesTopic(connected.kafka, connected.bootstrap, "oslo")
    (arrived,) = topic.records(own, 0, Meter())
    topic.close()
    marks = {"grown": {(own + 1) % 3: 0}, "anew": {own: 5_000}, "anew-with-fewer": {own: 0, 7: 12}}[where]
    killed(connected, "a.dat", marks, since=repr(arrived.entry.delivered_s) if has_time else "")

    assert connected.passes(connected.agent(), 0.1)

    assert [record.value for record in records_of(connected)] == [b"a.dat"]


def test_a_partition_that_was_the_sites_once_and_has_no_leader_stops_nothing() -> None:
    class Topic:
        def __contains__(self, partition: int) -> bool:
            return True

        def end(self, partition: int) -> int:
            if partition == 2:
                raise resume.KafkaException(resume.KafkaError(resume.KafkaError.LEADER_NOT_AVAILABLE))
            return 10

    found: Any = Topic()
    assert _starts(found, {1: 4, 2: 3}, 1) == {1: 4}
    with pytest.raises(resume.KafkaException):  # of the partition that is the site's now nothing can be left out
        _starts(found, {2: 3}, 2)


@pytest.mark.parametrize(
    ("marks", "starts"),
    [
        ({1: 10}, {1: 10}),
        ({1: 11}, {1: 0}),  # beyond the end: the topic was made anew
        ({}, {1: 0}),
        ({2: 3}, {1: 0, 2: 3}),  # the topic has grown: what was in flight may lie in the partition of before
        ({1: 4, 7: 3}, {1: 4}),  # a partition that the topic does not have any more
        ({1: 4, 0: 1, 2: 2, 3: 3}, {1: 4, 0: 1, 2: 2, 3: 3}),
        ({1: 4, 0: 1, 2: 2, 3: 3, 4: 4}, {1: 4}),  # more of them than are looked into
    ],
)
def test_records_in_flight_are_looked_for_where_they_can_be(marks: dict[int, int], starts: dict[int, int]) -> None:
    class Topic:
        def __contains__(self, partition: int) -> bool:
            return partition < 5

        def end(self, partition: int) -> int:
            return 10

    found: Any = Topic()
    assert _starts(found, marks, 1) == starts


@pytest.mark.kafka
def test_a_machine_that_stood_still_dates_one_file_wrongly_and_looks_from_the_last_mark(connected: Node) -> None:
    agent = connected.agent()
    connected.write("a.dat", b"a")
    assert connected.passes(agent, 0.1)
    true_s = agent.clock.known_s()
    assert true_s is not None
    agent.clock.heard(true_s - 28_800.0)  # heard eight hours ago, of which the one clock has not counted a second ...
    connected.clocks.wall_s += 28_800.0  # ... and the other all
    for number in range(5):
        connected.write(f"{number}.dat", b"%d" % number)

    agent.take_in()
    assert agent.clock.kafkas_s() is None
    assert agent.send_pending()

    found = [record.headers for record in records_of(connected) if record.value != b"a"]
    assert sum(float(headers["sent_ms"]) / 1000 < true_s - 3_600.0 for headers in found) == 1
    assert len(found) == 5
    assert agent.clock.kafkas_s() is not None


def test_time_that_the_machine_slept_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {clock.time.CLOCK_BOOTTIME: 500.0}
    monkeypatch.setattr(clock.time, "clock_gettime", lambda which: seconds[which])
    known = EdgeClock(wall=lambda: 0.0)
    known.heard(1_000.0)
    seconds[clock.time.CLOCK_BOOTTIME] += 28_800.0

    assert known.known_s() == 29_800.0
