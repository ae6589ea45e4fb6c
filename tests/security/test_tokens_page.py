"""What the page on security says of tokens: its settings load, its commands run, its properties are the broker's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from identity_provider import AUDIENCE, Client, Provider

from ipdsf_spark.config import load
from ipdsf_spark.devkafka import fetch
from ipdsf_spark.devkafka.nodes import Tokens
from ipdsf_spark.devkafka.processes import ALLOWED_URLS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## Tokens instead of passwords") : PAGE.index("## Refusals")]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", SECTION, flags=re.MULTILINE | re.DOTALL)
    return str(found)


class KnownByFolder(dict[str, Client]):
    """Clients of a provider whose administrator enters what `ipdsf security init` has drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, otherwise: object = None) -> Client | None:  # type: ignore[override]
        secret = self.folder / name / "password"
        return Client(name, secret.read_text()) if secret.is_file() else None


@pytest.mark.long
@pytest.mark.kafka
@pytest.mark.slow
def test_the_commands_of_the_page_run_in_their_order(provider: Provider, instrument: Path, tmp_path: Path) -> None:
    own = {
        "oauth_token_url": provider.token_url,
        "oauth_ca_location": str(provider.authority),
        "oauth_jwks_url": provider.keys_url,
        "oauth_issuer": provider.issuer,
        "oauth_audience": AUDIENCE,
        "oauth_user_claim": "client_id",
    }
    shown = block("toml")
    for key, value in own.items():
        shown, num = re.subn(rf'(?m)^{key} = "[^"]*"', f"{key} = {json.dumps(value)}", shown)
        assert num == 1, key
    (tmp_path / "provider.toml").write_text(shown)
    (tmp_path / "instrument").symlink_to(instrument)
    provider.clients = KnownByFolder(tmp_path / "sec")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    cache = fetch.cache_directory().parents[1]
    environment = os.environ | {"PATH": programs, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(cache)}

    try:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block("bash")],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        subprocess.run(["ipdsf", "broker", "stop"], cwd=tmp_path, env=environment, capture_output=True, check=False)

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "delivered 3" in ended.stdout
    assert (
        f"# edge-munich: OAUTHBEARER, client secret in {tmp_path / 'sec' / 'edge-munich' / 'password'}" in ended.stdout
    )
    assert f"sasl.oauthbearer.expected.issuer={provider.issuer}" in ended.stdout
    for secret in (tmp_path / "sec").glob("*/password"):
        assert secret.read_text() not in ended.stdout + ended.stderr
    assert {each.name for each in provider.given} == {"edge-oslo"}


def test_the_properties_of_the_page_are_those_of_the_embedded_broker(tmp_path: Path) -> None:
    (tmp_path / "provider.toml").write_text(block("toml"))
    told = load(tmp_path / "provider.toml").broker
    tokens = Tokens(told.oauth_jwks_url, told.oauth_issuer, told.oauth_audience, told.oauth_user_claim)

    shown = dict(line.split("=", 1) for line in block("properties").splitlines())

    assert shown == {name: str(value) for name, value in tokens.settings().items()}
    assert f"`-D{ALLOWED_URLS}={tokens.keys_url}`" in SECTION


def test_every_key_of_the_page_exists() -> None:
    told = tomllib.loads(block("toml"))
    config = load()

    named = [(section, key) for section, keys in told.items() for key in keys]
    named += re.findall(r"`(kafka|broker)\.(\w+)`", SECTION)
    assert len(named) >= 12
    for section, key in named:
        assert hasattr(getattr(config, section), key), f"{section}.{key}"
