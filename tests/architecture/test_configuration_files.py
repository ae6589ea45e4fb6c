"""The files of conf/ and the dataclasses describe the same keys; defaults stand in the dataclasses alone."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from ipdsf_spark.config import Config, load
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.sites import load_sites
from ipdsf_spark.spark.session import CONNECTORS_ENV, kafka_package
from ipdsf_spark.spark.versions import of_spark

CONF = Path(__file__).resolve().parents[2] / "conf"
DIFFERENCES = sorted(path.name for path in CONF.glob("*.toml") if path.name not in {"base.toml", "sites.toml"})


def keys_of(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, keys in tables.items() for key, value in keys.items()}


def base() -> dict[str, Any]:
    """What base.toml would set without the # before every key."""
    text = (CONF / "base.toml").read_text(encoding="utf-8")
    return keys_of(tomllib.loads(re.sub(r"(?m)^# (?=\w+ *= )", "", text)))


def defaults() -> dict[str, Any]:
    return keys_of(
        {section.name: dataclasses.asdict(getattr(Config(), section.name)) for section in dataclasses.fields(Config)}
    )


def test_base_sets_nothing_so_that_a_default_stands_in_the_code_alone() -> None:
    assert keys_of(tomllib.loads((CONF / "base.toml").read_text(encoding="utf-8"))) == {}


def test_base_names_every_key_of_the_dataclasses_and_no_other() -> None:
    assert set(base()) == {
        f"{s}.{f.name}" for s, kind in get_type_hints(Config).items() for f in dataclasses.fields(kind)
    }


def test_base_states_the_defaults_of_the_dataclasses() -> None:
    stated = {key: tuple(value) if isinstance(value, list) else value for key, value in base().items()}

    assert stated == defaults()


def test_every_key_of_base_has_a_comment() -> None:
    lines = (CONF / "base.toml").read_text(encoding="utf-8").splitlines()
    bare = [
        f"base.toml:{number}: {line}"
        for number, line in enumerate(lines, start=1)
        if re.match(r"# \w+ *= ", line) and "#" not in line[1:] and not re.match(r"# (?!\w+ *= )", lines[number - 2])
    ]

    assert not bare, "\n".join(bare)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_file_of_differences_loads(name: str) -> None:
    load(CONF / name)


@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_file_of_differences_holds_nothing_else(name: str) -> None:
    stated = keys_of(tomllib.loads((CONF / name).read_text(encoding="utf-8")))

    assert stated
    assert not {key: value for key, value in stated.items() if base()[key] == value}


def test_set_up_fetches_the_connectors_that_sessions_ask_for(repository: Path) -> None:
    said = subprocess.run([sys.executable, "-m", "ipdsf_spark.spark.versions"], capture_output=True, text=True,
                          check=True, cwd=repository).stdout  # fmt: skip

    assert said.split() == [kafka_package(load()), of_spark().delta]


def test_the_connector_that_stands_in_the_image_is_not_fetched(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = kafka_package(load())
    assert f"{CONNECTORS_ENV}=1" in (repository / "deploy" / "Dockerfile").read_text(encoding="utf-8")

    monkeypatch.setenv(CONNECTORS_ENV, "1")

    for master in ("", "local[6]", "k8s://https://cluster:6443"):
        assert kafka_package(load(), master) == ""
    for master in ("spark://host:7077", "yarn", "local-cluster[2,1,1024]"):  # executors have a Spark of their own
        assert kafka_package(load(), master) == wanted
    assert kafka_package(load(overrides=["stream.kafka_package=org.example:other:1"])) == "org.example:other:1"


def test_a_spark_that_the_project_was_never_run_on_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"this is Spark 3\.5\.1; the project runs on 4\.0 and 4\.2"):
        of_spark("3.5.1")


def test_both_a_laptop_and_a_cluster_are_described() -> None:
    assert {"local.toml", "cluster.toml"} <= set(DIFFERENCES)


def test_the_table_of_sites_loads_and_comments_every_key() -> None:
    text = (CONF / "sites.toml").read_text(encoding="utf-8")
    explained = set(re.findall(r"^#   (\w+)  ", text, flags=re.MULTILINE))

    assert load_sites(CONF / "sites.toml")
    assert set(re.findall(r"^(\w+) *=", text, flags=re.MULTILINE)) <= explained


def test_a_cluster_keeps_two_copies_and_is_encrypted() -> None:
    kafka = load(CONF / "cluster.toml").kafka

    assert kafka.replication_factor == 2
    assert kafka.security_protocol == "SASL_SSL"


def test_no_secret_stands_in_a_configuration_file() -> None:
    suspicious = re.compile(r"(?i)^\s*\S*(password|secret|token|api_?key)\S*\s*[=\s]\s*(?P<value>\S+)", re.MULTILINE)
    for path in sorted(CONF.iterdir()):
        for match in suspicious.finditer(path.read_text(encoding="utf-8")):
            # The name of an environment variable, or nothing, is all that may stand here.
            assert re.fullmatch(r'"([A-Z][A-Z0-9_]*)?"', match["value"]), f"{path.name}: {match[0]}"
