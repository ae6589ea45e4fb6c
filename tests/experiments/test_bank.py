"""The files that experiments send."""

from __future__ import annotations

from pathlib import Path

from ipdsf_spark.experiments.bank import feeds_in, write_bank
from ipdsf_spark.lidar.instruments import decode


def test_files_of_more_than_a_hundred_minutes_are_sent_in_the_order_of_their_time(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank", minutes=102, instruments=("cl31",))
    (feed,) = feeds_in(tmp_path / "bank")

    begins = [decode(path.read_bytes(), name=path.name).blocks[0].time[0] for path in feed.files]

    assert len(begins) == 102
    assert begins == sorted(begins)
