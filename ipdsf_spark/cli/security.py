"""`ipdsf security init|add|remove|renew|apply|show`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.broker import tokens_of
from ipdsf_spark.config import Config, KafkaConfig, load
from ipdsf_spark.devkafka import resolve_bootstrap
from ipdsf_spark.devkafka.processes import ALLOWED_URLS
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.security import certificates, rights, roles
from ipdsf_spark.security.folder import OAUTH, SecurityFolder

EPILOG = """examples:
  ipdsf security init ~/ipdsf-security --site oslo --site munich
                                        a development CA; certificates and passwords of broker, roles and sites
  ipdsf security add ~/ipdsf-security --site chennai
  ipdsf security remove ~/ipdsf-security --site chennai
                                        apply takes its password and its rights as well
  ipdsf security renew ~/ipdsf-security
                                        new keys and certificates of everybody, or of a --site; passwords stay
  ipdsf security renew ~/ipdsf-security --ca
                                        a new ca.pem for the same key; certificates of before and after hold with both
  ipdsf security apply ~/ipdsf-security --config ~/ipdsf-security/admin/kafka.toml
                                        users, ACLs and the sites' topics of a Kafka that runs
  ipdsf security show ~/ipdsf-security  settings and commands for a Kafka that somebody else looks after
  ipdsf security init ~/ipdsf-security --site oslo --config provider.toml
                                        tokens of an identity provider instead of passwords (OAUTHBEARER)

Then `ipdsf broker start --secure FOLDER` lets in these and nobody else, and every client is given its own file:
`ipdsf edge --site oslo --watch /data/cl51 --config FOLDER/edge-oslo/kafka.toml`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    parser.add_argument(
        "action", choices=["init", "add", "remove", "renew", "apply", "show"], help="init makes the folder"
    )
    parser.add_argument("folder", metavar="FOLDER", help="where certificates and passwords lie")
    parser.add_argument("--site", action="append", default=[], metavar="ID", help="a site with a user, may repeat")
    parser.add_argument("--host", action="append", default=[], metavar="NAME",
                        help="name or address of the brokers, may repeat (default: localhost)")  # fmt: skip
    parser.add_argument("--ca", action="store_true", help="renew: the CA's own certificate, and nobody else's")
    parser.add_argument("--shared-topic", action="store_true",
                        help="one topic for all sites: who may write to it may write under any site's key")  # fmt: skip
    add_configuration(parser)
    parser.add_argument("--json", action="store_true", help="machine-readable answer")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    config = load(*args.config, overrides=args.set)
    if args.ca and args.action != "renew":
        raise ConfigError(f"--ca goes with renew, not with {args.action}")
    path = Path(args.folder).expanduser().absolute()
    if args.action == "init":
        kafka = replace(config.kafka, topic_per_site=not args.shared_topic)
        hosts = args.host or ["localhost", "127.0.0.1"]
        folder = SecurityFolder.make(path, sites=args.site, hosts=hosts, kafka=kafka)
        lines = [f"{path} holds a development CA and the certificates and passwords of {', '.join(folder.users)}",
                 f"next: ipdsf broker start --secure {path}"]  # fmt: skip
        return _say(args, {"folder": str(path), "users": folder.users}, "\n".join(lines))
    folder = SecurityFolder.at(path)
    kafka = replace(config.kafka, topic_per_site=folder.is_per_site)
    if args.action == "add":
        if not args.site:
            raise ConfigError("--site is missing: which site gets a user?")
        made = list(map(str, folder.add_all(list(dict.fromkeys(args.site)), kafka)))
        text = f"made {', '.join(made)}; `ipdsf security apply {path}` tells a Kafka that runs"
        return _say(args, {"made": made}, text)
    if args.action == "remove":
        if not args.site:
            raise ConfigError("--site is missing: whose user is removed?")
        folder.remove_all(args.site)
        text = f"removed {', '.join(args.site)}; `ipdsf security apply {path}` tells a Kafka that runs"
        return _say(args, {"removed": args.site}, text)
    if args.action == "renew" and args.ca:
        if args.site or args.host:
            raise ConfigError("--ca is renewed for itself, whose certificates all stay: leave out --site and --host")
        folder.renew_authority()
        ca = folder.path / "ca.pem"
        text = (
            f"new certificate of the CA, until {certificates.end_of(ca)}: give {ca} to every machine before the old "
            "one ends, and start brokers and clients again; until then either is understood, and all certificates hold"
        )
        return _say(args, {"renewed": ["ca"], "ca": str(ca)}, text)
    if args.action == "renew":
        parties = [roles.user_of(site) for site in args.site] or [roles.BROKER, *folder.users]
        if args.host and roles.BROKER not in parties:
            raise ConfigError("--host is of the brokers, whose certificate is not renewed with --site: leave out one")
        folder.renew(parties, args.host)
        again = ", the brokers with `ipdsf broker restart`" if roles.BROKER in parties else ""
        text = f"new certificates of {', '.join(parties)}: give each machine its own and start it again{again}"
        return _say(args, {"renewed": parties}, text)
    if args.action == "apply":
        bootstrap = resolve_bootstrap(config)
        rights.bring(folder, kafka, bootstrap)
        return _say(
            args,
            {"users": folder.users, "bootstrap_servers": bootstrap},
            f"{bootstrap} knows {', '.join(folder.users)} and what they may do",
        )
    return _say(args, _told(folder, kafka), _text(folder, replace(config, kafka=kafka)))


