"""What a quarantine record looks like: whole files, why they are there, and where they came from.

The headers of Kafka Streams (KIP-1034) stand beside ours, so that any tool that knows dead letters can resend them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

ROOM: Final = 20_000  # bytes of a record that key and headers may need
MAX_LISTED: Final = 20  # stretches named one by one; a burst of noise is one record, not one per stretch
MAX_REASON: Final = 500
Headers = list[tuple[str, bytes]]


class DeadLetter(NamedTuple):
    """A record of the quarantine topic.

    Attributes:
        key: where it came from, so that a repeated batch replaces and does not add.
        value: the record's own value, whole and compressed as it came; empty if it is only referred to.
        headers: names and UTF-8 values.
    """

    key: bytes
    value: bytes
    headers: Headers


def dead_letter(
    *,
    topic: str,
    partition: int,
    offset: int,
    site: str,
    file: str,
    sent_ms: int,
    stretches: Sequence[tuple[int, int, str]],
    raw: bytes,
    max_bytes: int,
    exception: str = "ipdsf.Rejected",
    part: str = "",
) -> DeadLetter:
    """The quarantine record of one file.

    Args:
        topic: of the file's record.
        partition: of it.
        offset: of it.
        site: who sent it.
        file: under which name.
        sent_ms: when [ms since 1970].
        stretches: offset, length and reason of whatever gave no profile.
        raw: the record's value; empty to refer to it only.
        max_bytes: what the quarantine topic takes; a larger value is referred to.
        exception: what a reader of dead letters calls the kind of fault.
        part: tells several records of one file apart.
    """
    first = stretches[0][2][:MAX_REASON] if stretches else "no reason given"
    more = f" (and {len(stretches) - 1} more)" if len(stretches) > 1 else ""
    fits = bool(raw) and len(raw) + ROOM <= max_bytes
    position = f"{topic}-{partition}-{offset}"
    listed = [(start, length, reason[:MAX_REASON]) for start, length, reason in stretches[:MAX_LISTED]]
    headers = {
        "reason": first + more,
        "num_stretches": str(len(stretches)),
        "stretches": json.dumps(listed, separators=(",", ":"), ensure_ascii=False)[: ROOM // 2],
        "site": site,
        "file": file[:MAX_REASON],
        "position": position,
        "sent_ms": str(sent_ms),
        "__streams.errors.exception": exception,
        "__streams.errors.message": first + more,
        "__streams.errors.stacktrace": "",
        "__streams.errors.topic": topic,
        "__streams.errors.partition": str(partition),
        "__streams.errors.offset": str(offset),
    }
    if not fits:
        headers["reference"] = position
    encoded = [(name, text.encode("utf-8", "replace")) for name, text in headers.items()]
    return DeadLetter(f"{position}{part}".encode(), raw if fits else b"", encoded)
