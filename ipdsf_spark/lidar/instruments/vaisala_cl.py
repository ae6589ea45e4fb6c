"""Vaisala CL31 and CL51 data messages 1 and 2 (CL31 User's Guide M210482EN, chapter 3; CL51 M210801EN).

<SOH>CLusssmc<STX>                       unit, software level, message number, subclass
d w hhhhh hhhhh hhhhh aaaawwwwiiii       detection status, self-check, heights, alarm/warning/internal bits
(message 2) sky condition                octas and heights in 10 m or 100 ft
SSSSS rr nnnn eee +tt www aa bbbb LnnnnHNss uuu
nnnn values of 5 hex digits, beta [m-1 sr-1] = value · 1e-8 · SSSSS/100
<ETX>cccc<EOT>                           CRC-16 of everything from "CL" through ETX
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

import numpy as np

from ipdsf_spark.lidar.instruments import hexprofile
from ipdsf_spark.lidar.instruments.assemble import NAN, DamagedMessage, Message, UnfinishedMessage
from ipdsf_spark.lidar.instruments.framing import (
    Frame,
    bit_names,
    message_crc,
    required,
    shown,
    sky_condition,
    without_padding,
)
from ipdsf_spark.lidar.profiles import Profiles

FOOT_M: Final = 0.3048
UNIT_PER_COUNT: Final = 1e-8  # (100000 srad km)-1 in m-1 sr-1
WAVELENGTH_NM: Final = 910.0
IS_METRES: Final = 0x0080  # internal bit: heights are metres, else feet
CL51_SUBCLASSES: Final = "678"
SKY_WIDTH: Final = {"Vaisala CL31": 35, "Vaisala CL51": 40}  # characters; loggers strip the leading blanks

# The word aaaa wwww iiii: alarms, warnings, internal status (CL31 User's Guide, table of data message 2).
STATUS_BITS: Final = {
    0x8000 << 32: "alarm: transmitter shut-off",
    0x4000 << 32: "alarm: transmitter failure",
    0x2000 << 32: "alarm: receiver failure",
    0x1000 << 32: "alarm: voltage failure",
    0x0400 << 32: "alarm: memory error",
    0x0200 << 32: "alarm: light path obstruction",
    0x0100 << 32: "alarm: receiver saturation",
    0x8000 << 16: "warning: window contamination",
    0x4000 << 16: "warning: battery voltage low",
    0x2000 << 16: "warning: transmitter expires",
    0x1000 << 16: "warning: high humidity",
    0x0800 << 16: "warning: blower failure",
    0x0100 << 16: "warning: humidity sensor failure",
    0x0080 << 16: "warning: heater fault",
    0x0040 << 16: "warning: high background radiance",
    0x0020 << 16: "warning: engine board failure",
    0x0010 << 16: "warning: battery failure",
    0x0008 << 16: "warning: laser monitor failure",
    0x0004 << 16: "warning: receiver warning",
    0x0002 << 16: "warning: tilt angle over 45 degrees",
    0x8000: "status: blower on",
    0x4000: "status: blower heater on",
    0x2000: "status: internal heater on",
    0x1000: "status: working from battery",
    0x0800: "status: standby",
    0x0400: "status: self-test in progress",
    0x0200: "status: manual data acquisition settings",
    0x0040: "status: manual blower control",
    0x0020: "status: polling mode",
}
status_names: Final = bit_names(STATUS_BITS)

_LINE_2: Final = re.compile(rb"([0-5/])([0WA ])\s?([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9A-Fa-f]{12})\s*$")
_PARAMETERS: Final = re.compile(
    rb"\s*(\d{5}) (\d{2}) (\d{4}) (\d{3}) ([+-]\d{2}) (\d{3}) ([+-]?\d{2,3}) (\d{4}) "
    rb"([LS]\d{4}[HL][NW]\d{2}) (\d{1,3})\s*$"
)
_CHECKSUM: Final = re.compile(rb"\x03?\s*([0-9A-Fa-f]{4})(?:\x04|\s|$)")


def decode_message(frame: Frame) -> Message:
    """One CL31 or CL51 message.

    Raises:
        DamagedMessage: with what was wrong and what would be right.
    """
    instrument = instrument_of(frame.header)
    number = chr(frame.header[6])
    lines = frame.lines
    line_2 = required(frame, 0, "detection status line")
    status = _LINE_2.match(line_2)
    if status is None:
        raise DamagedMessage(f"second line is not 'dw hhhhh hhhhh hhhhh aaaawwwwiiii': {shown(line_2)}")
    has_sky = number == "2"
    sky = required(frame, 1, "sky condition line") if has_sky else b""
    first = 2 if has_sky else 1
    parameter_line = required(frame, first, "measurement parameter line")
    parameters = _PARAMETERS.match(parameter_line)
    if parameters is None:
        raise DamagedMessage(
            f"measurement parameters are not 'SSSSS rr nnnn eee +tt www aa bbbb ...': {shown(parameter_line)}"
        )
    scale, resolution_m, num_gates = int(parameters[1]), int(parameters[2]), int(parameters[3])
    block = required(frame, first + 1, "profile").strip()
    if len(block) < 5 * num_gates and frame.is_last and len(lines) <= first + 2:
        raise UnfinishedMessage(f"file ends inside the profile, after {len(block)} of {5 * num_gates} hex digits")
    if len(block) != 5 * num_gates or num_gates == 0:
        raise DamagedMessage(f"profile has {len(block)} hex digits where {num_gates} gates need {5 * num_gates}")
    if not frame.lacks_checksum:
        _check(frame, first + 2, [line_2, sky, parameter_line, block] if has_sky else [line_2, parameter_line, block])
    try:
        beta = hexprofile.packed(block, 5, UNIT_PER_COUNT * scale / 100.0)
    except ValueError as error:
        raise DamagedMessage(f"profile is not hexadecimal: {error}") from error

    bits = int(status[6], 16)
    to_m = 1.0 if bits & IS_METRES else FOOT_M
    heights = [NAN if b"/" in field else int(field) * to_m for field in (status[3], status[4], status[5])]
    detection = status[1].decode()
    cover, base = sky_condition(sky, to_m) if has_sky else ((), ())
    return Message(
        instrument=instrument,
        message_type=number,
        time=frame.time,
        identity=frame.unit,
        range_resolution_m=float(resolution_m),
        beta=beta,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=tuple(heights) if detection in "123" else (NAN, NAN, NAN),
        vertical_visibility_m=heights[0] if detection == "4" else NAN,
        tilt_deg=float(parameters[7]),
        is_fog=detection == "4",
        alarms=status_names(bits),
        sky_cover_octas=cover,
        sky_base_m=base,
        health={
            "detection_status": float(detection) if detection != "/" else NAN,
            "highest_signal_m": heights[1] if detection == "4" else NAN,
            "laser_energy_percent": float(parameters[4]),
            "laser_temperature_celsius": float(parameters[5]),
            "window_transmission_percent": float(parameters[6]),
            "background_mv": float(parameters[8]),
            "beta_sum_sr": float(parameters[10]) * 1e-4,
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
    expected = int(checksum[1], 16)
    width = SKY_WIDTH[instrument_of(frame.header)] if len(lines) == 4 else 0
    as_sent = [lines[0], lines[1].strip(b" ").rjust(width), *lines[2:]] if width else lines  # loggers strip blanks
    if message_crc(frame.header, as_sent) == expected:
        return
    as_read = frame.lines[:place]
    given = message_crc(frame.header, as_read)
    if given == expected:
        return
    if message_crc(frame.header, without_padding(as_read, sky_width=width)) != expected:
        raise DamagedMessage(f"checksum: message says 0x{expected:04x}, its bytes give 0x{given:04x}")


def instrument_of(header: bytes) -> str:
    """CL31 or CL51, told by the message subclass."""
    return "Vaisala CL51" if chr(header[7]) in CL51_SUBCLASSES else "Vaisala CL31"


def encode_file(profiles: Profiles, *, unit: str = "0", software: str = "202") -> bytes:
    """The bytes a Vaisala logger would have written for `profiles` (CL31 or CL51, message 2, CRLF, stamp lines).

    Args:
        profiles: 770 gates of 10 m become CL31 subclass 1, 1540 of 10 m CL51 subclass 6, 1500 of 5 m CL31 subclass 3.
        unit: unit identification character.
        software: software level, three digits.
    """
    num_gates = len(profiles.range_m)
    resolution_m = round(profiles.range_resolution_m)
    is_cl51 = profiles.instrument == "Vaisala CL51"
    subclass = "6" if is_cl51 else {10: "1", 5: "3", 20: "2"}[resolution_m]
    pulse = {770: "L0016HN15", 1540: "L0032HN15"}.get(num_gates, "L0016HN30")
    header = f"CL{unit}{software}2{subclass}".encode()
    health = profiles.health
    messages = []
    for index in range(len(profiles)):
        bases = profiles.cloud_base_m[index]
        visibility = profiles.vertical_visibility_m[index]
        if np.isfinite(visibility):
            detection, heights = (
                "4",
                [visibility, health.get("highest_signal_m", profiles.vertical_visibility_m)[index]],
            )
        else:
            heights = [float(base) for base in bases[:3] if np.isfinite(base)]
            detection = str(len(heights))
        fields = [f"{round(h):05d}" for h in heights if np.isfinite(h)]
        line_2 = f"{detection}0 {' '.join((fields + ['/////'] * 3)[:3])} 00000000C080".encode()
        sky = _sky_line(profiles, index, wide=is_cl51)
        counts = np.rint(profiles.beta[index].astype(np.float64) / UNIT_PER_COUNT)
        counts = np.nan_to_num(counts, nan=0.0).astype(np.int64)
        integral_sr = float(np.sum(profiles.beta[index], dtype=np.float64) * resolution_m)
        total = min(999, max(0, round(integral_sr / 1e-4)))
        energy = round(float(health["laser_energy_percent"][index])) if "laser_energy_percent" in health else 100
        window = (
            round(float(health["window_transmission_percent"][index]))
            if "window_transmission_percent" in health
            else 98
        )
        parameter = (
            f"00100 {resolution_m:02d} {num_gates:04d} {energy:03d} +25 {window:03d} "
            f"{round(float(profiles.tilt_deg[index])):02d} 0003 {pulse} {total:03d}"
        ).encode()
        block = hexprofile.hex20(counts)
        crc = message_crc(header, [line_2, sky, parameter, block])
        stamp = profiles.time[index].astype("datetime64[s]").item()
        messages.append(
            b"-%s\r\n\x01%s\x02\r\n%s\r\n%s\r\n%s\r\n%s\r\n\x03%04x\x04\r\n\r\n"
            % (_stamp_text(stamp), header, line_2, sky, parameter, block, crc)
        )
    return b"".join(messages)


def _stamp_text(stamp: datetime) -> bytes:
    return stamp.strftime("%Y-%m-%d %H:%M:%S").encode()


def _sky_line(profiles: Profiles, index: int, *, wide: bool) -> bytes:
    blank = "////" if wide else "///"
    pairs = []
    for layer in range(5):
        cover = base = NAN
        if layer < profiles.sky_cover_octas.shape[1]:
            cover = float(profiles.sky_cover_octas[index, layer])
            base = float(profiles.sky_base_m[index, layer])
        octas = 0 if np.isnan(cover) else round(cover)
        pairs.append(f"{octas:3d} {blank if np.isnan(base) else f'{round(base / 10):0{len(blank)}d}'}")
    return "".join(pairs).encode()
