"""One folder with everything that a secured Kafka and its clients need.

    ca.pem  ca.key                 the development CA; the key stays here
    broker/ admin/ stream/ reader/ edge-SITE/
        certificate.pem key.pem both.pem keystore.p12 key-password
        password                   of the user (SCRAM-SHA-512), or its client secret at the provider of tokens, where
                                   kafka.sasl_mechanism was OAUTHBEARER when the folder was made; the broker has none
        kafka.toml                 what this party's clients are told: `--config`
    sites.txt                      sites that have a user
    removed.txt                    sites that had one, of whose rights a Kafka may still know

Everything but ca.pem, kafka.toml and the lists of sites is readable by its owner only. A party's folder is all that its
machine gets, beside ca.pem.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.config import KafkaConfig, toml
from ipdsf_spark.errors import ConfigError, InputError, IpdsfError
from ipdsf_spark.kafka.secrets import secret_of
from ipdsf_spark.security import certificates, roles
from ipdsf_spark.storage.alone import alone

SCRAM: Final = "SCRAM-SHA-512"
OAUTH: Final = "OAUTHBEARER"
PROVIDER: Final = ("oauth_token_url", "oauth_scope", "oauth_ca_location")  # keys of [kafka]
PASSWORD_BYTES: Final = 24
CA_FILES: Final = ("ca.key", "ca.pem")
REMOVED_FILE: Final = "removed.txt"
SITES_FILE: Final = "sites.txt"  # written last: a folder without it was not finished


@dataclass(frozen=True)
class SecurityFolder:
    """A folder made by `make`; see the module.

    Attributes:
        path: where it is.
    """

    path: Path

    @classmethod
    def make(cls, path: Path, *, sites: Sequence[str], hosts: Sequence[str], kafka: KafkaConfig) -> SecurityFolder:
        """A new CA, and parties for the broker, the roles and the sites.

        Args:
            path: a folder that holds no CA yet.
            sites: ids of sites that get a user.
            hosts: names that the brokers are reached by.
            kafka: topics and prefix that the parties are told.

        Raises:
            InputError: there is a CA already, or openssl refuses; then nothing is left of what was begun.
            ConfigError: a topic cannot be named after a site, a host is none, or nobody said where tokens come from.
        """
        if kafka.sasl_mechanism == OAUTH and not kafka.oauth_token_url:
            raise ConfigError(f"kafka.sasl_mechanism is {OAUTH}, but kafka.oauth_token_url is not set")
        sites = list(dict.fromkeys(sites))
        users = [roles.user_of(site) for site in sites]
        roles.check_apart(kafka, sites)
        for host in hosts:
            certificates.check_host(host)
        toml.written(str(path))  # it stands in what every party is told
        with _alone(path):
            return cls._made(path, sites=sites, users=users, hosts=hosts, kafka=kafka)

    @classmethod
    def _made(
        cls, path: Path, *, sites: Sequence[str], users: Sequence[str], hosts: Sequence[str], kafka: KafkaConfig
    ) -> SecurityFolder:
        _require_finished(path)
        if (path / "ca.key").exists():
            raise InputError(f"{path} holds a CA already: add sites to it with `ipdsf security add {path} --site ID`")
        parties = (roles.BROKER, roles.ADMIN, roles.STREAM, roles.READER, *users)
        made = [path / name for name in (*CA_FILES, *parties) if not (path / name).exists()]
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        with ExitStack() as unfinished:
            unfinished.callback(_remove, made)  # half a folder could neither be used nor made whole
            certificates.make_authority(path, "ipdsf development CA")
            for name in parties:
                folder._make_party(name, kafka, hosts=hosts if name == roles.BROKER else ())
            folder._remember(sites)
            unfinished.pop_all()
        return folder

    @classmethod
    def at(cls, path: str | Path) -> SecurityFolder:
        """A folder made before.

        Raises:
            InputError: it was not.
        """
        folder = Path(path).expanduser().absolute()
        _require_finished(folder)
        if not (folder / "ca.pem").is_file() or not (folder / roles.BROKER).is_dir():
            raise InputError(f"{folder} holds no certificates: make them with `ipdsf security init {folder}`")
        return cls(folder)

    @property
    def sites(self) -> list[str]:
        """Sites that have a user."""
        return (self.path / SITES_FILE).read_text().split()

    @property
    def is_per_site(self) -> bool:
        """Whether every site has a topic of its own, as it was decided when the folder was made."""
        return bool(self._decided["topic_per_site"])

    @property
    def mechanism(self) -> str:
        """How users log in, as it was decided when the folder was made."""
        return str(self._decided["sasl_mechanism"])

    @property
    def _decided(self) -> dict[str, Any]:
        """What the administrator's clients are told."""
        file = self.path / roles.ADMIN / "kafka.toml"
        told = toml.parsed(toml.text_of(file, "configuration"), str(file)).get("kafka")
        if not isinstance(told, dict) or not {"topic_per_site", "sasl_mechanism"} <= told.keys():
            raise ConfigError(
                f"{file} does not say kafka.topic_per_site and kafka.sasl_mechanism, as `ipdsf security init` wrote "
                "them and sites are added by: restore it"
            )
        return told

    @property
    def users(self) -> list[str]:
        """Everybody who logs in with a password, or as a client of the provider of tokens."""
        return [roles.ADMIN, roles.STREAM, roles.READER, *map(roles.user_of, self.sites)]

    def add(self, site: str, kafka: KafkaConfig) -> Path:
        """A user for one more site; returns its folder.

        Raises:
            InputError: it has one, openssl refuses, or another process changes the folder.
            ConfigError: a topic cannot be named after it, or not beside those of the others.
        """
        return self.add_all([site], kafka)[0]

    def add_all(self, sites: Sequence[str], kafka: KafkaConfig) -> list[Path]:
        """Users for more sites; where one cannot have one none is made. Returns their folders.

        Raises:
            InputError, ConfigError: as of `add`; where something fails on the way, with those that were made before.
        """
        users = {site: roles.user_of(site) for site in sites}
        with _alone(self.path):
            for site in users.keys() & set(self.sites):
                raise InputError(f"site {site} has a user already: {self.path / users[site]}; nothing was added")
            roles.check_apart(kafka, [*self.sites, *users])
            decided = self._decided
            login = {key: decided[key] for key in ("sasl_mechanism", *PROVIDER) if key in decided}
            done: list[str] = []
            for site, user in users.items():
                with _told("added", site, done), ExitStack() as unfinished:
                    unfinished.callback(_remove, [each for each in [self.path / user] if not each.exists()])
                    self._make_party(user, replace(kafka, **login))
                    self._remember([*self.sites, site])
                    unfinished.pop_all()
                    self._note_removed([each for each in self.removed if each != site])
        return [self.path / user for user in users.values()]

    def remove(self, site: str) -> None:
        """Take a site's user away, certificate, key and password with it.

        Raises:
            InputError: it has none, or another process changes the folder.
        """
        self.remove_all([site])

    def remove_all(self, sites: Sequence[str]) -> None:
        """The same of several; where one has none all stay.

        Raises:
            InputError: as of `remove`; where something fails on the way, with those that were removed before.
        """
        with _alone(self.path):
            for site in sites:
                if site not in self.sites:
                    raise InputError(f"site {site} has no user in {self.path}; nothing was removed")
            done: list[str] = []
            for site in dict.fromkeys(sites):
                with _told("removed", site, done):
                    self._note_removed([*(each for each in self.removed if each != site), site])
                    self._remember([each for each in self.sites if each != site])
                    shutil.rmtree(self.path / roles.user_of(site), ignore_errors=True)

    @property
    def removed(self) -> list[str]:
        """Sites that had a user."""
        noted = self.path / REMOVED_FILE
        return noted.read_text().split() if noted.exists() else []

    def renew(self, parties: Sequence[str], hosts: Sequence[str] = ()) -> None:
        """New keys and certificates; names, passwords and the CA stay.

        Args:
            parties: whose.
            hosts: that the brokers are reached by; without any those of their present certificate.

        Raises:
            InputError: there is no such party, or openssl refuses; certificates not made yet are as they were.
            ConfigError: a host is none.
        """
        for name in parties:
            if not (self.path / name / certificates.CERTIFICATE).is_file():
                raise InputError(f"{self.path} holds no certificate of {name}")
        with _alone(self.path):
            self._renew(parties, hosts)

    def renew_authority(self) -> None:
        """A new certificate of the CA for its own key; keys and certificates of everybody stay, and hold with it.

        Raises:
            InputError: openssl refuses, and all is as it was; or another process changes the folder.
        """
        with _alone(self.path):
            certificates.renew_authority(self.path)

    def _renew(self, parties: Sequence[str], hosts: Sequence[str]) -> None:
        for name in parties:
            held = certificates.hosts_of(self.path / name / certificates.CERTIFICATE) if name == roles.BROKER else []
            certificates.issue(self.path, self.path / name, name, hosts=(hosts or held) if name == roles.BROKER else ())

    def password(self, user: str) -> str:
        """Of a user, as its clients read it.

        Raises:
            ConfigError: the file cannot be read, or is empty.
        """
        return secret_of(str(self.path / user / "password"))

    def rights(self, kafka: KafkaConfig) -> list[roles.Right]:
        """What all users may do."""
        own = [right for site in self.sites for right in roles.rights_of_edge(kafka, site)]
        return sorted({*own, *roles.rights_of_stream(kafka), *roles.rights_of_reader(kafka)})

    def certified(self, kafka: KafkaConfig, party: str) -> KafkaConfig:
        """`kafka` with the login of a party by its certificate alone, which the brokers' own listener asks for."""
        return replace(
            kafka,
            security_protocol="SSL",
            sasl_mechanism="",
            ssl_ca_location=str(self.path / "ca.pem"),
            ssl_certificate_location=str(self.path / party / certificates.CERTIFICATE),
            ssl_key_location=str(self.path / party / certificates.KEY_FILE),
            ssl_keystore_location="",
        )

    def _make_party(self, name: str, kafka: KafkaConfig, *, hosts: Sequence[str] = ()) -> None:
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        _write_secret(folder / "key-password")
        certificates.issue(self.path, folder, name, hosts=hosts)
        if name != roles.BROKER:
            _write_secret(folder / "password")
            (folder / "kafka.toml").write_text(self._settings(name, kafka), encoding="utf-8")

    def _settings(self, name: str, kafka: KafkaConfig) -> str:
        folder = self.path / name
        said: dict[str, object] = {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": OAUTH if kafka.sasl_mechanism == OAUTH else SCRAM,
            "sasl_username": name,
            "sasl_password_file": str(folder / "password"),
            **(_provider(kafka) if kafka.sasl_mechanism == OAUTH else {}),
            "ssl_ca_location": str(self.path / "ca.pem"),
            "ssl_certificate_location": str(folder / certificates.CERTIFICATE),
            "ssl_key_location": str(folder / certificates.KEY_FILE),
            "group_prefix": kafka.group_prefix,
            "topic_per_site": kafka.topic_per_site,
        }
        lines = [f"{key} = {toml.written(value)}" for key, value in said.items()]
        keystore = [
            "# The same certificate as PKCS12, instead of the two lines above it:",
            f"# ssl_keystore_location = {toml.written(str(folder / certificates.PKCS12))}",
            f"# ssl_key_password_file = {toml.written(str(folder / 'key-password'))}",
        ]
        return "\n".join([f"# Login of {name}, for --config.", "", "[kafka]", *lines, *keystore, ""])

    def _note_removed(self, sites: Sequence[str]) -> None:
        if sites or self.removed:
            _list(self.path / REMOVED_FILE, sites)

    def _remember(self, sites: Sequence[str]) -> None:
        _list(self.path / SITES_FILE, sites)


