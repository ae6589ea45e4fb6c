"""A development CA and the certificates it signs: keys on P-256, PKCS#8, PEM and PKCS12, made by the `openssl` program.

No password ever stands on a command line, where every user of the machine could read it: openssl takes it from a file.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import ConfigError, InputError, PrerequisiteError

CA_DAYS: Final = 3_650
DAYS: Final = 825  # the longest that today's clients accept of a server
KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
CERTIFICATE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"
BOTH: Final = "both.pem"  # what Java reads: the key, then the certificate
PKCS12: Final = "keystore.p12"
LONGEST_NAME: Final = 64  # of a common name: RFC 5280, ub-common-name
_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST: Final = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{_LABEL}(\.{_LABEL})*")


def make_authority(folder: Path, name: str) -> None:
    """A new CA: `ca.pem` for everybody, `ca.key` for nobody else.

    Args:
        folder: where both files go.
        name: common name of the CA.

    Raises:
        PrerequisiteError: there is no openssl.
        InputError: openssl refuses.
    """
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    with _private():
        _openssl("req", "-x509", *KEY, "-noenc", "-keyout", folder / "ca.key", "-out", folder / "ca.pem",
                 "-days", str(CA_DAYS), "-subj", f"/CN={name}", *extensions)  # fmt: skip
    (folder / "ca.pem").chmod(0o644)


def renew_authority(folder: Path) -> None:
    """A new `ca.pem` for the same key and name: what the CA has signed holds with either, as long as both do.

    Args:
        folder: of the CA.

    Raises:
        PrerequisiteError: there is no openssl.
        InputError: openssl refuses; `ca.pem` is as it was.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as work:
        made = Path(work) / "ca.pem"
        # With a number of its own: two certificates of one name and number are refused by some clients.
        _openssl("x509", "-in", folder / "ca.pem", "-signkey", folder / "ca.key", "-days", str(CA_DAYS),
                 "-set_serial", f"0x{secrets.token_hex(16)}", "-out", made)  # fmt: skip
        made.chmod(0o644)
        made.replace(folder / "ca.pem")


def issue(authority: Path, folder: Path, name: str, *, hosts: Sequence[str] = (), days: int = DAYS) -> None:
    """A key and a certificate for one party: PEM apart, PEM together, and PKCS12 with the password of `key-password`.

    Args:
        authority: folder of the CA.
        folder: where the files go; `key-password` lies there already.
        name: common name, which is the party's name in Kafka where certificates alone are asked for; of a longer one
            than X.509 takes, how it begins.
        hosts: names and addresses that a server is reached by; none for a client.
        days: for how long it holds.

    Raises:
        PrerequisiteError: there is no openssl.
        InputError: openssl refuses; what was in the folder is as it was.
        ConfigError: a host is none.
    """
    usage = "serverAuth,clientAuth" if hosts else "clientAuth"
    extensions = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    extensions += f"extendedKeyUsage={usage}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    if hosts:
        extensions += f"subjectAltName={','.join(map(_alternative, hosts))}\n"
    with _private(), tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as work:
        request, wanted, made = Path(work) / "request", Path(work) / "extensions", Path(work) / "made"
        made.mkdir()
        key, certificate = made / KEY_FILE, made / CERTIFICATE
        wanted.write_text(extensions)
        _openssl("req", "-new", *KEY, "-noenc", "-keyout", key, "-out", request, "-subj", f"/CN={name[:LONGEST_NAME]}")
        _openssl("x509", "-req", "-in", request, "-CA", authority / "ca.pem", "-CAkey", authority / "ca.key",
                 "-days", str(days), "-extfile", wanted, "-out", certificate)  # fmt: skip
        (made / BOTH).write_text(key.read_text() + certificate.read_text())
        _openssl("pkcs12", "-export", "-inkey", key, "-in", certificate, "-certfile", authority / "ca.pem",
                 "-name", name, "-passout", f"file:{folder / 'key-password'}", "-out", made / PKCS12)  # fmt: skip
        for path in made.iterdir():
            path.replace(folder / path.name)


def end_of(certificate: Path) -> str:
    """Until when a certificate holds, as openssl says it.

    Raises:
        InputError: it is none.
    """
    return _openssl("x509", "-in", certificate, "-noout", "-enddate").strip().removeprefix("notAfter=")


def hosts_of(certificate: Path) -> list[str]:
    """Names and addresses that a server's certificate holds for.

    Raises:
        InputError: it is none.
    """
    said = _openssl("x509", "-in", certificate, "-noout", "-ext", "subjectAltName")
    return re.findall(r"(?:DNS|IP Address):([^,\s]+)", said)


def check_host(host: str) -> None:
    """Whether a server may be said to be reached by it.

    Raises:
        ConfigError: it is neither a name nor an address.
    """
    _alternative(host)


def _alternative(host: str) -> str:
    """A host as an alternative name; names of other alphabets as DNS spells them."""
    try:
        return f"IP:{ipaddress.ip_address(host.removeprefix('[').removesuffix(']'))}"
    except ValueError:
        pass
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not HOST.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise ConfigError(
            f"{host!r} is no host: a name like kafka-1.example.org, or an address like 192.0.2.1, without a port"
        )
    return f"DNS:{name}"


class _private:
    """Files made inside are the owner's alone from their first byte on."""

    def __enter__(self) -> None:
        self._before = os.umask(0o077)

    def __exit__(self, *_: object) -> None:
        os.umask(self._before)


def _openssl(*arguments: str | Path) -> str:
    program = shutil.which("openssl")
    if program is None:
        raise PrerequisiteError("no openssl found, which makes the certificates; install it: `apt-get install openssl`")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout
