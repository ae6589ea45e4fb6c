"""A group of plain consumers, from the outside: started, its assignment asked of the broker, let go, watched, ended."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ipdsf_spark.errors import BrokerError

JOIN_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.05


@dataclass(frozen=True)
class Mark:
    """How far a side had come at one moment."""

    files: int
    seconds: float  # monotonic
    cpu_s: float


@dataclass(frozen=True)
class Seat:
    """Where a process of consumers runs.

    Attributes:
        members: names of its consumers.
        options: of their Kafka clients.
        entered: gives the context in which it is started, such as another network namespace.
    """

    members: Sequence[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    entered: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass
class _Process:
    seat: Seat
    running: subprocess.Popen[str]
    told: dict[str, Any]
    members: list[dict[str, Any]]
    reader: threading.Thread


class ConsumerGroup:
    """Consumers of one topic in processes of their own, as long as a `with` block.

    Args:
        bootstrap: where Kafka is.
        topic: to read.
        name: of the group.
        work: `transfer` or `analysis`.
        seats: a process each.
        overrides: the configuration of the analysis.
    """

    def __init__(
        self, bootstrap: str, topic: str, name: str, work: str, seats: Sequence[Seat], overrides: Sequence[str] = ()
    ) -> None:
        self._orders: dict[str, Any] = {
            "bootstrap": bootstrap,
            "topic": topic,
            "group": name,
            "work": work,
            "overrides": list(overrides),
        }
        self._seats = seats
        self._processes: list[_Process] = []
        self.num_members = sum(len(seat.members) for seat in seats)

    def __enter__(self) -> ConsumerGroup:
        """Start the processes; they take partitions, and wait."""
        try:
            for seat in self._seats:
                with seat.entered():
                    self._processes.append(self._started(seat))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes."""
        self._end()

    def await_assignment(self, partitions: int) -> dict[str, int]:
        """Wait until the broker has given all partitions to the members; returns how many each has, by name.

        Raises:
            BrokerError: it did not in time, or a process has ended.
        """
        admin = AdminClient({"bootstrap.servers": self._orders["bootstrap"], "log_level": 0})
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while time.monotonic() < deadline:
            self._require_running()
            held = _assignment(admin, self._orders["group"])
            if len(held) == self.num_members and sum(held.values()) == partitions:
                return held
            time.sleep(0.2)
        raise BrokerError(f"{self.num_members} consumers did not get their partitions within {JOIN_TIMEOUT_S:.0f} s")

    def go(self) -> float:
        """Let them read; returns the monotonic time."""
        for process in self._processes:
            assert process.running.stdin is not None
            process.running.stdin.write("go\n")
            process.running.stdin.flush()
        return time.monotonic()

    def mark(self) -> Mark:
        """What they have told so far; the time is that of their newest batch."""
        told = [process.told for process in self._processes]
        return Mark(
            sum(each.get("received", 0) for each in told),
            max((each.get("last_s", 0.0) for each in told), default=0.0),
            sum(each.get("cpu_s", 0.0) for each in told),
        )

    def await_files(self, count: int, *, until_s: float, say: Callable[[int], None] | None = None) -> Mark:
        """Wait until so many files are done, or until a monotonic time."""
        while True:
            mark = self.mark()
            if say is not None:
                say(mark.files)
            if mark.files >= count or time.monotonic() >= until_s:
                return mark
            self._require_running()
            time.sleep(POLL_S)

    def finish(self) -> list[dict[str, Any]]:
        """End them and return what each member has done, with the `seat` number of its process.

        Raises:
            BrokerError: a process ended without a word.
        """
        self._end()
        if any(not process.members for process in self._processes):
            raise BrokerError("consumers ended without saying what they had read")
        return [
            {**member, "seat": number} for number, process in enumerate(self._processes) for member in process.members
        ]

    def _started(self, seat: Seat) -> _Process:
        running = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.experiments.consumer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        process = _Process(seat, running, {}, [], threading.Thread())
        process.reader = threading.Thread(target=_listen, args=(process,), daemon=True)
        process.reader.start()
        assert running.stdin is not None
        orders = {**self._orders, "members": list(seat.members), "options": dict(seat.options)}
        running.stdin.write(json.dumps(orders) + "\n")
        running.stdin.flush()
        return process

    def _require_running(self) -> None:
        for process in self._processes:
            if process.running.poll() is not None:
                raise BrokerError(f"the consumers {', '.join(process.seat.members[:3])} … ended before their work")

    def _end(self) -> None:
        for process in self._processes:
            if process.running.stdin is not None and not process.running.stdin.closed:
                process.running.stdin.close()
        for process in self._processes:
            try:
                process.running.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.running.kill()
                process.running.wait()
            process.reader.join(END_TIMEOUT_S)


def _listen(process: _Process) -> None:
    """Keep the newest that a process tells."""
    assert process.running.stdout is not None
    for line in process.running.stdout:
        told = json.loads(line)
        if "members" in told:
            process.members = told["members"]
        else:
            process.told = told


def _assignment(admin: AdminClient, group: str) -> dict[str, int]:
    """Partitions by client id, as the broker's coordinator has them; empty while members come and go."""
    try:
        found: Any = admin.describe_consumer_groups([group], request_timeout=5)[group].result(10)
    except KafkaException:
        return {}
    if found.state.name != "STABLE":
        return {}
    return {member.client_id: len(member.assignment.topic_partitions) for member in found.members}


def seats_of(consumers: int, *, processes: int, prefix: str = "consumer") -> list[Seat]:
    """So many consumers, dealt to so many processes."""
    names = [f"{prefix}-{number}" for number in range(consumers)]
    return [Seat(names[first::processes]) for first in range(min(processes, consumers))]
