"""History files of BL-View, level 2 and 3: profiles, layer heights, dates, and what damage leaves of them."""

from __future__ import annotations

import re
from datetime import timedelta

import network_files as made
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_files import only_block

from ipdsf_spark.lidar import instruments


@pytest.mark.parametrize("header", ["History file\r\n", "", "\ufeffHistory file\n"])
@pytest.mark.parametrize("decimal", [False, True])
def test_history_files_of_level_2_give_their_profiles(decimal: bool, header: str) -> None:
    read = only_block(made.history_level_2(decimal=decimal, header=header))

    assert (read.message_type, read.identity, read.range_resolution_m) == ("BL-View level 2", "DEVICE_1", 10.0)
    assert np.array_equal(read.time, made.TIMES)
    assert read.beta == pytest.approx(made.backscatter(), abs=6e-10)


def test_history_files_of_level_3_give_layer_heights_and_say_that_there_is_no_profile() -> None:
    read = only_block(made.history_level_3(), remarks=1)

    assert read.beta.shape == (2, 0)
    assert np.array_equal(read.maker_layer_height_m, [[710, 1200, np.nan], [np.nan] * 3], equal_nan=True)
    assert read.health["maker_layer_1_quality"][0] == 3.0
    assert read.cloud_base_m[0, 0] == 1500.0
    assert np.isnan(read.cloud_base_m[1]).all()
    assert read.vertical_visibility_m[1] == 150.0


def test_a_history_file_that_is_still_being_written_loses_its_last_row_by_name() -> None:
    raw = made.history_level_2()

    decoded = instruments.decode(raw[: len(raw) - 40])

    assert decoded.num_profiles == made.NUM_PROFILES - 1
    assert ["history" in stretch.reason for stretch in decoded.rejected] == [True]


@pytest.mark.parametrize("mark", ['"', "'"])
def test_a_history_file_whose_values_stand_in_quotes_is_of_level_2(mark: str) -> None:
    rows = made.history_level_2(header="").decode().splitlines()
    raw = "\n".join(",".join(mark + value.strip() + mark for value in row.split(",")) for row in rows)

    assert only_block(raw.encode()).beta == pytest.approx(made.backscatter(), abs=6e-10)


def test_history_files_put_one_behind_the_other_are_read_to_the_end() -> None:
    read = only_block(2 * made.history_level_2())

    assert np.array_equal(read.time, np.tile(made.TIMES, 2))


@pytest.mark.parametrize(
    ("form", "zone"),
    [
        ("%Y-%m-%d %H:%M:%S", ""),
        ("%Y-%m-%d %H:%M:%S+00:00", "Europe/Oslo"),
        ("%Y-%m-%d %I:%M:%S %p", ""),
        ("%d.%m.%Y %H:%M:%S", ""),
        ("%Y-%m-%d %H:%M:%S", "+02:00"),
    ],
)
def test_dates_of_a_history_file_without_unix_time_are_stamps_as_any(form: str, zone: str) -> None:
    shift = timedelta(hours=2 if zone == "+02:00" else 0)
    texts = [(moment.item() + timedelta(hours=6) + shift).strftime(form) for moment in made.TIMES]
    rows = made.history_level_2(header="").decode().splitlines()
    rows = [rows[0], *(f"{text}, {row.split(',', 1)[1]}" for text, row in zip(texts, rows[1:], strict=True))]
    raw = "\n".join(re.sub(r"^([^,]*),[^,]*,", r"\1,", row) for row in rows).encode()

    (block,) = instruments.decode(raw, name="L2_20260621.his", clock=instruments.Clock(zone)).blocks

    assert np.array_equal(block.time, made.TIMES + np.timedelta64(6, "h"))


def test_a_date_of_a_history_file_that_is_not_understood_is_named() -> None:
    raw = re.sub(rb"2026-06-21 (09:\d\d:00), \d{10}", rb"on Sunday \1, ", made.history_level_2())

    decoded = instruments.decode(raw)

    assert (decoded.num_profiles, len(decoded.rejected)) == (0, made.NUM_PROFILES)
    assert all("CREATEDATE 'on Sunday 09:" in each.reason and each.length for each in decoded.rejected)


@settings(max_examples=60)
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=20))
def test_damaged_history_files_give_profiles_or_reasons(flips: list[tuple[float, int]]) -> None:
    for whole in (made.history_level_2(), made.history_level_3()):
        raw = bytearray(whole)
        for place, change in flips:
            raw[int(place * len(raw))] ^= change

        decoded = instruments.decode(bytes(raw))

        assert decoded.blocks or decoded.rejected
        for stretch in decoded.rejected:
            assert 0 <= stretch.offset <= stretch.offset + stretch.length <= len(raw)
