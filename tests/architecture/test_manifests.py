"""Manifests of Kubernetes and units of systemd: what their programs ask of them, by those programs where they are."""

from __future__ import annotations

import configparser
import copy
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import load

# What the schema of each kind requires, as paths; the operator's (v1beta2) for its own.
REQUIRED = {
    "ServiceAccount": [],
    "Role": ["rules"],
    "RoleBinding": ["roleRef.apiGroup", "roleRef.kind", "roleRef.name", "subjects"],
    "PersistentVolumeClaim": ["spec.accessModes", "spec.resources.requests.storage"],
    "NetworkPolicy": ["spec.podSelector", "spec.policyTypes", "spec.ingress"],
    "SparkApplication": [
        "spec.type", "spec.mode", "spec.sparkVersion", "spec.image", "spec.mainApplicationFile",
        "spec.restartPolicy.type",
        "spec.driver.serviceAccount", "spec.driver.cores", "spec.driver.memory",
        "spec.executor.instances", "spec.executor.cores", "spec.executor.memory",
    ],
}  # fmt: skip


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def composed(folder: Path) -> list[dict[str, Any]]:
    """What the kustomization makes of its resources: a namespace, and the tags of images."""
    (whole,) = documents((folder / "kustomization.yaml").read_text("utf-8"))
    assert whole.keys() == {"apiVersion", "kind", "namespace", "resources", "images"}
    made = [each for name in whole["resources"] for each in documents((folder / name).read_text("utf-8"))]
    made = copy.deepcopy(made)
    for document in made:
        document["metadata"]["namespace"] = whole["namespace"]
        for subject in document.get("subjects", []):
            subject["namespace"] = whole["namespace"]
    return made


def at(document: dict[str, Any], path: str) -> Any:
    """The value below a path; None if there is none."""
    found: Any = document
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


@pytest.fixture
def manifests(repository: Path) -> list[dict[str, Any]]:
    """Everything that is applied, the training included."""
    folder = repository / "deploy" / "kubernetes"
    return [*composed(folder), *documents((folder / "train.yaml").read_text("utf-8"))]


def test_a_manifest_has_what_its_kind_requires(manifests: list[dict[str, Any]]) -> None:
    assert {document["kind"] for document in manifests} == REQUIRED.keys()
    for document in manifests:
        assert document["apiVersion"]
        assert document["metadata"].keys() & {"name", "generateName"}
        missing = [path for path in REQUIRED[document["kind"]] if at(document, path) in (None, "", [])]
        assert missing == [], document["metadata"]


def test_kustomize_makes_of_them_what_is_checked_here(repository: Path) -> None:
    folder = repository / "deploy" / "kubernetes"
    expected = composed(folder)
    assert len({(each["kind"], each["metadata"]["name"]) for each in expected}) == len(expected) >= 7
    if shutil.which("kubectl"):
        ended = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

        made = documents(ended.stdout)

        def order(document: dict[str, Any]) -> tuple[str, str]:
            return document["kind"], document["metadata"]["name"]

        assert sorted(made, key=order) == sorted(expected, key=order)


def test_the_driver_alone_is_given_the_files_of_its_login_and_is_told_where_they_lie(
    repository: Path, manifests: list[dict[str, Any]]
) -> None:
    (stream,) = (each for each in manifests if each["metadata"].get("name") == "ipdsf-stream")
    page = (repository / "docs" / "clusters" / "kubernetes.md").read_text(encoding="utf-8")
    mounts = {each["name"]: each["path"] for each in stream["spec"]["driver"]["secrets"]}
    folder = mounts["ipdsf-kafka-tls"]
    (made,) = re.findall(r"create secret generic ipdsf-kafka-tls (.*)", page)

    words = stream["spec"]["arguments"]
    kafka = load(overrides=[word for word in words if word.startswith("kafka.")]).kafka

    held = {f"{folder}/{Path(name).name}" for name in re.findall(r"--from-file=(\S+)", made)}
    assert {kafka.ssl_ca_location, kafka.ssl_certificate_location, kafka.ssl_key_location} == held
    assert not stream["spec"]["executor"].keys() & {"secrets", "env"}


