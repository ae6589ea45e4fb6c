"""What a logger writes beside a stamp on its line: its zone, the half of its day, the same moment in another zone.

A form of stamps reads a zone or AM and PM only where custom puts them. Wherever else they stand they change the moment
all the same, so that they are looked for here, and a word that may be one of them makes the stamp a named rejection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.clock import SURE_ABBREVIATIONS
from ipdsf_spark.lidar.instruments.stamps.forms import CLOCK
from ipdsf_spark.lidar.instruments.stamps.written import Written, day_half

_AREAS: Final = "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc|US"
_SURE: Final = "|".join(sorted(SURE_ABBREVIATIONS, key=len, reverse=True))
_NAMED: Final = rf"(?P<word>(?:{_SURE}|[A-Z]{{1,3}}[SD]T|LOCAL)(?![\w/]))|(?P<iana>(?:{_AREAS})/\w+(?:[/+-]\w+)*)"
_COLONED: Final = r"(?P<off>(?:UTC|GMT)?[ ]?[+-]\d{2}:\d{2})(?![\d:.])"
_ZONE: Final = rf"(?:{_COLONED}|(?P<digits>(?:UTC|GMT)[+-]\d{{1,4}}|[+-]\d{{4}})(?![\d:.])|{_NAMED})"
_BEFORE: Final = re.compile(rf"(?:^|[\s\[(;,|=])[\[(]?{_ZONE}[\])]?[ \t,;|:]{{1,3}}[\[(]?$")
_LABELLED: Final = re.compile(
    rf"""^[\s,;|\])"']{{0,4}}(?:tz|time[ _-]?zone|zone|(?:utc|gmt)?[ _-]?offset)["']?[ \t]*[=:][ \t]*["']?{_ZONE}""",
    re.IGNORECASE,
)
_IN_NEXT_COLUMN: Final = re.compile(
    rf"""^["']?[ \t]?[,;|\t][ \t]?["']?(?:{_COLONED}|{_NAMED}"""
    rf"""|(?P<digits>(?:UTC|GMT)[+-]\d{{1,4}}(?![\d:.])|[+-]\d\d(?:00|15|30|45)(?=[\s"',;|]|$)))"""
)
# Abbreviations of zones end with T; these words of loggers do so too.
_LIKE_A_ZONE: Final = re.compile(r"^[ \t]{1,2}[\[(]?(?P<word>[A-Z]{2,4}T)(?![\w=:/.-])")
_NO_ZONES: Final = frozenset(
    re.findall(
        r"\w+",
        """
        ACT AT ABORT ALERT BAT BIT BOOT CAT COUNT CUT DAT DIST EDIT EVENT EXIT EXT FAST FIRST FLAT FLOAT GET GOT HEAT
        HIT HOST HOT INIT INPUT INST INT IT LAST LEFT LIFT LIGHT LIST LOST MELT NEXT NOT OUT PART PAST PATH PLOT POINT
        PORT POST PRINT PUT QUIT REPT RESET RIGHT ROOT RST SALT SENT SET SHORT SHUT SLOT SOFT SORT SPLIT START STAT
        TAT TEST TEXT TILT TRUST UNIT VISIT WAIT WET
        """,
    )
)
_LOCAL: Final = re.compile(
    r"^[ \t]{1,2}[\[(]?(?:Ortszeit|Lokalzeit|lokal(?:e Zeit)?|heure locale|hora local|ora locale|lokal tid|lokaltijd"
    r"|plaatselijke tijd|czas lokalny|local|(?:sommer|winter|normal)zeit|heure d['\u2019](?:\u00e9t\u00e9|hiver)"
    r"|ora (?:legale|solare)|hora de (?:verano|invierno)|hor\u00e1rio de (?:ver\u00e3o|inverno)|(?:zomer|winter)tijd"
    r"|(?:sommer|vinter|normal)tid|(?:summer|winter|standard|daylight) time)(?!\w)",
    re.IGNORECASE,
)
_HALVES: Final = {
    **dict.fromkeys(("am", "a.m.", "a. m.", "오전", "上午", "午前", "π.μ.", "πμ", "ص", "vorm."), b"A"),
    **dict.fromkeys(("pm", "p.m.", "p. m.", "오후", "下午", "午後", "μ.μ.", "μμ", "م", "nachm."), b"P"),
}
_HALF: Final = "|".join(re.escape(word).replace("\\ ", "[ ]{1,3}") for word in sorted(_HALVES, key=len, reverse=True))
_HALF_BEFORE: Final = re.compile(rf"(?<!\w)(?P<half>{_HALF})[ \t]{{0,3}}$", re.IGNORECASE)
_HALF_BEHIND: Final = re.compile(rf"^[ \t]{{0,3}}(?P<half>{_HALF})(?!\w)", re.IGNORECASE)
_HAS_HALF: Final = re.compile(r"[AaPp]\.?[Mm]\b")
_FOREIGN_BEFORE: Final = re.compile(r"(?P<word>[^\W\d_a-zA-Z]{1,12})[ \t]{0,2}$")
_FOREIGN_BEHIND: Final = re.compile(r"^[ \t]{0,2}(?P<word>[^\W\d_a-zA-Z]{1,12})(?![\w])")
_NUM_DATE: Final = 3  # numbers of a stamp that are its date, where it stands first and has no names
_IN_NUMBERS: Final = ("year-month-day", "day and month")
_WHOSE_ZONE: Final = "a zone stands between two times on the line, and nothing tells which has it"
_NUMBER: Final = re.compile(r"\d+")
_LINE: Final = 64  # characters beside a stamp that may belong to it
_QUARTER: Final = 900_000_000  # microseconds: zones differ by whole quarters of an hour
_HALF_HOUR: Final = 2 * _QUARTER
_FARTHEST: Final = 26 * 4 * _QUARTER  # between the zones of Kiribati and of Baker Island


