"""A software bill of materials of this environment as CycloneDX 1.5 JSON, and the licences of everything in it.

python scripts/sbom.py --output out/sbom.json     packages with version, licence and hashes of the lock; jars
python scripts/sbom.py --licences                 a table, one package a line

Only what is installed is read: package metadata, requirements/lock.txt, and the jars of Spark, its connectors and the
embedded Kafka; a jar that says by which Maven coordinates it is known is named by them, as scanners ask for. Known
weaknesses are no part of it: scripts/audit.py asks a database of them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

REPOSITORY: Final = Path(__file__).resolve().parents[1]
# `log4j-1.2-api-2.24.3`, `zstd-jni-1.5.6-9`: a version has a dot, and is the last thing that has; or it is one number.
JARS: Final = (
    re.compile(r"(?P<name>.+)-(?P<version>\d+\.\w[\w.]*(?:-\w+)*)\.jar"),
    re.compile(r"(?P<name>.+)-(?P<version>\d+)\.jar"),
)
GROUPS: Final = {"kafka": "org.apache.kafka"}  # of jars that state no coordinates and do not carry them in their name
UNKNOWN: Final = "not stated"


def main() -> int:
    """Write the bill, or the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="file for the JSON (default: standard output)")
    parser.add_argument("--licences", action="store_true", help="a table of licences instead")
    args = parser.parse_args()
    packages = list(installed())
    if args.licences:
        for package in packages:
            print(f"{package['name']:<32} {package['version']:<16} {licence_of(package)}")
        return 0
    held = list(jars())
    text = json.dumps(bill([*packages, *held]), indent=1, ensure_ascii=False) + "\n"
    if args.output is None:
        print(text, end="")
        return 0
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(text, encoding="utf-8")
    print(f"{args.output}: {len(packages)} packages, {len(held)} jars", file=sys.stderr)
    return 0


def bill(components: list[dict[str, Any]]) -> dict[str, Any]:
    """The document; its serial number follows from what is in it, so that equal environments have equal ones."""
    listed = json.dumps(components, sort_keys=True)
    version = metadata.version("ipdsf-spark")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, hashlib.sha256(listed.encode()).hexdigest())}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "application", "name": "ipdsf-spark", "version": version, "bom-ref": "ipdsf-spark"},
        },
        "components": components,
    }


def installed() -> Iterator[dict[str, Any]]:
    """Every Python package of this environment, by name."""
    hashes = locked()
    found = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name and name != "ipdsf-spark":
            found[name] = distribution
    for name, distribution in sorted(found.items()):
        reference = f"pkg:pypi/{name}@{distribution.version}"
        component: dict[str, Any] = {
            "type": "library", "bom-ref": reference, "name": name, "version": distribution.version, "purl": reference,
            "licenses": licences(distribution),
        }  # fmt: skip
        if held := hashes.get((name, distribution.version)):
            component["hashes"] = [{"alg": "SHA-256", "content": content} for content in held]
        yield component


def licences(distribution: metadata.Distribution) -> list[dict[str, Any]]:
    """The licence as an SPDX expression where the package states one, else under the name that it gives."""
    said = distribution.metadata
    if expressions := said.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    classified = [
        line.rpartition("::")[2].strip() for line in said.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    names = [name for name in classified if name != "OSI Approved"]
    free = (said.get_all("License") or [""])[0].strip().splitlines()
    return [{"license": {"name": name}} for name in names or [line[:80] for line in free[:1]] or [UNKNOWN]]


def licence_of(package: dict[str, Any]) -> str:
    """Its licences on one line."""
    return ", ".join(each.get("expression") or each["license"]["name"] for each in package["licenses"])


def locked() -> dict[tuple[str, str], list[str]]:
    """Name and version to the SHA-256 of every file that the lock allows."""
    found: dict[tuple[str, str], list[str]] = {}
    current: list[str] = []
    for line in (REPOSITORY / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;\\]+)", line):
            current = found.setdefault((re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]), [])
        elif match := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            current.append(match[1])
    return found


def jars() -> Iterator[dict[str, Any]]:
    """Every jar of Spark, of the packages that Spark has fetched, and of the embedded Kafka."""
    from ipdsf_spark.devkafka.fetch import cache_directory

    spark = Path(str(metadata.distribution("pyspark").locate_file("pyspark"))) / "jars"
    fetched = sorted(Path.home().glob(".ivy2*/jars"))
    seen = set()
    for folder in (spark, cache_directory(), *fetched):
        for path in sorted(folder.glob("*.jar")):
            name, version = named(path.name.partition("_")[2] if folder in fetched else path.name)
            group = path.name.partition("_")[0] if folder in fetched else GROUPS.get(re.split("[-_]", name)[0])
            reference = coordinates_of(path, name)
            reference = reference or (f"pkg:maven/{group}/" if group else "pkg:generic/") + f"{name}@{version}"
            if reference in seen:
                continue
            seen.add(reference)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            yield {
                "type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference,
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }  # fmt: skip


def named(file: str) -> tuple[str, str]:
    """Name and version of a jar, as its file is called."""
    match = next((match for each in JARS if (match := each.fullmatch(file))), None)
    return (match["name"], match["version"]) if match else (file.removesuffix(".jar"), "unknown")


def coordinates_of(jar: Path, name: str) -> str:
    """`pkg:maven/group/artifact@version` as the jar says it of itself; empty where it does not."""
    with zipfile.ZipFile(jar) as archive:
        for entry in archive.namelist():
            if re.fullmatch(r"META-INF/maven/[^/]+/[^/]+/pom\.properties", entry):
                said = dict(re.findall(r"^(\w+)=(\S+)", archive.read(entry).decode(errors="replace"), re.MULTILINE))
                if said.get("artifactId") == name and {"groupId", "version"} <= set(said):
                    return f"pkg:maven/{said['groupId']}/{name}@{said['version']}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
