"""Messages with a stamp line before each, and the times that are read of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import strategies as st

from ipdsf_spark.lidar.instruments.stamps import Stamped, stamped

PRESENT = datetime(2027, 1, 1)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2026, 12, 30)).map(lambda moment: moment.replace(microsecond=0))
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/St_Johns", "-03:30", ""]


def read(texts: Sequence[str], encoding: str = "utf-8", **known: object) -> Stamped:
    """The times of messages with a stamp line before each."""
    talk = [text.encode(encoding) + b"\r\n\x01" for text in texts]
    return stamped([talk[0], *(b"\r\n" + each for each in talk[1:]), b"\r\n"], **{"latest": PRESENT, **known})


def every(step_s: int, count: int, start: datetime) -> list[datetime]:
    return [start + timedelta(seconds=step_s * i) for i in range(count)]
