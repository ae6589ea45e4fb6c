"""What is kept of a site between batches: the same after bytes, small with every analysis, damaged ones named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config.stream import StreamConfig
from ipdsf_spark.experiments.bank import feeds_in, write_bank
from ipdsf_spark.lidar.operators import KNOWN, News, Operator, Parameters, Row, operator_named
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.guard import MOST_BYTES
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import SiteStage, Topics
from ipdsf_spark.stream.site_state import Counts, SiteState

DEFAULT = StreamConfig().operators
ALL = ("layers", "air_quality", "targets", "calibration", "edges")  # a forecast needs a model, and keeps 0.8 kB
BEGIN_MS = 1_782_032_400_000  # 2026-06-21 09:00
BEGINNING = 15  # minutes in which no interval of a site is complete yet
MINUTES = 75  # the lag is full, and the image of the edges has all its columns

states = st.builds(
    SiteState,
    counts=st.builds(Counts, files=st.integers(0, 2**40), used=st.integers(0, 2**40)),
    last_sent_ms=st.integers(-(2**60), 2**60),
    intervals=st.binary(max_size=50),
    tail=st.one_of(st.binary(max_size=20), st.just(b"0123456789abcdef" * 4_000)),
    operators=st.dictionaries(st.text("abc_", max_size=12), st.tuples(st.integers(0, 9), st.binary(max_size=900))),
    setup=st.binary(min_size=8, max_size=8),
    is_final=st.booleans(),
)


@given(states)
def test_a_state_is_the_same_after_bytes_however_large_it_is(state: SiteState) -> None:
    assert SiteState.from_bytes(state.to_bytes()) == state


@given(states, st.data())
def test_a_damaged_state_is_refused_by_name_or_is_a_state(state: SiteState, data: st.DataObject) -> None:
    raw = bytearray(state.to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])

    for each in (bytes(raw), cut):
        try:
            assert isinstance(SiteState.from_bytes(each), SiteState)
        except ValueError as error:
            assert str(error)


def test_an_operator_whose_state_grows_without_end_costs_its_own_state(files: dict[str, list[bytes]]) -> None:
    def step(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
        return [], bytes(MOST_BYTES + 1)

    stage = SiteStage(
        (operator_named("layers", Parameters()), Operator("hoarder", 1, step)),
        Topics("files", "averages", "products", "sites", "bad", 1_000_000),
    )
    outcome = stage.step(Site("site", 48.1, 11.6), [Piece.from_bytes(next(iter(files.values()))[0])], b"")

    assert outcome.state is not None
    assert set(outcome.state.operators) == {"layers"}
    assert outcome.state.counts.faults == 1
    letters = [dict(record.headers or []) for record in outcome.records if record.topic == "bad"]
    assert [b"at most 1000000 are kept" in letter["reason"] for letter in letters] == [True]


@pytest.mark.parametrize("mark", [b"IL", b"IZ"])
def test_a_head_that_promises_gigabytes_is_damaged(mark: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        SiteState.from_bytes(mark + (4_000_000_000).to_bytes(4, "little") + bytes(100))


@given(states)
def test_a_state_is_read_however_it_was_compressed_when_it_was_written(state: SiteState) -> None:
    whole = now = state.to_bytes()
    codecs = {b"IL": "lz4_raw", b"IZ": "zstd"}
    if name := codecs.get(now[:2]):
        size = int.from_bytes(now[2:6], "little")
        whole = bytes(pa.Codec(name).decompress(now[6:], decompressed_size=size, asbytes=True))

    assert SiteState.from_bytes(whole) == state
    for mark, name in codecs.items():
        packed = bytes(pa.Codec(name).compress(whole, asbytes=True))
        assert SiteState.from_bytes(mark + len(whole).to_bytes(4, "little") + packed) == state


def minute_by_minute(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    decoder = Decoder({"default": Site("default", 48.1, 11.6)}, 300, 8_000_000)
    write_bank(folder, minutes=MINUTES)
    for feed in feeds_in(folder):
        pieces = []
        for minute, file in enumerate(feed.files):
            sent_ms = BEGIN_MS + 60_000 * (minute + 1)
            record = (file.read_bytes(), file.name, sent_ms, sent_ms, None, "files", 0, minute)
            pieces.append(decoder.row_of("site", *record)[1])
        yield feed.site, pieces


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    return dict(minute_by_minute(tmp_path_factory.mktemp("bank") / "files"))


@pytest.mark.parametrize(("names", "most_bytes"), [(DEFAULT, 5_000), (ALL, 6_500)])
def test_a_site_is_kept_in_few_kilobytes_whatever_minute_it_is(
    files: dict[str, list[bytes]], names: tuple[str, ...], most_bytes: int
) -> None:
    assert set(ALL) == set(KNOWN) - {"forecast"}
    stage = SiteStage(
        tuple(operator_named(name, Parameters()) for name in names),
        Topics("files", "averages", "products", "sites", "bad", 1_000_000),
    )
    sizes = []
    for name, pieces in files.items():
        held = b""
        for piece in pieces:
            outcome = stage.step(Site(name, 48.1, 11.6), [Piece.from_bytes(piece)], held)
            assert outcome.state is not None
            assert outcome.state.counts.faults == 0
            held = outcome.state.to_bytes()
            sizes.append(len(held))

    steady = [size for start in range(0, len(sizes), MINUTES) for size in sizes[start + BEGINNING : start + MINUTES]]
    assert len(sizes) == MINUTES * len(files) >= 4 * MINUTES
    assert max(steady) <= most_bytes
    assert max(sizes) <= 7_500  # while the first intervals of a site wait for each other
