"""Each field of a text message in its unit, as the manuals of Vaisala and Campbell give them."""

from __future__ import annotations

import numpy as np
import pytest
from made_files import profiles
from made_texts import STAMPS, cl31, cl51, ct25k, ld40_table, ld40_telegram

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.containers.container import NotUnderstood
from ipdsf_spark.lidar.instruments import axes, hexprofile, units, vaisala_cl
from ipdsf_spark.lidar.instruments.framing import message_crc
from ipdsf_spark.lidar.instruments.parity import without_parity
from ipdsf_spark.lidar.profiles import Profiles

FOOT_M = 0.3048


def ct25k_with(line_2: bytes, parameters: bytes, values: bytes = b"000E" * 256, sky: bytes = b"") -> Profiles:
    rows = [b"%03d" % (16 * row) + values[64 * row : 64 * row + 64] for row in range(16)]
    body = b"\r\n".join([line_2, parameters, *rows, *([sky] if sky else []), b"\x03"])
    raw = b"-%s\r\n\x01CT020%d0\x02\r\n%s\r\n\r\n" % (STAMPS[0], 7 if sky else 2, body)
    (block,) = instruments.decode(raw).blocks
    return block


def cs135_with(line_2: bytes, parameters: bytes, counts: np.ndarray, layers: bytes) -> Profiles:
    lines = [line_2, b"  3 0177  5 0300  0 ////  0 ////  0 ////", parameters, layers, hexprofile.hex20(counts)]
    message = b"\r\n".join([b"\x01CS0014006\x02", *lines, b"\x03%04x\x04" % message_crc(b"CS0014006", lines)])
    (block,) = instruments.decode(b"%s,%s\r\n" % (STAMPS[0].replace(b" ", b"T"), message)).blocks
    return block


def test_a_ct25k_tells_backscatter_in_two_complement_hexadecimal_times_its_scale() -> None:
    values = b"0001" + b"7FFF" + b"FFFF" + b"8000" + b"0000" * 252
    block = ct25k_with(b"10 03500 ///// ///// 00000300", b"080 N 101 +24  74  201  +2    5 LF7HN1 125", values)

    # CT25K User's Guide 3.3: (10000 srad km)-1 is 1e-7 m-1 sr-1, times the scale in percent
    np.testing.assert_allclose(block.beta[0, :4], np.array([1, 32_767, -1, -32_768]) * 0.8e-7, rtol=1e-6)
    assert (block.range_resolution_m, len(block.range_m), block.wavelength_nm) == (30.0, 256, 905.0)
    assert block.range_m[:2].tolist() == [15.0, 45.0]


@pytest.mark.parametrize(("flags", "metre"), [(b"00000100", 1.0), (b"00000000", FOOT_M)])
def test_heights_of_a_ct25k_are_metres_only_where_its_flag_says_so(flags: bytes, metre: float) -> None:
    parameters = b"100 N 101 -24  74  201 -12    5 LF7HN1 125"
    cloudy = ct25k_with(b"20 03500 07000 ///// " + flags, parameters, sky=b"  3 035  5 070  0 ///  0 ///")
    foggy = ct25k_with(b"40 00300 01200 ///// " + flags, parameters)

    np.testing.assert_allclose(cloudy.cloud_base_m[0, :3], [3500 * metre, 7000 * metre, np.nan], rtol=1e-6)
    assert not cloudy.is_fog[0] and np.isnan(cloudy.vertical_visibility_m[0])
    assert foggy.is_fog[0] and foggy.vertical_visibility_m[0] == pytest.approx(300 * metre)
    assert np.isnan(foggy.cloud_base_m).all()
    assert foggy.health["highest_signal_m"][0] == pytest.approx(1200 * metre)
    assert cloudy.tilt_deg[0] == -12.0
    assert cloudy.health["laser_temperature_celsius"][0] == -24.0
    assert cloudy.health["laser_energy_percent"][0] == 101.0
    assert cloudy.health["window_contamination_mv"][0] == 201.0
    assert cloudy.health["beta_sum_sr"][0] == pytest.approx(0.0125)


