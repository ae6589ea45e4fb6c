"""Campbell Scientific CS135 (SkyVUE) data messages 002, 004 and 006 (CS135 manual, section "Data messages").

    <SOH>CSusssmmm<STX>                           unit, operating system, message number
    d w ttt hhhhh hhhhh hhhhh hhhhh ffffffffffff  detection, self-check, window %, heights, flags
    (004, 006) sky condition                      octas and heights in 10 m or 100 ft
    SSSSS rr nnnn eee +tt aa bbbb pppp rr sss     scale %, resolution m, gates, energy %, laser C, tilt, background ...
    (006) hhhhh qqqqq three times                 mixing-layer heights and their quality
    nnnn values of 5 hex digits, beta [m-1 sr-1] = value · 1e-8 · SSSSS/100
    <ETX>cccc<EOT>                                CRC-16 from "CS" through ETX

Messages 001, 003 and 005 carry no profile.
"""

from __future__ import annotations

import re
from typing import Final

from ipdsf_spark.lidar.instruments import hexprofile
from ipdsf_spark.lidar.instruments.assemble import NAN, DamagedMessage, Message, UnfinishedMessage
from ipdsf_spark.lidar.instruments.framing import Frame, message_crc, required, shown, sky_condition, without_padding

INSTRUMENT: Final = "Campbell CS135"
FOOT_M: Final = 0.3048
UNIT_PER_COUNT: Final = 1e-8
WAVELENGTH_NM: Final = 912.0
IS_METRES: Final = 0x8000_0000_0000
FULL_OBSCURATION: Final = "5"  # 1 to 4 count cloud bases, unlike Vaisala's 4
NUM_LAYERS: Final = 3
SKY_WIDTH: Final = 40  # characters; loggers strip the leading blanks
HAS_SKY: Final = ("004", "006")
HAS_PROFILE: Final = ("002", "004", "006")

_LINE_2: Final = re.compile(
    rb"([0-6/])([0WA ])\s?([0-9/]{3}) ([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9A-Fa-f]{12})\s*$"
)
_PARAMETERS: Final = re.compile(
    rb"\s*(\d{5}) (\d{2}) (\d{4}) (\d{3}) ([+-]\d{2}) ([+-]?\d{2}) (\d{4}) (\d{4}) (\d{2}) (\d{3})\s*$"
)
_LAYERS: Final = re.compile(rb"\s*([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5})\s*$")
_CHECKSUM: Final = re.compile(rb"\x03?\s*([0-9A-Fa-f]{4})")


