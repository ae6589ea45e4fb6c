"""Files of one site as pieces, the stage of the heights alone, and what it has said."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from ipdsf_spark.lidar.layers.operator import operator as heights
from ipdsf_spark.lidar.operators import News, Parameters, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Outcome, Record, SiteStage, Topics
from ipdsf_spark.stream.site_state import Counts

OSLO = Site("oslo", 59.94, 10.72)
TOPICS = Topics("files", "averages", "products", "sites", "bad", 1_000_000)
STAGE = SiteStage((heights(Parameters()),), TOPICS)
DECODER = Decoder({"oslo": OSLO}, 300, 1_000_000)
MORNING_MS = 1_624_262_400_000  # 2021-06-21 08:00


def piece_of(raw: bytes, number: int = 0, *, joined: str | None = None) -> Piece:
    sent_ms = MORNING_MS + 300_000 * (number + 1)
    return Piece.from_bytes(
        DECODER.row_of("oslo", raw, f"{number}.dat", sent_ms, sent_ms, joined, "files", 0, number)[1]
    )


def products(outcome: Outcome, kind: str = "layers") -> dict[bytes, dict]:
    found = {record.key: json.loads(record.value) for record in outcome.records if record.kind == kind}
    for product in found.values():
        del product["sent_ms"]  # says when, not what
    return found


def assert_alike(found: dict[bytes, dict], wanted: dict[bytes, dict]) -> None:
    """The same products, to a step of their numbers: an open average is rounded with every file it is made of."""
    assert found.keys() == wanted.keys()
    steps = {"entrainment_m": 10.0, "candidate_strength": 0.001}
    for key, values in wanted.items():
        assert found[key] == {
            name: pytest.approx(value, abs=1.01 * steps.get(name, 1.0)) if isinstance(value, float | list) else value
            for name, value in values.items()
        }


def letters(outcome: Outcome) -> list[tuple[Record, dict[str, str]]]:
    return [
        (record, {name: value.decode() for name, value in record.headers or []})
        for record in outcome.records
        if record.topic == "bad"
    ]


def counts(outcome: Outcome) -> Counts:
    assert outcome.state is not None
    return outcome.state.counts


def step(stage: SiteStage, pieces: Sequence[Piece], before: Outcome | None = None, *, silent: bool = False) -> Outcome:
    held = before.state.to_bytes() if before is not None and before.state is not None else b""
    return stage.step(OSLO, pieces, held, is_silent=silent)


def counting(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
    """Intervals seen so far, at the newest of them."""
    seen = int(state or b"0") + len(news.closed)
    return [Row("count", average.index * 300_000_000, {"seen": seen}) for average in news.closed[-1:]], str(
        seen
    ).encode()