def with_company(talk: bytes, found: Sequence[Written]) -> list[Written]:
    """The stamps of a talk as what stands beside them on their lines says.

    Args:
        talk: what a logger wrote between two messages.
        found: the stamps in it, in order.
    """
    result: list[Written] = []
    for place, written in enumerate(found):
        first = max(found[place - 1].end if place else 0, written.start - _LINE)
        last = min(found[place + 1].start if place + 1 < len(found) else len(talk), written.end + _LINE)
        before = talk[first : written.start].rpartition(b"\n")[2].decode("utf-8", "replace")
        behind = re.split(rb"[\r\n\x01]", talk[written.end : last], maxsplit=1)[0].decode("utf-8", "replace")
        if before.strip(" \t-") or behind.strip(" \t"):
            written = _zoned(_halved(written, before, behind), before, behind)
        if written.offset is not None and _between_two(talk, written, found[place + 1 : place + 2], before):
            written = written._replace(offset=None, fault=_WHOSE_ZONE)
        if place and result[-1].fault == _WHOSE_ZONE:
            written = written._replace(fault=_WHOSE_ZONE)
        result.append(written)
    return result


def contradicted(stamps: Sequence[Written], chosen: Written, talk: bytes) -> str:
    """Why a stamp that shares its line with another of its form cannot be taken; empty if nothing is against it.

    Two times that lie whole quarters of an hour apart are one moment in two zones. Where neither says its zone, nothing
    tells which of them is UTC.
    """
    if chosen.offset is not None or chosen.is_instant:
        return ""
    for other in stamps:
        first, second = sorted((chosen, other), key=lambda each: each.start)
        if other is chosen or b"\n" in talk[first.end : second.start] or other.dates.keys() != chosen.dates.keys():
            continue
        apart = abs(_micros(other) - _micros(chosen))
        if apart % _QUARTER == 0 and _HALF_HOUR <= apart <= _FARTHEST:
            return f"beside '{other.text}': one moment in two zones, and nothing tells which is UTC"
    return ""


