"""What `spark-submit.sh` asks of Spark for each kind of cluster, told by a spark-submit that only writes it down."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.spark.shipping import shipping_settings, write_archive

RECORDER = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$RECORD"
printf '%s\\n' "${PYSPARK_PYTHON:-}" "${PYSPARK_DRIVER_PYTHON:-}" "${IPDSF_CONF:-}" > "$RECORD.env"
printf '%s\\n' "${SPARK_LOCAL_IP:-}" "${SPARK_HOME:-}" >> "$RECORD.env"
while (($#)); do [[ $1 == --archives ]] && cp "${2%%#*}" "$RECORD.zip"; shift; done
exit 0
"""


@dataclass(frozen=True)
class Asked:
    """Words and environment that spark-submit was given."""

    words: list[str]
    python: str
    driver_python: str
    conf: str
    address: str
    spark: str
    archive: Path

    def after(self, option: str) -> list[str]:
        """Values of an option, in order."""
        return [value for name, value in zip(self.words, self.words[1:], strict=False) if name == option]


@pytest.fixture
def submit(repository: Path, tmp_path: Path):
    def asked(*words: str, **environment: str) -> Asked:
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / "spark-submit"
        program.write_text(RECORDER)
        program.chmod(0o755)
        record = tmp_path / "record"
        left = ("PYTHONPATH", "IPDSF_CONF", "SPARK_LOCAL_IP")
        kept = {key: value for key, value in os.environ.items() if key not in left}
        given = kept | {"SPARK_HOME": str(tmp_path), "RECORD": str(record), "PYSPARK_DRIVER_PYTHON": sys.executable}
        subprocess.run(["./spark-submit.sh", *words], cwd=repository, env=given | environment, check=True)
        told = (tmp_path / "record.env").read_text().splitlines()
        return Asked(record.read_text().splitlines(), *told, archive=tmp_path / "record.zip")

    return asked


def test_a_driver_here_asks_for_nothing_but_the_cluster_and_the_hosts_python(submit) -> None:
    asked = submit("stream_profiles", MASTER="spark://host:7077", PYSPARK_PYTHON="/usr/bin/python3.11")

    assert asked.after("--master") == ["spark://host:7077"]
    assert asked.after("--deploy-mode") == ["client"]
    assert asked.after("--archives") == []
    assert (asked.python, asked.driver_python) == ("/usr/bin/python3.11", sys.executable)


def test_on_this_machine_spark_listens_on_the_loopback_and_on_a_cluster_where_its_hosts_reach_it(submit) -> None:
    assert submit("stream_profiles").address == "127.0.0.1"
    assert submit("stream_profiles", SPARK_LOCAL_IP="10.0.0.7").address == "10.0.0.7"
    assert submit("stream_profiles", MASTER="spark://host:7077").address == ""


def test_a_folder_of_configuration_that_is_not_there_is_named_and_nothing_is_submitted(
    repository: Path, tmp_path: Path
) -> None:
    ended = subprocess.run(
        ["./spark-submit.sh", "stream_profiles"],
        cwd=repository, capture_output=True, text=True, check=False,
        env=os.environ | {"IPDSF_CONF": str(tmp_path / "etc"), "PYSPARK_DRIVER_PYTHON": sys.executable},
    )  # fmt: skip

    assert ended.returncode == 2  # which systemd takes for a wrong configuration
    assert f"IPDSF_CONF is {tmp_path}/etc, which is no folder" in ended.stderr


def test_a_sites_own_defaults_count_where_ours_say_nothing(submit) -> None:
    asked = submit("stream_profiles", MASTER="yarn")

    assert "--load-spark-defaults" in asked.words
    assert asked.after("--properties-file")[0].endswith("conf/spark-defaults.conf")


