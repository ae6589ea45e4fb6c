"""Tiny runs of the real thing: consumers against a real Kafka, hosts in real network namespaces."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipdsf_spark.devkafka.namespaces import TwoHosts
from ipdsf_spark.errors import PrerequisiteError
from ipdsf_spark.experiments import latency
from ipdsf_spark.experiments.bank import fill, write_bank
from ipdsf_spark.experiments.bench import Bench, Broker
from ipdsf_spark.experiments.cpu import processes_of
from ipdsf_spark.experiments.group import ConsumerGroup, seats_of
from ipdsf_spark.experiments.hosts_runs import offsets_of
from ipdsf_spark.experiments.latency import LatencyRow, LatencySettings

if TYPE_CHECKING:
    from ipdsf_spark.devkafka import EmbeddedKafka

LINK_MBIT = 40.0
SENT_BYTES = 2_500_000


@pytest.fixture(scope="module")
def bench(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    broker = Broker(kafka.bootstrap_servers, processes_of(kafka))
    scratch = tmp_path_factory.mktemp("bench")
    write_bank(scratch / "bank", minutes=10, instruments=("cl31",))
    return Bench(scratch, is_quiet=True, broker=broker)


@pytest.mark.kafka
def test_every_file_is_read_once_and_consumers_beyond_the_partitions_get_none(
    kafka: EmbeddedKafka, bench: Bench
) -> None:
    config, _ = bench.topics("idle", kafka.bootstrap_servers, partitions=4)
    fill(config, bench.bank(), sites=10, count=60, partitioning="round_robin")
    group = ConsumerGroup(
        kafka.bootstrap_servers, config.kafka.files_topic, "idle", "transfer", seats_of(6, processes=1)
    )

    with group:
        held = group.await_assignment(4)
        before = group.mark().files
        mark = group.await_files(60, until_s=group.go() + 30)
        counted = offsets_of(group.finish())

    assert sorted(held.values()) == [0, 0, 1, 1, 1, 1]
    assert (before, mark.files) == (0, 60)
    assert len(counted) == 60 and set(counted.values()) == {1}


@pytest.mark.kafka
@pytest.mark.slow
def test_a_network_is_analysed_while_it_sends_and_every_file_is_timed(bench: Bench) -> None:
    settings = LatencySettings(
        files=60, files_per_s=30.0, consumers=(1,), sides=("consumers",), sites=20, partitions=4, warm_up_s=1.0,
        limit=15.0,
    )  # fmt: skip

    (table,) = latency.measure(settings, bench).tables

    (row,) = table.as_rows(LatencyRow)
    assert row.processed == 60
    assert row.total_s == pytest.approx(2.0 + row.excess_s)
    assert row.excess_s > -0.1  # the last file leaves one interval before the end
    assert 0.0 < row.p50_s <= row.p90_s <= row.p99_s <= row.total_s
    assert row.cpu_ms_per_file > 0.0


def test_what_goes_between_two_hosts_is_slowed_and_counted_by_the_link() -> None:
    """Where a user may not make hosts, the reason names what was refused."""
    try:
        two = TwoHosts(LINK_MBIT).__enter__()
    except PrerequisiteError as error:
        assert "two hosts" in str(error)
        return
    try:
        first, second = two.hosts
        with first.entered():
            server = socket.create_server((first.address, 0))
        received = threading.Thread(target=_swallow, args=(server,))
        received.start()
        before = two.sent_bytes()
        started_s = time.monotonic()
        with second.entered(), socket.create_connection(server.getsockname()) as client:
            client.sendall(bytes(SENT_BYTES))
        received.join()
        seconds = time.monotonic() - started_s
        with pytest.raises(OSError), socket.create_connection(server.getsockname(), timeout=1):
            pass  # from outside there is no way in
        sent = [after - first for after, first in zip(two.sent_bytes(), before, strict=True)]
        server.close()
    finally:
        two.__exit__()

    assert seconds > 0.8 * 8 * SENT_BYTES / (LINK_MBIT * 1e6)
    assert SENT_BYTES < sent[1] < 1.2 * SENT_BYTES
    assert sent[0] < 0.2 * SENT_BYTES
    assert not Path("/run/netns", first.name).exists()


def _swallow(server: socket.socket) -> None:
    with server.accept()[0] as connection:
        while connection.recv(65536):
            pass
