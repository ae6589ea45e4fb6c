"""The nodes of an embedded cluster: which there are, where they listen, what their settings are."""

from __future__ import annotations

import json
import socket
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ipdsf_spark.errors import BrokerError

CONTROLLER_ID: Final = 100
STATE_FILE: Final = "cluster.json"
OAUTH: Final = "org.apache.kafka.common.security.oauthbearer"
SESSION_MS: Final = 3_600_000
PASSWORDS: Final[Mapping[str, object]] = MappingProxyType(
    {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }
)


@dataclass(frozen=True)
class Tokens:
    """How brokers check a token (JWT, RFC 7519) that a provider of identities has signed.

    Attributes:
        keys_url: where the provider's public keys are (JWKS, RFC 7517).
        issuer: what `iss` has to be.
        audience: what must be in `aud`.
        user_claim: the claim that holds the user's name in Kafka.
        ca: certificates to trust at `keys_url`, PEM; None = those of the Java.
    """

    keys_url: str
    issuer: str
    audience: str
    user_claim: str = "sub"
    ca: Path | None = None

    def settings(self) -> dict[str, object]:
        """Of server.properties.

        A session ends with its token, or after an hour: clients show a new token on the connection that they have.
        Kafka logs a listener in as it does a client and hands the login every option; the one that trusts a file needs
        a name beside it, which no broker uses, because brokers know each other by certificate. The validator is named
        because that of Kafka 4.1.0 and 4.1.1 takes every token for genuine (CVE-2026-33557).
        """
        own = "listener.name.client.oauthbearer"
        login = f"{OAUTH}.OAuthBearerLoginModule required"
        if self.ca is not None:
            ca = str(self.ca).replace("\\", "\\\\").replace('"', '\\"')
            login += f' unsecuredLoginStringClaim_sub="nobody" ssl.truststore.type="PEM" ssl.truststore.location="{ca}"'
        return {
            "sasl.enabled.mechanisms": "OAUTHBEARER",
            f"{own}.sasl.jaas.config": f"{login};",
            f"{own}.sasl.server.callback.handler.class": f"{OAUTH}.OAuthBearerValidatorCallbackHandler",
            f"{own}.connections.max.reauth.ms": SESSION_MS,
            "sasl.oauthbearer.jwt.validator.class": f"{OAUTH}.BrokerJwtValidator",
            "sasl.oauthbearer.jwks.endpoint.url": self.keys_url,
            "sasl.oauthbearer.expected.issuer": self.issuer,
            "sasl.oauthbearer.expected.audience": self.audience,
            "sasl.oauthbearer.sub.claim.name": self.user_claim,
        }


@dataclass(frozen=True)
class Protection:
    """What a cluster needs to let in only those it knows: mutual TLS everywhere, a login beside it for clients, ACLs.

    Attributes:
        ca: certificate of the CA that signs everybody's.
        broker: key and certificate of the brokers, in one PEM file.
        admin: folder with the `certificate.pem` and `key.pem` of the administrator.
        superusers: names that no ACL binds.
        tokens: how clients' tokens are checked (OAUTHBEARER); None = clients log in with a password (SCRAM).
    """

    ca: Path
    broker: Path
    admin: Path
    superusers: tuple[str, ...]
    tokens: Tokens | None = None

    def client_options(self) -> dict[str, str]:
        """Login of the administrator at the inner listener, for librdkafka."""
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.ca),
            "ssl.certificate.location": str(self.admin / "certificate.pem"),
            "ssl.key.location": str(self.admin / "key.pem"),
        }

    def settings(self) -> dict[str, object]:
        """Of server.properties. A certificate's common name is its bearer's name in Kafka."""
        return {
            "listener.security.protocol.map": "CONTROLLER:SSL,INNER:SSL,CLIENT:SASL_SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self.ca,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self.broker,
            "ssl.client.auth": "required",
            "listener.name.client.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": ";".join(f"User:{name}" for name in self.superusers),
            **(self.tokens.settings() if self.tokens is not None else PASSWORDS),
        }


@dataclass(frozen=True)
class Node:
    """One process of the cluster."""

    id: int
    roles: str
    port: int  # of the broker's listener; the controller's for a controller-only node
    controller_port: int
    directory: str
    pid: int = 0
    login_port: int = 0  # of a listener with SASL/PLAIN, 0 = there is none
    inner_port: int = 0  # of the listener that a secured cluster keeps for itself and its administrator
    host: str = "localhost"  # where it listens
    controller_host: str = "localhost"
    rack: str = ""  # clients of the same one read from this node's copies
    keys_url: str = ""  # where it fetches the keys that tokens are checked with

    @property
    def is_broker(self) -> bool:
        """Whether clients talk to it."""
        return "broker" in self.roles