def unlike_the_others(stamps: Sequence[tuple[int, Written]]) -> list[str]:
    """What a stamp lacks that the others of its file have; empty for those that are whole.

    A logger that writes 09 where others write 9 does so in every stamp: a single digit is half of two there. One that
    writes AM or PM writes it in every stamp.

    Args:
        stamps: of one file, with their places.
    """
    numbers = [_NUMBER.findall(written.text) for _, written in stamps]
    padded = {
        (stamps[i][1].kind, len(found), place)
        for i, found in enumerate(numbers)
        for place, each in enumerate(found)
        if len(each) == 2 and each[0] == "0"
    }
    # Days and months are padded together; hours need not be as minutes are.
    padded |= {
        (kind, num, other)
        for kind, num, place in padded
        if kind in _IN_NUMBERS and place < _NUM_DATE
        for other in range(_NUM_DATE)
    }
    num_halves = sum(_HAS_HALF.search(written.text) is not None for _, written in stamps)
    faults = []
    for (_, written), found in zip(stamps, numbers, strict=True):
        is_short = any(
            len(each) == 1 and (written.kind, len(found), place) in padded for place, each in enumerate(found)
        )
        lacks_half = 2 * num_halves > len(stamps) and not written.is_instant and not _HAS_HALF.search(written.text)
        fault = "a digit is missing that the other stamps of the file have" if is_short else ""
        faults.append("AM or PM is missing, which the other stamps of the file have" if lacks_half else fault)
    return faults


def zoned_beside(stamps: Sequence[Written], chosen: Written, talk: bytes) -> Written:
    """Of several stamps on the line of the chosen one, that which says its zone."""
    if chosen.offset is not None or chosen.is_instant:
        return chosen
    for other in stamps:
        first, second = sorted((chosen, other), key=lambda each: each.start)
        if other.offset is not None and b"\n" not in talk[first.end : second.start]:
            return other
    return chosen


def _between_two(talk: bytes, written: Written, following: Sequence[Written], before: str) -> bool:
    """Whether a zone stands alone between two times on a line of which the first has a word of its own before it."""
    if not following or following[0].offset is not None:
        return False
    between = talk[written.end : following[0].start]
    return (
        not between.strip(b" \t,;") and " " in written.text[-6:] and re.search(r"[A-Za-z][:= ]*$", before) is not None
    )


def _micros(written: Written) -> int:
    """A count that differs between two stamps of one form as their local times do."""
    year, month, day = next(iter(written.dates.values()), (None, 0, 0))
    number = 0
    if year is not None or month:
        shifted = (14 - month) // 12
        y, m = (year or 2000) + 4800 - shifted, month + 12 * shifted - 3
        number = day + (153 * m + 2) // 5 + 365 * y + y // 4 - y // 100 + y // 400
    return number * 96 * _QUARTER + written.micros


def _zoned(written: Written, before: str, behind: str) -> Written:
    if written.offset is not None or written.is_instant or written.fault:
        return written
    match = _LABELLED.match(behind) or _IN_NEXT_COLUMN.match(behind) or _BEFORE.search(before)
    if match is not None:
        return _with_zone(written, match.groupdict())
    if _LOCAL.match(behind):
        return written._replace(offset="LT")
    like = _LIKE_A_ZONE.match(behind)
    if like is not None and like["word"] not in _NO_ZONES:
        return written._replace(offset=like["word"])
    return written


def _with_zone(written: Written, group: dict[str, str | None]) -> Written:
    word = group.get("word") or group.get("iana")
    if word:
        return written._replace(offset="LT" if word.upper() == "LOCAL" else word)
    text = (group.get("off") or group.get("digits") or "").strip()
    digits = re.sub(r"[^\d]", "", text)
    hours, minutes = (digits, "0") if len(digits) < 3 else (digits[:-2], digits[-2:])
    total = int(hours) * 60 + int(minutes)
    if total > 14 * 60 or int(minutes) > 59:
        return written if group.get("digits") else written._replace(fault=f"no zone lies {text} from UTC")
    return written._replace(offset=-total if "-" in text else total)


def _halved(written: Written, before: str, behind: str) -> Written:
    if written.is_instant or written.fault or _HAS_HALF.search(written.text):
        return written
    is_bare = written.kind == CLOCK  # elsewhere a date stands before the time of day
    match = _HALF_BEHIND.match(behind) or (_HALF_BEFORE.search(before) if is_bare else None)
    if match is not None:
        micros, fault = day_half(written.micros, _HALVES[" ".join(match["half"].lower().split())])
        return written._replace(micros=micros, fault=fault)
    match = _FOREIGN_BEHIND.match(behind) or (_FOREIGN_BEFORE.search(before) if is_bare else None)
    if match is not None:
        return written._replace(fault=f"the word '{match['word']}' beside it may be the half of the day")
    return written
