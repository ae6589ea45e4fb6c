"""The bill of materials names what is installed, with a licence and the hashes that the lock allows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path


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
    assert not re.search(r"/(home|root|work|tmp)/", json.dumps(bill))
