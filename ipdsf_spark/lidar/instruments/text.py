"""Text logs of Vaisala CL31, CL51, CT25K and Campbell CS135, in any framing and in any mixture."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import campbell_cs, framing, vaisala_cl, vaisala_ct
from ipdsf_spark.lidar.instruments.assemble import DamagedMessage, Message, UnfinishedMessage, blocks
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected

_DECODERS: Final = {
    "CL": vaisala_cl.decode_message,
    "CT": vaisala_ct.decode_message,
    "CS": campbell_cs.decode_message,
}
_LD40: Final = re.compile(rb"X1TA[0-9A-Z]")
_LOG_HEADER: Final = re.compile(rb"-?Ceilometer Logfile", re.IGNORECASE)
_RECOGNISED_WITHIN: Final = 65_536  # bytes of a file in which the first header is looked for


def recognise(raw: bytes) -> str | None:
    """Maker and model of the first message, or None."""
    start = raw[:_RECOGNISED_WITHIN]
    header = framing.HEADER.search(start)
    if header is not None:
        if header[1]:
            return vaisala_cl.instrument_of(header.group())
        return vaisala_ct.INSTRUMENT if header[2] else campbell_cs.INSTRUMENT
    if _LD40.search(start):
        return "Vaisala LD40"
    return "Vaisala CL31" if _LOG_HEADER.search(start[:512]) else None


def decode(raw: bytes, *, name: str = "", received: np.datetime64 | None = None) -> Decoded:
    """All messages of a text log: profiles, and a reason for every message that gave none.

    Args:
        raw: a file's bytes.
        name: its name; gives the date where the logger wrote bare clock times, and the time where nothing in the file
            carries a stamp and the name tells one to the second.
        received: time for a file in which no message carries a stamp.
    """
    start = raw[:_RECOGNISED_WITHIN]
    if not framing.HEADER.search(start) and _LD40.search(start):
        reason = "Vaisala LD40 telegram: recognised, but this reader takes no profile from it"
        return Decoded("Vaisala LD40", (), (Rejected(0, len(raw), reason),))
    messages: list[Message] = []
    rejected: list[Rejected] = []
    tail = b""
    head = framing.head_of(raw)
    if head:
        rejected.append(Rejected(0, len(head), "end of a message that begins in the previous file"))
    for frame in framing.frames(raw, name=name):
        try:
            messages.append(_DECODERS[frame.family](frame))
        except UnfinishedMessage as error:
            tail = raw[_with_stamp(raw, frame.start) : frame.end]
            rejected.append(Rejected(frame.start, frame.end - frame.start, f"unfinished message: {error}"))
        except DamagedMessage as error:
            # A line cut in the middle reads as damaged; without the end of its text the message may go on.
            if frame.is_last and not framing.END_OF_TEXT.search(raw, frame.start):
                tail = raw[_with_stamp(raw, frame.start) : frame.end]
            rejected.append(Rejected(frame.start, frame.end - frame.start, str(error)))
    if not messages and not rejected:
        rejected.append(Rejected(0, len(raw), _why_empty(raw)))
    decoded = blocks(messages)
    told = framing.stamp_in(name)
    received = np.datetime64(told, "us") if told is not None else received
    if received is not None and decoded and all(bool(np.isnat(block.time).all()) for block in decoded):
        decoded = tuple(_stamped(block, received) for block in decoded)
    return Decoded(recognise(raw) or "unknown", decoded, tuple(rejected), head=head, tail=tail)


def _with_stamp(raw: bytes, start: int) -> int:
    """Where the logger's stamp line before a message begins, so that a tail keeps its time."""
    gap_start = max(0, start - framing.LONGEST_GAP)
    line = raw.rfind(b"\n", gap_start, max(0, start - 2))
    line = raw.rfind(b"\n", gap_start, line) if line > 0 else line
    return max(line + 1, gap_start)


def _stamped(block: Profiles, received: np.datetime64) -> Profiles:
    return replace(block, time=np.full(len(block), received, dtype="datetime64[us]"))


def _why_empty(raw: bytes) -> str:
    if not raw.strip():
        return "empty file"
    if _LOG_HEADER.search(raw[:512]):
        return "Vaisala log header without a single message"
    return "no message header (CL, CT or CS) found"
