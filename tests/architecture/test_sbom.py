"""The bill of materials names what is installed, with a licence and the hashes that the lock allows."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("kafka-clients-4.1.0.jar", "kafka-clients", "4.1.0"),
        ("log4j-1.2-api-2.24.3.jar", "log4j-1.2-api", "2.24.3"),
        ("zstd-jni-1.5.6-9.jar", "zstd-jni", "1.5.6-9"),
        ("guava-33.4.0-jre.jar", "guava", "33.4.0-jre"),
        ("spark-sql-kafka-0-10_2.13-4.0.0.jar", "spark-sql-kafka-0-10_2.13", "4.0.0"),
        ("netty-kqueue-4.1.118.Final-osx-x86_64.jar", "netty-kqueue", "4.1.118.Final-osx-x86_64"),
        ("javax.inject-1.jar", "javax.inject", "1"),
        ("tools.jar", "tools", "unknown"),
    ],
)
def test_a_jar_is_called_by_its_name_and_its_version(
    repository: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str, version: str
) -> None:
    monkeypatch.syspath_prepend(repository / "scripts")

    assert importlib.import_module("sbom").named(file) == (name, version)


def test_the_bill_names_every_package_and_the_jars(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "sbom.json"
    subprocess.run([sys.executable, repository / "scripts" / "sbom.py", "--output", output], check=True)

    bill = json.loads(output.read_text(encoding="utf-8"))

    held = {component["name"]: component for component in bill["components"]}
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert len({component["bom-ref"] for component in bill["components"]}) == len(bill["components"])
    for name in ("numpy", "confluent-kafka", "pyspark"):
        assert held[name]["version"] == metadata.version(name)
        assert held[name]["licenses"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", each["content"]) for each in held[name]["hashes"])
    assert held["kafka-clients"]["hashes"]
    assert held["kafka-clients"]["purl"].startswith("pkg:maven/org.apache.kafka/kafka-clients@")
    assert not re.search(r"/(home|root|work|tmp)/", json.dumps(bill))
