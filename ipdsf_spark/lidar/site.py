"""Where an instrument stands and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipdsf_spark.lidar.instruments.stamps.clock import Clock


@dataclass(frozen=True)
class Site:
    """One instrument at one place.

    Attributes:
        id: site id, the Kafka key and the first half of every product's key.
        latitude_deg: north positive [degree].
        longitude_deg: east positive [degree].
        altitude_m: station above sea level [m].
        instrument: maker and model expected, e.g. ``"Vaisala CL51"``; empty = whatever arrives.
        calibration: factor that turns the file's backscatter into m-1 sr-1; None = the instrument's default.
        min_height_m: lowest trustworthy height [m]; None = the instrument's default.
        max_height_m: highest mixing height searched for [m].
        wavelength_nm: laser wavelength [nm]; None = the file's.
        timezone: zone of the logger's clock, ``"Europe/Berlin"`` or ``"+01:00"``; empty = UTC.
        date_order: ``"day_first"``, ``"month_first"`` or ``"year_first"``; empty = decided from the files.
        stamps: ``"before"`` or ``"behind"``, where stamps on lines of their own stand beside their messages; empty =
            decided from the files. Nothing that is kept of a site depends on it, so that it stands in no fingerprint.
        precipitable_water_mm: water vapour of the column, mean over the year [mm]; None = unknown. Used at 910 nm.
        precipitable_water_amplitude_mm: of its yearly cycle, which is highest in summer [mm].
        wigos_id: WIGOS station identifier, ``"0-20000-0-01492"``; names the files that are written, and nothing depends
            on it, so that it stands in no fingerprint of the site.
    """

    id: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0
    instrument: str = ""
    calibration: float | None = None
    min_height_m: float | None = None
    max_height_m: float = 4000.0
    wavelength_nm: float | None = None
    timezone: str = ""
    date_order: str = ""
    precipitable_water_mm: float | None = None
    precipitable_water_amplitude_mm: float = 0.0
    wigos_id: str = field(default="", repr=False)
    stamps: str = field(default="", repr=False)

    @property
    def clock(self) -> Clock:
        """The logger's clock, for stamps that do not say their zone, the order of day and month, or whose they are."""
        return Clock(self.timezone, self.date_order, self.stamps)
