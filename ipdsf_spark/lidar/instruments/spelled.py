"""Logs as programs leave them that show or store what they receive as text.

Control characters are spelled out (``<STX>``, ``[02]``, escapes of JSON, XML and URLs, pictures), or a dot, a question
mark or the smileys of DOS stand in their place; a message stands on one line, with marks where its lines ended; long
lines were broken where the terminal's ended. Each reading is as long as the log, and the log itself where it does not
apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_LOOKED_AT: Final = 65_536  # bytes in which the first message is looked for
_NAMES: Final = {b"SOH": b"\x01", b"STX": b"\x02", b"ETX": b"\x03", b"EOT": b"\x04"}
_SPELLED: Final = re.compile(
    rb"[<\[{(](?:(?P<name>SOH|STX|ETX|EOT)|(?:0x|x|\$)?0?(?P<code>[1-4]))[>\]})]"
    rb"|\\(?:(?:x0|u000|00)(?P<escaped>[1-4])|(?P<digit>[1-4])(?![0-9]))|\xe2\x90(?P<picture>[\x81-\x84])"
    rb"|&#x?0?(?P<entity>[1-4]);|%0(?P<percent>[1-4])"
)
_LINE_END: Final = re.compile(rb"\\r\\n|&#1[03];&#10;|&#x[dD];&#x[aA];|%0[dD]%0[aA]|\\n(?=[ 0-9a-f/\\])")
_NUM_WIDE: Final = 40  # hexadecimal digits of a line that is part of a longer one
_MARK: Final = rb"(?:[.?]|\xef\xbf\xbd)"
_BEGIN: Final = re.compile(
    rb"(?:" + _MARK + rb"|\xe2\x98\xba)?(C[LTS][0-9A-Z]\d{4,7})(" + _MARK + rb"|\xe2\x98\xbb)(?=[ \t\r]*\n)"
)
_END: Final = re.compile(
    rb"(?<=\n)(" + _MARK + rb"|\xe2\x99\xa5)(?=[0-9A-Fa-f]{4}|[ \t\r]*\n|\Z)"
    rb"|(?<=[0-9A-Fa-f]{4})(" + _MARK + rb"|\xe2\x99\xa6)(?=[ \t\r]*(?:\n|\Z))"
)
_ON_ONE_LINE: Final = re.compile(
    rb"C[LTS][0-9A-Z]\d{4,7}\x02?(?P<mark>[|;~]|\\r\\n|\\n)(?=[0-6/][0WA ][ 0-9/])[^\r\n]*"
)
_BROKEN: Final = re.compile(rb"(?:^[0-9A-Fa-f]{%d,4096}\r?\n){2,}[0-9A-Fa-f]+(?=\r?\n)" % _NUM_WIDE, re.MULTILINE)


def with_control_characters(raw: bytes) -> bytes:
    """A log with the control characters and line ends that it spells out; as long as before, with blanks. Else itself.

    The beginning and the end of a text must both be spelled out, so that nothing else is touched.
    """
    kinds = {_control(match) for match in _SPELLED.finditer(raw, 0, _LOOKED_AT)}
    if not kinds >= {b"\x02", b"\x03"}:
        return raw
    text = _SPELLED.sub(lambda match: _control(match).ljust(len(match.group())), raw)
    return _LINE_END.sub(lambda match: b"\r\n".rjust(len(match.group())), text)


def _control(match: re.Match[bytes]) -> bytes:
    group = match.groupdict()
    if group["name"] is not None:
        return _NAMES[group["name"]]
    if group["picture"] is not None:
        return bytes([group["picture"][0] - 0x80])
    return bytes(
        [int(group["code"] or group["escaped"] or group["digit"] or group["entity"] or group["percent"] or b"1")]
    )


def with_marks_as_control_characters(raw: bytes) -> bytes:
    """A log in which dots, question marks or smileys stand for control characters; header and end tell that they do."""
    if _BEGIN.search(raw, 0, _LOOKED_AT) is None:
        return raw
    text = _BEGIN.sub(_begun, raw)
    return _END.sub(lambda match: (b"\x03" if match[1] else b"\x04").ljust(len(match.group())), text)


def with_lines_apart(raw: bytes) -> bytes:
    """A log whose messages stand on one line each, with the same mark wherever a line of the instrument ended."""
    if _ON_ONE_LINE.search(raw, 0, _LOOKED_AT) is None:
        return raw
    return _ON_ONE_LINE.sub(
        lambda match: match.group().replace(match["mark"], b"\n".rjust(len(match["mark"]), b"\r")), raw
    )


def with_lines_joined(raw: bytes) -> bytes:
    """A log whose profiles are broken into lines as wide as a terminal."""
    return _BROKEN.sub(_joined, raw)


READINGS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    with_control_characters,
    with_marks_as_control_characters,
    with_lines_apart,
    with_lines_joined,
)


def _begun(match: re.Match[bytes]) -> bytes:
    before = match.start(1) - match.start()
    return b"\x01".rjust(before) * bool(before) + match[1] + b"\x02".ljust(len(match[2]))


def _joined(match: re.Match[bytes]) -> bytes:
    lines = match.group().split(b"\n")
    widths = {len(line.rstrip(b"\r")) for line in lines[:-1]}
    if len(widths) > 1 or len(lines[-1]) > min(widths):
        return match.group()  # not broken by a terminal
    return b"".join(line.rstrip(b"\r") for line in lines).ljust(len(match.group()))
