"""The forms in which loggers write a moment: one table of patterns, and what each says as numbers.

A form says which digits are year, month, day and time of day. What it leaves open, the order of day and month, the
century, the zone, stands in `Written` and is decided for the file as a whole. ISO 8601 (2004) calendar, week and
ordinal dates, RFC 3164 (syslog), RFC 5322, ctime, Unix time in seconds to nanoseconds, and what spreadsheets and .NET
write.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipdsf_spark.lidar.instruments.stamps.clock import SURE_ABBREVIATIONS, UNSURE_ABBREVIATIONS

_MONTH: Final = rb"(?P<mon>[A-Za-z\x80-\xff]{2,24})"

# Not where a digit was damaged on the line, nor into the date that may stand in the next column.
_WHOLE: Final = rb"(?!:?\d|[#$%&*!?@~\x80-\xc1]|\^(?!A)|:[^\s\x01])"
FRACTION: Final = rb"(?:(?:[.:]|,(?!\d{8}[T_ -]?\d{4}))(?P<f>\d{1,9}))?"
_DAY_TIME: Final = (
    rb"(?P<h>\d{1,2}):(?P<mi>\d{2}(?=:)|\d(?=:\d)|\d{2}(?!:))(?::(?P<s>\d{1,2})" + FRACTION + rb")?" + _WHOLE
)
_DAY_TIME_FULL: Final = rb"(?P<h>\d{1,2}):(?P<mi>\d{2}):(?P<s>\d{2})" + FRACTION + _WHOLE
_DAY_TIME_OTHER: Final = rb"(?P<h>\d{1,2})[.h_-](?P<mi>\d{2})[.m_-](?P<s>\d{2})s?(?:[.,](?P<f>\d{1,9}))?(?!\d)"
_DAY_TIME_COMPACT: Final = rb"(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})?(?:[.,](?P<f>\d{1,9}))?(?!\d)"
_DAY_TIME_HOURS: Final = (
    rb"(?P<h>\d{1,2})[ ]?[hH][ ]?(?P<mi>\d{2})(?:[ ]?(?:min|mn|m)?[ ]?(?P<s>\d{2})[ ]?s?)?[ ]?(?:min|mn|m)?(?![\w:.])"
)
_HALF: Final = rb"(?:[ \t]?(?P<ap>[AaPp])\.?[Mm]\b\.?)?"
_ABBREVIATION: Final = (
    b"(?P<z>"
    + "|".join(sorted([*SURE_ABBREVIATIONS, *UNSURE_ABBREVIATIONS], reverse=True)).encode()
    + rb"|(?i:UTC|GMT|CES?T|MES?Z|EES?T|[ECMP][SD]T|BST|LOCAL(?:[ ]TIME)?))"
)
_IN_WORDS: Final = (
    rb"(?P<words>[A-Z][A-Za-z.]*(?: [A-Za-z.]+){0,3} (?:Standard |Daylight |Summer |Mean |Universal )?Time\b"
    rb"|[A-Z][a-z\x80-\xff]+ (?:Sommer|Normal|Winter)zeit\b)"
)
_AREAS: Final = rb"(?:Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc|US)"
_ZONE: Final = (
    rb"(?:[ \t]{0,2}[\[(]?(?:(?P<off>(?:(?i:UTC|GMT)[ \t]?(?:[+-]|\xe2\x88\x92)\d{1,2}"
    rb"|(?:[+-]|\xe2\x88\x92)\d{2})(?::?\d{2})?"
    rb"|[+-]\d(?::\d{2})?)(?::00)?(?![\d.:])|"
    + _IN_WORDS
    + b"|"
    + _ABBREVIATION
    + rb"(?![A-Za-z0-9])|(?P<iana>"
    + _AREAS
    + rb"/[A-Za-z_]+(?:[+-]\d{1,2}|[/-][A-Za-z_]+)*))[\])]?|(?P<letter>[A-Ya-y])(?![A-Za-z0-9]))?"
)
_AT: Final = (
    rb"(?:at|um|klo|kl\.?|kell|ob|a las|alle(?: ore)?|ore|o godz\.?|\xc3\xa0s?|\xe0s?(?= )|\xd0\xb2|[\xe2\xd7](?= )"
    rb"|[Tt][Ii][Mm][Ee][ \t]*[:=]?)"
)
_SEPARATOR: Final = rb"(?:[ \t]{1,3}|[ ]?[Tt,;_|:-][ \t]?|,?[ \t]{1,2}" + _AT + rb"[ \t]{0,2})"

_YMD: Final = rb"(?<!\d)(?P<y>\d{4})(?P<ds>[-/.:])(?P<a>\d{1,2})(?P=ds)(?P<b>\d{1,2})"
_YMD_COMPACT: Final = rb"(?<!\d)(?P<y>\d{4})(?P<a>\d{2})(?P<b>\d{2})"
_SIX_NUMBERS: Final = (
    rb"(?<![\d,;_./])(?P<y>\d{4})(?P<ds>[,;_\t./]|[ ]{1,2})(?P<a>\d{1,2})(?P=ds)[ ]?(?P<b>\d{1,2})(?P=ds)[ ]?"
    rb"(?P<h>\d{1,2})(?P=ds)[ ]?(?P<mi>\d{1,2})(?P=ds)[ ]?(?P<s>\d{1,2})(?:\.(?P<f>\d{1,9}))?(?![\d:])"
)
_SIX_NUMBERS_DAY_FIRST: Final = (
    rb"(?<![\d,;_./-])(?P<a>\d{1,2})(?P<ds>[,;_\t]|[ ]{1,2})(?P<b>\d{1,2})(?P=ds)(?P<c>(?:19|20)\d{2})(?P=ds)"
    rb"(?P<h>\d{1,2})(?P=ds)(?P<mi>\d{1,2})(?P=ds)(?P<s>\d{1,2})(?:\.(?P<f>\d{1,9}))?(?![\d:])"
)
_FIXED_WIDTH: Final = (
    rb"(?<![\d,;_])(?P<y>\d{4})[ ]{1,3}(?P<a>\d{1,2})[ ]{1,3}(?P<b>\d{1,2})[ ]{1,3}"
    rb"(?P<h>\d{1,2})[ ]{1,3}(?P<mi>\d{1,2})[ ]{1,3}(?P<s>\d{1,2})(?:\.(?P<f>\d{1,9}))?(?![\d:])"
)
_WEEK: Final = rb"(?<!\d)(?P<y>\d{4})-?W(?P<w>\d{2})-?(?P<a>\d)"
_ORDINAL: Final = rb"(?<!\d)(?P<y>\d{4})[-/. ,:]?(?P<doy>\d{3})"


def _in_any_encoding(*words: str, encodings: Sequence[str]) -> bytes:
    """A pattern of words in UTF-8 and in the encodings of the computers that write them."""
    found = {word.encode(code) for word in words for code in ("utf-8", *encodings) if _has(word, code)}
    return b"(?:" + b"|".join(re.escape(word) for word in sorted(found)) + b")"


def _has(word: str, encoding: str) -> bool:
    try:
        word.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


_CYRILLIC: Final = ("cp1251", "koi8-r", "cp866")
_YEAR_WORD: Final = rb"(?:[ ]?(?:" + _in_any_encoding("г", "года", "р", encodings=_CYRILLIC) + rb"|[rR])\.?(?=[ ,]))?"
_DAY_MONTH_NAME: Final = (
    rb"(?<![\d#$%&*!?@~])(?P<a>\d{1,2})(?:(?:st|nd|rd|th)?(?:[-/., ]{1,2}| de )|(?=[A-Za-z]{3}\d))"
    + _MONTH
    + rb"(?:\.?(?:[-/., ]{1,2}| de[l]? )|(?<=\d[A-Za-z]{3}))(?P<y>\d{4}|\d{2}(?!:))"
    + _YEAR_WORD
)
_MONTH_NAME_DAY: Final = (
    rb"(?<![A-Za-z])" + _MONTH + rb"\.?[ -]{1,2}(?P<a>\d{1,2})(?:st|nd|rd|th)?,?[ -]{1,2}(?P<y>\d{4})"
)
_YEAR_MONTH_NAME: Final = (
    rb"(?<!\d)(?P<y>\d{4})(?:[-/. ]{1,2}| m\. )" + _MONTH + rb"\.?[-/. ](?P<a>\d{1,2})(?:\.| d\.)?"
)
_XYZ: Final = (
    rb"(?<![\d#$%&*!?@~])(?<!\d[-/.])(?P<a>\d{1,2})(?P<ds>[-/.])[ ]?(?P<b>\d{1,2})(?P=ds)[ ]?(?P<c>\d{4}|\d{2}(?!:))"
    rb"(?:\.(?=[ ]))?" + _YEAR_WORD
)
_XYZ_COMPACT: Final = rb"(?<![0-9A-Za-z/.#$%&*!?@~])(?<!\d-)(?P<a>\d{2})(?P<b>\d{2})(?P<c>\d{2})"
_XYZ_COMPACT_LONG: Final = (
    rb"(?<![0-9A-Za-z/.#$%&*!?@~])(?<!\d-)(?P<a>\d{2})(?P<b>\d{2})(?P<c>(?:19|20)\d{2})"  # the year has four digits
)


_EASTERN: Final = ("gb18030", "shift_jis", "euc-jp", "cp949", "big5")
_YEAR, _MONTH_WORD, _DAY = (_in_any_encoding(*words, encodings=_EASTERN) for words in ("年년", "月월", "日日일号號"))
_HOUR, _MINUTE, _SECOND = (_in_any_encoding(*words, encodings=_EASTERN) for words in ("时時点點시", "分분", "秒초"))
_MORNING, _AFTERNOON = (
    _in_any_encoding(*words, encodings=_EASTERN) for words in (("午前", "上午", "오전"), ("午後", "下午", "오후"))
)
_EAST_HALF: Final = rb"(?:(?P<morning>" + _MORNING + rb")|(?P<afternoon>" + _AFTERNOON + rb"))?[ ]?"
_EAST_DATE: Final = (
    rb"(?<!\d)(?P<y>\d{4})[ ]?"
    + _YEAR
    + rb"[ ]?(?P<a>\d{1,2})[ ]?"
    + _MONTH_WORD
    + rb"[ ]?(?P<b>\d{1,2})[ ]?"
    + _DAY
    + rb",?[ ]{0,2}(?:[\x80-\xff][\x30-\x7e\x80-\xff]{1,9}[ ]{1,2}|\([\x30-\x7e\x80-\xff]{1,9}\)[ ]{0,2})??"
)
_EAST_TIME: Final = (
    rb"(?P<h>\d{1,2})[ ]?(?:[:]|"
    + _HOUR
    + rb")[ ]?(?P<mi>\d{1,2})(?:[ ]?(?:[:]|"
    + _MINUTE
    + rb")[ ]?(?P<s>\d{1,2})(?:[.,](?P<f>\d{1,9}))?)?"
    + rb"(?:[ ]?(?:"
    + _MINUTE
    + rb"|"
    + _SECOND
    + rb"))?(?![\d:])"
)
_DOTTED: Final = rb"(?<!\d)(?P<y>\d{4})\.[ ]?(?P<a>\d{1,2})\.[ ]?(?P<b>\d{1,2})\.[ ]{1,2}"  # Korea, Hungary


@dataclass(frozen=True)
class Form:
    """One way of writing a moment.

    Attributes:
        name: what a person calls it.
        pattern: finds it.
        has_colons: whether it can be found only where a colon stands.
    """

    name: str
    pattern: re.Pattern[bytes]
    has_colons: bool = False


def _form(name: str, *parts: bytes) -> Form:
    return Form(name, re.compile(b"".join(parts)), _DAY_TIME in parts or _DAY_TIME_FULL in parts)


UNIX: Final = "Unix time"
DAYS: Final = "days since an epoch"
TICKS: Final = "ticks since an epoch"
COUNTED: Final = (UNIX, DAYS, TICKS)
CLOCK: Final = "time of day"
TWO_LINES: Final = "date and time on two lines"
TIME_FIRST: Final = "time before date"
COMPACT: Final = "compact"
NMEA: Final = "NMEA 0183"
DATE_TIME_GROUP: Final = "date-time group"
_COLON: Final = (_SEPARATOR, _DAY_TIME, _HALF, _ZONE)
_FREE: Final = (_SEPARATOR, _DAY_TIME_OTHER, _HALF, _ZONE)
_WORD: Final = rb"(?i:date|time|datum|uhrzeit|zeit|heure|hora|ora|tid|at|on|om|v|@)(?![A-Za-z0-9])"
_NEXT_LINE: Final = rb"[ \t]*\r?\n[ \t]*(?:" + _WORD + rb"[ \t]*[:=]?[ \t]*)?"
# Between a date and a time that stand apart on one line: brackets, quotes, marks, and words that name either.
_APART: Final = rb"(?:[ \t,;:|=<>/\"'()\[\]-]{0,6}" + _WORD + rb"){0,2}[ \t,;:|=<>/\"'()\[\]-]{1,8}"
_TIME_APART: Final = (rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE, _APART)
_TIGHT: Final = (rb"(?:[Tt_ :-]|)", _DAY_TIME_COMPACT, _ZONE)

# From the particular to the general: a later form may match inside what an earlier one reads whole.
FORMS: Final[tuple[Form, ...]] = (
    _form("year-month-day", _YMD, *_COLON),
    _form("year-month-day", _YMD, *_FREE),
    _form("year-month-day", _YMD, rb"[Tt_ ]", _DAY_TIME_COMPACT, _ZONE),
    _form("year-month-day", _YMD, _SEPARATOR, _DAY_TIME_HOURS),
    _form("year-month-day", _EAST_DATE, _EAST_HALF, _EAST_TIME, _ZONE),
    _form("year-month-day", _DOTTED, _EAST_HALF, _DAY_TIME, _HALF, _ZONE),
    _form(COMPACT, _YMD_COMPACT, *_COLON),
    _form(COMPACT, _YMD_COMPACT, *_FREE),
    _form(COMPACT, rb"(?<!\d)(?P<twelve>\d{12})(?!\d)", _ZONE),
    _form(COMPACT, _YMD_COMPACT, *_TIGHT),
    _form(COMPACT, _YMD_COMPACT, rb"(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})(?P<f>\d{3})(?!\d)", _ZONE),
    _form("year-month-day", _SIX_NUMBERS, _ZONE),
    _form("day and month", _SIX_NUMBERS_DAY_FIRST, _ZONE),
    _form("year-month-day", _FIXED_WIDTH, _ZONE),
    _form("week date", _WEEK, *_COLON),
    _form("week date", _WEEK, *_TIGHT),
    _form("ctime", _MONTH, rb"[ ]+(?P<a>\d{1,2})[ ]+", _DAY_TIME_FULL, _ZONE, rb"[ ]+(?P<y>\d{4})(?!\d)"),
    _form(
        "ctime",
        rb"(?<!\d)(?P<a>\d{1,2})\.?[ ]+",
        _MONTH,
        rb"\.?[ ]+",
        _DAY_TIME_FULL,
        _ZONE,
        rb"[ ]+(?P<y>\d{4})(?!\d)",
    ),
    _form("day month-name year", _DAY_MONTH_NAME, *_COLON),
    _form("day month-name year", _DAY_MONTH_NAME, *_FREE),
    _form("day month-name year", _DAY_MONTH_NAME, _SEPARATOR, _DAY_TIME_HOURS),
    _form(
        DATE_TIME_GROUP,
        rb"(?<![0-9A-Za-z])(?P<a>\d{2})(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})?[ ]?(?P<z>Z)[ ]?(?P<mon>[A-Za-z]{3})[ ]?",
        rb"(?P<y>(?:19|20)?\d{2})(?![0-9A-Za-z:])",
    ),
    _form("month-name day year", _MONTH_NAME_DAY, *_COLON),
    _form("year month-name day", _YEAR_MONTH_NAME, *_COLON),
    _form("day and month", _XYZ, *_COLON),
    _form("day and month", _XYZ, *_FREE),
    _form("day and month", _XYZ, _SEPARATOR, _DAY_TIME_HOURS),
    _form("day and month", _XYZ_COMPACT_LONG, *_COLON),
    _form("day and month", _XYZ_COMPACT_LONG, *_TIGHT),
    _form("day and month", _XYZ_COMPACT, rb"[ T_-]", _DAY_TIME_COMPACT, _ZONE),
    _form("day and month", _XYZ_COMPACT, *_COLON),
    _form(
        NMEA,
        rb"\$[A-Z]{2}ZDA,(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})(?:\.(?P<f>\d{1,9}))?",
        rb",(?P<b>\d{2}),(?P<a>\d{2}),(?P<y>\d{4})",
    ),
    _form(
        NMEA,
        rb"\$[A-Z]{2}RMC,(?P<h>\d{2})(?P<mi>\d{2})(?P<s>\d{2})(?:\.(?P<f>\d{1,9}))?,A(?:,[^,\r\n]*){6}",
        rb",(?P<b>\d{2})(?P<a>\d{2})(?P<y>\d{2})(?!\d)",
    ),
    _form("ordinal date", _ORDINAL, rb"(?:[ \t]{1,3}|[ ]?[Tt,;_|./:-][ \t]?)", _DAY_TIME, _HALF, _ZONE),
    _form("ordinal date", _ORDINAL, rb"[Tt_ ,-]", _DAY_TIME_COMPACT, _ZONE),
    _form(TWO_LINES, _YMD, _NEXT_LINE, _DAY_TIME_FULL, _HALF, _ZONE),
    _form(TWO_LINES, _XYZ, _NEXT_LINE, _DAY_TIME_FULL, _HALF, _ZONE),
    _form(TIME_FIRST, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE, rb"[ ,T]{1,2}", _YMD, rb"(?!\d)"),
    _form(TIME_FIRST, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE, rb"[ ,T]{1,2}", _XYZ, rb"(?!\d)"),
    _form("year-month-day", _YMD, _APART, _DAY_TIME_FULL, _HALF, _ZONE),
    _form("day and month", _XYZ, _APART, _DAY_TIME_FULL, _HALF, _ZONE),
    _form("day month-name year", _DAY_MONTH_NAME, _APART, _DAY_TIME_FULL, _HALF, _ZONE),
    _form(TIME_FIRST, *_TIME_APART, _YMD, rb"(?!\d)"),
    _form(TIME_FIRST, *_TIME_APART, _XYZ, rb"(?!\d)"),
    _form(TIME_FIRST, *_TIME_APART, _DAY_MONTH_NAME, rb"(?!\d)"),
    _form(TIME_FIRST, *_TIME_APART, _MONTH_NAME_DAY, rb"(?!\d)"),
    _form(TIME_FIRST, *_TIME_APART, rb"(?P<y>(?:19|20)\d{2})(?P<a>0[1-9]|1[0-2])(?P<b>[0-3]\d)(?![\d.])"),
    _form("syslog", rb"(?<![A-Za-z0-9])", _MONTH, rb"[ ]+(?P<a>\d{1,2})[ ]+", _DAY_TIME_FULL, _ZONE),
    _form("syslog", rb"(?<![\d.:])(?P<a>\d{1,2})\.?[ -]", _MONTH, rb"\.?[ ]+", _DAY_TIME_FULL, _ZONE),
    # A word of its own: a hexadecimal profile is full of ten digits in a row.
    _form(
        UNIX,
        rb"(?:(?<![0-9A-Za-z.,:#=_/-])|(?<=^-)|(?<=\n-))@?(?P<unix>\d{9,10}|\d{13}|\d{16}|\d{19})(?:[.,](?P<f>\d{1,9}))?(?![0-9A-Za-z.])",
    ),
    _form(TICKS, rb"(?:(?<![0-9A-Za-z.,:#=_/-])|(?<=^-)|(?<=\n-))(?P<ticks>\d{18})(?![0-9A-Za-z.])"),
    _form(CLOCK, rb"(?<![\d:])", _DAY_TIME_FULL, _HALF, _ZONE),
    _form(
        DAYS,
        rb"(?:(?<![0-9A-Za-z.,:#=_/-])|(?<=^-)|(?<=\n-)|(?<=JD[=:]))"
        rb"(?P<days>\d{5,7}|\d{4}(?=\.\d{5}))(?:\.(?P<f>\d{2,12})|,(?P<g>\d{8,12}))(?![0-9A-Za-z.])",
    ),
)
