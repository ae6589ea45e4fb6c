"""Both flows in one process, as in a notebook: what one leaves behind must not stand in the other's way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, PackedChest

pytestmark = [pytest.mark.spark, pytest.mark.slow]

STREAM = """
from ipdsf_spark.config import load
from ipdsf_spark.stream.live import read_files
from ipdsf_spark.spark.session import build_session
config = load()
print(read_files(build_session(config, app_name="second"), config, "localhost:1", max_files=1).isStreaming)
"""


def python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=300, cwd=REPOSITORY
    )


@pytest.mark.long
def test_a_stream_finds_its_connector_after_a_packing(packed_chest: PackedChest, tmp_path: Path) -> None:
    words = ["ct", "pack", "--name", "one", "--train", str(packed_chest.volumes / "train-1.nii.gz"),
             "--set", f"storage.root={tmp_path}"]  # fmt: skip
    ended = python(f"from ipdsf_spark.cli.main import main\nassert main({words!r}) == 0{STREAM}")

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.splitlines()[-1] == "True"


def test_a_session_that_knows_no_kafka_is_refused_with_the_package_it_lacks() -> None:
    lacking = "from pyspark.sql import SparkSession\nSparkSession.builder.master('local[1]').getOrCreate()"
    ended = python(lacking + STREAM)

    assert ended.returncode == 1
    assert "ConfigError: this Spark was started without the Kafka connector" in ended.stderr
    assert "spark.jars.packages=org.apache.spark:spark-sql-kafka-0-10_2.13" in ended.stderr
