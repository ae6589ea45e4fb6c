"""A development CA and the certificates it signs: keys on P-256, PKCS#8, PEM and PKCS12, made by the `openssl` program.

No password ever stands on a command line, where every user of the machine could read it: openssl takes it from a file.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import InputError, PrerequisiteError

CA_DAYS: Final = 3_650
DAYS: Final = 825  # the longest that today's clients accept of a server
KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
CERTIFICATE: Final = "certificate.pem"
KEY_FILE: Final = "key.pem"
BOTH: Final = "both.pem"  # what Java reads: the key, then the certificate
PKCS12: Final = "keystore.p12"


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


def issue(authority: Path, folder: Path, name: str, *, hosts: Sequence[str] = (), days: int = DAYS) -> None:
    """A key and a certificate for one party: PEM apart, PEM together, and PKCS12 with the password of `key-password`.

    Args:
        authority: folder of the CA.
        folder: where the files go; `key-password` lies there already.
        name: common name, which is the party's name in Kafka where certificates alone are asked for.
        hosts: names and addresses that a server is reached by; none for a client.
        days: for how long it holds.

    Raises:
        PrerequisiteError: there is no openssl.
        InputError: openssl refuses.
    """
    usage = "serverAuth,clientAuth" if hosts else "clientAuth"
    extensions = f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n"
    if hosts:
        extensions += f"subjectAltName={','.join(map(_alternative, hosts))}\n"
    key, certificate = folder / KEY_FILE, folder / CERTIFICATE
    with _private(), tempfile.TemporaryDirectory() as work:
        request, wanted = Path(work) / "request", Path(work) / "extensions"
        wanted.write_text(extensions)
        _openssl("req", "-new", *KEY, "-noenc", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", authority / "ca.pem", "-CAkey", authority / "ca.key",
                 "-days", str(days), "-extfile", wanted, "-out", certificate)  # fmt: skip
        (folder / BOTH).write_text(key.read_text() + certificate.read_text())
        _openssl("pkcs12", "-export", "-inkey", key, "-in", certificate, "-certfile", authority / "ca.pem",
                 "-name", name, "-passout", f"file:{folder / 'key-password'}", "-out", folder / PKCS12)  # fmt: skip


def end_of(certificate: Path) -> str:
    """Until when a certificate holds, as openssl says it.

    Raises:
        InputError: it is none.
    """
    return _openssl("x509", "-in", certificate, "-noout", "-enddate").strip().removeprefix("notAfter=")


def _alternative(host: str) -> str:
    is_address = host.replace(".", "").isdigit() or ":" in host
    return f"{'IP' if is_address else 'DNS'}:{host}"


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