def test_the_stream_reads_the_topics_that_the_folder_of_its_login_speaks_of(
    tmp_path: Path, manifests: list[dict[str, Any]]
) -> None:
    assert main(["security", "init", str(tmp_path / "sec"), "--site", "oslo"]) == 0
    (stream,) = (each for each in manifests if each["metadata"].get("name") == "ipdsf-stream")
    words = stream["spec"]["arguments"]
    told = load(tmp_path / "sec" / "stream" / "kafka.toml").kafka

    given = load(overrides=[word for word in words if word.startswith("kafka.")]).kafka

    assert (given.topic_per_site, given.group_prefix) == (told.topic_per_site, told.group_prefix)


def test_whoever_runs_in_the_image_may_write_to_the_volume(repository: Path, manifests: list[dict[str, Any]]) -> None:
    image = (repository / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"^USER (\d+)$", image, flags=re.MULTILINE)
    for application in (each for each in manifests if each["kind"] == "SparkApplication"):
        for role in ("driver", "executor"):
            assert application["spec"][role]["volumeMounts"]
            assert at(application, f"spec.{role}.podSecurityContext.fsGroup") == int(user), role


def test_nobody_but_executors_and_prometheus_reaches_a_driver_and_its_pages(manifests: list[dict[str, Any]]) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests if each["kind"] == "NetworkPolicy"}
    (stream,) = (each for each in manifests if each["metadata"].get("name") == "ipdsf-stream")
    (port,) = stream["spec"]["driver"]["ports"]
    executors, prometheus = policies["ipdsf-driver"]["ingress"]

    assert all(policy["policyTypes"] == ["Ingress"] for policy in policies.values())
    assert policies["ipdsf-driver"]["podSelector"]["matchLabels"] == {"spark-role": "driver"}  # set by Spark
    assert executors == {"from": [{"podSelector": {"matchLabels": {"spark-role": "executor"}}}]}
    assert [each["port"] for each in prometheus["ports"]] == [port["containerPort"]]
    assert prometheus["from"][0].keys() == {"namespaceSelector", "podSelector"}  # both, in one entry
    assert f"monitoring.listen=0.0.0.0:{port['containerPort']}" in stream["spec"]["arguments"]
    for application in (each for each in manifests if each["kind"] == "SparkApplication"):
        assert application["spec"]["sparkConf"]["spark.ui.enabled"] == "false"


def units(repository: Path) -> Iterator[tuple[Path, configparser.RawConfigParser]]:
    for path in sorted((repository / "deploy" / "systemd").glob("*.service")):
        read = configparser.RawConfigParser(strict=False, interpolation=None)
        read.optionxform = str  # type: ignore[assignment,method-assign]
        read.read_string(path.read_text(encoding="utf-8"))
        yield path, read


def test_a_unit_has_what_keeps_it_running_and_out_of_the_way(repository: Path) -> None:
    found = list(units(repository))
    assert len(found) == 2
    for path, unit in found:
        service = unit["Service"]
        assert unit["Unit"]["Description"], path
        assert unit["Install"]["WantedBy"] == "multi-user.target"
        assert (service["User"], service["Restart"], service["NoNewPrivileges"]) == ("ipdsf", "always", "yes")
        assert (service["ProtectSystem"], service["StateDirectory"]) == ("strict", "ipdsf")
        assert re.fullmatch(r"\d+", service["TimeoutStopSec"])


def test_systemd_takes_the_units(repository: Path, tmp_path: Path) -> None:
    checked = []
    for path, unit in units(repository):
        command = unit["Service"]["ExecStart"].split()[0]
        program = tmp_path / command.lstrip("/")  # systemd looks whether it is there
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        checked.append(tmp_path / path.name)
        checked[-1].write_text(path.read_text("utf-8").replace(f"ExecStart={command}", f"ExecStart={program}"))
    assert checked
    if shutil.which("systemd-analyze"):
        ended = subprocess.run(["systemd-analyze", "verify", *checked], capture_output=True, text=True, check=False)

        assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
