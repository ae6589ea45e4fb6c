"""Logs cut anywhere, inside a stamp too: what is left of a stamp is another moment, and is never taken for one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_texts import ct25k

from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar import instruments
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.instruments.stamps import Clock, Stamped, stamped

FIRST = datetime(2026, 6, 21, 9, 0, 5)
STEP = timedelta(seconds=15)
SENT = np.datetime64("2026-06-21T09:05:00", "us")
MESSAGE = ct25k(1).split(b"\r\n", 1)[1].strip(b"\r\n") + b"\r\n"
DATES = (
    *("%Y-%m-%d %H:%M:%S", "-%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    *("%m/%d/%Y %I:%M:%S %p", "%b %d %H:%M:%S", "%a %b %d %H:%M:%S %Y", "%Y%m%dT%H%M%SZ", "%Y%m%d%H%M%S"),
    *("%H:%M:%S", "%y-%m-%d %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%Y-%jT%H:%M:%S", "%G-W%V-%uT%H:%M:%S", "%y%m%d %H%M%S"),
)
# Units in a second, and the epoch that is counted from.
COUNTS = {
    "Unix time": (1, datetime(1970, 1, 1)),
    "milliseconds": (10**3, datetime(1970, 1, 1)),
    "microseconds": (10**6, datetime(1970, 1, 1)),
    "nanoseconds": (10**9, datetime(1970, 1, 1)),
    "LabVIEW": (1, datetime(1904, 1, 1)),
    ".NET": (10**7, datetime(1, 1, 1)),
    "FILETIME": (10**7, datetime(1601, 1, 1)),
    "spreadsheet": (0, datetime(1899, 12, 30)),
    "Julian days": (0, datetime(1858, 11, 17)),
}


def written(form: str) -> Callable[[datetime], str]:
    if form not in COUNTS:
        return lambda moment: moment.strftime(form)
    units, epoch = COUNTS[form]
    days = 2_400_000.5 if form == "Julian days" else 0.0
    if units:
        return lambda moment: str(int((moment - epoch).total_seconds()) * units)
    return lambda moment: f"{(moment - epoch) / timedelta(days=1) + days:.6f}"


def log_of(form: str, num: int, *, where: str, blank: bool) -> bytes:
    stamps = [written(form)(FIRST + i * STEP).encode() for i in range(num)]
    end = b"\r\n" if blank else b""
    if where == "behind":
        return b"".join(MESSAGE + stamp + b"\r\n" + end for stamp in stamps)
    return b"".join(stamp + (b"," if where == "on the line" else b"\r\n") + MESSAGE + end for stamp in stamps)


def check(raw: bytes, num: int, *, is_sent: bool) -> None:
    received, now = (SENT, None) if is_sent else (None, np.datetime64("2026-06-22", "us"))
    decoded = instruments.decode(raw, name="20260621.dat", received=received, now=now)

    assert decoded.blocks or decoded.rejected or not raw
    right = [FIRST + i * STEP for i in range(num)]
    if decoded.num_profiles == 1:  # which takes the time of sending where it has no stamp at all
        right.append(SENT.item())
    for block in decoded.blocks:
        for moment in block.time.tolist():
            assert moment is None or any(abs(moment - each) < timedelta(seconds=1) for each in right), (raw, moment)


@pytest.mark.parametrize("form", [*DATES, *COUNTS])
def test_a_log_cut_inside_a_stamp_gives_the_right_instants_or_names(form: str) -> None:
    length = len(written(form)(FIRST))
    for where in ("before", "behind"):
        for num in (1, 2):
            # Nothing tells a lone Julian day without its first two digits from a modified one.
            if num == 1 and form == "Julian days":
                continue
            raw = log_of(form, num, where=where, blank=False)
            for cut in range(1, length + 3):
                check(raw[cut:] if where == "before" else raw[:-cut], num, is_sent=num == 1 or cut % 2 == 0)


@settings(max_examples=200, deadline=None)
@given(
    form=st.sampled_from([*DATES, *COUNTS]),
    num=st.integers(2, 3),
    where=st.sampled_from(["before", "on the line", "behind"]),
    blank=st.booleans(),
    cut=st.integers(1, 2 * len(MESSAGE)),
    at_the_end=st.booleans(),
    is_sent=st.booleans(),
)
def test_a_log_cut_anywhere_gives_the_right_instants_or_names(
    form: str, num: int, where: str, blank: bool, cut: int, at_the_end: bool, is_sent: bool
) -> None:
    raw = log_of(form, num, where=where, blank=blank)

    check(raw[:-cut] if at_the_end else raw[cut:], num, is_sent=is_sent)


def read(*stamps: str, name: str = "", received: datetime | None = None) -> Stamped:
    talk = [f"{stamp}\r\n".encode() for stamp in stamps]
    return stamped([*talk, b""], name=name, received=received, latest=datetime(2026, 6, 22))


@pytest.mark.parametrize(
    "stamps",
    [
        ("782032405", "1782032420"),  # 1994
        ("782032405",),
        ("0621090005", "20260621090020", "20260621090035"),  # 1989
        ("1-Jun-2026 09:00:05", "21-Jun-2026 09:00:20"),
        ("1:00:05 21.06.2026", "21:00:20 21.06.2026"),
        ("6194.3750579", "46194.3752315"),  # 1986
    ],
)
def test_what_a_cut_left_of_the_first_stamp_is_named(stamps: tuple[str, ...]) -> None:
    found = read(*stamps, name="20260621.dat")

    assert found.times[0] is None
    assert "may stand at the end of the file before" in found.reasons[0]
    assert all(moment is not None and moment.year == 2026 for moment in found.times[1:])


@pytest.mark.parametrize(
    ("stamps", "moment"),
    [
        (("782032405", "782032420"), datetime(1994, 10, 13, 7, 13, 25)),  # an old archive
        (("1782032405",), FIRST),
        (("9-Jun-2026 23:59:50", "10-Jun-2026 00:00:05"), datetime(2026, 6, 9, 23, 59, 50)),
        (("9:59:50 21.06.2026", "10:00:05 21.06.2026"), datetime(2026, 6, 21, 9, 59, 50)),
        (("6/21/2026 9:00:05",), FIRST),  # there is no sixteenth month
    ],
)
def test_a_first_stamp_that_goes_on_as_the_others_do_is_whole(stamps: tuple[str, ...], moment: datetime) -> None:
    assert read(*stamps).times[0] == moment


def test_the_sending_or_the_name_confirms_a_lone_short_stamp() -> None:
    text, moment = "1-Jun-2026 09:00:05", datetime(2026, 6, 1, 9, 0, 5)

    assert read(text).times == (None,)
    assert read(text, received=moment + timedelta(minutes=1)).times == (moment,)
    assert read(text, name="log20260601.dat").times == (moment,)
    assert read("1234567890", name="log20260621.dat").times == (None,)  # of 2009


def test_the_file_before_brings_what_the_first_stamp_lacks() -> None:
    raw = log_of("Unix time", 3, where="before", blank=False)
    place = raw.index(str(int((FIRST + STEP - datetime(1970, 1, 1)).total_seconds())).encode()) + 1
    before, after = (
        instruments.decode(part, now=np.datetime64("2026-06-22", "us")) for part in (raw[:place], raw[place:])
    )

    whole = instruments.decode(before.tail + after.head, is_alone=True)

    assert [each.part for each in after.rejected] == ["head"]
    assert [block.time.tolist() for block in whole.blocks] == [[FIRST + STEP]]


def times_of(parts: list[bytes], clock: Clock) -> list[datetime]:
    reader = FileReader(clock=clock, now=np.datetime64("2026-06-22", "us"))
    files = [(f"{number}.dat", part) for number, part in enumerate(parts)]
    return [moment for block in reader.blocks(files) for moment in block.time.tolist()]


@settings(max_examples=60, deadline=None)
@given(
    where=st.sampled_from(["before", "on the line", "behind"]),
    blank=st.booleans(),
    cuts=st.lists(st.integers(0, 5 * (len(MESSAGE) + 21)), min_size=1, max_size=2).map(sorted),
)
def test_a_log_cut_anywhere_gives_every_profile_its_stamp_where_the_site_says_on_which_side_it_stands(
    where: str, blank: bool, cuts: list[int]
) -> None:
    raw = log_of("%Y-%m-%d %H:%M:%S", 5, where=where, blank=blank)
    parts = [raw[start:end] for start, end in pairwise([0, *cuts, len(raw)])]
    right = [FIRST + i * STEP for i in range(5)]

    found = times_of(parts, Clock(stamps="behind" if where == "behind" else "before"))

    assert sorted(set(found)) == sorted(found)
    assert set(found) <= set(right) and (len(cuts) > 1 or len(found) == len(right))


@pytest.mark.parametrize("num", [3, 60])  # beyond 64 kB no file waits for the one beside it
def test_a_log_cut_beside_a_stamp_and_inside_a_message_is_read_as_the_site_says(num: int) -> None:
    raw = log_of("%Y-%m-%d %H:%M:%S", num, where="behind", blank=False)
    inside = len(MESSAGE) // 2
    stamp = len("2026-06-21 09:00:05\r\n")
    right = [FIRST + i * STEP for i in range(num)]
    told = {"now": np.datetime64("2026-06-22", "us"), "clock": Clock(stamps="behind"), "is_alone": True}

    begins_with_a_stamp = instruments.decode(raw[len(MESSAGE) : -stamp - inside], **told)
    ends_with_a_message = instruments.decode(raw[inside:-stamp], **told)

    assert [block.time.tolist() for block in begins_with_a_stamp.blocks] == [right[1:-1]]
    assert [block.time.tolist() for block in ends_with_a_message.blocks] == [right[1:-1]]
    assert [each.part for each in begins_with_a_stamp.rejected] == ["tail"]
    assert [each.part for each in ends_with_a_message.rejected] == ["head", "tail"]


def test_a_stamp_on_the_line_of_its_header_stands_before_it_whatever_the_site_says() -> None:
    raw = log_of("%Y-%m-%d %H:%M:%S", 3, where="on the line", blank=False)

    assert times_of([raw], Clock(stamps="behind")) == [FIRST + i * STEP for i in range(3)]


def test_a_place_where_no_stamp_stands_is_refused() -> None:
    with pytest.raises(ConfigError, match="'before' or 'behind' their messages, got 'above'"):
        Clock(stamps="above")
