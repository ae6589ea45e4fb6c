"""The stream on a real standalone cluster whose hosts lack the project: executor and worker killed, other numbers.

The worker that is killed stays away: what needs two comes before.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.config import Config, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.kafka.sites import SiteStatus, read_sites
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.loadgen.replay import Feed, replay
from ipdsf_spark.spark.fixed import held_parameters
from tests.clusters.conftest import Hosts
from tests.stream.topics import records_in

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow, pytest.mark.long]

DAY = date(2026, 6, 21)
NUM_SITES, NUM_FILES, PROFILES = 8, 10, 10  # five-minute files of a profile every 30 s
PATIENCE_S = 400.0


@dataclass(frozen=True)
class Network:
    """Sites whose files are in Kafka, and a job that has not run yet."""

    hosts: Hosts
    kafka: EmbeddedKafka
    folder: Path
    overrides: tuple[str, ...]

    @property
    def config(self) -> Config:
        return load(overrides=self.overrides)

    def send(self, first: int, last: int) -> None:
        """Files of those numbers from every site."""
        bank = FileBank([simulate_day(Site("munich", 48.15, 11.57), DAY, rng=np.random.default_rng(9),
                                      instrument="cl51", cadence_s=30)])  # fmt: skip
        start = np.datetime64(DAY, "us") + np.timedelta64(11, "h")
        feeds = []
        for number in range(NUM_SITES):
            (self.folder / f"site-{number}").mkdir(exist_ok=True)
            paths = []
            for turn in range(first, last):
                file = bank.file(f"site-{number}", 0, start + turn * bank.length)
                paths.append(self.folder / f"site-{number}" / file.name)
                paths[-1].write_bytes(file.raw)
            feeds.append(Feed(f"site-{number}", paths))
        told = replay(feeds, self.config.kafka, self.kafka.bootstrap_servers, rate=1e6)
        assert told.sent == NUM_SITES * (last - first)

    def sites(self) -> list[SiteStatus]:
        """What the stream has said of every site."""
        return read_sites(self.config.kafka, self.kafka.bootstrap_servers)

    def num_read(self) -> int:
        """Files that the sites' state has seen."""
        return sum(site.files for site in self.sites())

    def newest_layers(self) -> dict[str, dict]:
        """What a consumer that upserts holds."""
        newest = {key: json.loads(value) for key, value, _ in records_in(self.kafka, "clustered.products")}
        return {key: product for key, product in newest.items() if product["kind"] == "layers"}


@pytest.fixture(scope="module")
def network(hosts: Hosts, kafka: EmbeddedKafka) -> Network:
    folder = hosts.folder
    (folder / "sites.toml").write_text("[default]\nlatitude_deg = 48.15\nlongitude_deg = 11.57\n")
    overrides = (
        f"kafka.bootstrap_servers={kafka.bootstrap_servers}",
        *(f"kafka.{name}_topic=clustered.{name}" for name in ("files", "averages", "products", "sites", "quarantine")),
        "kafka.partitions=4",
        f'sites.file="{folder / "sites.toml"}"',
        f'stream.directory="{folder / "stream"}"',
        "stream.max_files_per_batch=20",
        "stream.driver_memory_mb=768",
        'monitoring.listen=""',
    )
    ensure_topics(load(overrides=overrides).kafka, kafka.bootstrap_servers)
    network = Network(hosts, kafka, folder, overrides)
    network.send(0, NUM_FILES)
    return network


class Job:
    """The stream on the cluster, as an operator starts it.

    Args:
        network: sites, Kafka, cluster.
        repository: the checkout.
        cores: how many executors of one core.
        command: words before the configuration.
        environment: of the command.
    """

    def __init__(
        self, network: Network, repository: Path, cores: int, command: list[str], environment: dict[str, str]
    ) -> None:
        self.log = network.folder / f"job-{cores}.log"
        self._network = network
        settings = {
            "spark.cores.max": cores,
            "spark.executor.cores": 1,
            "spark.executor.memory": "512m",
            "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
            "spark.driver.memory": "768m",
            "spark.ui.enabled": "false",
        }
        said = " ".join(f"--conf {key}={value}" for key, value in settings.items())
        own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "IPDSF_CONF")}
        chosen = {
            "MASTER": network.hosts.cluster.url,
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_ARGS": said,  # of spark-submit.sh
            "PYSPARK_SUBMIT_ARGS": f"{said} pyspark-shell",  # of any other process
        }
        words = [word for override in network.overrides for word in ("--set", override)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *words], cwd=repository, stdout=output, stderr=output, start_new_session=True,
                env=own | chosen | environment,
            )  # fmt: skip

    def until(self, num_read: int) -> None:
        """Wait until the state of the sites has seen so many files."""
        deadline = time.monotonic() + PATIENCE_S
        while self._network.num_read() < num_read:
            assert self.process.poll() is None, self.said()[-4000:]
            assert time.monotonic() < deadline, self.said()[-4000:]
            time.sleep(0.3)  # a look costs a consumer

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120.0)

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def require_whole(network: Network, num_files: int) -> None:
    """Every profile of every site used once, and a product for every file."""
    for site in network.sites():
        assert (site.files, site.profiles, site.used) == (num_files, num_files * PROFILES, num_files * PROFILES), site
        assert (site.duplicate, site.late, site.rejected, site.faults) == (0, 0, 0, 0), site
    assert len(network.newest_layers()) == NUM_SITES * num_files


def test_hosts_without_the_project_run_the_stream_and_a_killed_executor_and_a_killed_worker_cost_nothing(
    network: Network, repository: Path
) -> None:
    lacking = subprocess.run(
        [network.hosts.python, "-c", "import pyspark, numpy, pandas, pyarrow, ipdsf_spark"],
        capture_output=True, text=True, check=False, cwd=network.folder, env={},
    )  # fmt: skip
    assert "No module named 'ipdsf_spark'" in lacking.stderr

    archive = network.folder / "environment.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", network.hosts.python.parents[1], "."], check=True)
    travels = {"ARCHIVES": f"{archive}#environment", "PYSPARK_PYTHON": "./environment/bin/python"}

    with Job(network, repository, 2, ["./spark-submit.sh", "stream_profiles"], travels) as job:
        job.until(1)
        network.hosts.cluster.executors()[0].kill()
        job.until(NUM_SITES * NUM_FILES // 2)
        network.hosts.cluster.kill_worker(1)
        assert network.num_read() < NUM_SITES * NUM_FILES  # there was work left
        job.until(NUM_SITES * NUM_FILES)

        assert job.ended() == 0, job.said()[-4000:]

    assert "2 executor(s) with 2 core(s)" in job.said()
    assert job.said().count("Lost executor") >= 2
    require_whole(network, NUM_FILES)
    (read,) = re.findall(r"stopped after (\d+) files", job.said())
    assert int(read) == NUM_SITES * NUM_FILES  # what Spark did again counts once


def test_another_number_of_executors_continues_the_checkpoint(network: Network, repository: Path) -> None:
    network.send(NUM_FILES, NUM_FILES + 2)

    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "-v", "stream"]

    with Job(network, repository, 1, command, {"PYSPARK_PYTHON": str(network.hosts.python)}) as job:
        job.until(NUM_SITES * (NUM_FILES + 2))

        assert job.ended() == 0, job.said()[-4000:]

    assert "1 executor(s) with 1 core(s)" in job.said()
    assert f"stopped after {NUM_SITES * 2} files" in job.said()
    assert held_parameters(network.folder / "stream" / "checkpoint")["state_partitions"] == "2"
    require_whole(network, NUM_FILES + 2)
