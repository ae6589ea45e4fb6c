"""Two instruments under one id, through the stream's own stages: the second is named, and the first is as if alone."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from test_cases import NOON, PLACE, cases, file_of, layers, reasons, streamed

from ipdsf_spark.config import load
from ipdsf_spark.lidar.averages import average_bytes
from ipdsf_spark.lidar.averages.build import averages_of
from ipdsf_spark.lidar.simulator import simulate_day
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome

__all__ = ["cases"]  # the fixture

LATER = NOON + np.timedelta64(6, "h")


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("00-control", "24-arm-ceil-b1", ("Vaisala CL31, unit", "Vaisala CL31, ARM file of 910 nm")),
        ("24-arm-ceil-b1", "00-control", ("Vaisala CL31, ARM file of 910 nm", "Vaisala CL31, unit")),
        ("00-control", "18-cl61-other-epoch", ("Vaisala CL31, unit", "Vaisala CL61")),
        ("33-eprofile-l1-tilt-fill", "18-cl61-other-epoch", ("E-PROFILE file", "CL61 file")),
        ("22-chm-time-zero", "25-blview-his", ("Lufft CHM15k", "Vaisala BL-View")),
    ],
)
def test_a_second_instrument_is_named_and_changes_nothing_for_the_first(
    cases: Path, first: str, second: str, names: tuple[str, str]
) -> None:
    files = [file_of(cases / case) for case in (first, second)]
    alone, _ = streamed([files[0][0]], [LATER], names=[files[0][1]])

    records, outcome = streamed([raw for raw, _ in files], [LATER] * 2, names=[name for _, name in files])

    counts = outcome.state.counts
    assert counts.foreign == 36 and counts.duplicate == counts.late == 0
    assert counts.profiles == counts.used + counts.foreign
    (named,) = [reason for reason in reasons(records) if "second instrument" in reason]
    assert names[1] in named.partition("the first is")[0] and names[0] in named.partition("the first is")[2]
    assert layers(records) == layers(alone)


def test_cloud_bases_without_backscatter_are_named_for_that_and_not_for_their_time() -> None:
    telegram = b"X1TA 8 015 00.00.00 00:00 00875 11150 NODET 0100 0325 NODT 11300 11600 +025 ft 01 00000000 C1\r\n"
    raw = b"".join(b"2026-06-21 09:%02d:00\r\n" % minute + telegram for minute in range(5))

    records, _ = streamed([raw], [NOON])

    (reason,) = reasons(records)
    assert "5 Vaisala LD40 telegrams hold cloud bases and no backscatter profile" in reason


OPERATORS = ("layers", "air_quality", "targets", "calibration", "edges", "forecast")


@pytest.mark.parametrize("num_of_first", [31, 36])
def test_an_exchange_says_the_same_whether_the_stream_waited_for_the_silence_before_it_or_not(
    num_of_first: int,
) -> None:
    stage = stage_of(load(overrides=[f"stream.operators={json.dumps(OPERATORS)}"]))
    made = [
        averages_of(simulate_day(PLACE, date(2026, 6, 21), rng=np.random.default_rng(1), instrument=name).profiles, 300)
        for name in ("cl51", "chm15k")
    ]
    stretches = [made[0][:num_of_first], made[1][72:110]]

    def said(*, waits: bool) -> dict[bytes, dict[str, object]]:
        outcome, found = Outcome(), {}
        for number, averages in enumerate(stretches):
            for silent in (False, True) if waits or number else (False,):
                pieces = [] if silent else [Piece("", number, "f", 0, number, 1, average_bytes.pack(averages))]
                held = outcome.state.to_bytes() if outcome.state else b""
                outcome = stage.step(PLACE, pieces, held, is_silent=silent)
                assert outcome.state is not None and outcome.state.counts.faults == 0
                for record in outcome.records:
                    if record.kind not in ("site", "averages"):
                        found[record.key] = json.loads(record.value) | {"sent_ms": 0}
        return found

    waited, replayed = said(waits=True), said(waits=False)

    assert waited.keys() == replayed.keys()
    assert {key: replayed[key] for key in waited if replayed[key] != waited[key]} == {}
    hours = [row for row in waited.values() if row["kind"] == "air_quality"]
    assert hours and not any(row["provisional"] for row in hours)


def test_the_last_day_of_a_former_instrument_is_final_and_no_day_of_the_new_one() -> None:
    stage = stage_of(load(overrides=['stream.operators=["calibration"]']))
    made = [
        averages_of(simulate_day(PLACE, day, rng=np.random.default_rng(1), instrument=name).profiles, 300)[:20]
        for day, name in ((date(2026, 6, 21), "cl51"), (date(2026, 6, 23), "chm15k"))
    ]
    first = stage.step(PLACE, [Piece("", 0, "f", 0, 0, 1, average_bytes.pack(made[0]))], b"")
    assert first.state is not None
    first = stage.step(PLACE, [], first.state.to_bytes(), is_silent=True)
    assert first.state is not None

    second = stage.step(PLACE, [Piece("", 1, "f", 0, 1, 1, average_bytes.pack(made[1]))], first.state.to_bytes())

    days = [json.loads(record.value) for record in second.records if record.kind == "calibration"]
    (day,) = [row for row in days if "provisional" not in row["quality"]]
    assert day["time"].startswith("2026-06-21")
