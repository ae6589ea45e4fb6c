"""A site's line and a monitor's file."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipdsf_spark.errors import InputError
from ipdsf_spark.lidar.air_quality.monitor import is_valid, read_humidity, read_monitor
from ipdsf_spark.lidar.air_quality.regression import SiteLine, blocks_of, fit_site, least_squares, robust_line

HOURS = np.datetime64("2026-01-01T00", "us") + np.arange(24 * 30) * np.timedelta64(1, "h")


def history(rng: np.random.Generator, outliers: int = 0) -> tuple[np.ndarray, np.ndarray]:
    estimate = rng.gamma(3.0, 5.0, HOURS.size)
    monitor = 3.0 + 0.6 * estimate + rng.normal(0.0, 1.0, HOURS.size)
    monitor[rng.choice(HOURS.size, outliers, replace=False)] += 200.0
    return estimate, monitor


def test_the_line_is_found_and_judged_on_days_it_has_not_seen(rng: np.random.Generator) -> None:
    line, judged = fit_site(HOURS, *history(rng))
    by_name = {each.name: each for each in judged}

    assert line.slope == pytest.approx(0.6, abs=0.02)
    assert line.intercept == pytest.approx(3.0, abs=0.3)
    assert line.mae == pytest.approx(np.sqrt(2 / np.pi), rel=0.1)  # of Gaussian noise of 1 µg/m3
    assert by_name["line, robust"].mae < by_name["estimate without regression"].mae
    assert by_name["line, robust"].mae < by_name["constant (mean of the monitor)"].mae


def test_bonfires_beside_the_monitor_turn_least_squares_and_not_the_robust_line(rng: np.random.Generator) -> None:
    estimate, monitor = history(rng)
    beside = np.argsort(estimate)[:30]  # on clean days, so that they pull the line's lower end up
    monitor[beside] += 200.0

    assert robust_line(estimate, monitor)[1] == pytest.approx(0.6, abs=0.03)
    assert abs(least_squares(estimate, monitor)[1] - 0.6) > 0.3


def test_a_fold_never_shares_a_day_with_another() -> None:
    fold = blocks_of(HOURS)
    day = HOURS.astype("datetime64[D]")

    assert len(np.unique(fold)) == 10
    assert all(len(np.unique(fold[day == each])) == 1 for each in np.unique(day))


@pytest.mark.parametrize(
    ("estimate", "hours", "what"),
    [
        (np.full(720, np.nan), 720, "0 hours"),
        (np.full(720, 7.0), 720, "same in all hours"),
        (np.arange(720.0), 30, "30 hours"),
    ],
)
def test_too_little_to_fit_is_said(estimate: np.ndarray, hours: int, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        fit_site(HOURS[:hours], estimate[:hours], np.arange(float(hours)))


def test_two_days_are_too_few_for_blocks() -> None:
    fine = np.datetime64("2026-01-01T00", "us") + np.arange(60) * np.timedelta64(30, "m")

    with pytest.raises(ValueError, match="2 day"):
        fit_site(fine, np.arange(60.0), np.arange(60.0))


def test_a_line_survives_its_file(rng: np.random.Generator) -> None:
    line, _ = fit_site(HOURS, *history(rng))

    assert SiteLine.from_json(line.to_json("munich")) == line


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}', "not json", '{"format": 1, "slope": "x"}'])
def test_a_file_that_is_no_regression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="regression"):
        SiteLine.from_json(text)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", True), ("0", True), ("000", True), ("0.000", True), ("100", True), ("147", True), ("110", True),
        ("999", False), ("0.999", False), ("9.999", False), ("459", False), ("147;459", False), ("100 459", True),
        ("0.147559", True), ("0.147599", False), ("0.640682", False), ("0.100999", True), ("0.682", False),
        ("0.68", True), ("0.69", True), ("good", None), ("-1", None), ("1e3", None),
    ],
)  # fmt: skip
def test_ebas_flags_decide_what_counts_and_100_overrides(flags: str, expected: bool | None) -> None:
    assert is_valid(flags) is expected


def test_a_monitors_file_gives_hours_without_what_its_flags_exclude() -> None:
    text = (
        "# station XY\n"
        "time,pm25,flag,rh\n"
        "2026-01-01T00:10:00Z,10.0,0.000,50\n"
        "2026-01-01T00:40:00Z,14.0,0.147,60\n"
        "2026-01-01T01:00:00Z,99.0,0.459,60\n"
        "2026-01-01T02:00:00Z,-999,0.999,60\n"
        "2026-01-01T03:00:00+01:00,-0.4,,\n"
        "yesterday,12.0,0,50\n"
    )
    found = read_monitor(text)

    assert [str(hour) for hour in found.time.astype("datetime64[h]")] == ["2026-01-01T00", "2026-01-01T02"]
    np.testing.assert_allclose(found.pm2p5, [12.0, -0.4])
    np.testing.assert_allclose(found.relative_humidity, [0.55, np.nan])
    assert (found.num_rows, found.num_invalid, found.num_unreadable) == (6, 2, 1)


def test_other_separators_names_and_a_byte_order_mark_are_read() -> None:
    text = '\ufeff"Date_UTC";"Value"\n2026/01/01 05:00;"12,5"\n'
    found = read_monitor(text)

    np.testing.assert_allclose(found.pm2p5, [12.5])
    assert str(found.time[0]) == "2026-01-01T05:00:00.000000"


@pytest.mark.parametrize(
    "stamp",
    ["2026-01-01 5:00", "2026/1/1 05:00", "2026-01-01T06:00:00+01", "1767243600", "1767243600000", "20260101T0500",
     "2026-01-01 05:00:00.000 UTC"],
)  # fmt: skip
def test_an_hour_is_read_in_many_spellings(stamp: str) -> None:
    found = read_monitor(f"time;PM2,5\n{stamp};12,5\n".replace("PM2,5", "pm25"))

    assert str(found.time[0]) == "2026-01-01T05:00:00.000000"
    np.testing.assert_allclose(found.pm2p5, [12.5])


def test_24_o_clock_is_the_next_midnight() -> None:
    assert str(read_monitor("time,pm25\n2026-01-01 24:00,4\n").time[0]) == "2026-01-02T00:00:00.000000"


def test_days_without_an_hour_are_not_taken_for_midnights() -> None:
    daily = "".join(f"2026-01-{day:02d},{day}\n" for day in range(1, 31))
    for text in ("date,pm25\n" + daily, "date,rh\n" + daily):
        read = read_monitor if "pm25" in text else read_humidity
        with pytest.raises(InputError, match=r"column date holds days without an hour, the first '2026-01-01'"):
            read(text)


def test_a_midnight_may_stand_as_its_day_among_hours() -> None:
    found = read_monitor("time,pm25\n2026-01-01,4\n2026-01-01 01:00:00,5\n")

    assert found.num_unreadable == 0
    assert len(found.time) == 2


def test_times_that_cannot_be_read_are_shown_with_what_would_be_right() -> None:
    with pytest.raises(
        InputError, match=r"the first is '06/21/2026 09:00', wanted is an hour such as 2026-06-21T09:00Z"
    ):
        read_monitor("time,pm25\n06/21/2026 09:00,4\n06/21/2026 10:00,4\n")


def test_of_a_download_of_several_pollutants_only_pm2p5_counts() -> None:
    head = "datetimeUtc,parameter,value\n"
    found = read_monitor(f"{head}2026-01-01T00:00Z,pm25,4\n2026-01-01T00:00Z,PM10,40\n2026-01-01T01:00Z,PM2.5,5\n")

    np.testing.assert_allclose(found.pm2p5, [4.0, 5.0])
    assert found.num_rows == 2
    with pytest.raises(InputError, match=r"no PM2.5: its column parameter says no2, pm10"):
        read_monitor(f"{head}2026-01-01T00:00Z,pm10,4\n2026-01-01T00:00Z,no2,40\n")


def test_a_thousand_is_not_taken_for_one_and_a_quarter() -> None:
    found = read_monitor('time,pm25\n2026-01-01T00:00Z,"1,250"\n2026-01-01T01:00Z,"12,5"\n')

    np.testing.assert_allclose(found.pm2p5, [12.5])
    assert found.num_unreadable == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "empty"), ("a,b\n1,2\n", "no column of times"), ("time,pm10\n2026-01-01,4\n", "PM2.5"),
     ("time,pm25\n2026-01-01T00,x\n", "no valid value"), ("time,pm25\n", "no valid value")],
)  # fmt: skip
def test_a_file_without_what_is_needed_says_what_it_has(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        read_monitor(text)


@settings(max_examples=60)
@given(st.text('0123456789-:T,;.Z\n "x\0é', max_size=80))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    try:
        read_monitor("time,pm25,flag\n" + text)
    except InputError as error:
        assert "monitor" in str(error)


@pytest.mark.parametrize(
    ("written", "shares"),
    [
        (("55", "0.9", "1.2", "100", "-5", "140"), [0.55, 0.009, 0.012, 1.0]),
        (("0.55", "0.9", "1.02", "50", "-999", ""), [0.55, 0.9, 1.02]),
    ],
    ids=["percent", "share"],
)
def test_the_column_tells_whether_humidity_is_percent_and_not_the_single_number(
    written: tuple[str, ...], shares: list[float]
) -> None:
    lines = [f"2026-06-21T{hour:02d}:00Z,{humidity},9" for hour, humidity in enumerate(written)]
    table = "\n".join(["time,rh,pm25", *lines])

    assert list(read_humidity(table).values()) == pytest.approx(shares)
    of_monitor = read_monitor(table).relative_humidity
    assert of_monitor[np.isfinite(of_monitor)] == pytest.approx(shares)


def test_forty_eight_hours_on_three_days_are_enough_for_a_line(rng: np.random.Generator) -> None:
    time = HOURS[12:60]  # noon to noon
    estimate = rng.gamma(3.0, 5.0, 48)
    line, _ = fit_site(time, estimate, 3.0 + 0.6 * estimate + rng.normal(0.0, 0.1, 48))

    assert line.slope == pytest.approx(0.6, abs=0.05)
    assert len(np.unique(blocks_of(time))) == 3
    with pytest.raises(ValueError, match="47 hours"):
        fit_site(time[1:], estimate[1:], estimate[1:])


def test_a_line_tells_the_hours_the_range_and_the_correlation_that_it_was_fitted_to(rng: np.random.Generator) -> None:
    estimate, monitor = history(rng)
    monitor[[0, -1]] = np.nan
    line, judged = fit_site(HOURS, estimate, monitor)
    used = estimate[1:-1]

    assert (line.num_hours, line.lowest, line.highest) == (718, used.min(), used.max())
    assert (line.first, line.last) == ("2026-01-01T01:00Z", "2026-01-30T22:00Z")
    # the share of the monitor's variance that the estimate explains: of a slope of .6 and noise of 1
    assert line.r2 == pytest.approx(1.0 / (1.0 + 1.0 / (0.6**2 * used.var())), abs=0.02)
    assert line.rmse == pytest.approx(1.0, rel=0.1)
    by_name = {each.name: each for each in judged}
    assert by_name["estimate without regression"].bias == pytest.approx(np.mean(used - monitor[1:-1]))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_robust_line_is_where_hubers_loss_is_least_in_any_unit(unit: float, rng: np.random.Generator) -> None:
    estimate, monitor = history(rng, outliers=60)
    intercept, slope = robust_line(estimate, unit * monitor)
    residual = unit * monitor - intercept - slope * estimate
    # Huber 1964: bounded residuals are in balance, the bound 1.345 standard deviations, here 1.4826 median deviations
    bound = 1.345 * 1.4826 * np.median(np.abs(residual - np.median(residual)))
    bounded = np.clip(residual, -bound, bound)

    assert bounded.sum() == pytest.approx(0.0, abs=1e-4 * np.abs(bounded).sum())
    assert bounded @ estimate == pytest.approx(0.0, abs=1e-4 * np.abs(bounded) @ estimate)


def test_a_monitor_that_barely_varies_still_has_a_line() -> None:
    estimate = np.linspace(5.0, 30.0, 96)
    line, _ = fit_site(HOURS[:96], estimate, 4.0 + 0.01 * estimate)

    assert line.slope == pytest.approx(0.01)


@pytest.mark.parametrize(("written", "share"), [("55", 0.55), ("0.55", 0.55), ("1.4", 0.014), ("110", 1.1)])
def test_a_single_row_tells_by_its_size_or_its_columns_name_whether_it_is_percent(written: str, share: float) -> None:
    name = "relative_humidity_percent" if written == "1.4" else "rh"
    found = read_humidity(f"time,{name}\n2026-06-21T00:00Z,{written}\n")

    assert list(found.values()) == pytest.approx([share])