@pytest.mark.parametrize(("flags", "metre"), [(b"800000000000", 1.0), (b"000000000000", FOOT_M)])
def test_a_cs135_has_four_bases_its_own_layers_and_calls_full_obscuration_five(flags: bytes, metre: float) -> None:
    parameters = b"00050 05 0004 099 -07 -03 0003 0001 30 017"
    layers = b"00650 09000 01200 05000 ///// /////"
    counts = np.array([1, -1, 524_287, -524_288])
    cloudy = cs135_with(b"4W 097 00500 01000 01500 02000 " + flags, parameters, counts, layers)
    foggy = cs135_with(b"50 /// 00150 00900 ///// ///// " + flags, parameters, counts, layers)

    np.testing.assert_allclose(cloudy.cloud_base_m[0, :4], np.array([500, 1000, 1500, 2000]) * metre, rtol=1e-6)
    np.testing.assert_allclose(cloudy.maker_layer_height_m[0, :2], np.array([650, 1200]) * metre, rtol=1e-6)
    np.testing.assert_allclose(cloudy.beta[0], counts * 0.5e-8, rtol=1e-6)
    np.testing.assert_allclose(cloudy.range_m, [2.5, 7.5, 12.5, 17.5])
    assert not cloudy.is_fog[0] and foggy.is_fog[0]
    assert foggy.vertical_visibility_m[0] == pytest.approx(150 * metre)
    assert np.isnan(foggy.cloud_base_m).all() and np.isnan(foggy.health["window_transmission_percent"][0])
    assert (cloudy.tilt_deg[0], cloudy.health["laser_temperature_celsius"][0]) == (-3.0, -7.0)
    assert cloudy.health["maker_layer_2_quality"][0] == 5000.0
    assert cloudy.health["beta_sum_sr"][0] == pytest.approx(0.0017)


@pytest.mark.parametrize(("scale", "factor"), [(b"00100", 1.0), (b"00050", 0.5), (b"00200", 2.0)])
def test_the_scale_of_a_cl31_is_percent(scale: bytes, factor: float) -> None:
    raw = cl31(1)
    header = raw[raw.index(b"CL") : raw.index(b"\x02")]
    lines = raw[raw.index(b"\x02") + 3 : raw.index(b"\x03")].split(b"\r\n")[:4]
    scaled = [lines[0], lines[1], scale + lines[2][5:], lines[3]]
    old, new = (b"%04x\x04" % message_crc(header, each) for each in (lines, scaled))
    assert old in raw
    plain, other = (
        instruments.decode(each).blocks[0].beta for each in (raw, raw.replace(lines[2], scaled[2]).replace(old, new))
    )

    np.testing.assert_allclose(other, factor * plain, rtol=1e-6)


def test_a_cl31_and_a_cl51_are_told_by_their_subclass() -> None:
    assert [vaisala_cl.instrument_of(b"CL02022%d" % subclass) for subclass in range(1, 9)] == (
        ["Vaisala CL31"] * 5 + ["Vaisala CL51"] * 3
    )
    assert instruments.decode(cl51(1)).instrument == "Vaisala CL51"


def test_an_odd_number_of_five_hex_digits_is_read_to_its_last_value() -> None:
    # 80000 is the lowest of twenty bits, FFFFF is -1
    assert hexprofile.int20(b"7FFFF80000FFFFF").tolist() == [524_287, -524_288, -1]
    assert hexprofile.hex20(np.array([10**9, -(10**9)])) == b"7ffff80000"
    with pytest.raises(ValueError, match="not a multiple of 5"):
        hexprofile.int20(b"7FFFF8")


def test_heights_of_an_ld40_telegram_in_metres_and_without_an_offset_stay_as_they_are() -> None:
    raw = ld40_telegram(b"21.06.26", b"09:00").replace(b"+025 ft", b"---- m ")
    head, _, tail = raw.rpartition(b" ")
    raw = head + b" %02X" % ((int(tail[:2], 16) + sum(b"+025 ft") - sum(b"---- m ")) % 256) + tail[2:]

    (block,) = instruments.decode(raw, received=np.datetime64("2026-06-21T09:02")).blocks

    np.testing.assert_allclose(block.cloud_base_m[0], [875.0, 11_150.0, np.nan])
    assert block.vertical_visibility_m[0] == 11_300.0


def test_a_distance_of_an_ld40_table_is_range_corrected_by_its_square() -> None:
    row = "21.06.26 09:00 " + " ".join(["1000"] * 10)
    (block,) = instruments.decode(ld40_table(row)).blocks

    np.testing.assert_allclose(block.beta[0] / block.beta[0, 0], (block.range_m / block.range_m[0]) ** 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "length_m"),
    [
        ("m", 1.0), ("m AGL", 1.0), ("Meters", 1.0), ("km", 1e3), ("Mm", 1e6), ("mm", 1e-3), ("MM", 1e-3), ("cm", 1e-2),
        ("dm", 0.1), ("dam", 10.0), ("hm", 100.0), ("ft", 0.3048), ("feet (MSL)", 0.3048), ("hft", 30.48),
        ("kft", 304.8), ("", None), ("s", None), ("degrees", None),
    ],
)  # fmt: skip
def test_lengths_are_known_by_their_names(unit: str, length_m: float | None) -> None:
    assert units.metres(unit) == length_m


@pytest.mark.parametrize(
    ("near", "unit", "factor", "is_said"),
    [
        (2e-9, "m-1 sr-1", 1.0, False), (9e-3, "m-1 sr-1", 1.0, False),
        (0.05, "m-1 sr-1", 1.0, False),  # a dense fog and a wrong calibration
        (5e-7, "km-1 sr-1", 1.0, True), (3e-3, "km-1 sr-1", 1e-3, False),
    ],
)  # fmt: skip
def test_backscatter_is_between_far_below_air_and_the_densest_cloud(
    near: float, unit: str, factor: float, is_said: bool
) -> None:
    found, remark = units.backscatter_factor("x", unit, np.full((4, 4), near), assumed=factor)

    assert found == factor and bool(remark) == is_said