def decode_message(frame: Frame) -> Message:
    """One CS135 message.

    Raises:
        DamagedMessage: with what was wrong and what would be right.
    """
    number = frame.header[6:9].decode()
    if number not in HAS_PROFILE:
        raise DamagedMessage(f"Campbell CS135 message {number} has no profile; set the instrument to 002, 004 or 006")
    line_2 = required(frame, 0, "detection status line")
    status = _LINE_2.match(line_2)
    if status is None:
        raise DamagedMessage(f"second line is not 'dw ttt hhhhh hhhhh hhhhh hhhhh flags': {shown(line_2)}")
    position = 1
    sky = b""
    if number in HAS_SKY:
        sky = required(frame, position, "sky condition line")
        position += 1
    parameter_line = required(frame, position, "measurement parameter line")
    parameters = _PARAMETERS.match(parameter_line)
    if parameters is None:
        raise DamagedMessage(f"measurement parameters are not 'SSSSS rr nnnn eee +tt aa ...': {shown(parameter_line)}")
    position += 1
    layer_line = b""
    if number == "006":
        layer_line = required(frame, position, "mixing-layer line")
        position += 1
    scale, resolution_m, num_gates = int(parameters[1]), int(parameters[2]), int(parameters[3])
    block = required(frame, position, "profile").strip()
    if len(block) < 5 * num_gates and frame.is_last and len(frame.lines) <= position + 1:
        raise UnfinishedMessage(f"file ends inside the profile, after {len(block)} of {5 * num_gates} hex digits")
    if len(block) != 5 * num_gates or num_gates == 0:
        raise DamagedMessage(f"profile has {len(block)} hex digits where {num_gates} gates need {5 * num_gates}")
    if not frame.lacks_checksum:
        lines = [line_2, *([sky] if sky else []), parameter_line, *([layer_line] if layer_line else []), block]
        _check(frame, position + 1, lines)
    try:
        beta = hexprofile.packed(block, 5, UNIT_PER_COUNT * scale / 100.0)
    except ValueError as error:
        raise DamagedMessage(f"profile is not hexadecimal: {error}") from error

    flags = int(status[8], 16)
    to_m = 1.0 if flags & IS_METRES else FOOT_M
    heights = [NAN if b"/" in text else int(text) * to_m for text in status.groups()[3:7]]
    detection = status[1].decode()
    cover, base = sky_condition(sky, to_m) if sky else ((), ())
    layers, quality = _mixing_layers(layer_line, to_m)
    return Message(
        instrument=INSTRUMENT,
        message_type=number,
        time=frame.time,
        identity=frame.unit,
        range_resolution_m=float(resolution_m),
        beta=beta,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=tuple(heights) if detection in "1234" else (NAN,) * 4,
        vertical_visibility_m=heights[0] if detection == FULL_OBSCURATION else NAN,
        tilt_deg=float(parameters[6]),
        is_fog=detection == FULL_OBSCURATION,
        alarms=("alarm" if status[2] == b"A" else "warning",) if status[2] in b"WA" else (),
        sky_cover_octas=cover,
        sky_base_m=base,
        maker_layer_height_m=layers,
        health={
            "detection_status": NAN if detection == "/" else float(detection),
            "highest_signal_m": heights[1] if detection == FULL_OBSCURATION else NAN,
            "window_transmission_percent": NAN if b"/" in status[3] else float(status[3]),
            "laser_energy_percent": float(parameters[4]),
            "laser_temperature_celsius": float(parameters[5]),
            "background_mv": float(parameters[7]),
            "beta_sum_sr": float(parameters[10]) * 1e-4,
            **{f"maker_layer_{index}_quality": value for index, value in enumerate(quality, start=1)},
        },
    )


def _check(frame: Frame, place: int, lines: list[bytes]) -> None:
    """Compare the message with its checksum.

    Raises:
        DamagedMessage: they do not agree, or there is none.
    """
    tail = required(frame, place, "checksum")
    checksum = _CHECKSUM.match(tail[:12])
    if checksum is None:
        if frame.is_last and not tail.strip(b"\x03\x04 \r\n0123456789abcdefABCDEF"):
            raise UnfinishedMessage("file ends before the checksum")
        raise DamagedMessage(f"no checksum after the profile: {shown(tail)}")
    given = message_crc(frame.header, lines)
    if given == int(checksum[1], 16):
        return
    has_sky = frame.header[6:9].decode() in HAS_SKY
    if message_crc(frame.header, without_padding(lines, sky_width=SKY_WIDTH if has_sky else 0)) != int(checksum[1], 16):
        raise DamagedMessage(f"checksum: message says 0x{checksum[1].decode()}, its bytes give 0x{given:04x}")


def _mixing_layers(line: bytes, to_m: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Heights [m] and quality factors of up to three mixing layers."""
    if not line:
        return (), ()
    match = _LAYERS.match(line)
    if match is None:
        raise DamagedMessage(f"mixing layers are not three pairs 'hhhhh qqqqq': {shown(line)}")
    words = match.groups()
    heights = tuple(NAN if b"/" in word else int(word) * to_m for word in words[0::2])
    quality = tuple(NAN if b"/" in word else float(word) for word in words[1::2])
    return heights, quality
