"""A site's page with its day: backscatter from the archive, heights over it, words where there is none."""

from __future__ import annotations

import html
import itertools
import re
import struct
import threading
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_exported_metrics import listened, product, progress, status

from ipdsf_spark.archive.delta.write import commit, write_file
from ipdsf_spark.archive.tables import AVERAGES, AVERAGES_SCHEMA, PARTITION, file_schema
from ipdsf_spark.config import load
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring import curtains as curtain_room
from ipdsf_spark.monitoring import monitor as monitor_room
from ipdsf_spark.monitoring.curtains import BUSY, KEPT_S, NO_ARCHIVE, Curtains
from ipdsf_spark.monitoring.day import Frame, day_of
from ipdsf_spark.monitoring.files import PageFiles
from ipdsf_spark.monitoring.monitor import Monitor

END = datetime(2026, 6, 21, 12, tzinfo=UTC)
SITES = {"oslo": Site("oslo", 59.9, 10.7, max_height_m=2_000.0), "a/b": Site("a/b", 48.1, 11.6)}
LAYER_M = 900.0


def archived(folder: Path, *sites: str, hours: int = 24) -> Path:
    """An archive of averages before `END`, aerosol below 900 m."""
    height_m = 25.0 + 50.0 * np.arange(60)
    beta = np.where(height_m < LAYER_M, 1e-6, 1e-8).astype(np.float32)
    schema = file_schema(AVERAGES_SCHEMA)
    days: dict[str, list[dict[str, Any]]] = {}
    for number, site in itertools.product(range(12 * hours), sites):
        start = END - timedelta(minutes=5 * (number + 1))
        days.setdefault(f"{start:%Y-%m-%d}", []).append(
            {"site": site, "start": start, "interval_s": 300, "instrument": "Vaisala CL51", "is_calibrated": True,
             "tilt_deg": 0.0, "block_first_m": 25.0, "block_length_m": 50.0, "beta": beta, "published": start,
             "partition": 0, "offset": number}
        )  # fmt: skip
    adds = []
    for day, rows in days.items():
        columns = [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]
        adds.append(write_file(folder / AVERAGES, [pa.RecordBatch.from_arrays(columns, schema=schema)], schema,
                               {PARTITION: day}))  # fmt: skip
    commit(folder / AVERAGES, schema=AVERAGES_SCHEMA, partition_columns=[PARTITION], adds=adds, transactions={})
    return folder


def monitor_of(archive: Path | None, *settings: str) -> Monitor:
    config = load(overrides=["monitoring.listen=", *settings])
    running = Monitor(config, "127.0.0.1:1", listened(progress({"0": 1}, {"0": 9})), sites=lambda: SITES,
                      tables=list, archive=archive)  # fmt: skip
    for site in SITES:
        running.network.take_status(status(site, sent_ms=1))
        for minute in range(0, 600, 5):
            time = (END - timedelta(minutes=minute + 2.5)).isoformat()
            running.network.take_product(product(site, time, 1, LAYER_M), 2)
    return running


