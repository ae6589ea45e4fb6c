"""Text logs of Vaisala and Campbell: framing traps, feet, damage that stays where it is."""

from __future__ import annotations

import binascii
import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import profiles
from made_texts import TEXTS, cs135, ct25k

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import framing, hexprofile, vaisala_cl
from ipdsf_spark.lidar.profiles import Decoded, Profiles


def cl31(num_profiles: int = 3, num_gates: int = 770) -> tuple[Profiles, bytes]:
    made = replace(profiles(num_profiles, num_gates), instrument="Vaisala CL31", range_resolution_m=10.0)
    return made, vaisala_cl.encode_file(made)


def times_of(decoded: Decoded) -> list[str]:
    return [str(stamp.astype("datetime64[s]")) for block in decoded.blocks for stamp in block.time]


@given(values=st.lists(st.integers(-(1 << 19), (1 << 19) - 1), min_size=1, max_size=60))
def test_twenty_bit_numbers_survive_being_written_in_hexadecimal(values: list[int]) -> None:
    assert hexprofile.int20(hexprofile.hex20(np.array(values))).tolist() == values


def test_what_a_vaisala_logger_writes_is_read_back() -> None:
    made, raw = cl31()

    (read,) = instruments.decode(raw).blocks

    assert (read.instrument, read.message_type, read.beta.shape) == ("Vaisala CL31", "2", (3, 770))
    assert read.beta == pytest.approx(made.beta, abs=0.6e-8)
    assert np.array_equal(read.time, made.time)
    assert np.array_equal(read.cloud_base_m[0], [900.0, 2100.0, np.nan], equal_nan=True)
    assert read.vertical_visibility_m[-1] == 150.0
    assert not np.isfinite(read.cloud_base_m[-1]).any()  # visibility is no cloud


@pytest.mark.parametrize(
    ("name", "sky"), [("CL31", b"  4 090" + b"  0 ///" * 4), ("CL51", b"  4 0090" + b"  0 ////" * 4)]
)
def test_the_sky_condition_stands_in_the_columns_of_the_manual(name: str, sky: bytes) -> None:
    lines = TEXTS[name].split(b"\r\n")

    assert lines[3] == sky


def test_a_message_in_feet_becomes_metres() -> None:
    _, raw = cl31(1)
    body = raw[raw.index(b"CL") : raw.index(b"\x03") + 1].replace(b"00000000C080", b"00000000C000")
    checksum = b"%04x" % (binascii.crc_hqx(body, 0xFFFF) ^ 0xFFFF)
    feet = raw[: raw.index(b"CL")] + body + checksum + b"\x04\r\n"

    (read,) = instruments.decode(feet).blocks

    assert read.vertical_visibility_m[0] == pytest.approx(150.0 * 0.3048)


@pytest.mark.parametrize(
    "framing",
    [
        lambda raw: raw,
        lambda raw: raw.replace(b"\r\n", b"\n"),
        lambda raw: raw.replace(b"\r\n", b"\r").replace(b"///\r", b"///\n"),
        lambda raw: raw.replace(b"\x01", b"^A").replace(b"\x02", b"^B").replace(b"\x03", b"^C").replace(b"\x04", b"^D"),
        lambda raw: raw.replace(b"\x01CL", b"\x01 CL"),
        lambda raw: b"-Ceilometer Logfile\r\n-File created: 09/09/2021 23:59:45\r\n" + raw,
        lambda raw: raw.replace(b"\r\n\r\n", b"\r\n") + b"-File Closed: 09/10/2021 00:00:17\r\n",
        lambda raw: raw.replace(b"\r\n", b"\r\0\n"),
        lambda raw: raw.replace(b"\r\n", b"   \r\n"),
    ],
    ids=["as sent", "line ends", "mixed line ends", "carets", "leading blank", "header", "trailer", "Telnet", "blanks"],
)
def test_framing_that_loggers_add_or_strip_changes_nothing(framing: object) -> None:
    made, raw = cl31()

    decoded = instruments.decode(framing(raw))  # type: ignore[operator]

    assert decoded.rejected == ()
    assert [np.array_equal(block.time, made.time) for block in decoded.blocks] == [True]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (b"-2015-02-13 10:08:14\r\n", "2015-02-13T10:08:14"),
        (b"New record 13.02.2015 10:08:14\r\n", "2015-02-13T10:08:14"),
        (b"1423822094 ", "2015-02-13T10:08:14"),
        (b"2015-02-13T10:08:14Z,", "2015-02-13T10:08:14"),
    ],
)
def test_every_stamp_met_before_a_message_is_its_time(stamp: bytes, expected: str) -> None:
    _, raw = cl31(1)

    assert times_of(instruments.decode(stamp + raw[raw.index(b"\x01") :])) == [expected]


