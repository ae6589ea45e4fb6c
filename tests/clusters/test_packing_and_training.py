"""Packing and training on a real standalone cluster whose hosts lack the project; a Horovod process killed.

Begun before the stream's tests, which kill a worker of the cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyspark
import pytest

from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.drill.imaging import steps_of
from tests.clusters.conftest import Hosts
from tests.processes import each_below, horovod_worker, process_group

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow, pytest.mark.long]

PLANTED = {"IPDSF_PSEUDONYM_KEY": "planted-9c2e-key", "IPDSF_KAFKA_PASSWORD": "planted-41d7-password"}
TINY = [
    "--set", "training.width=4", "--set", "training.halvings=2", "--set", "training.discriminator_width=4",
    "--set", "training.precision=fp32", "--set", "training.batch=2", "--threads", "1", "--device", "cpu",
]  # fmt: skip
DATASET = "clustered"
PATIENCE_S = 300.0


# Two verbs in one session, as a notebook has it: executors start once.
IN_ONE_SESSION = """
import json, sys
from ipdsf_spark.cli.main import main
from ipdsf_spark.packing.session import imaging_session

with imaging_session("packing and training"):
    sys.exit(any(main(words) for words in map(json.loads, sys.argv[1:])))
"""


def begun(
    hosts: Hosts, repository: Path, *command: str | Path, **environment: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A driver here; its Python is that of the hosts, as elastic training wants it."""
    settings = {
        "spark.cores.max": 2,
        "spark.executor.cores": 1,
        "spark.executor.memory": "512m",
        "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "spark.driver.memory": "512m",
        # Not by SPARK_LOCAL_IP, which would keep the UI on the loopback too.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    given = " ".join(f"--conf {key}={value}" for key, value in settings.items())
    left = ("PYTHONPATH", "IPDSF_CONF", "SPARK_LOCAL_IP")
    own = {key: value for key, value in os.environ.items() if key not in left}
    chosen = {
        "MASTER": hosts.cluster.url,
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "SPARK_ARGS": given,  # of spark-submit.sh
        "PYSPARK_SUBMIT_ARGS": f"{given} pyspark-shell",  # of any other process
        "PYSPARK_PYTHON": str(hosts.python),
        "PYSPARK_DRIVER_PYTHON": str(hosts.python),
    }
    return process_group(command, env=own | chosen | PLANTED | environment, cwd=repository)


def array(hosts: Hosts) -> list[str]:
    """Where everybody's data set lies."""
    return ["--set", f'storage.root="{hosts.folder / "array"}"']


def said(job: subprocess.Popen[str]) -> str:
    """Standard output of a job that does what it should."""
    output, complaints = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 0, complaints[-4000:]
    return output


@pytest.fixture(scope="module")
def told(hosts: Hosts, repository: Path) -> str:
    """What a driver said that packed three chests and trained on two of them."""
    made = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
    paths = []
    for seed in range(3):
        chest = chest_phantom((32, 64, 64), seed=seed, spacing_mm=(8.0, 5.6, 5.6))
        paths.append(str(write_volume(hosts.folder / f"chest-{seed}.nii.gz", chest.volume, made)))
    pack = ["ct", "pack", "--name", DATASET, "--train", *paths[:2], "--test", paths[2], *array(hosts)]
    train = ["ct", "train", "--name", DATASET, "--workers", "2", "--samples", "16", "-o", str(hosts.folder / "model")]
    train += ["--json", *TINY, *array(hosts)]
    verbs = [json.dumps(words) for words in (pack, train)]
    command = [hosts.python, "-c", IN_ONE_SESSION, *verbs]
    with begun(hosts, repository, *command, PYTHONPATH=str(repository)) as job:
        return said(job)


def test_executors_pack_what_two_horovod_workers_of_the_cluster_then_learn_from(hosts: Hosts, told: str) -> None:
    ended = json.loads(told.splitlines()[-1])

    assert (ended["steps"], ended["samples"], ended["workers"]) == (4, 16, 2)
    facts = json.loads((hosts.folder / "model" / "model.json").read_text())
    assert (facts["num_workers"], facts["horovod"], facts["dataset"]) == (2, True, DATASET)
    assert any((hosts.folder / ".cache" / "ipdsf" / "cubes").iterdir())  # of the hosts, not of whoever submits


@pytest.mark.usefixtures("told")
def test_an_elastic_training_on_the_cluster_goes_on_when_a_worker_is_killed(hosts: Hosts, repository: Path) -> None:
    model = hosts.folder / "elastic"
    words = ["--name", DATASET, "--workers", "2", "--elastic", "--samples", "100", "-o", model, "--json", *TINY]
    words += [*array(hosts), "--set", "training.epochs=1000000"]

    with begun(hosts, repository, "./spark-submit.sh", "train_cgan", *words) as job:
        horovod_worker(job, model, hosts.cluster.executors, rank=1).kill()
        step_at_loss = len(steps_of(model / "history.csv"))
        heard = {each.laddr.ip.removeprefix("::ffff:") for each in of_the_drivers_java(job) if each.status == "LISTEN"}
        ended = json.loads(said(job).splitlines()[-1])

    assert ended["samples"] >= 100
    found = steps_of(model / "history.csv")
    assert found == list(range(1, len(found) + 1))
    assert len(found) > step_at_loss
    assert heard == {"127.0.0.1"}  # a UI would be on every address


def of_the_drivers_java(job: subprocess.Popen[str]) -> list[Any]:
    """Its connections."""
    seen = each_below(job.pid, lambda each: each.net_connections("inet"), named="java")
    return [connection for connections in seen for connection in connections]


@pytest.mark.usefixtures("told")
def test_hosts_keep_no_secret_of_whoever_submitted(hosts: Hosts) -> None:
    work = [path for path in (hosts.folder / "cluster").rglob("*") if path.is_file()]

    assert any(path.name == "stderr" and "app-" in str(path) for path in work)
    for path in work:
        held = path.read_bytes()
        assert not [name for name, secret in PLANTED.items() if secret.encode() in held], path
