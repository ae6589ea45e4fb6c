"""Hosts on one machine: network namespaces, two joined by a link whose rate is shaped, or one that a link leads to.

Each namespace has its own interfaces and addresses; what goes from one to the other passes the link and is counted
there. Cores and disk are shared, so this shows what the network does, not what a second machine's cores would do.
Needs Linux, the programs `ip` and `tc` (iproute2) and the right to administer networks (root).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import PrerequisiteError

FOLDER: Final = Path("/run/netns")
NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET
BURST: Final = "64kb"
QUEUE: Final = "100ms"  # how long a packet may wait at the link before it is dropped
NAME: Final = re.compile(r"ipdsf-(\d+)-[abf]")


@dataclass(frozen=True)
class Host:
    """One of them.

    Attributes:
        name: of its namespace.
        address: on the link.
        interface: its end of the link.
    """

    name: str
    address: str
    interface: str

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this host: what this thread starts or connects inside the block is there, and stays."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(FOLDER / self.name, os.O_RDONLY)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(here)
        finally:
            os.close(here)


class FarHost:
    """A host and a link that leads there from where this process is, as long as a `with` block; the link can be cut."""

    def __init__(self) -> None:
        number = os.getpid()
        self.host = Host(f"ipdsf-{number}-f", "10.213.8.2", f"ip{number}f")
        self._interface = f"ip{number}h"

    def __enter__(self) -> FarHost:
        """Make it.

        Raises:
            PrerequisiteError: this machine or this user cannot; the message says what was refused.
        """
        _require("ip")
        _remove_left()
        try:
            _run("ip", "netns", "add", self.host.name)
            _run("ip", "link", "add", self._interface, "type", "veth",
                 "peer", "name", self.host.interface, "netns", self.host.name)  # fmt: skip
            _run("ip", "addr", "add", "10.213.8.1/24", "dev", self._interface)
            _run("ip", "link", "set", self._interface, "up")
            _bring_up(self.host)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it; the link goes with its end."""
        _remove(self.host.name)

    def cut(self) -> None:
        """Take the far end of the link down: nothing passes, and nobody is told."""
        _run("ip", "-n", self.host.name, "link", "set", self.host.interface, "down")

    def mend(self) -> None:
        """Bring it up again."""
        _run("ip", "-n", self.host.name, "link", "set", self.host.interface, "up")


class TwoHosts:
    """The hosts and their link, as long as a `with` block.

    Args:
        link_mbit: rate of the link in each direction [Mbit/s].
    """

    def __init__(self, link_mbit: float) -> None:
        self.link_mbit = link_mbit
        number = os.getpid()
        # Names of interfaces have fifteen characters at most.
        self.hosts = tuple(
            Host(f"ipdsf-{number}-{letter}", f"10.213.7.{place}", f"ip{number}{letter}")
            for place, letter in enumerate("ab", start=1)
        )

    def __enter__(self) -> TwoHosts:
        """Make them.

        Raises:
            PrerequisiteError: this machine or this user cannot; the message says what was refused.
        """
        _require("ip", "tc")
        _remove_left()
        try:
            first, second = self.hosts
            for host in self.hosts:
                _run("ip", "netns", "add", host.name)
            _run("ip", "link", "add", first.interface, "netns", first.name, "type", "veth",
                 "peer", "name", second.interface, "netns", second.name)  # fmt: skip
            for host in self.hosts:
                _bring_up(host)
                _run("tc", "-n", host.name, "qdisc", "add", "dev", host.interface, "root", "tbf",
                     "rate", f"{self.link_mbit:g}mbit", "burst", BURST, "latency", QUEUE)  # fmt: skip
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove them; the link goes with its ends."""
        for host in self.hosts:
            _remove(host.name)

    def sent_bytes(self) -> tuple[int, ...]:
        """What each host has put on the link so far."""
        return tuple(_sent(host) for host in self.hosts)


def _require(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise PrerequisiteError(f"hosts of their own need the program {program} (iproute2), which is not here")


def _bring_up(host: Host) -> None:
    """Give a host its address, and bring its interfaces up."""
    _run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", host.interface)
    for interface in ("lo", host.interface):
        _run("ip", "-n", host.name, "link", "set", interface, "up")


def _remove(namespace: str) -> None:
    """Its end of the link goes with it; one that is not there is no trouble."""
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _sent(host: Host) -> int:
    told = json.loads(_run("ip", "-j", "-s", "-n", host.name, "link", "show", "dev", host.interface))
    return int(told[0]["stats64"]["tx"]["bytes"])


def _run(*command: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise PrerequisiteError(f"hosts cannot be made here: `{' '.join(command)}` says: {ended.stderr.strip()}")
    return ended.stdout


def _enter(namespace: int) -> None:
    """Move the calling thread into a namespace (Python has no call for it before 3.12)."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, NEW_NETWORK):
        number = ctypes.get_errno()
        raise PrerequisiteError(f"cannot enter a network namespace: {os.strerror(number)}")


def _remove_left() -> None:
    """Namespaces of processes that were killed before they could remove them."""
    with contextlib.suppress(OSError):
        for path in FOLDER.iterdir():
            found = NAME.fullmatch(path.name)
            if found and not Path(f"/proc/{found[1]}").exists():
                _remove(path.name)
