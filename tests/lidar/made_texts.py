"""Text messages of every family, made when they are needed, with right checksums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from made_files import profiles

from ipdsf_spark.lidar.instruments import hexprofile, vaisala_cl
from ipdsf_spark.lidar.instruments.framing import message_crc

STAMPS = [f"2026-06-21 09:{minute:02d}:00".encode() for minute in range(0, 60, 5)]


def cl31(num_profiles: int = 3) -> bytes:
    return vaisala_cl.encode_file(
        replace(profiles(num_profiles, 770), instrument="Vaisala CL31", range_resolution_m=10.0)
    )


def cl51(num_profiles: int = 2) -> bytes:
    return vaisala_cl.encode_file(
        replace(profiles(num_profiles, 1540), instrument="Vaisala CL51", range_resolution_m=10.0)
    )


def ct25k(num_profiles: int = 3, *, number: int = 7) -> bytes:
    """Message 2 or 7; other numbers with the layout of 2."""
    rows = [b"%03d" % (16 * row) + b"000E" * 16 for row in range(16)]
    sky = [b"  3 035  0 ///  0 ///  0 ///"] if number == 7 else []
    lines = [b"10 03500 ///// ///// 00000200", b"100 N 101 +24  74  201  +2    5 LF7HN1 125", *rows, *sky, b"\x03"]
    body = b"\r\n".join(lines)
    return b"".join(b"-%s\r\n\x01CT020%d0\x02\r\n%s\r\n\r\n" % (stamp, number, body) for stamp in STAMPS[:num_profiles])


def cs135(num_profiles: int = 3, *, number: bytes = b"006", num_gates: int = 256) -> bytes:
    """Message 002, 004 or 006."""
    header = b"CS0014" + number
    lines = [b"10 097 01773 ///// ///// ///// 800000000000"]
    lines += [b"  3 0177  0 ////  0 ////  0 ////  0 ////"] if number != b"002" else []
    lines += [b"00100 05 %04d 100 +25 02 0003 0001 30 017" % num_gates]
    lines += [b"00650 09000 ///// ///// ///// /////"] if number == b"006" else []
    lines += [hexprofile.hex20(np.arange(num_gates, dtype=np.int64))]
    message = b"\r\n".join([b"\x01" + header + b"\x02", *lines, b"\x03%04x\x04" % message_crc(header, lines)])
    return b"".join(b"%s,%s\r\n" % (stamp.replace(b" ", b"T"), message) for stamp in STAMPS[:num_profiles])


LD40_DISTANCES = np.arange(10) * 30 + 15
LD40_EXAMPLE = (
    b"X1TA 8 015 %s %s 00875 11150 NODET 0100 0325 NODT 11300 11600 +025 ft 01 00000000 "  # of the User's Guide
)


def ld40_table(*rows: str) -> bytes:
    head = "DATE     TIME  " + " ".join(str(each) for each in LD40_DISTANCES)
    return "\r\n".join([head, *rows, ""]).encode()


def ld40_row(stamp: str, first: int = 100) -> str:
    return stamp + " " + " ".join(str(first + number) for number in range(len(LD40_DISTANCES)))


def ld40_telegram(date: bytes = b"00.00.00", clock: bytes = b"00:00") -> bytes:
    text = LD40_EXAMPLE % (date, clock)
    return b"\x02" + text + b"%02X\r\n\x04" % (-(sum(text) + 2 + 13 + 10 + 4) % 256)


TEXTS = {
    "CL31": cl31(),
    "CL51": cl51(),
    "CT25K message 2": ct25k(number=2),
    "CT25K message 7": ct25k(),
    "CS135 message 002": cs135(number=b"002"),
    "CS135 message 006": cs135(),
    "stamps behind": cs135(number=b"004").replace(b"\x04\r\n", b"\x04 ", 2),
    "a stamp on every line": b"".join(b"2026-06-21 09:00:00 " + line for line in ct25k().splitlines(keepends=True)),
    "carets": cl31().replace(b"\x01", b"^A").replace(b"\x02", b"^B").replace(b"\x03", b"^C").replace(b"\x04", b"^D"),
}