def test_a_driver_on_yarn_gets_package_configuration_and_environment_and_no_path_of_this_machine(submit) -> None:
    asked = submit(
        "stream_profiles", "--config", "conf/cluster.toml", MASTER="yarn", DEPLOY_MODE="cluster",
        ARCHIVES="environment.tar.gz#environment", PYSPARK_PYTHON="./environment/bin/python",
    )  # fmt: skip

    (archives,) = asked.after("--archives")
    assert [each.partition("#")[2] for each in archives.split(",")] == ["ipdsf", "environment"]
    assert "spark.yarn.appMasterEnv.PYTHONPATH=ipdsf" in asked.after("--conf")
    assert "spark.executorEnv.PYTHONPATH=ipdsf" in asked.after("--conf")
    assert (asked.python, asked.driver_python, asked.conf) == ("./environment/bin/python", "", "")
    assert {"ipdsf_spark/stream/job.py", "conf/base.toml", "conf/cluster.toml", "conf/sites.toml"} <= set(
        zipfile.ZipFile(asked.archive).namelist()
    )


def test_spark_is_found_here_where_the_python_of_the_hosts_is_not(repository: Path, tmp_path: Path) -> None:
    programs = {"python": f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', "spark-submit": RECORDER}
    for name, content in programs.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    given = {key: value for key, value in os.environ.items() if key != "SPARK_HOME"}
    given |= {"PYSPARK_DRIVER_PYTHON": str(tmp_path / "python"), "PYSPARK_PYTHON": "./environment/bin/python"}
    given |= {"RECORD": str(tmp_path / "record"), "MASTER": "yarn", "DEPLOY_MODE": "cluster"}

    subprocess.run(["./spark-submit.sh", "stream_profiles"], cwd=repository, env=given, check=True)

    home = (tmp_path / "record.env").read_text().splitlines()[-1]
    assert (Path(home) / "bin" / "spark-class").is_file()  # which pip's spark-submit asks the hosts' Python for


def test_no_secret_stands_on_a_command_line(submit) -> None:
    asked = submit(
        "stream_profiles", MASTER="yarn", DEPLOY_MODE="cluster", IPDSF_KAFKA_PASSWORD="planted-0f3a", ARCHIVES=""
    )  # fmt: skip

    assert "planted-0f3a" not in "\n".join(asked.words)
    with zipfile.ZipFile(asked.archive) as archive:
        assert not [name for name in archive.namelist() if b"planted-0f3a" in archive.read(name)]


def test_an_unpacked_archive_is_a_package_with_its_configuration(tmp_path: Path) -> None:
    write_archive(tmp_path / "ipdsf.zip")
    with zipfile.ZipFile(tmp_path / "ipdsf.zip") as archive:
        archive.extractall(tmp_path / "ipdsf")
    script = (
        "import ipdsf_spark, ipdsf_spark.config as c; from ipdsf_spark.forecast.folder import shipped_folder;"
        "c.load('conf/cluster.toml'); print(ipdsf_spark.__file__);"
        "print((shipped_folder() / 'manifest.json').is_file())"
    )
    environment = {key: value for key, value in os.environ.items() if key != "IPDSF_CONF"} | {"PYTHONPATH": "ipdsf"}
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    assert ended.stdout.splitlines() == [str(tmp_path / "ipdsf" / "ipdsf_spark" / "__init__.py"), "True"]
    assert load("conf/cluster.toml").kafka.replication_factor == 2


@pytest.mark.parametrize(
    ("master", "path", "expected"),
    [
        ("local[2]", "", {}),
        ("local", "", {}),
        ("", "", {}),
        ("yarn", "", {"spark.executorEnv.PYTHONPATH": "ipdsf"}),
        ("spark://host:7077", "/site/lib", {"spark.executorEnv.PYTHONPATH": "ipdsf:/site/lib"}),
        ("spark://host:7077", "ipdsf:/site/lib", {"spark.executorEnv.PYTHONPATH": "ipdsf:/site/lib"}),
        ("local-cluster[2,1,1024]", "", {"spark.executorEnv.PYTHONPATH": "ipdsf"}),
    ],
)
def test_executors_of_a_cluster_import_from_what_was_shipped(master: str, path: str, expected: dict[str, str]) -> None:
    assert shipping_settings(master, path) == expected