def _told(folder: SecurityFolder, kafka: KafkaConfig) -> dict[str, object]:
    return {
        "folder": str(folder.path),
        "topic_per_site": folder.is_per_site,
        "valid_until": _ends(folder),
        "configurations": {name: str(folder.path / name / "kafka.toml") for name in folder.users},
        "rights": [vars(right) for right in folder.rights(kafka)],
    }


def _ends(folder: SecurityFolder) -> dict[str, str]:
    """Until when the CA's and everybody's certificate holds."""
    parties = {name: folder.path / name / certificates.CERTIFICATE for name in (roles.BROKER, *folder.users)}
    return {name: certificates.end_of(path) for name, path in {"ca": folder.path / "ca.pem", **parties}.items()}


def _text(folder: SecurityFolder, config: Config) -> str:
    """Everything that the administrator of another Kafka has to enter; passwords stay in their files."""
    kafka = config.kafka
    bootstrap = kafka.bootstrap_servers or "HOST:9093"
    lines = ["# Listener of the brokers (server.properties)"]
    lines += [
        "listener.security.protocol.map=CLIENT:SASL_SSL, ...",
        *_login(folder, config),
        "listener.name.client.ssl.client.auth=required",
        f"ssl.truststore.type=PEM  ssl.truststore.location=.../{(folder.path / 'ca.pem').name}",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=false",
        "",
    ]
    lines += _users(folder)
    lines += ["", "# Rights"]
    lines += [roles.as_command(right, bootstrap) for right in folder.rights(kafka)]
    lines += [f"# none any more, and no password: User:{roles.user_of(site)}" for site in folder.removed]
    if folder.is_per_site:
        lines += ["", "# Topics of the sites"]
        lines += [
            f"kafka-topics.sh --bootstrap-server {bootstrap} --command-config admin.properties --create --topic "
            f"{kafka.files_topic_of(site)} --partitions 1 --config message.timestamp.type=LogAppendTime "
            f"--config max.message.bytes={kafka.max_message_bytes}"
            for site in folder.sites
        ]
    lines += ["", "# Clients"]
    lines += [f"--config {folder.path / user / 'kafka.toml'}" for user in folder.users]
    lines += ["", "# Certificates end"]
    lines += [f"# {name}: {end}" for name, end in _ends(folder).items()]
    return "\n".join(lines)


def _login(folder: SecurityFolder, config: Config) -> list[str]:
    """How brokers know clients."""
    if folder.mechanism != OAUTH:
        return [f"sasl.enabled.mechanisms={folder.mechanism}"]
    try:
        tokens = tokens_of(config)
    except ConfigError as error:
        return [f"# {error}: a --config that says it has the rest told here"]
    lines = [f"{name}={value}" for name, value in tokens.settings().items()]
    return [*lines, f"# and in KAFKA_OPTS of the brokers: -D{ALLOWED_URLS}={tokens.keys_url}"]


def _users(folder: SecurityFolder) -> list[str]:
    is_oauth = folder.mechanism == OAUTH
    lines = [
        "# Clients of the provider of tokens (client credentials), each with the name of its user in its tokens"
        if is_oauth
        else "# Users; or `ipdsf security apply` with an administrator's --config, which shows no password to `ps`"
    ]
    told = f"{folder.mechanism}, {'client secret' if is_oauth else 'password'}"
    return lines + [f"# {user}: {told} in {folder.path / user / 'password'}" for user in folder.users]


def _say(args: argparse.Namespace, answer: Mapping[str, object], text: str) -> int:
    print(json.dumps(answer) if args.json else text)
    return 0
