"""LD-40: tables of backscatter are read, telegrams give cloud bases and say that they hold no profile."""

from __future__ import annotations

import numpy as np
import pytest
from made_texts import LD40_DISTANCES, ld40_row, ld40_table, ld40_telegram

from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.instruments import ld40


def test_a_table_gives_range_corrected_signal_of_its_distances() -> None:
    decoded = instruments.decode(ld40_table(ld40_row("21.06.26 09:00"), ld40_row("21.06.26 09:05", 200)))

    (block,) = decoded.blocks
    assert (decoded.instrument, block.instrument) == ("Vaisala LD40", "Vaisala LD40")
    assert block.time.astype("M8[s]").astype(str).tolist() == ["2026-06-21T09:00:00", "2026-06-21T09:05:00"]
    assert (block.range_m.tolist(), block.range_resolution_m) == (LD40_DISTANCES.tolist(), 30.0)
    assert block.beta[1, 3] == pytest.approx(203 * 105.0**2 * 1e-12)
    assert not block.is_calibrated and decoded.rejected == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("21.06.26 09:05 1 2 3", "a row of 3 counts where the head names 10 distances"),
        (ld40_row("21.06.26 09:05").replace("104", "1x4"), "something else than numbers"),
        (ld40_row("21.06.26 09:00"), "is that of the profile before it"),
        (ld40_row("06/21/26 09:05"), "no day-first date"),
        (ld40_row("21.06.2x 09:05"), "not understood"),
    ],
)
def test_a_bad_row_of_a_table_is_named_and_loses_no_neighbour(line: str, reason: str) -> None:
    decoded = instruments.decode(ld40_table(ld40_row("21.06.26 09:00"), line, ld40_row("21.06.26 09:10")))

    assert decoded.num_profiles == 2
    assert [reason in each.reason for each in decoded.rejected] == [True]


def test_a_table_of_irregular_distances_is_named() -> None:
    decoded = instruments.decode(ld40_table(ld40_row("21.06.26 09:00")).replace(b" 45 ", b" 70 "))

    assert decoded.blocks == () and "does not grow in equal steps" in decoded.rejected[0].reason


def test_telegrams_give_cloud_bases_above_the_instrument_and_say_that_there_is_no_profile() -> None:
    raw = b"".join(b"2026-06-21 09:%02d:00\r\n" % minute + ld40_telegram() + b"\r\n" for minute in (0, 1, 2))

    decoded = instruments.decode(raw)

    (block,) = decoded.blocks
    assert block.time.astype("M8[m]").astype(str).tolist() == [f"2026-06-21T09:0{minute}" for minute in range(3)]
    expected = [850 * ld40.FOOT_M, 11125 * ld40.FOOT_M, np.nan]
    np.testing.assert_allclose(block.cloud_base_m[0], expected, rtol=1e-6)
    assert block.vertical_visibility_m[0] == pytest.approx(11275 * ld40.FOOT_M)
    assert block.health["penetration_depth_2_m"][0] == pytest.approx(325 * ld40.FOOT_M)
    assert [each.reason for each in decoded.rejected] == [f"3 {ld40._NO_PROFILE}"]


def test_a_telegram_whose_checksum_is_not_that_of_the_others_is_named() -> None:
    parts = [b"2026-06-21 09:%02d:00\r\n" % minute + ld40_telegram() + b"\r\n" for minute in range(5)]
    parts[2] = parts[2].replace(b"00875", b"00975")

    decoded = instruments.decode(b"".join(parts))

    assert decoded.num_profiles == 4
    assert "checksum" in decoded.rejected[1].reason


def test_the_clock_of_the_instrument_is_taken_where_the_logger_has_none() -> None:
    raw = b"".join(ld40_telegram(b"21.06.26", b"09:%02d" % minute) for minute in (0, 0, 1))

    decoded = instruments.decode(raw, received=np.datetime64("2026-06-21T09:02"))

    assert decoded.blocks[0].time.astype("M8[m]").astype(str).tolist() == ["2026-06-21T09:00", "2026-06-21T09:01"]
    assert sum("is that of the profile before it" in each.reason for each in decoded.rejected) == 1
    assert "no time stamp" in instruments.decode(ld40_telegram() * 2).rejected[0].reason
