"""One secured Kafka for all tests of the room: mutual TLS, SCRAM and ACLs, as `ipdsf security init` makes them."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import identity_provider
import numpy as np
import pytest
from identity_provider import Client, Provider

from ipdsf_spark.cli.broker import protection_of
from ipdsf_spark.config import BrokerConfig, Config, EdgeConfig, KafkaConfig, load
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.edge.agent import EdgeAgent
from ipdsf_spark.kafka import ensure_topics
from ipdsf_spark.lidar.instruments import vaisala_cl
from ipdsf_spark.lidar.profiles import Profiles
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.security import certificates, rights
from ipdsf_spark.security.folder import SecurityFolder
from ipdsf_spark.security.roles import ADMIN

PATIENCE_S = 20.0  # on a machine that does other things
SITES = ("oslo", "munich")
FIRST, PER_FILE, NUM_FILES = 8 * 60 * 4, 20, 3  # from 08:00 on, five minutes at 15 s


@dataclass(frozen=True)
class Secured:
    """A Kafka that lets in only those whom its folder knows."""

    broker: EmbeddedKafka
    folder: SecurityFolder

    @property
    def bootstrap(self) -> str:
        return self.broker.bootstrap_servers

    @property
    def log(self) -> str:
        return (self.broker.directory / "node-1" / "broker.log").read_text()

    def has_logged(self, words: str, since: int) -> bool:
        """Whether the broker writes that into its log, behind so many letters; it may do so a little later."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.log[since:]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def login(self, user: str) -> KafkaConfig:
        return load(self.folder.path / user / "kafka.toml").kafka

    def require_oslo_refused_at_munich(self, instrument: Path, folder: Path, told: pytest.LogCaptureFixture) -> None:
        """The files of a node that sends as another site wait, and the operator is told who may not do what."""
        edge = EdgeConfig(watch=str(instrument), directory=str(folder), settle_s=0.0)
        agent = EdgeAgent(edge, self.login("edge-oslo"), self.bootstrap, "munich")
        agent.take_in()

        is_sent = agent.send_pending()

        counts = agent.journal.counts()
        agent.close()
        assert not is_sent
        assert (counts["pending"], counts["delivered"]) == (NUM_FILES, 0)
        assert "does not allow it to user edge-oslo" in told.text
        assert "User:edge-oslo is Denied operation = DESCRIBE" in self.log
        assert "ceilometer.files.munich" in self.log


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    home = tmp_path_factory.mktemp("secured")
    kafka = KafkaConfig(partitions=2, topic_per_site=True)
    folder = SecurityFolder.make(home / "security", sites=SITES, hosts=["localhost", "127.0.0.1"], kafka=kafka)
    with started(home / "kafka", folder, Config(kafka=kafka)) as broker:
        yield Secured(broker, folder)


@contextmanager
def started(directory: Path, folder: SecurityFolder, config: Config) -> Iterator[EmbeddedKafka]:
    """A broker with the users, rights and topics of a security folder."""
    with EmbeddedKafka(directory, heap_mb=384, protection=protection_of(folder, config)) as broker:
        administered = folder.certified(config.kafka, ADMIN)
        ensure_topics(administered, broker.inner_servers)
        rights.bring(folder, administered, broker.inner_servers)
        yield broker


@dataclass(frozen=True)
class WithTokens(Secured):
    """A Kafka that lets in only whom a provider of tokens vouches for."""

    provider: Provider
    config: Config

    def client_of(self, user: str) -> Client:
        """What the provider knows of a user: its name, and the secret in its folder."""
        return Client(user, self.folder.password(user))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """A provider of tokens behind a CA of its own, which nobody trusts who was not told to."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    authority = tmp_path_factory.mktemp("provider")
    certificates.make_authority(authority, "CA of the provider")
    (authority / "server").mkdir()
    (authority / "server" / "key-password").write_text("of no importance")
    certificates.issue(authority, authority / "server", "provider", hosts=["localhost"])
    with Provider(authority / "server") as running:
        yield running


@pytest.fixture(scope="module")
def with_tokens(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WithTokens]:
    home = tmp_path_factory.mktemp("with tokens")
    kafka = KafkaConfig(
        partitions=2,
        topic_per_site=True,
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url=provider.token_url,
        oauth_ca_location=str(provider.authority),
    )
    checked = BrokerConfig(
        oauth_jwks_url=provider.keys_url, oauth_issuer=provider.issuer, oauth_audience=identity_provider.AUDIENCE
    )
    config = Config(kafka=kafka, broker=checked)
    folder = SecurityFolder.make(home / "security", sites=SITES, hosts=["localhost", "127.0.0.1"], kafka=kafka)
    with started(home / "kafka", folder, config) as broker:
        held = WithTokens(broker, folder, provider, config)
        provider.clients |= {user: held.client_of(user) for user in folder.users}
        yield held


@pytest.fixture(scope="session")
def instrument(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a quarter of an hour of a CL51."""
    folder = tmp_path_factory.mktemp("instrument")
    site = Site("oslo", 59.94, 10.72, instrument="Vaisala CL51")
    day = simulate_day(site, date(2021, 6, 21), rng=np.random.default_rng(5), instrument="cl51", scenario="clear")
    for number in range(NUM_FILES):
        start = FIRST + number * PER_FILE
        (folder / f"{number}.dat").write_bytes(vaisala_cl.encode_file(rows(day.profiles, start, start + PER_FILE)))
    return folder


def rows(profiles: Profiles, start: int, stop: int) -> Profiles:
    """Some of the profiles."""
    cut = slice(start, stop)
    names = (
        *("time", "beta", "cloud_base_m", "vertical_visibility_m", "maker_layer_height_m", "sky_cover_octas"),
        *("sky_base_m", "is_precipitation", "is_fog", "tilt_deg"),
    )
    return dataclasses.replace(
        profiles, alarms=(), health={}, depolarisation=None, **{name: getattr(profiles, name)[cut] for name in names}
    )
