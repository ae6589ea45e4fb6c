"""What `ipdsf security init` and `add` make, and what they refuse before anything is made."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from ipdsf_spark.config import KafkaConfig
from ipdsf_spark.errors import ConfigError, InputError, IpdsfError
from ipdsf_spark.security import certificates
from ipdsf_spark.security.folder import SecurityFolder
from ipdsf_spark.sites import check_site_id

OWN = KafkaConfig(topic_per_site=True)
LONG = "x" * 64


def made(path: Path, *, sites: tuple[str, ...] = (), hosts: tuple[str, ...] = ("localhost",)) -> SecurityFolder:
    return SecurityFolder.make(path, sites=sites, hosts=hosts, kafka=OWN)


def text_of(certificate: Path) -> str:
    asked = ["openssl", "x509", "-in", str(certificate), "-noout", "-text"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def test_the_longest_name_that_a_site_may_have_can_have_a_user(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=(LONG,))

    assert folder.users[-1] == f"edge-{LONG}"
    assert f"CN = edge-{LONG[:59]}\n" in text_of(tmp_path / f"edge-{LONG}" / certificates.CERTIFICATE)


@pytest.mark.parametrize("site", ["..", ".", "_roof", "-roof", "a/b", "ä", "", "x" * 65, "a\n", "a b", "a'b"])
def test_no_site_has_a_user_whose_files_the_stream_would_refuse(tmp_path: Path, site: str) -> None:
    with pytest.raises(ConfigError):
        check_site_id(site)

    with pytest.raises(ConfigError, match="cannot have a user"):
        made(tmp_path / "sec", sites=("oslo", site))
    assert not (tmp_path / "sec").exists()


def test_sites_whose_topics_are_one_to_kafka_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sites a\.b and a_b cannot both have a topic"):
        made(tmp_path / "sec", sites=("a.b", "a_b"))

    folder = made(tmp_path / "sec", sites=("a.b", "oslo", "oslo"))
    with pytest.raises(ConfigError, match=r"sites a\.b and a_b cannot both have a topic"):
        folder.add("a_b", OWN)
    assert folder.sites == ["a.b", "oslo"]


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a,DNS:evil", "a\nbasicConstraints=CA:TRUE", "kafka:9093", "1.2.3", "999.1.1.1", "-a", "a..b"],
)
def test_what_is_no_host_is_refused_before_anything_is_made(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="is no host"):
        made(tmp_path / "sec", hosts=("localhost", host))
    assert not (tmp_path / "sec").exists()


def test_a_broker_is_called_what_it_was_said_to_be_called(tmp_path: Path) -> None:
    made(tmp_path, hosts=("kafka-1.example.org", "192.0.2.1", "[2001:db8::1]", "*.example.org", "münchen.example"))

    text = text_of(tmp_path / "broker" / certificates.CERTIFICATE)

    assert "DNS:kafka-1.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, DNS:*.example.org" in text
    assert "DNS:xn--mnchen-3ya.example" in text
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in text
    assert "Key Usage: critical\n                Digital Signature" in text
    assert "Authority Key Identifier" in text


def test_a_site_cannot_pass_for_a_broker(tmp_path: Path) -> None:
    made(tmp_path, sites=("oslo",))

    text = text_of(tmp_path / "edge-oslo" / certificates.CERTIFICATE)

    assert "TLS Web Client Authentication" in text
    assert "TLS Web Server Authentication" not in text


def test_an_init_that_fails_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes").write_text("mine")
    issue = certificates.issue
    monkeypatch.setattr(certificates, "issue", lambda *_, **__: (_ for _ in ()).throw(InputError("openssl is tired")))

    with pytest.raises(InputError, match="tired"):
        made(tmp_path, sites=("oslo",))
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]

    monkeypatch.setattr(certificates, "issue", issue)
    assert made(tmp_path, sites=("oslo",)).sites == ["oslo"]


def test_a_folder_whose_init_was_killed_is_called_that(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "sites.txt").unlink()

    for again in (lambda: made(tmp_path), lambda: SecurityFolder.at(tmp_path)):
        with pytest.raises(InputError, match="did not end: remove that folder"):
            again()


def test_a_certificate_that_cannot_be_made_leaves_the_one_that_is_there(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=("oslo",)).path / "edge-oslo"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "ca.key").write_text("damaged")

    with pytest.raises(IpdsfError, match="openssl"):
        certificates.issue(tmp_path, folder, "edge-oslo")

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_secrets_are_the_owners_also_in_a_folder_that_was_open(tmp_path: Path) -> None:
    (tmp_path / "edge-oslo").mkdir(mode=0o755)
    (tmp_path / "edge-oslo" / "password").touch(mode=0o644)

    made(tmp_path, sites=("oslo",))

    assert stat.S_IMODE((tmp_path / "edge-oslo").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "edge-oslo" / "password").stat().st_mode) == 0o600


def public_key(folder: Path) -> bytes:
    asked = ["openssl", "x509", "-in", str(folder / certificates.CERTIFICATE), "-noout", "-pubkey"]
    return subprocess.run(asked, capture_output=True, check=True).stdout


def test_renewing_leaves_names_and_passwords(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=("oslo", "bern"), hosts=("kafka-1.example.org", "192.0.2.1", "2001:db8::1"))
    names = ("broker", "edge-oslo", "edge-bern")
    keys = {name: public_key(tmp_path / name) for name in names}
    ca, password = (tmp_path / "ca.pem").read_text(), folder.password("edge-oslo")

    folder.renew(["broker", "edge-oslo"])

    assert [name for name in names if public_key(tmp_path / name) != keys[name]] == ["broker", "edge-oslo"]
    assert ((tmp_path / "ca.pem").read_text(), folder.password("edge-oslo")) == (ca, password)
    text = text_of(tmp_path / "broker" / certificates.CERTIFICATE)
    assert "DNS:kafka-1.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1" in text
    folder.renew(["broker"], ["kafka-2.example.org"])
    assert "DNS:kafka-2.example.org\n" in text_of(tmp_path / "broker" / certificates.CERTIFICATE)
    with pytest.raises(InputError, match="no certificate of edge-quito"):
        folder.renew(["edge-oslo", "edge-quito"])


def test_a_site_that_was_removed_has_nothing_left_and_may_come_back(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=("oslo", "bern"))

    folder.remove("oslo")

    assert (folder.sites, folder.removed) == (["bern"], ["oslo"])
    assert not (tmp_path / "edge-oslo").exists()
    assert not [right for right in folder.rights(OWN) if right.user == "edge-oslo"]
    with pytest.raises(InputError, match="site oslo has no user"):
        folder.remove("oslo")
    folder.add("oslo", OWN)
    assert (folder.sites, folder.removed) == (["bern", "oslo"], [])