def test_a_profile_full_of_ten_digits_is_not_taken_for_unix_seconds() -> None:
    made, raw = cl31(2)
    counts = np.resize([0x0000F, 0x14200, 0x14200, -0x10000], made.beta.shape)  # 0000f 14200 14200 f0000 ...
    raw = vaisala_cl.encode_file(replace(made, beta=(counts * 1e-8).astype(np.float32)))
    assert b"f1420014200f" in raw
    bare = b"".join(part[part.index(b"\x01") :] for part in raw.split(b"-2021-09-")[1:])

    assert [stretch.reason for stretch in instruments.decode(bare).rejected] == ["no time stamp"] * 2


def test_a_file_without_stamps_takes_the_time_of_its_name_and_else_of_its_arrival() -> None:
    _, raw = cl31(1)
    bare = raw[raw.index(b"\x01") :]
    arrived = np.datetime64("2021-09-10T00:00:00", "us")

    assert times_of(instruments.decode(bare, name="site/20150819125532.log", received=arrived)) == [
        "2015-08-19T12:55:32"
    ]
    assert times_of(instruments.decode(bare, name="C5061800.DAT", received=arrived)) == ["2021-09-10T00:00:00"]


CT25K_LINES = [b"\x01CT02023\x02", b"10 03500 ///// ///// 00000200"]
CT25K_PROFILE = [b"%03d" % (16 * row) + b"000E0007" * 8 for row in range(16)]


@pytest.mark.parametrize(
    "parameters",
    [b"100 N 101 +24  74  201  +2    5 LF7HN1 125", b"100 N 53 +34 204  146 +2 621 LF7HN1 139"],
)
def test_ct25k_parameters_are_read_however_they_are_spaced(parameters: bytes) -> None:
    raw = b"-2022-01-01 00:00:03\n" + b"\n".join([*CT25K_LINES, parameters, *CT25K_PROFILE, b"\x03\n"])

    decoded = instruments.decode(raw)

    assert decoded.rejected == ()
    (read,) = decoded.blocks
    assert (read.instrument, read.beta.shape) == ("Vaisala CT25K", (1, 256))
    assert read.beta[0, 0] == pytest.approx(14e-7)
    assert read.cloud_base_m[0, 0] == pytest.approx(3500 * 0.3048)


def test_one_damaged_message_costs_no_neighbour_and_is_named_with_its_place() -> None:
    made, raw = cl31(3)
    starts = [at for at in range(len(raw)) if raw[at : at + 2] == b"CL"]
    place = starts[1] + 400
    broken = raw[:place] + (b"0" if raw[place : place + 1] != b"0" else b"1") + raw[place + 1 :]

    decoded = instruments.decode(broken)

    assert [np.array_equal(block.time, made.time[[0, 2]]) for block in decoded.blocks] == [True]
    assert [(stretch.offset, "checksum" in stretch.reason) for stretch in decoded.rejected] == [(starts[1], True)]