def test_backscatter_beyond_any_fog_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="which no air has"):
        units.backscatter_factor("x", "m-1 sr-1", np.full((4, 4), 0.11), assumed=1.0)


@pytest.mark.parametrize(
    ("first_m", "centre_m"), [(0.0, 15.0), (15.0, 15.0), (30.0, 15.0), (45.0, 45.0), (100.0, 100.0)]
)
def test_gates_begin_with_lower_edge_centre_or_upper_edge_and_else_far_away(first_m: float, centre_m: float) -> None:
    # Vaisala CL61, most others, Lufft; and an axis that begins above the blind zone
    np.testing.assert_allclose(axes.gate_centres(first_m, 30.0, 3), centre_m + np.array([0.0, 30.0, 60.0]))


@pytest.mark.parametrize(("off", "is_regular"), [(0.04, True), (0.06, False), (-0.06, False)])
def test_a_grid_is_regular_to_a_twentieth_of_a_gate(off: float, is_regular: bool) -> None:
    values = np.arange(200) * 10.0
    values[100:] += off * 10.0  # one step is another

    if is_regular:
        assert axes.regular_grid(values) == pytest.approx((0.0, 10.0), rel=1e-3)
    else:
        with pytest.raises(NotUnderstood, match="equal steps"):
            axes.regular_grid(values)


@pytest.mark.parametrize("is_odd", [0, 1])
@pytest.mark.parametrize(("num_others", "is_read"), [(45, True), (55, False)])
def test_up_to_a_twentieth_of_other_bytes_is_text_of_seven_bits_with_parity(
    is_odd: int, num_others: int, is_read: bool
) -> None:
    text = ct25k(1).replace(b"\r\n", b"  ").replace(b"\n", b" ")[:1000]
    sent = bytearray(byte | 0x80 * (byte.bit_count() % 2 != is_odd) for byte in text)
    for at in range(num_others):
        sent[at * 18] ^= 0x80

    assert (without_parity(bytes(sent)) == text) == is_read
    assert without_parity(bytes(sent[:199])) == bytes(sent[:199])


def test_what_a_maker_writes_is_read_back_in_its_units() -> None:
    made = profiles(2, 770)
    (block,) = instruments.decode(cl31(2)).blocks

    np.testing.assert_allclose(block.beta, made.beta, atol=0.6e-8)
    np.testing.assert_allclose(block.tilt_deg, np.rint(made.tilt_deg))


def test_each_status_bit_of_a_ct25k_has_its_name() -> None:
    parameters = b"100 N 101 -24  74  201 -12    5 LF7HN1 125"
    block = ct25k_with(b"10 03500 ///// ///// 80208100", parameters)

    assert set(block.alarms[0]) == {
        "alarm: laser temperature shut-off", "warning: laser power low", "status: blower on"
    }  # fmt: skip


@pytest.mark.parametrize("head", [b"116", b"026", b"017"])
def test_a_profile_line_of_a_ct25k_that_is_not_the_next_is_named(head: bytes) -> None:
    raw = ct25k(1).replace(b"\r\n016", b"\r\n" + head)

    decoded = instruments.decode(raw)

    assert decoded.blocks == ()
    assert "profile line 2 should begin with 016" in decoded.rejected[0].reason


def test_blanks_around_the_profile_lines_of_a_ct25k_are_no_damage() -> None:
    raw = ct25k(1).replace(b"\r\n016", b"\r\n 016")

    np.testing.assert_array_equal(instruments.decode(raw).blocks[0].beta, instruments.decode(ct25k(1)).blocks[0].beta)


def test_a_ct25k_message_whose_file_ends_in_its_profile_says_where() -> None:
    raw = ct25k(1)
    decoded = instruments.decode(raw[: raw.index(b"\r\n064") + 30])

    assert "file ends inside profile line 5 of 16" in " ".join(each.reason for each in decoded.rejected)


def test_of_two_telegrams_of_an_ld40_nobody_can_tell_which_is_damaged_and_both_are_kept() -> None:
    parts = [b"2026-06-21 09:%02d:00\r\n" % minute + ld40_telegram() + b"\r\n" for minute in range(2)]
    (block,) = instruments.decode(parts[0] + parts[1].replace(b"00875", b"00975")).blocks

    np.testing.assert_allclose(block.cloud_base_m[:, 0], [850 * FOOT_M, 950 * FOOT_M], rtol=1e-6)


def test_backscatter_below_any_air_in_every_unit_that_can_be_meant_is_taken_and_said() -> None:
    factor, remark = units.backscatter_factor("x", "km-1 sr-1", np.full((4, 4), 5e-10), assumed=1e-3)

    assert factor == 1e-3
    assert "5.0e-13 m-1 sr-1 near the ground, which no air has; taken as it is" in remark
