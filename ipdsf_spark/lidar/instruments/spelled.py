"""Control characters that a program wrote as text: ``<STX>``, ``[02]``, escapes of JSON, XML and URLs, pictures."""

from __future__ import annotations

import re
from typing import Final

_LOOKED_AT: Final = 65_536  # bytes in which the first message is looked for
_NAMES: Final = {b"SOH": b"\x01", b"STX": b"\x02", b"ETX": b"\x03", b"EOT": b"\x04"}
_SPELLED: Final = re.compile(
    rb"[<\[{(](?:(?P<name>SOH|STX|ETX|EOT)|(?:0x|x|\$)?0?(?P<code>[1-4]))[>\]})]"
    rb"|\\(?:(?:x0|u000|00)(?P<escaped>[1-4])|(?P<digit>[1-4])(?![0-9]))|\xe2\x90(?P<picture>[\x81-\x84])"
    rb"|&#x?0?(?P<entity>[1-4]);|%0(?P<percent>[1-4])"
)
_LINE_END: Final = re.compile(rb"\\r\\n|&#1[03];&#10;|&#x[dD];&#x[aA];|%0[dD]%0[aA]|\\n(?=[ 0-9a-f/\\])")


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