def pixels_of(png: bytes) -> np.ndarray[Any, Any]:
    """What a decoder of its own makes of the picture."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    held, place = {}, 8
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        name, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length])[0] == zlib.crc32(name + data)
        held[name] = data
        place += 12 + length
    width, height = struct.unpack(">II", held[b"IHDR"][:8])
    return np.frombuffer(zlib.decompress(held[b"IDAT"]), np.uint8).reshape(height, width + 1)[:, 1:]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archived(tmp_path_factory.mktemp("archive"), "oslo", "a/b")


def test_a_page_of_a_site_shows_the_backscatter_of_its_day_and_the_heights_over_it(archive: Path) -> None:
    running = monitor_of(archive)

    kind, body = running._site("oslo", {}) or ("", b"")
    drawn = running._site("oslo/curtain.png", {})

    text = body.decode()
    assert kind.startswith("text/html")
    assert '<image class="cells" href="oslo/curtain.png"' in text
    assert "2026-06-20 12:00 to 2026-06-21 12:00 UTC" in text
    assert "to -5.25 (m" in text
    (line,) = re.findall(r'<polyline class="line over" points="[\d.]+,([\d.]+) ', text)
    assert float(line) == pytest.approx(400.0 * (1 - LAYER_M / 2_000.0), abs=0.1)
    assert drawn is not None
    assert drawn[0] == "image/png"
    pixels = pixels_of(drawn[1])
    assert pixels.shape == (40, 288)
    assert pixels.min() >= 1
    aerosol = np.flatnonzero(pixels[:, 100] > 20)
    assert aerosol.tolist() == list(range(22, 40))  # the lower 900 m of 2000


def test_a_picture_of_a_site_that_the_page_does_not_know_is_not_there(archive: Path) -> None:
    assert monitor_of(archive)._site("nowhere/curtain.png", {}) is None
    assert monitor_of(archive)._site("nowhere", {}) is None
    assert monitor_of(None)._site("oslo/curtain.png", {}) is None


def test_a_name_with_a_slash_has_its_picture_beside_it(archive: Path) -> None:
    running = monitor_of(archive)

    text = (running._site("a/b", {}) or ("", b""))[1].decode()

    assert 'href="a%2Fb/curtain.png"' in text
    assert running._site("a/b/curtain.png", {}) is not None


def test_a_job_without_an_archive_says_so_in_words_and_shows_heights() -> None:
    text = (monitor_of(None)._site("oslo", {}) or ("", b""))[1].decode()

    assert NO_ARCHIVE in text
    assert "<polyline" in text
    assert "<image" not in text


def test_an_archive_that_is_empty_damaged_or_of_other_sites_is_said_in_words(archive: Path, tmp_path: Path) -> None:
    last = END.isoformat()

    assert "no archive of averages" in str(Curtains(tmp_path, lambda: SITES).of("oslo", last))
    assert "no average of the 24 hours" in str(Curtains(archive, lambda: SITES).of("bern", last))
    assert "no average of the 24 hours" in str(Curtains(archive, lambda: SITES).of("oslo", "2026-07-21T00:00:00Z"))

    archived(tmp_path, "bern", hours=1)
    (tmp_path / AVERAGES / "date=2026-06-21").rename(tmp_path / "away")
    assert "`ipdsf archive inspect --whole`" in str(Curtains(tmp_path, lambda: SITES).of("bern", last))


def test_an_archive_too_large_to_look_through_beside_a_stream_is_not_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curtain_room, "MOST_BYTES", 1_000)

    said = Curtains(archive, lambda: SITES).of("oslo", END.isoformat())

    assert "more than is looked through beside a running stream" in str(said)


def test_a_curtain_is_drawn_once_a_minute_however_many_look(archive: Path) -> None:
    now = 0.0
    curtains = Curtains(archive, lambda: SITES, clock=lambda: now)

    first = curtains.of("oslo", END.isoformat())
    now = KEPT_S - 1.0
    assert curtains.of("oslo", END.isoformat()) is first
    now = KEPT_S + 1.0

    assert curtains.of("oslo", END.isoformat()) is not first


def test_of_many_sites_the_curtains_that_were_drawn_last_are_kept(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curtain_room, "NUM_KEPT", 1)
    curtains = Curtains(archive, lambda: SITES, clock=lambda: 0.0)
    first = curtains.of("oslo", END.isoformat())

    second = curtains.of("a/b", END.isoformat())

    assert curtains.of("a/b", END.isoformat()) is second
    assert curtains.of("oslo", END.isoformat()) is not first


def test_a_curtain_that_fails_is_said_to_fail_and_no_page_is_lost(
    archive: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> list[Any]:
        raise RuntimeError("of a kind that nobody knows")

    monkeypatch.setattr(curtain_room, "rows_of", fails)
    running = monitor_of(archive)

    text = (running._site("oslo", {}) or ("", b""))[1].decode()

    assert "The curtain could not be drawn; the job's log says why." in html.unescape(text)
    assert "of a kind that nobody knows" in caplog.text
    assert running._site("oslo/curtain.png", {}) is None


def test_what_is_shown_is_made_once_in_five_seconds_however_many_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1_000.0
    monkeypatch.setattr(monitor_room, "time", SimpleNamespace(monotonic=lambda: now_s, time=lambda: 1_800_000_000.0))
    running = monitor_of(None)

    first = running.view()
    now_s += 4.9
    assert running.view() is first
    now_s += 0.2

    assert running.view() is not first


def test_the_lag_is_told_under_the_group_that_is_committed_to_and_else_under_the_streams() -> None:
    assert monitor_of(None, "monitoring.commit_group=lags").group == "lags"
    assert monitor_of(None, "kafka.group_prefix=north-").group == "north-stream"


def test_labels_of_a_day_stand_at_their_hours_and_heights() -> None:
    begin = datetime(2026, 6, 20, 10, 30, tzinfo=UTC).timestamp()

    low, high = (day_of([], Frame(begin, begin + 86_400.0, 0.0, top_m)) for top_m in (2_000.0, 4_000.0))

    assert low is not None and high is not None
    assert low.metres == [(100.0, "0"), (75.0, "500"), (50.0, "1000"), (25.0, "1500"), (0.0, "2000")]
    assert high.metres == [(100.0, "0"), (75.0, "1000"), (50.0, "2000"), (25.0, "3000"), (0.0, "4000")]
    assert low.hours == [
        (pytest.approx((hour - 10.5) / 0.24, abs=0.005), f"{hour % 24:02}:00") for hour in range(12, 34, 3)
    ]


def test_while_one_is_drawn_others_are_told_to_come_again_and_numbers_are_still_given(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> list[Any]:
        begun.set()
        goes_on.wait(30)
        return []

    monkeypatch.setattr(curtain_room, "rows_of", slow)
    monkeypatch.setattr(curtain_room, "WAIT_S", 0.01)
    running = monitor_of(archive)
    drawing = threading.Thread(target=running.curtains.of, args=("a/b", END.isoformat()))
    drawing.start()
    assert begun.wait(30)

    assert running.curtains.of("oslo", END.isoformat()) == BUSY
    assert BUSY.encode() in (running._site("oslo", {}) or ("", b""))[1]
    assert b"ipdsf_sites" in running.metrics()

    goes_on.set()
    drawing.join(30)


def test_files_carry_the_picture_beside_the_page(archive: Path, tmp_path: Path) -> None:
    running = monitor_of(archive)

    PageFiles(tmp_path, running.curtains, work_s=60.0).write(running.view())

    text = (tmp_path / "site" / "a%2Fb.html").read_text(encoding="utf-8")
    assert 'href="a%252Fb.png"' in text
    assert pixels_of((tmp_path / "site" / "a%2Fb.png").read_bytes()).shape == (80, 288)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.one_of(st.none(), st.floats(0, 9_000))), max_size=60),
    st.one_of(st.none(), st.floats(500, 5_000)),
)
def test_a_day_stays_in_its_frame_and_breaks_at_gaps(
    heights: list[tuple[int, float | None]], top_m: float | None
) -> None:
    begin = datetime(2026, 6, 1, tzinfo=UTC)
    known_at = dict(sorted(dict(heights).items()))
    rows = [((begin + timedelta(minutes=5 * at)).isoformat(), height, 50.0) for at, height in known_at.items()]
    frame = None if top_m is None else Frame(begin.timestamp(), begin.timestamp() + 86_400.0, 0.0, top_m)
    drawn = day_of(rows, frame)

    known = [at for at, height in known_at.items() if height is not None and (frame is None or at <= 288)]
    if not known and frame is None:
        assert drawn is None
        return
    assert drawn is not None
    assert len(drawn.lines) == bool(known) + sum(after - before > 6 for before, after in itertools.pairwise(known))
    for pair in " ".join([*drawn.lines, *drawn.bands]).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= drawn.width
        assert 0 <= y <= drawn.height
    assert all(0 <= share <= 100 for share, _ in (*drawn.hours, *drawn.metres))
    assert len(drawn.hours) <= 9
