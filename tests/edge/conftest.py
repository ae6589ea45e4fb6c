"""A node beside an instrument, without network and with a real Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from edge_node import Node, sha256_of, topic

from ipdsf_spark.kafka import ensure_topics


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node without network."""
    (tmp_path / "instrument").mkdir()
    return Node(tmp_path)


@pytest.fixture
def connected(node: Node, kafka: Any, request: pytest.FixtureRequest) -> Node:
    """A node with Kafka and topics of its own."""
    node.kafka = topic(f"edge-{sha256_of(request.node.name.encode())[:10]}")
    node.bootstrap = kafka.bootstrap_servers
    ensure_topics(node.kafka, node.bootstrap)
    return node
