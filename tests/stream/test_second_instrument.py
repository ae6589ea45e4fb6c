"""Two instruments under one id, through the stream's own stages: the second is named, and the first is as if alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_cases import NOON, cases, file_of, layers, reasons, streamed

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
