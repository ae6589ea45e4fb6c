"""A commented configuration for one edge node, as `ipdsf edge --generate-config` writes it."""

from __future__ import annotations

from typing import Final

from ipdsf_spark.config import Config, toml

# Section and key -> what a person beside an instrument has to know of it.
EXPLAINED: Final[dict[str, dict[str, str]]] = {
    "kafka": {
        "bootstrap_servers": "host:port,host:port of your Kafka",
        "files_topic": "one record = one file's bytes, or what a text file has grown by",
        "max_message_bytes": "as the topic allows; larger text files are sent in parts, others are refused by name",
        "group_prefix": "of consumer groups: what your ACL must allow",
        "security_protocol": "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
        "sasl_mechanism": "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI; with SASL_… only",
        "sasl_username": "user name; a name is no secret",
        "sasl_username_env": "or the environment variable that holds it",
        "sasl_password_env": "environment variable with the password, which never stands here",
        "sasl_password_file": "or a file that holds it",
        "oauth_token_url": "OAUTHBEARER: token endpoint; user and password above are client id and client secret",
        "oauth_scope": "OAUTHBEARER: scope to ask for",
        "oauth_ca_location": "OAUTHBEARER: certificates (PEM) to trust at that endpoint; empty = those of the system",
        "kerberos_service": "GSSAPI: service name of the brokers",
        "kerberos_principal": "GSSAPI: principal of this node",
        "kerberos_keytab": "GSSAPI: file with its key",
        "ssl_ca_location": "certificates to trust; empty = those of the system",
        "ssl_certificate_location": "client certificate (PEM), where the brokers ask for one",
        "ssl_key_location": "its private key (PEM)",
        "ssl_keystore_location": "or both in one PKCS12 file; then the two above stay empty",
        "ssl_key_password_env": "environment variable with the password of key or PKCS12 file",
        "ssl_key_password_file": "or a file that holds it",
        "ssl_check_hostname": "the brokers' certificates must name their hosts",
        "topic_per_site": "files go to files_topic.SITE, where an ACL lets this node write and nobody else",
    },
    "edge": {
        "site": "site id: the key of every record",
        "watch": "folder the instrument writes to",
        "directory": "journal and local copies, a folder per site: on a disk that survives a power cut",
        "every_s": "send that often; 0 = each file as soon as it is complete",
        "poll_s": "how often the folder is looked at",
        "settle_s": "a file is complete when it has not changed for so long",
        "rewritten_settle_s": "a netCDF that grows is sent again, whole, when it has not changed for so long",
        "keep_days": "local copies are kept for so long ...",
        "disk_budget_mb": "... within this budget; what was not delivered is never deleted",
        "instrument": 'a hint that travels with every file, e.g. "Vaisala CL51"',
    },
    "monitoring": {"edge_listen": 'metrics for Prometheus, e.g. "127.0.0.1:9109"; empty = none'},
}


def commented(config: Config) -> str:
    """The configuration of an edge node with the values of `config`."""
    lines = [
        "# ipdsf edge --config this-file.toml",
        "# Differences from the defaults suffice; the rest may be deleted.",
    ]
    for section, keys in EXPLAINED.items():
        lines += ["", f"[{section}]"]
        values = getattr(config, section)
        for key, meaning in keys.items():
            lines += [f"# {meaning}", f"{key} = {toml.written(getattr(values, key))}"]
    return "\n".join(lines) + "\n"
