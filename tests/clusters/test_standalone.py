"""The stream on a real standalone cluster whose hosts lack the project: executor and worker killed, other numbers.

The worker that is killed stays away: what needs two comes before.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.spark.fixed import held_parameters
from tests.clusters.conftest import Hosts
from tests.clusters.network import NUM_FILES, NUM_SITES, PATIENCE_S, Network, require_whole

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="module")
def network(hosts: Hosts, kafka: EmbeddedKafka) -> Network:
    network = Network.begun(kafka, hosts.folder, topics="clustered")
    network.send(0, NUM_FILES)
    return network


class Job:
    """The stream on the cluster, as an operator starts it.

    Args:
        network: sites, Kafka.
        master: of the cluster.
        repository: the checkout.
        cores: how many executors of one core.
        command: words before the configuration.
        environment: of the command.
    """

    def __init__(
        self,
        network: Network,
        master: str,
        repository: Path,
        cores: int,
        command: list[str],
        environment: dict[str, str],
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
            "MASTER": master,
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


def test_hosts_without_the_project_run_the_stream_and_a_killed_executor_and_a_killed_worker_cost_nothing(
    network: Network, hosts: Hosts, repository: Path
) -> None:
    lacking = subprocess.run(
        [hosts.python, "-c", "import pyspark, numpy, pandas, pyarrow, ipdsf_spark"],
        capture_output=True, text=True, check=False, cwd=network.folder, env={},
    )  # fmt: skip
    assert "No module named 'ipdsf_spark'" in lacking.stderr

    archive = network.folder / "environment.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", hosts.python.parents[1], "."], check=True)
    travels = {"ARCHIVES": f"{archive}#environment", "PYSPARK_PYTHON": "./environment/bin/python"}

    with Job(network, hosts.cluster.url, repository, 2, ["./spark-submit.sh", "stream_profiles"], travels) as job:
        job.until(1)
        hosts.cluster.executors()[0].kill()
        job.until(NUM_SITES * NUM_FILES // 2)
        hosts.cluster.kill_worker(1)
        assert network.num_read() < NUM_SITES * NUM_FILES  # there was work left
        job.until(NUM_SITES * NUM_FILES)

        assert job.ended() == 0, job.said()[-4000:]

    assert "2 executor(s) with 2 core(s)" in job.said()
    assert job.said().count("Lost executor") >= 2
    require_whole(network, NUM_FILES)
    (read,) = re.findall(r"stopped after (\d+) files", job.said())
    assert int(read) == NUM_SITES * NUM_FILES  # what Spark did again counts once


def test_another_number_of_executors_continues_the_checkpoint(network: Network, hosts: Hosts, repository: Path) -> None:
    network.send(NUM_FILES, NUM_FILES + 2)

    command = [sys.executable, "-m", "ipdsf_spark.cli.main", "-v", "stream"]

    with Job(network, hosts.cluster.url, repository, 1, command, {"PYSPARK_PYTHON": str(hosts.python)}) as job:
        job.until(NUM_SITES * (NUM_FILES + 2))

        assert job.ended() == 0, job.said()[-4000:]

    assert "1 executor(s) with 1 core(s)" in job.said()
    assert f"stopped after {NUM_SITES * 2} files" in job.said()
    assert held_parameters(network.folder / "stream" / "checkpoint")["state_partitions"] == "2"
    require_whole(network, NUM_FILES + 2)
