"""The page that a demonstration leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipdsf_spark.demo.imaging import ImagingReport, Table
from ipdsf_spark.demo.page import Balance, Report, SiteCard, write_imaging_page, write_page
from ipdsf_spark.demo.synthesis import SynthesisReport

QUALITY = Table("Quality <after stitching>", ("volume", "PSNR"), (("a", "31.2 dB"),))
NOBODY = Table("", ("measure", "value"), (("nearest training volume", ".016"),))


def test_the_imaging_flow_alone_shows_restoration_synthesis_and_how_to_repeat_both(tmp_path: Path) -> None:
    synthesis = SynthesisReport(picture="ct/nobody.png", table=NOBODY, sentence="No copy.")
    report = ImagingReport("ct/report", [QUALITY], ["ipdsf ct pack --name chest"], synthesis)

    page = write_imaging_page(report, tmp_path).read_text(encoding="utf-8")

    assert "Quality &lt;after stitching&gt;" in page and "31.2 dB" in page
    assert 'src="ct/nobody.png"' in page and "nearest training volume" in page
    assert "ipdsf ct pack --name chest" in page
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    assert "http" not in page  # nothing foreign


@pytest.mark.parametrize("forecast", ["", "pictures/sim-01-forecast.png"])
def test_the_page_speaks_of_forecasts_where_it_shows_one(tmp_path: Path, forecast: str) -> None:
    card = SiteCard("sim-01", "Vaisala CL31", "", 12, 90.0, 20.0, 21.0, 1.0, 0, forecast=forecast)
    report = Report("t", "s", Balance(*[0] * 9), None, 20.0, 21.0, [card], [], [], [], [])

    page = write_page(report, tmp_path).read_text(encoding="utf-8")

    assert ("below, the forecast that foretold the greatest change" in page) is bool(forecast)
    assert ("here none was" in page) is not bool(forecast)


def test_without_synthesis_the_page_says_nothing_of_it(tmp_path: Path) -> None:
    page = write_imaging_page(ImagingReport("ct/report", [QUALITY], []), tmp_path).read_text(encoding="utf-8")

    assert "nobody" not in page
