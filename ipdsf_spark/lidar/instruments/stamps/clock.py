"""The clock of a logger: which zone it shows and how it writes dates; and the way from its local time to UTC.

A local time occurs twice in the night in which clocks go back, and some never occur: `utc_of` gives all instants. Zones
are those of the IANA time zone database (RFC 6557).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from ipdsf_spark.errors import ConfigError

DATE_ORDERS: Final = ("day_first", "month_first", "year_first")
BEFORE: Final = "before"
BEHIND: Final = "behind"
LARGEST_OFFSET: Final = timedelta(hours=14)  # Kiribati; the westernmost is -12

# Abbreviations that name one offset wherever they are used [minutes east of Greenwich].
SURE_ABBREVIATIONS: Final = {
    **dict.fromkeys(("Z", "UTC", "GMT", "UT", "WET"), 0),
    **dict.fromkeys(("CET", "MEZ", "WEST"), 60),
    **dict.fromkeys(("CEST", "MESZ", "EET"), 120),
    **dict.fromkeys(("EEST", "MSK"), 180),
    **dict.fromkeys(("JST", "KST"), 540),
}
# Abbreviations used by several countries for different offsets, or that differ with the reader.
UNSURE_ABBREVIATIONS: Final = frozenset(
    re.findall(
        r"\w+",
        """
        EST EDT CST CDT MST MDT PST PDT BST IST AST ADT AEST AEDT ACST ACDT AWST NST NDT NZST NZDT SST HST
        AKST AKDT ART BRT CLT COT ECT PET VET GST PKT NPT WIB WITA WIT SGT HKT PHT SAST EAT CAT WAT TRT IRST
        ICT MMT CHST BDT IDT ET PT MT AT CLST BRST PYT UYT BOT GFT FNT CVT AZOT AZT GET AMT UZT TMT AFT MVT
        BTT KGT NOVT OMST KRAT IRKT YAKT VLAT MAGT PETT SAMT YEKT CST6CDT EST5EDT LT LST LMT
        MET MEST MYT ALMT ULAT HOVT NCT VUT SBT PGT FJT TVT WFT TOT WST TKT LINT GILT MHT NRT KOST ACT EGT GYT SRT
        UZT MAWT DAVT KGST TFT SCT MUT RET IOT CCT CXT BNT CWST LHST LHDT NFT CHAST CHADT EASST EAST GALT FKT AMST
        """,
    )
)

_FIXED: Final = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?")


@dataclass(frozen=True)
class Clock:
    """How a logger's clock is set where its stamps do not say so.

    Attributes:
        zone: IANA name (``"Europe/Berlin"``, daylight saving included) or offset (``"+01:00"``); empty = UTC.
        date_order: ``"day_first"``, ``"month_first"`` or ``"year_first"`` for dates that can be read both ways; empty =
            decided from the file and the time of sending.
        stamps: where on lines of their own they stand, ``"before"`` or ``"behind"`` their messages; empty = decided
            from the file.
    """

    zone: str = ""
    date_order: str = ""
    stamps: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no zone, no order or no place.

        Raises:
            ConfigError: with what would be right.
        """
        zone_named(self.zone)
        if self.date_order and self.date_order not in DATE_ORDERS:
            raise ConfigError(f"date order must be one of {', '.join(DATE_ORDERS)}, got {self.date_order!r}")
        if self.stamps not in ("", BEFORE, BEHIND):
            raise ConfigError(f"stamps must stand {BEFORE!r} or {BEHIND!r} their messages, got {self.stamps!r}")


@lru_cache(maxsize=64)
def zone_named(name: str) -> tzinfo:
    """The zone of an IANA name or a fixed offset; UTC for an empty name.

    Raises:
        ConfigError: there is no such zone.
    """
    if not name:
        return UTC
    fixed = _FIXED.fullmatch(name.strip())
    if fixed is not None:
        offset = timedelta(hours=int(fixed[2]), minutes=int(fixed[3] or 0))
        if offset <= LARGEST_OFFSET and int(fixed[3] or 0) < 60:
            return timezone(-offset if fixed[1] == "-" else offset)
    else:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # no such name, or one that is no path inside the database
            pass
    raise ConfigError(f"no time zone {name!r}; give an IANA name as 'Europe/Berlin', or an offset as '+01:00'")


UTC_CLOCK: Final = Clock()


def utc_of(local: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """The instants (UTC, without tzinfo) that a clock of `zone` shows as `local`: one, two or none."""
    if zone is UTC:
        return (local,)
    found: list[datetime] = []
    for fold in (0, 1):
        try:
            offset = local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0)
            instant = local - offset
            back = instant.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        except (OverflowError, ValueError):  # the first or last day a calendar knows
            continue
        if back == local and instant not in found:
            found.append(instant)
    return tuple(sorted(found))


def abbreviations_of(instant: datetime, zone: tzinfo) -> str:
    """How a clock of `zone` abbreviates its zone at `instant` (UTC)."""
    return instant.replace(tzinfo=UTC).astimezone(zone).tzname() or ""
