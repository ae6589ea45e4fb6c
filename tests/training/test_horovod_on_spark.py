"""Real Horovod processes on Spark, on a real Petastorm data set."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
import torch
from pyspark import SparkContext

from ipdsf_spark.training import horovod_workers
from tests.conftest import PackedChest
from tests.processes import horovod_worker, process_group
from tests.training.conftest import answer_of

pytestmark = [pytest.mark.spark, pytest.mark.training, pytest.mark.slow]

TINY = [
    "--set", "training.width=4", "--set", "training.halvings=2", "--set", "training.discriminator_width=4",
    "--set", "training.precision=fp32", "--set", "training.learning_rate=1e-3", "--set", "training.warm_up_samples=8",
    "--threads", "1", "--device", "cpu",
]  # fmt: skip


def train(packed: PackedChest, out: Path, *arguments: str) -> dict[str, object]:
    return answer_of("ct", "train", "--name", packed.name, "-o", out, "--json", *TINY, *packed.settings, *arguments)


def checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["state"]
    return {f"{net}.{name}": t for net in ("generator", "discriminator", "average") for name, t in state[net].items()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
@pytest.mark.usefixtures("spark")
def test_two_horovod_processes_with_batch_b_are_one_process_with_batch_2b(
    packed_chest: PackedChest, tmp_path: Path
) -> None:
    exact = ("--samples", "16", "--set", "training.precision=fp64")  # rounding would grow with every step of Adam
    two = train(packed_chest, tmp_path / "two", "--workers", "2", "--set", "training.batch=2", *exact)
    one = train(packed_chest, tmp_path / "one", "--set", "training.batch=4", *exact)

    assert (two["steps"], two["samples"], two["workers"]) == (4, 16, 2)
    assert one["steps"] == 4
    found, expected = (checkpoint(tmp_path / name) for name in ("two", "one"))
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-9, rtol=1e-7)
    facts = json.loads((tmp_path / "two" / "model.json").read_text())
    assert (facts["num_workers"], facts["horovod"], facts["dataset"]) == (2, True, "chest")
    assert all(float(row["allreduce_s"]) > 0 for row in rows(tmp_path / "two"))


@pytest.mark.long
@pytest.mark.usefixtures("spark")
def test_ctrl_c_ends_two_workers_with_a_checkpoint_from_which_they_go_on_bit_for_bit(
    packed_chest: PackedChest, tmp_path: Path
) -> None:
    """Ctrl-C reaches the whole group of processes; the workers hold no secret of the driver's."""
    common = ["--workers", "2", "--set", "training.batch=2", "--set", "training.epochs=1000"]
    with started(
        packed_chest, tmp_path / "parts", *common, "--samples", "4000", IPDSF_KAFKA_PASSWORD="planted-4711-password"
    ) as driver:
        worker = worker_of(driver, tmp_path / "parts")
        assert "planted-4711-password" not in worker.environ().values()
        os.killpg(driver.pid, signal.SIGINT)
        said, complained = driver.communicate(timeout=120)

    assert driver.returncode == 0, complained[-3000:]
    stopped = json.loads(said.splitlines()[-1])
    assert stopped["ended"] == "stopped"
    assert 5 < stopped["steps"] == len(rows(tmp_path / "parts")) < 1000
    assert not list((tmp_path / "parts").glob(".ipdsf-*"))
    steps = int(stopped["steps"]) + 10
    train(packed_chest, tmp_path / "parts", *common, "--samples", str(4 * steps))
    train(packed_chest, tmp_path / "whole", *common, "--samples", str(4 * steps))

    found, expected = checkpoint(tmp_path / "parts"), checkpoint(tmp_path / "whole")
    assert [name for name, tensor in expected.items() if not torch.equal(tensor, found[name])] == []
    assert [int(row["step"]) for row in rows(tmp_path / "parts")] == list(range(1, steps + 1))


@pytest.mark.long
def test_an_elastic_training_survives_the_loss_of_a_worker(packed_chest: PackedChest, tmp_path: Path) -> None:
    out = tmp_path / "elastic"
    more = ("--workers", "2", "--elastic", "--samples", "400", "--set", "training.batch=2")
    with started(packed_chest, out, *more, "--set", "training.epochs=1000000") as driver:
        victim = worker_of(driver, out)
        step_at_loss = len(rows(out))
        victim.kill()
        said, complained = driver.communicate(timeout=240)

    assert driver.returncode == 0, complained[-3000:]
    ended = json.loads(said.splitlines()[-1])
    assert ended["samples"] >= 400
    steps = [int(row["step"]) for row in rows(out)]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > step_at_loss


FRAMES = ("Traceback", "\tat ", 'File "')


