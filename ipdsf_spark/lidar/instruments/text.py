"""Text logs of Vaisala CL31, CL51, CT25K and Campbell CS135, in any framing and in any mixture."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ipdsf_spark.lidar.instruments import campbell_cs, framing, vaisala_cl, vaisala_ct
from ipdsf_spark.lidar.instruments.assemble import DamagedMessage, Message, UnfinishedMessage, blocks
from ipdsf_spark.lidar.instruments.headless import headless
from ipdsf_spark.lidar.instruments.stamps import NO_STAMP, UNDECIDED, UTC_CLOCK, Clock, only_instant
from ipdsf_spark.lidar.profiles import Decoded, Profiles, Rejected

_DECODERS: Final = {
    "CL": vaisala_cl.decode_message,
    "CT": vaisala_ct.decode_message,
    "CS": campbell_cs.decode_message,
}
_LOG_HEADER: Final = re.compile(rb"-?Ceilometer Logfile", re.IGNORECASE)
_MERE_END: Final = re.compile(rb"[ \t\r\n]*\x04")  # of a message that is whole without it
_PROFILE: Final = re.compile(rb"(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{200,})")
_RECOGNISED_WITHIN: Final = 65_536  # bytes of a file in which the first header is looked for
_RECOGNISED_FIRST: Final = _RECOGNISED_WITHIN - 64  # a header that begins before it is found there with all behind it


def recognise(raw: bytes) -> str | None:
    """Maker and model of the first message, or None."""
    header = framing.HEADER.search(raw, 0, _RECOGNISED_WITHIN)
    if header is not None:
        return _model_of(header.group())
    return "Vaisala CL31" if _LOG_HEADER.search(raw, 0, 512) else None


def _model_of(header: bytes) -> str:
    if header[1:2] == b"L":
        return vaisala_cl.instrument_of(header)
    return vaisala_ct.INSTRUMENT if header[1:2] == b"T" else campbell_cs.INSTRUMENT


def decode(
    raw: bytes,
    *,
    name: str = "",
    received: np.datetime64 | None = None,
    now: np.datetime64 | None = None,
    clock: Clock = UTC_CLOCK,
    is_alone: bool = False,
) -> Decoded:
    """All messages of a text log: profiles, and a reason for every message that gave none.

    Args:
        raw: a file's bytes.
        name: its name; gives the date where the logger wrote bare clock times, and the time where nothing in the file
            carries a stamp and the name tells one to the second.
        received: time of sending (UTC); decides what stamps leave open.
        now: the present, where no time of sending is known.
        clock: of the logger, where its stamps do not say it.
        is_alone: whether no file beside it will tell more of it.

    Returns:
        Profiles without any stamp have no time here; whoever calls decides whether one may take the time of sending.
    """
    messages: list[Message] = []
    places: list[tuple[int, int]] = []
    rejected: list[Rejected] = []
    head, tail = framing.before_first(raw), b""
    begins_inside = framing.ends_a_profile(head)
    found = framing.frames(
        raw,
        name=name,
        clock=clock,
        received=as_datetime(received),
        latest=as_datetime(now),
        begins_inside=begins_inside,
    )
    part: Literal["", "head", "tail", "whole"]
    if found and found[0].is_undecided and not is_alone and len(raw) <= framing.LONGEST_UNDECIDED:
        return _undecided(raw, found)
    is_fragment = not found and bool(head.strip())
    has_many_ends = not found and len(framing.END_OF_TEXT.findall(head)) > 2  # ETX and EOT end one message
    if begins_inside and not has_many_ends and not _MERE_END.match(head):
        part = "whole" if is_fragment else "head"
        rejected.append(Rejected(0, len(head), "end of a message that begins in the previous file", part))
    rejected += headless(raw, found, num_named=len(rejected))
    lacks_checksums = found != [] and found[0].family != "CT" and framing.lacks_checksums(raw, len(found))
    is_lone = len(found) == 1
    is_stamped = any(frame.no_time != NO_STAMP for frame in found)
    for index, frame in enumerate(found):
        place = (frame.start, frame.end - frame.start)
        try:
            message = _DECODERS[frame.family](frame._replace(lacks_checksum=True) if lacks_checksums else frame)
        except DamagedMessage as error:
            # A line cut in the middle reads as damaged; without the end of its text the message may go on.
            is_unfinished = isinstance(error, UnfinishedMessage)
            part = ""
            if is_unfinished or (frame.is_last and not framing.END_OF_TEXT.search(raw, frame.start)):
                part, tail = "tail", raw[frame.talk_start : frame.end]
                if is_lone and not is_stamped:  # the file before may hold the stamp, and the file after the rest
                    part, is_fragment, head = "whole", True, raw[: framing.LONGEST_MESSAGE]
            reason = f"unfinished message: {error}" if is_unfinished else str(error)
            rejected.append(Rejected(*place, reason, part))
            continue
        if frame.is_last:
            tail = raw[_goes_on_at(raw, frame) :]
            if not is_stamped and not (is_lone and received is not None):
                tail = raw[frame.start :]  # the next file may begin with its stamp
        part = ""
        is_first_bare = frame.time is None and index == 0 and not frame.stamp_follows and not frame.is_undecided
        if is_first_bare and not (is_lone and received is not None):
            # The previous file may end with the stamp of this message, or with half of it.
            is_fragment = is_lone and not is_stamped
            head = raw[: len(raw) if is_fragment else frame.message_end][: framing.LONGEST_MESSAGE]
            part = "whole" if is_fragment else "head"
        elif frame.time is None and frame.is_last and (frame.stamp_follows or not is_stamped):
            part = "tail"
        if frame.time is None and (frame.no_time != NO_STAMP or not is_lone):
            rejected.append(Rejected(*place, frame.no_time, part))
            continue
        messages.append(message)
        places.append(place)
    if not messages and not rejected:
        rejected.append(Rejected(0, len(raw), why_empty(raw), "whole" if is_fragment else ""))
    rejected.sort(key=lambda each: each.offset)
    if is_fragment:
        tail = head
    if not tail.strip(b"\r\n \t\x03\x04"):
        tail = b""
    decoded = blocks(messages)
    if is_lone and messages and messages[0].time is None and (told := framing.stamp_in(name)) is not None:
        moment = only_instant(told, clock)
        decoded = tuple(_stamped(block, moment) for block in decoded) if moment else decoded
    return Decoded(
        _model_of(found[0].header) if found and found[0].start < _RECOGNISED_FIRST else recognise(raw) or "unknown",
        decoded,
        tuple(rejected),
        head=head,
        tail=tail,
        is_fragment=is_fragment,
        places=_by_block(decoded, places),
    )


def _undecided(raw: bytes, found: list[framing.Frame]) -> Decoded:
    """A log that was cut beside a stamp, as a fragment: the file before it or behind it tells how it is to be read."""
    rejected = tuple(Rejected(frame.start, frame.end - frame.start, UNDECIDED, "whole") for frame in found)
    return Decoded(_model_of(found[0].header), (), rejected, head=raw, tail=raw, is_fragment=True)


def _goes_on_at(raw: bytes, frame: framing.Frame) -> int:
    """Where the part of a file behind its last whole message begins that the next file may go on with."""
    if not frame.stamp_follows:
        return frame.message_end
    # A stamp that was used must not be taken for that of the next message.
    return frame.start if frame.no_time else max(frame.message_end, raw.rfind(b"\n") + 1)


def as_datetime(stamp: np.datetime64 | None) -> datetime | None:
    """As a moment of the calendar; None if it lies outside."""
    if stamp is None:
        return None
    moment = stamp.astype("datetime64[us]").item()
    return moment if isinstance(moment, datetime) else None


def _stamped(block: Profiles, moment: datetime) -> Profiles:
    return replace(block, time=np.full(len(block), moment, dtype="datetime64[us]"))


def _by_block(decoded: tuple[Profiles, ...], places: list[tuple[int, int]]) -> tuple[NDArray[np.int64], ...]:
    table = np.array(places, np.int64).reshape(-1, 2)
    if len(decoded) == 1:
        return (table,)
    ends = np.cumsum([len(block) for block in decoded], dtype=int)
    return tuple(table[end - len(block) : end] for block, end in zip(decoded, ends, strict=True))


def why_empty(raw: bytes) -> str:
    """Why a text holds not a single message."""
    if not raw.strip():
        return "empty file"
    if _LOG_HEADER.search(raw[:512]):
        return "Vaisala log header without a single message"
    if _PROFILE.search(raw):
        return (
            "profiles in hexadecimal, but no message header (CL, CT or CS) found: the headers are damaged or stripped"
        )
    return "no message header (CL, CT or CS) found"
