"""Vaisala CT25K data messages 2 and 7 (CT25K User's Guide M210237en, section 3.3).

    <SOH>CTussmc<STX>                            unit, software level, message number, subclass
    dw hhhhh hhhhh hhhhh ffffffff                detection status, self-check, heights, flags
    SSS N eee +tt sss wwww +aa bbbbb LF7HN1 uuu  scale %, mode, energy %, laser C, sensitivity %, window mV, tilt,
                                                 background mV, measurement parameters, sum
    16 lines: 3 digits, then 16 values of 4 hex digits, beta [m-1 sr-1] = value · 1e-7 · SSS/100
    (message 7) sky condition                    after the profile, four layers
    <ETX>                                        no checksum

Messages 1, 3, 4, 5 and 6 carry no full-resolution profile.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from ipdsf_spark.lidar.instruments import hexprofile
from ipdsf_spark.lidar.instruments.assemble import NAN, DamagedMessage, Message, UnfinishedMessage
from ipdsf_spark.lidar.instruments.framing import Frame, bit_names, required, shown, sky_condition

INSTRUMENT: Final = "Vaisala CT25K"
FOOT_M: Final = 0.3048
UNIT_PER_COUNT: Final = 1e-7  # (10000 srad km)-1 in m-1 sr-1
WAVELENGTH_NM: Final = 905.0
IS_METRES: Final = 0x0100
NUM_LINES: Final = 16
GATES_PER_LINE: Final = 16
RESOLUTION_M: Final = 30.0  # 256 gates; line numbers count gates
HAS_PROFILE: Final = "27"

STATUS_BITS: Final = {
    0x8000_0000: "alarm: laser temperature shut-off",
    0x4000_0000: "alarm: laser failure",
    0x2000_0000: "alarm: receiver failure",
    0x1000_0000: "alarm: voltage failure",
    0x0080_0000: "warning: window contaminated",
    0x0040_0000: "warning: battery low",
    0x0020_0000: "warning: laser power low",
    0x0010_0000: "warning: laser temperature",
    0x0000_8000: "status: blower on",
    0x0000_4000: "status: blower heater on",
}
status_names: Final = bit_names(STATUS_BITS)

_LINE_2: Final = re.compile(rb"([0-5/])([0WA ])\s?([0-9/]{5}) ([0-9/]{5}) ([0-9/]{5}) ([0-9A-Fa-f]{8})\s*$")
_PARAMETERS: Final = re.compile(
    rb"\s*(\d{1,3}) ([A-Z])\s+(\d{1,3})\s+([+-]?\s*\d{1,3})\s+(\d{1,3})\s+(\d{1,4})\s+([+-]?\s*\d{1,3})\s+(\d{1,5})"
    rb"\s+(\S{6})\s+(\d{1,3})\s*$"
)
_LINE_WIDTH: Final = 67  # three digits that count gates, and 16 values of 4
# The first, second and third digits of the numbers at the heads of the lines: 000, 016, 032 ... 240.
_NUMBERS: Final = tuple(
    b"".join(b"%d" % (row * GATES_PER_LINE // power % 10) for row in range(NUM_LINES)) for power in (100, 10, 1)
)
_PROFILE_LINE: Final = re.compile(rb"\s*(\d{3})([0-9A-Fa-f]{64})\s*$")


def decode_message(frame: Frame) -> Message:
    """One CT25K message.

    Raises:
        DamagedMessage: with what was wrong and what would be right.
    """
    number = chr(frame.header[5])
    if number not in HAS_PROFILE:
        raise DamagedMessage(f"Vaisala CT25K message {number} has no profile; set the instrument to message 2 or 7")
    line_2 = required(frame, 0, "detection status line")
    status = _LINE_2.match(line_2)
    if status is None:
        raise DamagedMessage(f"second line is not 'dw hhhhh hhhhh hhhhh ffffffff': {shown(line_2)}")
    parameter_line = required(frame, 1, "measurement parameter line")
    parameters = _PARAMETERS.match(parameter_line)
    if parameters is None:
        raise DamagedMessage(f"measurement parameters are not 'SSS N eee +tt ...': {shown(parameter_line)}")
    scale, _, energy, temperature, sensitivity, window, tilt, background, _, total = parameters.groups()
    beta = _profile(frame, UNIT_PER_COUNT * int(scale) / 100.0)

    flags = int(status[6], 16)
    to_m = 1.0 if flags & IS_METRES else FOOT_M
    heights = [NAN if b"/" in text else int(text) * to_m for text in status.groups()[2:5]]
    detection = status[1].decode()
    cover: tuple[float, ...] = ()
    base: tuple[float, ...] = ()
    if number == "7":
        cover, base = sky_condition(required(frame, 2 + NUM_LINES, "sky condition line"), to_m)
    return Message(
        instrument=INSTRUMENT,
        message_type=number,
        time=frame.time,
        identity=frame.unit,
        range_resolution_m=RESOLUTION_M,
        beta=beta,
        wavelength_nm=WAVELENGTH_NM,
        cloud_base_m=tuple(heights) if detection in "123" else (NAN,) * 3,
        vertical_visibility_m=heights[0] if detection == "4" else NAN,
        tilt_deg=_signed(tilt),
        is_fog=detection == "4",
        alarms=status_names(flags),
        sky_cover_octas=cover,
        sky_base_m=base,
        health={
            "detection_status": NAN if detection == "/" else float(detection),
            "highest_signal_m": heights[1] if detection == "4" else NAN,
            "laser_energy_percent": float(energy),
            "laser_temperature_celsius": _signed(temperature),
            "receiver_sensitivity_percent": float(sensitivity),
            "window_contamination_mv": float(window),
            "background_mv": float(background),
            "beta_sum_sr": float(total) * 1e-4,
        },
    )


def _profile(frame: Frame, factor: float) -> hexprofile.Packed:
    """The profile; line by line only where something has to be named or put up with."""
    lines = frame.lines[2 : 2 + NUM_LINES]
    text = b"".join(lines)
    is_regular = len(frame.lines) > 2 + NUM_LINES and len(text) == _LINE_WIDTH * NUM_LINES
    if is_regular and (text[0::_LINE_WIDTH], text[1::_LINE_WIDTH], text[2::_LINE_WIDTH]) == _NUMBERS:
        with suppress(ValueError):
            return hexprofile.packed(b"".join([line[3:] for line in lines]), 4, factor)
    return hexprofile.packed(b"".join(_profile_line(frame, row) for row in range(NUM_LINES)), 4, factor)


def _profile_line(frame: Frame, row: int) -> bytes:
    line = required(frame, 2 + row, f"profile line {row + 1} of {NUM_LINES}")
    match = _PROFILE_LINE.match(line)
    if match is None:
        if frame.is_last and len(frame.lines) == 3 + row:
            raise UnfinishedMessage(f"file ends inside profile line {row + 1} of {NUM_LINES}")
        raise DamagedMessage(f"profile line {row + 1} is not three digits and 64 hex digits: {shown(line)}")
    if int(match[1]) != row * GATES_PER_LINE:
        raise DamagedMessage(f"profile line {row + 1} should begin with {row * GATES_PER_LINE:03d}: {shown(line)}")
    return match[2]


def _signed(text: bytes) -> float:
    """A number between whose sign and digits there may be blanks."""
    return float(b"".join(text.split()))
