"""The examples of docs/files-and-clocks.md are read as the page says."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from ipdsf_spark.lidar.instruments.stamps import stamped

PAGE = Path(__file__).resolve().parents[2] / "docs" / "files-and-clocks.md"
SENT = datetime(2026, 6, 21, 9, 1)


def test_every_stamp_in_the_table_is_the_same_day() -> None:
    table = PAGE.read_text().partition("| form |")[2].partition("\n\n")[0]
    examples = [each for row in table.splitlines()[2:] for each in re.findall(r"`([^`]+)`", row.split("|")[2])]

    assert len(examples) >= 18
    for example in examples:
        (moment,) = stamped([f"{example}\r\n\x01".encode(), b"\r\n"], received=SENT).times
        assert moment is not None and moment.date() == SENT.date(), example
