"""The stream on a real YARN whose hosts lack the project: with the driver here, and with the driver in a container."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
import pytest

from ipdsf_spark.devkafka import EmbeddedKafka
from tests.clusters.bare_hosts import bare_python
from tests.clusters.network import NUM_FILES, NUM_SITES, PATIENCE_S, Network, require_whole
from tests.hadoop import Hadoop, running
from tests.processes import each_below, process_group

pytestmark = [pytest.mark.kafka, pytest.mark.spark, pytest.mark.slow, pytest.mark.long]

SETTINGS = {
    "spark.executor.instances": "1",
    "spark.executor.cores": "2",
    "spark.executor.memory": "512m",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
    "spark.driver.memory": "768m",
    "spark.yarn.am.memory": "512m",
    # Hosts that have Spark: else its jars travel with every job.
    "spark.yarn.jars": f"local:{Path(pyspark.__file__).parent}/jars/*",
}


@pytest.fixture(scope="module")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hadoop]:
    with running(tmp_path_factory.mktemp("yarn") / "cluster", has_yarn=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment without the project."""
    folder = tmp_path_factory.mktemp("environment")
    bare_python(folder / "environment")
    subprocess.run(["tar", "-czf", folder / "environment.tar.gz", "-C", folder / "environment", "."], check=True)
    return folder / "environment.tar.gz"


@pytest.fixture
def network(kafka: EmbeddedKafka, tmp_path: Path, request: pytest.FixtureRequest) -> Network:
    network = Network.begun(kafka, tmp_path, topics=f"yarn-{request.node.callspec.params['driver']}")
    network.send(0, NUM_FILES)
    return network


@contextmanager
def submitted(
    network: Network, yarn: Hadoop, archive: Path, repository: Path, driver: str
) -> Iterator[subprocess.Popen[str]]:
    """The stream as docs/clusters/yarn.md starts it."""
    left = ("PYTHONPATH", "IPDSF_CONF", "SPARK_LOCAL_IP", "SPARK_HOME", "PYSPARK_DRIVER_PYTHON")
    environment = {key: value for key, value in os.environ.items() if key not in left} | {
        "MASTER": "yarn",
        "DEPLOY_MODE": driver,
        "HADOOP_CONF_DIR": str(yarn.conf),
        "ARCHIVES": f"{archive}#environment",
        "PYSPARK_PYTHON": "./environment/bin/python",
        "SPARK_ARGS": " ".join(f"--conf {key}={value}" for key, value in SETTINGS.items()),
    }
    words = [word for override in network.overrides for word in ("--set", override)]
    with (network.folder / "job.log").open("w") as log:
        command = ["./spark-submit.sh", "stream_profiles", *words]
        with process_group(command, env=environment, cwd=repository, stdout=log.fileno(), stderr=log.fileno()) as job:
            yield job


@pytest.mark.parametrize("driver", ["client", "cluster"])
def test_a_yarn_whose_hosts_lack_the_project_runs_the_stream(
    network: Network, yarn: Hadoop, archive: Path, repository: Path, driver: str
) -> None:
    with submitted(network, yarn, archive, repository, driver) as job:
        deadline = time.monotonic() + PATIENCE_S
        while network.num_read() < NUM_SITES * NUM_FILES:
            assert job.poll() is None, said(network)
            assert time.monotonic() < deadline, said(network)
            time.sleep(0.3)  # a look costs a consumer

        require_whole(network, NUM_FILES)
        # On this one machine a path of the driver is there for executors as well: what travelled must have been used.
        assert all((folder / "ipdsf" / "ipdsf_spark" / "__pycache__").is_dir() for folder in folders_of_executors())
        commands = each_below(job.pid, lambda each: each.cmdline(), named="python")
        is_here = any("stream_profiles.py" in " ".join(words) for words in commands)
        assert is_here == (driver == "client")
        if driver == "client":
            job.send_signal(signal.SIGTERM)
            assert job.wait(120.0) == 0, said(network)
            assert f"stopped after {NUM_SITES * NUM_FILES} files" in said(network)
        else:
            assert yarn.kill_applications() == 1
            assert job.wait(120.0) != 0
            assert "KILLED" in said(network)


def folders_of_executors() -> list[Path]:
    """Working folders of the Python daemons of all executors: they stand below the node manager, and it below us."""
    seen = each_below(os.getpid(), lambda each: (Path(each.cwd()), each.cmdline()))
    found = [folder for folder, words in seen if "ipdsf_spark.spark.daemon" in words]
    assert found
    return found


def said(network: Network) -> str:
    return (network.folder / "job.log").read_text(errors="replace")[-6000:]
