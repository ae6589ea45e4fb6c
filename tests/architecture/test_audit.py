"""The audit says what a database knows of the packages, and that nobody was asked where nobody was."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

BILL = {"components": [{"purl": f"pkg:{each}"} for each in ("pypi/jinja2@3.1.0", "pypi/numpy@1.26.4", "generic/ivy@2")]}
WEAKNESS = {
    "id": "GHSA-xxxx",
    "aliases": ["CVE-2099-1"],
    "summary": "escapes nothing",
    "affected": [
        {"package": {"purl": "pkg:pypi/jinja2"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "3.1.6"}]}]},
        {"package": {"purl": "pkg:npm/jinja2"}, "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9"}]}]},
    ],
}


class Database(BaseHTTPRequestHandler):
    """Of OSV's interface what an audit asks: batches, which come in pages, and single weaknesses."""

    answers: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        known = self.answers["known"]
        results = []
        for query in queries:
            names = known.get(query["package"]["purl"], [])
            first = not query.get("page_token")
            found = names[:1] if first else names[1:]
            results.append(
                {"vulns": [{"id": name} for name in found]} | ({"next_page_token": "2"} if first and names[1:] else {})
            )
        self.say({"results": results})

    def do_GET(self) -> None:
        self.say({**WEAKNESS, "id": self.path.rpartition("/")[2]})

    def say(self, answer: dict[str, Any]) -> None:
        text = self.answers.get("instead", json.dumps(answer)).encode()
        self.send_response(self.answers.get("status", 200))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the database answers; it knows nothing at first."""
    server = HTTPServer(("127.0.0.1", 0), Database)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{server.server_port}/")
    Database.answers = {"known": {}}
    yield Database.answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def audit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", repository / "scripts" / "audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "audit", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bill(tmp_path: Path) -> str:
    path = tmp_path / "sbom.json"
    path.write_text(json.dumps(BILL), encoding="utf-8")
    return str(path)


def test_a_known_weakness_is_named_with_the_version_that_has_it_no_more(
    audit: ModuleType, bill: str, database: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    database["known"] = {"pkg:pypi/jinja2@3.1.0": ["GHSA-xxxx"]}

    assert audit.main([bill]) == 0
    said = capsys.readouterr().out.splitlines()

    assert said[0] == "pypi/jinja2@3.1.0: CVE-2099-1 escapes nothing; fixed in 3.1.6"
    assert "audited: 2 packages" in said[1] and "1 known weaknesses; not asked about: 1 that" in said[1]
    assert audit.main([bill, "--strict"]) == 1


def test_a_package_with_more_weaknesses_than_a_page_holds_is_told_whole(
    audit: ModuleType, bill: str, database: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    database["known"] = {"pkg:pypi/numpy@1.26.4": ["GHSA-1", "GHSA-2", "GHSA-3"]}

    audit.main([bill])

    assert capsys.readouterr().out.count("pypi/numpy@1.26.4") == 3


def test_nothing_known_is_said_as_such(
    audit: ModuleType, bill: str, database: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main([bill, "--strict"]) == 0
    assert "audited: 2 packages" in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [{"status": 503}, {"status": 404}, {"instead": "<html>"}, {"instead": "[]"}, {"instead": '{"results": []}'},
     {"instead": '{"results": [1, 2]}'}, {"instead": "{}"}],
)  # fmt: skip
def test_a_server_that_answers_otherwise_is_no_audit(
    audit: ModuleType, bill: str, database: dict[str, Any], answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    database.update(answer)

    assert audit.main([bill]) == 0
    assert capsys.readouterr().out.startswith("not audited: http://127.0.0.1")
    assert audit.main([bill, "--strict"]) == 3


def test_a_server_that_is_away_is_no_audit(
    audit: ModuleType, bill: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OSV_URL", "http://127.0.0.1:9")  # the discard port: nobody listens

    assert audit.main([bill]) == 0
    assert "refused" in capsys.readouterr().out


def test_an_audit_ends_however_slow_the_answers(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "LIMIT_S", 0.0)

    with pytest.raises(audit.NotAuditedError, match="no answer to everything"):
        audit.audit(["pkg:pypi/numpy@1"], "http://127.0.0.1:9")