def planned(directory: Path, brokers: int, *, is_secured: bool = False) -> list[Node]:
    """The nodes to start: those of the last run with their ports if these are free, else new ones.

    Raises:
        BrokerError: the folder holds a cluster of another size.
    """
    held = recorded_ports(directory)
    if held and len(held) != 2 * brokers + 1 and (directory / "node-1" / "data" / "meta.properties").exists():
        raise BrokerError(
            f"the data in {directory} belong to {len(held) // 2} broker(s): "
            f"start it with `--brokers {len(held) // 2}`, or name another --directory"
        )
    ports = held if len(held) == 2 * brokers + 1 and all(map(is_free, held)) else free_ports(2 * brokers + 1)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "ports.json").write_text(json.dumps(ports))
    if brokers == 1:
        inner = ports[2] if is_secured else 0
        return [Node(1, "broker,controller", ports[0], ports[1], str(directory / "node-1"), inner_port=inner)]
    nodes = [Node(CONTROLLER_ID, "controller", ports[-1], ports[-1], str(directory / "controller"))]
    return nodes + [
        Node(index + 1, "broker", ports[index], ports[-1], str(directory / f"node-{index + 1}"), inner_port=inner)
        for index, inner in enumerate(ports[brokers : 2 * brokers] if is_secured else [0] * brokers)
    ]


def recorded_ports(directory: Path) -> list[int]:
    """Ports of the last run."""
    try:
        return [int(port) for port in json.loads((directory / "ports.json").read_text())]
    except (OSError, ValueError, TypeError):
        return []


def remember(directory: Path, nodes: Sequence[Node]) -> None:
    """Write down which nodes there are, so that other processes find them."""
    (directory / STATE_FILE).write_text(json.dumps([asdict(node) for node in nodes], indent=1))


def bootstrap_of(nodes: Sequence[Node]) -> str:
    """host:port of every broker among them."""
    return ",".join(f"{node.host}:{node.port}" for node in nodes if node.is_broker)


def inner_bootstrap_of(nodes: Sequence[Node]) -> str:
    """host:port of every listener that a secured cluster keeps for itself; of an open one, those of its brokers."""
    return ",".join(f"{node.host}:{node.inner_port or node.port}" for node in nodes if node.is_broker)


def recorded(directory: Path) -> list[Node]:
    """The nodes of the cluster in a folder, running or not."""
    try:
        return [Node(**entry) for entry in json.loads((directory / STATE_FILE).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on; all are held until all are found, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def cluster_id_of(directory: Path) -> str:
    """Identifier of the cluster in a folder, chosen at its first start."""
    path = directory / "cluster.id"
    if not path.exists():
        path.write_text(urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    return path.read_text()


def write_settings(
    node: Node, nodes: Sequence[Node], logins: Mapping[str, str], protection: Protection | None = None
) -> None:
    """Write the server.properties of a node.

    Args:
        node: whose.
        nodes: all of the cluster.
        logins: user and password of those who may use the listener at `login_port`.
        protection: of a secured cluster.
    """
    num_brokers = sum(each.is_broker for each in nodes)
    copies = min(2, num_brokers)
    settings: dict[str, object] = {
        "process.roles": node.roles,
        "node.id": node.id,
        "controller.quorum.bootstrap.servers": f"{node.controller_host}:{node.controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT",
        "log.dirs": f"{node.directory}/data",
        "num.network.threads": 2,
        "num.io.threads": 4,
        "offsets.topic.num.partitions": 4,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": 1,
        "min.insync.replicas": 1,
        "default.replication.factor": copies,
        "group.initial.rebalance.delay.ms": 0,
        "auto.create.topics.enable": "false",
        "message.max.bytes": 32_000_000,
        "replica.fetch.max.bytes": 32_000_000,
        "log.segment.bytes": 268_435_456,
        "log.cleaner.backoff.ms": 5_000,
        # A second instead of nine until a dead broker's partitions move to the other one.
        "broker.session.timeout.ms": 3_000,
        "broker.heartbeat.interval.ms": 500,
    }
    controller = f"CONTROLLER://{node.controller_host}:{node.controller_port}"
    client = f"CLIENT://{node.host}:{node.port}"
    if node.roles == "controller":
        settings |= {"listeners": controller, "advertised.listeners": controller}
    elif node.roles == "broker":
        settings |= {"listeners": client, "advertised.listeners": client, "inter.broker.listener.name": "CLIENT"}
    else:
        settings |= {
            "listeners": f"{client},{controller}",
            "advertised.listeners": f"{client},{controller}",
            "inter.broker.listener.name": "CLIENT",
        }
    if node.rack:
        settings["broker.rack"] = node.rack
        settings["replica.selector.class"] = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    if node.is_broker and node.login_port:
        login = f"LOGIN://{node.host}:{node.login_port}"
        users = " ".join(f'user_{user}="{password}"' for user, password in logins.items())
        for key in ("listeners", "advertised.listeners"):
            settings[key] = f"{settings[key]},{login}"
        settings["listener.security.protocol.map"] = (
            f"{settings['listener.security.protocol.map']},LOGIN:SASL_PLAINTEXT"
        )
        settings["listener.name.login.sasl.enabled.mechanisms"] = "PLAIN"
        settings["listener.name.login.plain.sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        )
    if protection is not None:
        settings |= protection.settings()
        if node.is_broker:
            settings["inter.broker.listener.name"] = "INNER"
            for key in ("listeners", "advertised.listeners"):
                settings[key] = f"{settings[key]},INNER://{node.host}:{node.inner_port}"
    path = Path(node.directory) / "server.properties"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
