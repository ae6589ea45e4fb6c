"""The whole path with tokens that end after seconds: edge, job and archive go on; nobody learns a secret."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import Producer
from running import PAGES, PATIENCE_S, awaited, command_lines, page, records_of, started_job, until

from ipdsf_spark.archive.reading import scan
from ipdsf_spark.archive.tables import PRODUCTS
from ipdsf_spark.config import EdgeConfig
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.kafka import client_options
from tests.security.conftest import NUM_FILES, WithTokens

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow, pytest.mark.long]

LIFETIME_S = 12
OUTLIVED = 2  # tokens, by each kind of client, before the last file is sent


@dataclass(frozen=True)
class Run:
    """What a job left behind, and what could be seen while it ran.

    Attributes:
        folder: its output, event log, checkpoint and archive.
        seen: Spark's UI, the metrics, the status page and all command lines.
        kinds: products that a reader sees.
        letters: reasons of the quarantine.
        archived_before, archived: records of products in the archive before and after the last file.
    """

    folder: Path
    seen: str
    kinds: set[str]
    letters: list[str]
    archived_before: int
    archived: int


def archived_in(archive: Path) -> int:
    return scan(archive, PRODUCTS).num_rows


@pytest.fixture(scope="module")
def run(with_tokens: WithTokens, instrument: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    provider = with_tokens.provider
    for name, client in provider.clients.items():
        provider.clients[name] = replace(client, lifetime_s=LIFETIME_S)
    folder = tmp_path_factory.mktemp("job")
    watched = folder / "watched"
    watched.mkdir()
    *first, last = sorted(instrument.iterdir())
    login = with_tokens.login("edge-oslo")
    edge = EdgeConfig(watch=str(watched), directory=str(folder / "edge"), settle_s=0.0)
    agent = EdgeAgent(edge, login, with_tokens.bootstrap, "oslo")
    for path in first:
        shutil.copy(path, watched)
    agent.take_in()
    assert agent.send_pending()
    liar = Producer(client_options(login, with_tokens.bootstrap))
    liar.produce("ceilometer.files.oslo", first[0].read_bytes(), key="munich")
    assert liar.flush(30.0) == 0
    job, ui = started_job(with_tokens, folder)
    archive = folder / "stream" / "archive"
    try:
        letters = records_of(with_tokens, "stream", "ceilometer.quarantine", wanted=1, job=job)
        products = records_of(with_tokens, "reader", "ceilometer.products", wanted=2, job=job)
        assert job.poll() is None, (folder / "output").read_text()[-3000:]
        root, shown = ui.read_text().split()
        awaited(f"{shown}/metrics", (f"ipdsf_files_read_total {NUM_FILES}\n",))
        until(lambda: provider.outlived("edge-oslo", by_java=False) >= OUTLIVED, "the edge node's tokens end")
        until(lambda: provider.outlived("stream", by_java=True) >= OUTLIVED, "the tokens of Spark's client end")
        before = archived_in(archive)

        shutil.copy(last, watched)
        agent.take_in()
        assert agent.send_pending()
        metrics = awaited(f"{shown}/metrics", (f"ipdsf_files_read_total {NUM_FILES + 1}\n",))
        until(lambda: archived_in(archive) > before, "the archive has what came last")
        seen = "\n".join([*(page(f"{root}/{name}") for name in PAGES), metrics, page(f"{shown}/"), command_lines()])
        job.send_signal(signal.SIGTERM)
        job.wait(PATIENCE_S)
    finally:
        agent.close()
        job.kill()
        job.wait()
    assert job.returncode == 0, (folder / "output").read_text()[-3000:]
    kinds = {json.loads(value)["kind"] for _, value, _ in products}
    reasons = [headers["reason"] for _, _, headers in letters]
    yield Run(folder, seen, kinds, reasons, before, archived_in(archive))


def test_files_of_an_edge_node_become_products_that_a_reader_sees(run: Run) -> None:
    assert "layers" in run.kinds


def test_edge_node_job_and_archive_outlive_their_tokens(run: Run) -> None:
    assert 0 < run.archived_before < run.archived


def test_no_client_was_turned_away_while_tokens_were_renewed(with_tokens: WithTokens, run: Run) -> None:
    assert "Failed authentication" not in with_tokens.log


def test_a_record_under_another_sites_key_is_quarantined_by_name(run: Run) -> None:
    assert run.letters == ["key 'munich' in the topic of site 'oslo', whose sender may use its own key only"]


def places_of(planted: str, folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and planted.encode() in path.read_bytes()
    }


@pytest.mark.parametrize("user", ["stream", "edge-oslo", "reader"])
def test_nobody_learns_the_secret_of_a_client(with_tokens: WithTokens, run: Run, user: str) -> None:
    planted = with_tokens.folder.password(user)

    assert places_of(planted, run.folder) == set()
    assert planted not in run.seen
    assert planted not in with_tokens.log


def test_nobody_learns_a_token(with_tokens: WithTokens, run: Run) -> None:
    signatures = {each.token.rpartition(".")[2] for each in with_tokens.provider.given}

    assert len(signatures) > 2 * OUTLIVED
    for planted in signatures:
        assert planted not in run.seen
        assert planted not in with_tokens.log
    everything = b"".join(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    assert not any(planted.encode() in everything for planted in signatures)


def test_what_was_looked_through_is_there(run: Run) -> None:
    events = "".join(path.read_text() for path in (run.folder / "events").iterdir())

    assert "SparkListenerEnvironmentUpdate" in events
    assert "QueryProgressEvent" in events
    assert "oauth_token_url='https://localhost" in (run.folder / "output").read_text()
    assert "kafka.Kafka" in run.seen
