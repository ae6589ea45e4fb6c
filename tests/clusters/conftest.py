"""A standalone cluster of two workers for all tests of the room; their hosts lack the project."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ipdsf_spark.devkafka.nodes import free_ports
from ipdsf_spark.spark.standalone import StandaloneCluster
from tests.clusters.bare_hosts import bare_environment, bare_python


@dataclass(frozen=True)
class Hosts:
    """Workers, and what a host is told and holds.

    Attributes:
        cluster: a master and two workers of a core each.
        python: of the hosts, without the project.
        folder: mounted everywhere, and home of the hosts.
    """

    cluster: StandaloneCluster
    python: Path
    folder: Path


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    folder = tmp_path_factory.mktemp("hosts")
    python = bare_python(folder / "bare")
    with StandaloneCluster(folder / "cluster", free_ports(1)[0], environment=bare_environment(folder)) as cluster:
        yield Hosts(cluster, python, folder)