@settings(max_examples=120)
@given(
    name=st.sampled_from(sorted(TEXTS)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=20),
    start=st.floats(0, 1),
    length=st.floats(0, 1),
)
def test_damaged_logs_give_profiles_or_reasons(
    name: str, flips: list[tuple[float, int]], start: float, length: float
) -> None:
    raw = bytearray(TEXTS[name])
    at, more = int(start * len(raw)), int(length * len(raw))
    for place, change in flips:
        raw[int(place * len(raw))] ^= change
    for damaged in (bytes(raw), bytes(raw[at : at + more]), bytes(raw[:at] + raw[at : at + more] * 2)):
        decoded = instruments.decode(damaged)
        assert decoded.blocks or decoded.rejected
        for stretch in decoded.rejected:
            assert stretch.reason
            assert 0 <= stretch.offset <= len(damaged)


@pytest.mark.parametrize("name", TEXTS)
def test_every_message_of_a_sound_log_is_accounted_for(name: str) -> None:
    decoded = instruments.decode(TEXTS[name])

    num_headers = len(re.findall(rb"C[LTS]0\d", TEXTS[name]))
    assert decoded.num_profiles == num_headers
    assert decoded.rejected == ()
    assert not any(np.isnat(block.time).any() for block in decoded.blocks)


@pytest.mark.parametrize("number", [1, 3, 4, 5, 6])
def test_messages_of_a_ct25k_without_a_profile_are_named(number: int) -> None:
    decoded = instruments.decode(ct25k(1, number=number))

    assert f"CT25K message {number} has no profile" in decoded.rejected[0].reason


def test_noise_with_an_end_of_text_byte_is_no_end_of_a_message(rng: np.random.Generator) -> None:
    noise = rng.bytes(3000)
    assert b"\x03" in noise

    decoded = instruments.decode(noise)

    assert [(stretch.length, stretch.reason) for stretch in decoded.rejected] == [
        (3000, "no message header (CL, CT or CS) found")
    ]
    assert decoded.head == b""


@pytest.mark.parametrize("cut", [-2500, -30, -8])
def test_the_end_of_a_message_that_began_in_the_previous_file_is_named(cut: int) -> None:
    _, raw = cl31(1)

    decoded = instruments.decode(raw[cut:])

    assert decoded.head == raw[cut:]
    assert [stretch.reason for stretch in decoded.rejected] == ["end of a message that begins in the previous file"]


def test_an_ld40_telegram_is_named_but_a_log_that_only_mentions_one_is_read() -> None:
    made, raw = cl31(2)

    assert "LD40 telegram: it is cut" in instruments.decode(b"X1TA1 some telegram\r\n").rejected[0].reason
    assert instruments.decode(b"-replaced the LD40 X1TA1\r\n" + raw).num_profiles == len(made)


def test_real_logs_of_every_maker_are_read_without_rejecting_a_sound_message(real_ceilometer_data: Path) -> None:
    expected = {
        "kauniainen_cl31.dat": ("Vaisala CL31", 2),
        "palaiseau_cl31_msg.dat": ("Vaisala CL31", 1),
        "cl51.DAT": ("Vaisala CL51", 2),
        "ct25k.dat": ("Vaisala CT25K", 3),
        "20230612_ceilometer.txt": ("Campbell CS135", 8),
        "ceilometer_L0_20250306.dat": ("Campbell CS135", 3),
    }
    for name, (instrument, num_profiles) in expected.items():
        decoded = instruments.decode(next(real_ceilometer_data.rglob(name)).read_bytes(), name=name)
        assert (decoded.instrument, decoded.num_profiles, decoded.rejected) == (instrument, num_profiles, ()), name


@pytest.mark.parametrize(
    "strip",
    [
        lambda raw: re.sub(rb"\x03[0-9a-f]{4}\x04\r\n", b"", raw),
        lambda raw: re.sub(rb"\x03[0-9a-f]{4}\x04", b"\x03", raw),
        lambda raw: re.sub(rb"[\x01-\x04]|\x03[0-9a-f]{4}\x04\r\n", b"", re.sub(rb"\x03[0-9a-f]{4}\x04\r\n", b"", raw)),
    ],
    ids=["line stripped", "end of text kept", "control characters stripped"],
)
@pytest.mark.parametrize("name", ["CL31", "CL51", "CS135 message 002", "CS135 message 006"])
def test_logs_of_loggers_that_strip_checksums_are_read(name: str, strip: object) -> None:
    whole = instruments.decode(TEXTS[name])

    decoded = instruments.decode(strip(TEXTS[name]))  # type: ignore[operator]

    assert decoded.num_profiles == whole.num_profiles
    assert times_of(decoded) == times_of(whole)
    assert np.array_equal(decoded.blocks[0].beta, whole.blocks[0].beta)


