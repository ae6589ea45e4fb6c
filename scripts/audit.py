"""Known weaknesses of what the bill of materials names, asked of an OSV database (osv.dev, which holds PyPI and Maven).

python scripts/audit.py out/sbom.json             ask, and say what was found
python scripts/audit.py out/sbom.json --strict    exit code 1 if something was found, 3 if nobody could be asked

OSV_URL names another server of the same interface, such as a mirror inside a closed network. Packages are told to it by
name and version, nothing else. Where it cannot be reached within its time this says "not audited" and why: a database
that changes by itself, or a network that is away, is no reason for a change to fail.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

SERVER: Final = "https://api.osv.dev"
AT_ONCE: Final = 500  # packages in a question
TIMEOUT_S: Final = 15.0  # of one answer
LIMIT_S: Final = 120.0  # of all
KINDS: Final = ("pkg:pypi/", "pkg:maven/")


class NotAuditedError(Exception):
    """Nobody could be asked; the message says why."""


@dataclass(frozen=True)
class Finding:
    """A weakness of a package.

    Attributes:
        package: its purl, with the version.
        name: of the weakness, a CVE where it has one.
        summary: one line.
        fixed_in: versions that do not have it, as far as known.
    """

    package: str
    name: str
    summary: str
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        """As a line of a log."""
        fixed = f"; fixed in {', '.join(self.fixed_in)}" if self.fixed_in else ""
        return f"{self.package.removeprefix('pkg:')}: {self.name} {self.summary}{fixed}"


def main(argv: Sequence[str] | None = None) -> int:
    """Ask and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bill", type=Path, help="CycloneDX JSON of scripts/sbom.py")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for findings, 3 where nobody was asked")
    args = parser.parse_args(argv)
    bill = json.loads(args.bill.read_text(encoding="utf-8"))
    packages = packages_of(bill)
    server = os.environ.get("OSV_URL", SERVER).rstrip("/")
    try:
        findings = audit(packages, server)
    except NotAuditedError as error:
        print(f"not audited: {error}")
        return 3 if args.strict else 0
    for finding in findings:
        print(finding)
    others = len(bill["components"]) - len(packages)
    print(f"audited: {len(packages)} packages by {server}, {len(findings)} known weaknesses; not asked about: {others} "
          "that state no coordinates")  # fmt: skip
    return 1 if args.strict and findings else 0


def packages_of(bill: dict[str, Any]) -> list[str]:
    """Package URLs of a bill that the database knows the kind of."""
    purls = (str(component.get("purl", "")) for component in bill["components"])
    return sorted({purl for purl in purls if purl.startswith(KINDS)})


def audit(packages: Sequence[str], server: str) -> list[Finding]:
    """What is known of these packages.

    Raises:
        NotAuditedError: the server does not answer, or not as OSV does.
    """
    deadline = time.monotonic() + LIMIT_S
    try:
        found = dict(weaknesses(packages, server, deadline))
        names = sorted({name for held in found.values() for name in held})
        details = {name: asked(f"{server}/v1/vulns/{name}", None, deadline) for name in names}
        return [finding(package, details[name]) for package, held in found.items() for name in sorted(held)]
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "reason", None) or error
        raise NotAuditedError(f"{server}: {reason} ({type(error).__name__})") from error


def weaknesses(packages: Sequence[str], server: str, deadline: float) -> Iterator[tuple[str, set[str]]]:
    """Names of weaknesses by package; packages without any are left out."""
    for start in range(0, len(packages), AT_ONCE):
        part = packages[start : start + AT_ONCE]
        queries: list[dict[str, Any]] = [{"package": {"purl": purl}} for purl in part]
        held: dict[str, set[str]] = {}
        while queries:
            results = asked(f"{server}/v1/querybatch", {"queries": queries}, deadline)["results"]
            further = []
            for query, result in zip(queries, results, strict=True):
                purl = query["package"]["purl"]
                held.setdefault(purl, set()).update(str(each["id"]) for each in result.get("vulns", ()))
                if token := result.get("next_page_token"):
                    further.append({**query, "page_token": token})
            queries = further
        yield from ((purl, names) for purl, names in held.items() if names)


def finding(package: str, told: dict[str, Any]) -> Finding:
    """A weakness as OSV tells it."""
    names = [str(told["id"]), *map(str, told.get("aliases", ()))]
    name = next((each for each in names if each.startswith("CVE-")), names[0])
    summary = str(told.get("summary") or told.get("details") or "").strip().partition("\n")[0][:160]
    wanted = package.partition("@")[0]
    events = (
        event
        for affected in told.get("affected", ())
        if str(affected.get("package", {}).get("purl", wanted)) == wanted
        for each in affected.get("ranges", ())
        if each.get("type") != "GIT"
        for event in each.get("events", ())
    )
    return Finding(package, name, summary, tuple(sorted({str(event["fixed"]) for event in events if "fixed" in event})))


def asked(url: str, question: dict[str, Any] | None, deadline: float) -> dict[str, Any]:
    """The answer to a question, as JSON.

    Raises:
        OSError, ValueError: there is none, none in time, or it is not JSON.
    """
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError(f"no answer to everything within {LIMIT_S:.0f} s")
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=min(TIMEOUT_S, left_s)) as answer:
        said = json.load(answer)
    if not isinstance(said, dict):
        raise ValueError("the answer is none of OSV")
    return said


if __name__ == "__main__":
    sys.exit(main())
