"""The forecast behind the heights, in the stage that the stream runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.lidar.operators import News, Operator, Row
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.job import check
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import SiteStage, Topics

SITES = {"oslo": Site("oslo", 59.94, 10.72)}
WITH_FORECAST = 'stream.operators=["layers", "forecast"]'


def pieces_of(files: list[bytes]) -> list[Piece]:
    decoder = Decoder(SITES, 300, 10**6)
    return [
        Piece.from_bytes(decoder.row_of("oslo", raw, "", 1_624_269_600_000, 10**13, None, "f", 0, number)[1])
        for number, raw in enumerate(files)
    ]


def test_every_interval_that_closes_has_a_height_and_a_forecast_from_it(cl51_files: list[bytes]) -> None:
    stage = stage_of(load(overrides=[WITH_FORECAST]))
    state, heights, forecasts = b"", {}, {}
    for piece in pieces_of(cl51_files):
        outcome = stage.step(SITES["oslo"], [piece], state)
        assert outcome.state is not None
        state = outcome.state.to_bytes()
        for record in outcome.records:
            values = json.loads(record.value) if record.kind in ("layers", "forecast") else {}
            if record.kind == "layers":
                heights.setdefault(values["time"], []).append(values["mixing_height_m"])
            elif record.kind == "forecast":
                forecasts[values["time"]] = values
                assert record.key.decode() == f"oslo|forecast|{values['time']}"

    assert len(forecasts) >= len(cl51_files) - 3
    for time, values in forecasts.items():
        assert values["mixing_height_m"] in heights[time] or values["is_filled"]
    assert len(state) < 8_000


def test_an_operator_behind_one_that_raises_goes_on_without_its_rows(cl51_files: list[bytes]) -> None:
    told: list[dict[str, int]] = []

    def first(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
        if len(told) == 1:
            raise RuntimeError("planted")
        return [Row("first", 0, {})] * len(news.closed), state

    def second(site: Site, news: News, state: bytes) -> tuple[list[Row], bytes]:
        told.append({name: len(rows) for name, rows in news.rows.items()})
        return [], state

    operators = (Operator("first", 1, first), Operator("second", 1, second, after=("first",)))
    stage = SiteStage(operators, Topics("f", "a", "p", "s", "q", 10**6))
    state = b""
    for piece in pieces_of(cl51_files[:3]):
        outcome = stage.step(SITES["oslo"], [piece], state)
        state = outcome.state.to_bytes() if outcome.state else b""

    assert told[1] == {}
    assert "first" in told[0] and "first" in told[2]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("forecast.model=/nowhere", "operator forecast: no forecast model in /nowhere"),
        ("forecast.sha256=0123abcd", "operator forecast: the model in .* not 0123abcd… as configured"),
        ("layers.averaging_s=600", "needs layers.averaging_s = 300"),
    ],
)
def test_a_missing_or_wrong_model_stops_the_job_before_it_starts(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check(load(overrides=[WITH_FORECAST, override]))


def test_a_model_of_ones_own_is_taken_from_its_folder(tmp_path: Path) -> None:
    import shutil

    from ipdsf_spark.forecast.folder import load_model, shipped_folder

    folder = Path(shutil.copytree(shipped_folder(), tmp_path / "own"))
    sha256 = load_model(folder).sha256

    stage = stage_of(load(overrides=[WITH_FORECAST, f"forecast.model={folder}", f"forecast.sha256={sha256}"]))

    assert [operator.name for operator in stage.operators] == ["layers", "forecast"]