def test_one_missing_checksum_among_others_is_damage() -> None:
    decoded = instruments.decode(re.sub(rb"\x03[0-9a-f]{4}\x04", b"", TEXTS["CL31"], count=1))

    assert decoded.num_profiles == 2
    assert "checksum" in decoded.rejected[0].reason


@pytest.mark.parametrize("label", [b"", b"CEIL01: "])
@pytest.mark.parametrize(
    "stamp", [b"06/21/2026 09:00:00,", b"[21/Jun/2026:09:00:00 +0000] ", b"1782032400 ", b"2026-06-21T09:00:00.000Z\t"]
)
def test_a_stamp_of_any_form_at_the_head_of_every_line_is_taken_off(stamp: bytes, label: bytes) -> None:
    bare = re.sub(rb"-.{19}\r\n", b"", cl31(1)[1]).replace(b"\x04\r\n\r\n", b"\r\n").translate(None, b"\x01\x02")
    raw = b"".join(stamp + label + line for line in bare.splitlines(keepends=True))

    decoded = instruments.decode(raw)

    assert decoded.rejected == ()
    assert times_of(decoded) == ["2026-06-21T09:00:00"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damage", [b"XL", b"cl", b"\xffL", b"\x00L", b"CL0183\x00"])
def test_a_message_whose_header_is_damaged_is_named_and_not_passed_over(place: int, damage: bytes) -> None:
    _, raw = cl31()
    start = [match.start() for match in framing.HEADER.finditer(raw)][place]
    decoded = instruments.decode(raw[:start] + damage + raw[start + len(damage) :])

    assert (decoded.num_profiles, len(decoded.rejected)) == (2, 1)
    assert re.search("header|begins in the previous file", decoded.rejected[0].reason)


def test_several_messages_with_damaged_headers_are_named_one_by_one() -> None:
    _, raw = cl31(6)
    damaged = bytearray(raw)
    for header in list(framing.HEADER.finditer(raw))[2:4]:
        damaged[header.start() : header.start() + 2] = b"ZZ"

    decoded = instruments.decode(bytes(damaged))

    assert (decoded.num_profiles, len(decoded.rejected)) == (4, 2)
    assert all("header" in each.reason and each.length > 770 * 5 for each in decoded.rejected)


@pytest.mark.parametrize("where", ["before", "behind"])
def test_bytes_that_are_no_text_beside_the_messages_are_named(where: str) -> None:
    _, raw = cl31()
    packed = gzip.compress(raw)

    decoded = instruments.decode(raw + packed if where == "behind" else b"\0" + packed + raw)

    assert decoded.num_profiles == 3
    assert [bool(re.search("gzip file|no text", each.reason)) for each in decoded.rejected] == [True]


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"\r\n", b"\n\r"), (b"\r\n", b"\r\n\n"), (b"\r\n", b"\r\n\r\n"), (b"\r\n", b"\r\r\n"), (b"\r\n", b"\r")],
)
def test_line_ends_of_any_kind_are_line_ends(old: bytes, new: bytes) -> None:
    made, raw = cl31()
    lines = raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    (read,) = instruments.decode(lines.replace(old, new) + b"\n").blocks

    assert np.array_equal(read.time, made.time)


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\n\r"])
def test_line_ends_may_change_where_another_program_goes_on_with_a_log(line_end: bytes) -> None:
    made, raw = cl31(6)
    place = raw.index(b"-2021-09-10 00:00:30")

    decoded = instruments.decode(raw[:place] + raw[place:].replace(b"\r\n", line_end))

    assert decoded.rejected == ()
    assert times_of(decoded) == [str(moment.astype("datetime64[s]")) for moment in made.time]


