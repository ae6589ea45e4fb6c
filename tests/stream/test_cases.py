"""Files of loggers as strangers have them, through the stream's own stages: read right, or named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ipdsf_spark.lidar.layers.operator import operator as heights
from ipdsf_spark.lidar.operators import Parameters
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome, Record, SiteStage, Topics

PLACE = Site("station", 48.0, 11.0)
STAGE = SiteStage((heights(Parameters()),), Topics("files", "averages", "products", "sites", "bad", 8_000_000))
NOON = np.datetime64("2026-06-21T12:00", "ms")


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of cases: $IPDSF_CASES, or shared/cases beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "cases"
    folder = Path(os.environ.get("IPDSF_CASES", beside)) / "ceilometer"
    if not folder.is_dir():
        pytest.skip(f"the cases are not here: {folder} does not exist, and IPDSF_CASES names no other folder")
    return folder


def streamed(
    files: list[bytes], sent: list[np.datetime64], site: Site = PLACE, names: list[str] | None = None
) -> tuple[list[Record], Outcome]:
    """Everything said about a site whose files come one by one, and its last state; silent in the end."""
    decoder = Decoder({site.id: site}, 300, 8_000_000)
    records: list[Record] = []
    outcome = Outcome()
    for number, (raw, moment) in enumerate(zip(files, sent, strict=True)):
        sent_ms = int(moment.astype("datetime64[ms]").astype(np.int64))
        name = names[number] if names else f"{number}.dat"
        row = decoder.row_of(site.id, raw, name, sent_ms, sent_ms, None, "files", 0, number)
        held = outcome.state.to_bytes() if outcome.state else b""
        outcome = STAGE.step(site, [Piece.from_bytes(row[1])], held)
        records += outcome.records
    if outcome.state:
        outcome = STAGE.step(site, [], outcome.state.to_bytes(), is_silent=True)
        records += outcome.records
    return records, outcome


def layers(records: list[Record]) -> dict[str, float | None]:
    said = [json.loads(record.value) for record in records if record.kind == "layers"]
    return {product["time"]: product["mixing_height_m"] for product in said}


def reasons(records: list[Record]) -> list[str]:
    headers = [dict(record.headers or []) for record in records if record.topic == "bad"]
    return [reason for each in headers for _, _, reason in json.loads(each["stretches"])]


def file_of(case: Path) -> tuple[bytes, str]:
    (path,) = [path for path in case.iterdir() if path.name != "EXPECTED.md"]
    return path.read_bytes(), path.name


@pytest.mark.parametrize(
    ("case", "first"),
    [
        *((name, "2026-06-21T09:00") for name in (
            *("00-control", "01-us-date", "04-zone-space", "10-gzip-two-members", "14-stamp-after-record"),
            *("18-cl61-other-epoch", "20-cl61-packed", "24-arm-ceil-b1", "25-blview-his", "33-eprofile-l1-tilt-fill"),
        )),
        ("06-ampm", "2026-06-21T13:00"),
    ],
)  # fmt: skip
def test_three_hours_of_rising_layers_are_read_with_their_times(cases: Path, case: str, first: str) -> None:
    raw, name = file_of(cases / case)

    records, outcome = streamed([raw], [NOON + np.timedelta64(6, "h")], names=[name])

    assert reasons(records) == []
    assert outcome.state.counts.used == 36
    found = layers(records)
    times = sorted(found)
    assert len(times) == 36
    assert times[0].startswith(first[:13])
    told = [found[time] for time in times if found[time] is not None]
    assert len(told) >= 18
    assert all(550 <= height <= 1200 for height in told)


@pytest.mark.parametrize(
    ("case", "used", "num_named", "word"),
    [
        ("08-one-stamp-many-messages", 1, 11, "no time stamp"),
        ("22-chm-time-zero", 33, 3, "1904"),
        ("30-impossible-year", 2, 1, "9999"),
    ],
)
def test_profiles_without_a_believable_time_are_named_one_by_one(
    cases: Path, case: str, used: int, num_named: int, word: str
) -> None:
    raw, name = file_of(cases / case)

    records, outcome = streamed([raw], [NOON], names=[name])

    assert outcome.state.counts.used == used
    named = [reason for reason in reasons(records) if word in reason]
    assert len(named) == num_named
    assert all(time.startswith("2026-06-21") for time in layers(records))


def test_one_clock_gone_astray_closes_no_interval_and_makes_no_product(cases: Path) -> None:
    folder = cases / "26-future-stamp"
    good, bad = (folder / "0.DAT").read_bytes(), (folder / "bad.DAT").read_bytes()
    moments = [np.datetime64("2026-06-21T09:00", "ms"), np.datetime64("2026-06-21T09:05", "ms")]

    records, outcome = streamed([bad, good], moments)

    assert any("2036-02-07" in reason for reason in reasons(records))
    assert outcome.state.counts.late == 0
    assert all(time.startswith("2026-06-21") for time in layers(records))


def test_a_daily_file_that_is_sent_whole_each_time_it_has_grown_is_used_once(cases: Path) -> None:
    raw, name = file_of(cases / "27-growing-daily-file")
    starts = [position for position in range(len(raw)) if raw.startswith(b"\x01CL", position)]
    grown = [raw[: starts[num]] for num in range(2, len(starts), 2)] + [raw]
    moments = [NOON + np.timedelta64(num, "m") for num in range(len(grown))]

    records, outcome = streamed(grown, moments, names=[name] * len(grown))

    counts = outcome.state.counts
    assert [reason for reason in reasons(records) if "late" in reason] == []
    assert counts.used == len(starts)
    assert counts.late == counts.rejected == 0


def test_the_night_of_the_fall_back_is_read_by_the_loggers_zone_or_named(cases: Path) -> None:
    raw, name = file_of(cases / "28-dst-fall-back")
    moment = np.datetime64("2022-10-30T06:00", "ms")
    local = replace(PLACE, timezone="Europe/Berlin")

    records, outcome = streamed([raw], [moment], local, names=[name])

    counts = outcome.state.counts
    assert counts.used + len(reasons(records)) == raw.count(b"\x01CL")
    assert counts.used > 15
    assert counts.duplicate == counts.late == 0