@pytest.mark.long
@pytest.mark.parametrize("mode", [(), ("--elastic",)])
def test_a_shard_that_workers_cannot_read_is_told_in_one_line_as_to_one_alone(
    packed_chest: PackedChest, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    storage = tmp_path / "array"
    shutil.copytree(packed_chest.storage, storage)
    cut = next((storage / "cubes" / packed_chest.name / "cubes").glob("train-*.parquet"))
    cut.write_bytes(cut.read_bytes()[:5000])
    broken = PackedChest(storage, packed_chest.volumes)  # with a cache of its own

    def end(*arguments: str) -> tuple[int, str]:
        with started(broken, tmp_path / "model", *arguments) as driver:
            _, complained = driver.communicate(timeout=240)
        return driver.returncode, complained

    alone = end()
    assert not [word for word in FRAMES if word in alone[1]]
    said = alone[1].splitlines()[-1]
    assert alone[0] == 1
    assert f"{cut.name} is missing or no whole Parquet file" in said

    code, complained = end("--workers", "2", *mode)

    assert code == 1
    assert complained.splitlines()[-1] == f"{said} (worker 0 on {socket.gethostname()}, and 1 more)"
    assert not [word for word in FRAMES if word in complained], complained


@pytest.mark.long
def test_a_model_folder_that_goes_away_under_worker_0_is_told_and_its_frames_only_to_those_who_ask(
    packed_chest: PackedChest, tmp_path: Path
) -> None:
    more = ("--workers", "2", "--samples", "1000000", "--set", "training.batch=2", "--set", "training.epochs=1000000")
    out = tmp_path / "model"
    for flags, are_shown in (((), False), (("--verbose",), True)):
        with started(packed_chest, out, *more, flags=flags) as driver:
            worker_of(driver, out)
            out.rename(tmp_path / f"gone-{are_shown}")
            out.write_text("")
            _, complained = driver.communicate(timeout=240)
        out.unlink()

        assert driver.returncode == 1
        assert f"{out}: Not a directory (worker 0 on {socket.gethostname()})" in complained.splitlines()[-1]
        assert ("Traceback" in complained) is are_shown, complained


@pytest.mark.long
def test_a_worker_that_is_killed_is_told_in_one_line(packed_chest: PackedChest, tmp_path: Path) -> None:
    more = ("--workers", "2", "--samples", "1000000", "--set", "training.batch=2", "--set", "training.epochs=1000000")
    with started(packed_chest, tmp_path / "model", *more) as driver:
        worker_of(driver, tmp_path / "model").kill()
        _, complained = driver.communicate(timeout=240)

    assert driver.returncode == 1
    assert "was ended by SIGKILL" in complained.splitlines()[-1]
    assert not [word for word in FRAMES if word in complained], complained


def started(
    packed: PackedChest, out: Path, *arguments: str, flags: tuple[str, ...] = (), **environment: str
) -> AbstractContextManager[subprocess.Popen[str]]:
    """A training in a process group of its own."""
    command = [
        sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *flags, "ct", "train",
        "--name", packed.name, "-o", str(out), "--json", *TINY, *packed.settings, *arguments,
    ]  # fmt: skip
    return process_group(command, env={**os.environ, **environment})


def worker_of(driver: subprocess.Popen[str], model: Path) -> psutil.Process:
    """That of rank 1, of a local session."""
    return horovod_worker(driver, model, lambda: [psutil.Process(driver.pid)], rank=1)


@pytest.mark.parametrize(("master", "expected"), [("spark://host:7077", None), ("local[2]", "/the/drivers")])
def test_workers_of_a_cluster_keep_the_paths_of_their_hosts(
    master: str, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setenv("MASTER", master)
    for name in ("PYTHONPATH", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, "/the/drivers")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPDSF_KAFKA_PASSWORD", "planted-77c1")

    passed_on = horovod_workers._passed_on((), is_on_gpu=False)

    assert passed_on.get("PYTHONPATH") == passed_on.get("LD_LIBRARY_PATH") == expected
    assert passed_on["OMP_NUM_THREADS"] == "1"
    assert "planted-77c1" not in passed_on.values()


@pytest.mark.parametrize("reads_store", [True, False])
def test_only_workers_that_read_an_object_store_see_where_it_is_and_keep_its_credentials(
    reads_store: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-88d2")

    passed_on = horovod_workers._passed_on((), is_on_gpu=False, reads_store=reads_store)

    assert passed_on.get("AWS_ENDPOINT_URL") == ("http://store:9000" if reads_store else None)
    assert passed_on.get("AWS_SECRET_ACCESS_KEY") == (None if reads_store else "")  # of this machine's JVM, or blanked
    assert "planted-88d2" not in passed_on.values()