@pytest.mark.parametrize(
    "prefix", ["<13>Jun 21 09:0%d:00 host ceil: ", "Sun, 21 Jun 2026 09:0%d:00 GMT ", "date=2026-06-21 time=09:0%d:00,"]
)
def test_what_a_logger_writes_before_every_line_is_taken_off(prefix: str) -> None:
    _, raw = cl31()
    messages = [part[part.index(b"\x01") :].replace(b"\r", b"") for part in raw.split(b"-2021-09-")[1:]]
    lines = b"".join(
        (prefix % number).encode() + line + b"\n"
        for number, message in enumerate(messages)
        for line in message.rstrip(b"\n").split(b"\n")
    )

    decoded = instruments.decode(lines, name="x_20260621.log", received=np.datetime64("2026-06-21T12:00", "us"))

    assert decoded.rejected == ()
    assert times_of(decoded) == [f"2026-06-21T09:0{number}:00" for number in range(3)]


@pytest.mark.parametrize(
    "spelled", ["<STX>", "[02]", "{0x02}", "(2)", "\\x02", "\\002", "\\u0002", "\u2402", "&#2;", "&#x2;", "%02"]
)
def test_control_characters_that_a_terminal_program_spells_out_are_read(spelled: str) -> None:
    log = written = ct25k(2)
    for code, name in enumerate(("SOH", "STX", "ETX", "EOT"), start=1):
        text = spelled.replace("STX", name).replace("\u2402", chr(0x2400 + code))
        written = written.replace(bytes([code]), text.replace("2", str(code)).encode())

    decoded = instruments.decode(written)

    assert decoded.rejected == ()
    np.testing.assert_array_equal(decoded.blocks[0].beta, instruments.decode(log).blocks[0].beta)


@pytest.mark.parametrize(
    "record",
    [
        lambda stamp, text: json.dumps({"time": stamp, "message": text}),
        lambda stamp, text: f"{stamp} {text.encode()!r}",
        lambda stamp, text: f"{stamp}," + "".join(f"&#{ord(each)};" if each < " " else each for each in text),
        lambda stamp, text: f"{stamp},{quote(text, safe=' /+')}",
    ],
    ids=["JSON", "Python", "XML", "URL"],
)
def test_messages_that_a_program_wrote_on_one_line_each_are_read(record: Callable[[str, str], str]) -> None:
    made, raw = cl31()
    messages = [part[part.index("\x01") :].rstrip() for part in raw.decode().split("-2021-09-")[1:]]
    stamps = [str(moment.astype("datetime64[s]")) for moment in made.time]

    log = "\n".join(record(stamp, text) for stamp, text in zip(stamps, messages, strict=True))
    decoded = instruments.decode(log.encode())

    assert decoded.rejected == ()
    assert times_of(decoded) == stamps
    np.testing.assert_array_equal(decoded.blocks[0].beta, instruments.decode(raw).blocks[0].beta)


def wrapped(raw: bytes, width: int) -> bytes:
    """As a terminal shows it whose lines have so many characters."""
    lines = raw.split(b"\r\n")
    return b"\r\n".join(b"\r\n".join(line[i : i + width] for i in range(0, len(line), width)) for line in lines)


def on_one_line(raw: bytes, separator: bytes) -> bytes:
    """Every message on the line of its stamp."""
    return re.sub(rb"(?<=\d)\r\n(?=\x01)|(?<=\x02)\r\n|(?<!\x04)\r\n(?!\r)(?=[^-])", lambda _: separator, raw)


def marked(raw: bytes, marks: str) -> bytes:
    """With other characters in the place of control characters."""
    return re.sub(rb"[\x01-\x04]", lambda match: marks[(match.group()[0] - 1) % len(marks)].encode(), raw)


