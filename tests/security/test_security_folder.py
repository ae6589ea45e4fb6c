"""What `ipdsf security init` and `add` make, and what they refuse before anything is made."""

from __future__ import annotations

import errno
import stat
import subprocess
from pathlib import Path

import pytest

from ipdsf_spark.cli.main import main
from ipdsf_spark.config import KafkaConfig, load
from ipdsf_spark.errors import ConfigError, InputError, IpdsfError
from ipdsf_spark.security import certificates
from ipdsf_spark.security.folder import SecurityFolder
from ipdsf_spark.sites import check_site_id
from ipdsf_spark.storage.alone import alone

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


@pytest.mark.parametrize("change", ["make", "add", "remove", "renew"])
def test_a_folder_is_changed_by_one_process_at_a_time(tmp_path: Path, change: str) -> None:
    folder = made(tmp_path / "sec", sites=("oslo",))
    changes = {
        "make": lambda: made(tmp_path / "sec"),
        "add": lambda: folder.add("bern", OWN),
        "remove": lambda: folder.remove("oslo"),
        "renew": lambda: folder.renew(["edge-oslo"]),
    }

    with alone(folder.path, "first"), pytest.raises(InputError, match="another `ipdsf security` changes"):
        changes[change]()

    assert folder.sites == ["oslo"]


def test_of_several_sites_of_which_one_is_wrong_none_is_added_and_none_removed(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=("oslo", "bern"))

    with pytest.raises(InputError, match=r"site bern has a user already.* nothing was added"):
        folder.add_all(["quito", "bern"], OWN)
    with pytest.raises(InputError, match=r"site quito has no user in .*; nothing was removed"):
        folder.remove_all(["oslo", "quito"])

    assert (folder.sites, folder.removed) == (["oslo", "bern"], [])
    assert not (tmp_path / "edge-quito").exists()


def test_sites_added_before_a_disk_was_full_are_named_and_the_others_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, issue = made(tmp_path, sites=("oslo",)), certificates.issue

    def on_a_full_disk(authority: Path, where: Path, name: str, **more: object) -> None:
        if name == "edge-quito":
            raise OSError(errno.ENOSPC, "No space left on device")
        issue(authority, where, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(certificates, "issue", on_a_full_disk)
    with pytest.raises(InputError, match=r"site quito: .*No space left on device; added before it: bern"):
        folder.add_all(["bern", "quito"], OWN)

    assert folder.sites == ["oslo", "bern"]
    assert not (tmp_path / "edge-quito").exists()


def test_a_list_of_sites_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write = made(tmp_path, sites=("oslo", "bern")), Path.write_text

    def on_a_full_disk(path: Path, text: str, *more: str, **named: str) -> int:
        if path.stem == "sites":
            write(path, "")  # the file is opened, and its first byte finds no room
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text, *more, **named)

    monkeypatch.setattr(Path, "write_text", on_a_full_disk)
    with pytest.raises(OSError, match="No space left"):
        folder.add("quito", OWN)

    assert folder.sites == ["oslo", "bern"]
    assert sorted(path.name for path in tmp_path.iterdir() if "sites" in path.name) == ["sites.txt"]


def test_a_password_that_was_written_by_an_editor_is_brought_to_kafka_as_its_client_sends_it(tmp_path: Path) -> None:
    folder = made(tmp_path, sites=("oslo",))
    (tmp_path / "edge-oslo" / "password").write_bytes("\ufeffdrawn by hand\r\n".encode())

    assert folder.password("edge-oslo") == "drawn by hand"

    for wrong, says in (("\n", "is empty"), (" blank", "begins with a blank")):
        (tmp_path / "edge-oslo" / "password").write_text(wrong)
        with pytest.raises(ConfigError, match=rf"edge-oslo/password.* {says}"):
            folder.password("edge-oslo")


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "ü", "del\x7f", "%20 $HOME #"])
def test_a_folder_may_be_called_anything_that_a_configuration_can_say(tmp_path: Path, name: str) -> None:
    made(tmp_path / name)

    assert load(tmp_path / name / "reader" / "kafka.toml").kafka.ssl_ca_location == str(tmp_path / name / "ca.pem")
    assert SecurityFolder.at(tmp_path / name).is_per_site


def test_a_folder_that_no_configuration_can_name_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        made(tmp_path / "\udcff")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["[kafka", "kafka = 3", "[kafka]\n"])
def test_a_damaged_file_of_the_administrator_is_named(tmp_path: Path, text: str) -> None:
    folder = made(tmp_path)
    (tmp_path / "admin" / "kafka.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"admin/kafka\.toml"):
        folder.add("oslo", OWN)
    assert folder.sites == []


def test_names_of_brokers_beside_a_site_are_refused_and_not_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, sites=("oslo",))

    assert main(["security", "renew", str(tmp_path), "--site", "oslo", "--host", "kafka-2.example.org"]) == 2
    assert "--host is of the brokers" in capsys.readouterr().err