def _alone(path: Path) -> AbstractContextManager[None]:
    """Two that change a folder at once would each write a list of sites without the other's."""
    return alone(path, f"another `ipdsf security` changes {path}")


@contextmanager
def _told(verb: str, site: str, done: list[str]) -> Iterator[None]:
    """Where one of several sites fails on the way, say which were done."""
    try:
        yield
    except (IpdsfError, OSError) as error:
        if not done:
            raise
        raise InputError(f"site {site}: {error}; {verb} before it: {', '.join(done)}") from error
    done.append(site)


def _list(path: Path, sites: Sequence[str]) -> None:
    """Replace a list as a whole: half of one would be sites that have no user any more."""
    part = path.with_suffix(".part")
    try:
        part.write_text("".join(f"{site}\n" for site in sites))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _require_finished(path: Path) -> None:
    if (path / "ca.key").exists() and not (path / SITES_FILE).is_file():
        raise InputError(f"{path} holds a CA whose `ipdsf security init` did not end: remove that folder and repeat it")


def _remove(made: Sequence[Path]) -> None:
    for path in made:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _provider(kafka: KafkaConfig) -> dict[str, object]:
    """Where a client gets its tokens."""
    said = {key: getattr(kafka, key) for key in PROVIDER if getattr(kafka, key)}
    if kafka.oauth_ca_location:
        said["oauth_ca_location"] = str(Path(kafka.oauth_ca_location).absolute())
    return said


def _write_secret(path: Path) -> None:
    """A new password, without a line end, so that every program reads the same."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