LOG_HEADER = b"-Ceilometer Logfile\r\n"
AS_PROGRAMS_LEAVE_LOGS: dict[str, Callable[[bytes], bytes]] = {
    "dots": lambda raw: marked(raw, "."),
    "question marks": lambda raw: marked(raw, "?"),
    "replacement characters": lambda raw: marked(raw, "\ufffd"),
    "code page 437": lambda raw: marked(raw, "\u263a\u263b\u2665\u2666"),
    "code page 437 below a log header": lambda raw: LOG_HEADER + marked(raw, "\u263a\u263b\u2665\u2666"),
    "names below a log header": lambda raw: LOG_HEADER + raw.replace(b"\x02", b"<STX>").replace(b"\x03", b"<ETX>"),
    "bars for line ends": lambda raw: on_one_line(raw, b"|"),
    "semicolons for line ends": lambda raw: on_one_line(raw, b";"),
    "line ends escaped, control characters not": lambda raw: on_one_line(raw, rb"\r\n"),
    "80 columns": lambda raw: wrapped(raw, 80),
    "1024 columns": lambda raw: wrapped(raw, 1024),
    "CR CR LF without control characters": lambda raw: re.sub(rb"[\x01-\x03]", b"", raw).replace(b"\r\n", b"\r\r\n"),
}


@pytest.mark.parametrize("change", AS_PROGRAMS_LEAVE_LOGS.values(), ids=AS_PROGRAMS_LEAVE_LOGS)
def test_what_terminals_and_programs_make_of_control_characters_and_long_lines_is_read(
    change: Callable[[bytes], bytes],
) -> None:
    made, raw = cl31()

    decoded = instruments.decode(change(raw))

    assert decoded.rejected == ()
    assert times_of(decoded) == [str(moment.astype("datetime64[s]")) for moment in made.time]
    assert decoded.blocks[0].beta == pytest.approx(made.beta, abs=0.6e-8)


def test_blanks_behind_lines_whose_leading_blanks_were_stripped_are_no_damage() -> None:
    made, raw = cl31()

    decoded = instruments.decode(b"\r\n".join(line.strip(b" ") + b"  " for line in raw.split(b"\r\n")))

    assert decoded.rejected == ()
    assert decoded.num_profiles == len(made)


@pytest.mark.parametrize("is_odd", [0, 1])
@pytest.mark.parametrize("log", [ct25k(3), cl31()[1]], ids=["CT25K", "CL31"])
@pytest.mark.parametrize("has_stamps_of_its_own", [True, False])
def test_a_log_that_kept_the_bit_of_parity_is_read(log: bytes, is_odd: int, has_stamps_of_its_own: bool) -> None:
    def sent(text: bytes) -> bytes:
        return bytes(byte | 0x80 if byte.bit_count() % 2 != is_odd else byte for byte in text)

    lines = [
        line if has_stamps_of_its_own and line.startswith(b"-20") else sent(line)
        for line in log.splitlines(keepends=True)
    ]
    decoded = instruments.decode(b"".join(lines))

    assert decoded.rejected == ()
    assert times_of(decoded) == times_of(instruments.decode(log))
    np.testing.assert_array_equal(decoded.blocks[0].beta, instruments.decode(log).blocks[0].beta)


@pytest.mark.parametrize("change", [lambda line: line.strip(), lambda line: line + b"  "], ids=["stripped", "padded"])
def test_blanks_at_the_ends_of_lines_are_no_damage_of_a_cs135(change: Callable[[bytes], bytes]) -> None:
    raw = cs135(2, number=b"006")

    decoded = instruments.decode(b"\r\n".join(map(change, raw.split(b"\r\n"))))

    assert (decoded.num_profiles, decoded.rejected) == (2, ())


def test_two_instruments_on_one_line_are_told_apart_by_the_unit_in_their_headers() -> None:
    raw = ct25k(4)
    starts = [match.start() for match in re.finditer(rb"-2026", raw)]
    mixed = raw[: starts[1]] + raw[starts[1] : starts[2]].replace(b"CT0", b"CT1") + raw[starts[2] :]

    assert [(block.identity, len(block)) for block in instruments.decode(mixed).blocks] == [
        ("unit 0", 1), ("unit 1", 1), ("unit 0", 2)
    ]  # fmt: skip
