"""The whole path over mutual TLS and SCRAM: an edge node sends, the job reads and writes; nobody learns a password."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Producer
from confluent_kafka.admin import AdminClient
from running import PAGES, PATIENCE_S, awaited, command_lines, listening, page, records_of, started_job

from ipdsf_spark.config import EdgeConfig
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.kafka import client_options
from tests.security.conftest import NUM_FILES, Secured

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow]


@dataclass(frozen=True)
class Run:
    """What a job left behind.

    Attributes:
        folder: its output, event log, checkpoint and archive.
        pages: Spark's UI, the metrics and the status page while it ran.
        metrics, status: the two last ones.
        commands: command lines of all processes while it ran.
        heard: addresses that processes of the job listened on.
        letters: reasons of the quarantine.
        kinds: products that a reader sees.
    """

    folder: Path
    pages: str
    metrics: str
    status: str
    commands: str
    heard: set[str]
    letters: list[str]
    kinds: set[str]


# What is told when the products have been followed.
FOLLOWED = (
    'kafka_consumergroup_group_lag{cluster_name="ipdsf",group="ipdsf-live",'
    'topic="ceilometer.files.oslo",partition="0"} 0',
    'ipdsf_end_to_end_seconds{quantile="0.99"} ',
    'ipdsf_site_freshness_seconds{site="oslo"} ',
)


@pytest.fixture(scope="module")
def run(secured: Secured, instrument: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("job")
    login = secured.login("edge-oslo")
    edge = EdgeConfig(watch=str(instrument), directory=str(folder / "edge"), settle_s=0.0)
    agent = EdgeAgent(edge, login, secured.bootstrap, "oslo")
    agent.take_in()
    assert agent.send_pending()
    agent.close()
    liar = Producer(client_options(login, secured.bootstrap))
    liar.produce("ceilometer.files.oslo", (instrument / "0.dat").read_bytes(), key="munich")
    assert liar.flush(30.0) == 0

    job, ui = started_job(secured, folder)
    try:
        letters = records_of(secured, "stream", "ceilometer.quarantine", wanted=1, job=job)
        products = records_of(secured, "reader", "ceilometer.products", wanted=2, job=job)
        assert job.poll() is None, (folder / "output").read_text()[-3000:]
        root, shown = ui.read_text().split()
        told = "\n".join(page(f"{root}/{name}") for name in PAGES)
        metrics = awaited(f"{shown}/metrics", (f"ipdsf_files_read_total {NUM_FILES + 1}\n", *FOLLOWED))
        status = page(f"{shown}/")
        commands, heard = command_lines(), listening(job.pid)
        job.send_signal(signal.SIGTERM)
        job.wait(PATIENCE_S)
    finally:
        job.kill()
        job.wait()
    assert job.returncode == 0, (folder / "output").read_text()[-3000:]
    reasons = [headers["reason"] for _, _, headers in letters]
    told += metrics + status
    yield Run(
        folder, told, metrics, status, commands, heard, reasons, {json.loads(value)["kind"] for _, value, _ in products}
    )


def test_files_of_an_edge_node_become_products_that_a_reader_sees(run: Run) -> None:
    assert "layers" in run.kinds


def test_a_record_under_another_sites_key_is_quarantined_by_name(run: Run) -> None:
    assert run.letters == ["key 'munich' in the topic of site 'oslo', whose sender may use its own key only"]


@pytest.mark.parametrize("user", ["stream", "edge-oslo", "admin"])
@pytest.mark.parametrize("secret", ["password", "key-password", "key.pem"])
def test_nobody_learns_a_secret(secured: Secured, run: Run, user: str, secret: str) -> None:
    held = (secured.folder.path / user / secret).read_text().splitlines()
    planted = held[1] if secret == "key.pem" else held[0]
    written = {
        str(path.relative_to(run.folder))
        for path in run.folder.rglob("*")
        if path.is_file() and planted.encode() in path.read_bytes()
    }

    assert written == set()
    assert planted not in run.pages
    assert planted not in run.commands
    assert planted not in secured.log


def test_a_job_of_this_machine_listens_on_its_loopback_only_the_ui_included(run: Run) -> None:
    assert "/jobs/" in run.pages
    assert run.heard == {"127.0.0.1"}


def test_metrics_and_page_of_the_running_job_tell_what_it_did(run: Run) -> None:
    assert re.search(
        r'kafka_consumergroup_group_lag\{cluster_name="ipdsf",group="ipdsf-live",'
        r'topic="ceilometer.files.oslo",partition="0"\} 0',
        run.metrics,
    )
    assert f"ipdsf_files_read_total {NUM_FILES + 1}\n" in run.metrics
    assert re.search(r'ipdsf_end_to_end_seconds\{quantile="0.99"\} \d', run.metrics)
    assert re.search(r'ipdsf_site_freshness_seconds\{site="oslo"\} \d', run.metrics)
    assert re.search(r"ipdsf_certificate_expiry_timestamp_seconds \d", run.metrics)

    assert '<th scope="row"><a href="site/oslo">oslo</a></th>' in run.status


def test_read_offsets_are_committed_to_the_group_that_was_named(secured: Secured, run: Run) -> None:
    client = AdminClient(
        client_options(secured.folder.certified(secured.login("admin"), "admin"), secured.broker.inner_servers)
    )

    held = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions("ipdsf-live")])["ipdsf-live"].result(30.0)

    offsets = {(place.topic, place.partition): place.offset for place in held.topic_partitions}
    assert offsets["ceilometer.files.oslo", 0] == NUM_FILES + 1


def test_what_was_looked_through_is_there(run: Run) -> None:
    events = "".join(path.read_text() for path in (run.folder / "events").iterdir())

    assert "SparkListenerEnvironmentUpdate" in events
    assert "QueryProgressEvent" in events
    assert "ipdsf-live" in run.pages
    assert "kafka.Kafka" in run.commands
    assert any((run.folder / "stream").rglob("offsets/0"))
