"""A CA is renewed for its own key: who has the new certificate of it and who has the old one understand each other."""

from __future__ import annotations

import itertools
import shutil
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from ipdsf_spark.cli.broker import protection_of
from ipdsf_spark.cli.main import main
from ipdsf_spark.config import Config, KafkaConfig
from ipdsf_spark.devkafka import EmbeddedKafka
from ipdsf_spark.errors import InputError
from ipdsf_spark.kafka import ensure_topics, num_partitions
from ipdsf_spark.kafka.certificate import validity_of
from ipdsf_spark.security import certificates
from ipdsf_spark.security.folder import SecurityFolder
from ipdsf_spark.security.roles import ADMIN

KAFKA = KafkaConfig(partitions=2, topic_per_site=True)
ASKED = ("openssl", "x509", "-noout", "-in")
DAYS_OF_OLD = 900  # beyond the certificates that it has signed


@pytest.fixture(scope="module")
def ages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders: before the CA was renewed, and behind it, with new certificates of everybody."""
    home = tmp_path_factory.mktemp("ages")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(certificates, "CA_DAYS", DAYS_OF_OLD)
        SecurityFolder.make(home / "new", sites=["oslo"], hosts=["localhost", "127.0.0.1"], kafka=KAFKA)
    shutil.copytree(home / "new", home / "old")
    assert main(["security", "renew", str(home / "new"), "--ca"]) == 0
    for party in ("broker", "edge-oslo"):  # the CA's own change touches nobody else's files
        assert tree(home / "new" / party) == tree(home / "old" / party)
    assert main(["security", "renew", str(home / "new")]) == 0
    return home / "old", home / "new"


def tree(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def require_handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """TLS between two contexts, both of which ask for the other's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    open_ends = list(ends)
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    assert not open_ends
    ends[0].write(b"hello")
    assert ends[1].read() == b"hello"


def context_of(kind: int, folder: Path, party: str, authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority / "ca.pem")
    context.load_cert_chain(folder / party / certificates.CERTIFICATE, folder / party / certificates.KEY_FILE)
    return context


def test_old_and_new_certificates_are_taken_by_who_has_the_old_and_who_has_the_new_ca(ages: tuple[Path, Path]) -> None:
    for broker, client, of_broker, of_client in itertools.product(ages, repeat=4):
        require_handshake(
            context_of(ssl.PROTOCOL_TLS_SERVER, broker, "broker", of_broker),
            context_of(ssl.PROTOCOL_TLS_CLIENT, client, "edge-oslo", of_client),
        )


def test_a_stranger_is_not_let_in_behind_it(ages: tuple[Path, Path], tmp_path: Path) -> None:
    stranger = SecurityFolder.make(tmp_path / "other", sites=["oslo"], hosts=["localhost"], kafka=KAFKA).path
    _, new = ages

    with pytest.raises(ssl.SSLCertVerificationError):
        require_handshake(
            context_of(ssl.PROTOCOL_TLS_SERVER, new, "broker", new),
            context_of(ssl.PROTOCOL_TLS_CLIENT, stranger, "edge-oslo", stranger),
        )


def test_a_renewed_ca_ends_later_and_is_the_same_party_with_the_same_key(ages: tuple[Path, Path]) -> None:
    old, new = (validity_of(folder / "ca.pem") for folder in ages)
    said = [
        subprocess.run(
            [
                *ASKED,
                str(folder / "ca.pem"),
                "-subject",
                "-pubkey",
                "-ext",
                "basicConstraints,keyUsage,subjectKeyIdentifier",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in ages
    ]
    serials = {
        subprocess.run([*ASKED, str(folder / "ca.pem"), "-serial"], capture_output=True, check=True).stdout
        for folder in ages
    }

    assert old is not None
    assert new is not None
    assert new.end - old.end >= timedelta(days=certificates.CA_DAYS - DAYS_OF_OLD)
    assert said[0] == said[1]
    assert "CA:TRUE" in said[1]
    assert len(serials) == 2  # one number of one CA is one certificate


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_behind_the_change_lets_in_who_was_told_nothing_of_it(ages: tuple[Path, Path], tmp_path: Path) -> None:
    old, new = map(SecurityFolder.at, ages)
    with EmbeddedKafka(tmp_path, heap_mb=384, protection=protection_of(new, Config(kafka=KAFKA))) as broker:
        ensure_topics(old.certified(KAFKA, ADMIN), broker.inner_servers)
        seen = num_partitions(new.certified(KAFKA, ADMIN), broker.inner_servers)

    assert KAFKA.products_topic in seen


def test_a_ca_that_cannot_be_renewed_is_as_it_was(tmp_path: Path) -> None:
    folder = SecurityFolder.make(tmp_path, sites=(), hosts=["localhost"], kafka=KAFKA)
    before, names = (tmp_path / "ca.pem").read_bytes(), sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "ca.key").write_text("damaged")

    with pytest.raises(InputError, match="openssl"):
        folder.renew_authority()

    assert (tmp_path / "ca.pem").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_the_ca_is_renewed_for_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SecurityFolder.make(tmp_path, sites=["oslo"], hosts=["localhost"], kafka=KAFKA)

    assert main(["security", "renew", str(tmp_path), "--ca", "--site", "oslo"]) == 2
    assert "--ca is renewed for itself" in capsys.readouterr().err
    assert main(["security", "show", str(tmp_path), "--ca"]) == 2
    assert "--ca goes with renew" in capsys.readouterr().err
    assert main(["security", "renew", str(tmp_path), "--ca"]) == 0
    assert f"give {tmp_path / 'ca.pem'} to every machine" in capsys.readouterr().out
