"""The network without an engine: slices in, rows out, the same whatever the batches and wherever it begins again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import numpy as np
import pytest
from network_records import FIRST, GATE_M, INTERVAL_S, message, network_beta

from ipdsf_spark.lidar.averages.column import Cells, ClearProfile, column_of
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.stream.network_columns import Columns
from ipdsf_spark.stream.network_query import product_of, split
from ipdsf_spark.stream.network_rows import ALARM_KIND, COMPONENTS_KIND, FILL_KIND, NETWORK_KIND, SITE_KIND, NetworkRow
from ipdsf_spark.stream.network_stage import Arrived, NetworkSettings, NetworkStage
from ipdsf_spark.stream.network_state import StateFiles
from ipdsf_spark.tensor import TensorSettings

SITES = [f"site-{number}" for number in range(8)]
CELLS = Cells(lowest_m=120.0, cell_m=60.0, num=20)
SETTINGS = NetworkSettings(cells=CELLS, tensor=TensorSettings(rank=3, warm_up=24), wait=2)
COLUMNS = Columns({"default": Site("default", float("nan"), float("nan"))}, INTERVAL_S, CELLS)


def arrived_of(beta: np.ndarray, first: int = FIRST, **changed: str) -> list[Arrived]:
    """Averages of all slices and sites, each record published when its interval ends."""
    rows = []
    for number, of_slice in enumerate(beta):
        for line, site in enumerate(SITES):
            if np.isnan(of_slice[line]).all():
                continue
            index = first + number
            value = message(site, index, of_slice[line], identity=changed.get(site, "1"))
            where = ((index + 1) * INTERVAL_S * 1_000_000, line % 4, number)
            rows.append(dict(zip(NAMES, COLUMNS.row_of(f"{site}|x".encode(), value, *where), strict=True)))
    good, bad = split(rows)
    assert bad == []
    return good


def as_cells(beta: np.ndarray, first: int = FIRST, **changed: str) -> list[Arrived]:
    """The same without records, for long stretches."""
    return [
        Arrived(
            first + number,
            site,
            column_of(ClearProfile(of_slice[line], GATE_M / 2, GATE_M), CELLS),
            changed.get(site, "1"),
            10**16,
            line % 4,
            number,
        )
        for number, of_slice in enumerate(beta)
        for line, site in enumerate(SITES)
    ]


NAMES = ("index", "site", "cells", "source", "published_us", "partition", "offset", "reason", "value")


def rows_of(stage: NetworkStage, arrived: Sequence[Arrived], *, batch: int = 40) -> list[NetworkRow]:
    """Everything said while the averages came in batches of so many."""
    said: list[NetworkRow] = []
    for start in range(0, len(arrived), batch):
        said += stage.step(arrived[start : start + batch]).rows
    return said


def of_kind(rows: Sequence[NetworkRow], kind: str) -> list[NetworkRow]:
    return [row for row in rows if row.kind == kind]


def as_text(rows: Sequence[NetworkRow]) -> list[bytes]:
    return [product_of(row, "products").value for row in rows]


@pytest.fixture(scope="module")
def morning() -> list[Arrived]:
    """A hundred slices of eight sites; a third of the upper cells is missing here and there."""
    rng = np.random.default_rng(4)
    beta = network_beta(100, SITES, rng)
    beta[:, :, 30:][rng.random((100, 8, 30)) < 0.3] = np.nan
    beta[40:44, 3] = np.nan  # one site is silent for twenty minutes
    return arrived_of(beta)


@pytest.fixture(scope="module")
def said(morning: list[Arrived]) -> list[NetworkRow]:
    return rows_of(NetworkStage(SETTINGS), morning)


def test_every_slice_has_one_row_of_the_network_and_strengths_once_it_is_warm(said: list[NetworkRow]) -> None:
    rows = of_kind(said, NETWORK_KIND)

    assert [row.time_us for row in rows] == [SETTINGS.middle_us(FIRST + number) for number in range(98)]
    assert [row.values["is_warm"] for row in rows] == [False] * 24 + [True] * 74
    assert all(len(row.values["strengths"]) == 3 for row in rows[24:])
    assert rows[41].values["num_sites"] == 7
    assert rows[-1].values["error_log10"] < 0.05


def test_components_and_weights_rebuild_what_was_seen(said: list[NetworkRow], morning: list[Arrived]) -> None:
    parts = of_kind(said, COMPONENTS_KIND)[-1]
    strengths = {row.time_us: row.values["strengths"] for row in of_kind(said, NETWORK_KIND)}[parts.time_us]
    weights = {row.site: row.values["weights"] for row in of_kind(said, SITE_KIND) if row.time_us == parts.time_us}
    profiles = np.array(parts.values["profiles_log10"])
    seen = {row.site: row.values for row in morning if SETTINGS.middle_us(row.interval) == parts.time_us}

    assert set(weights) == set(SITES)
    for site in SITES:
        rebuilt = np.array(parts.values["center_log10"]) + (np.array(weights[site]) * strengths) @ profiles
        error = (rebuilt - seen[site])[np.isfinite(seen[site])]
        assert np.abs(error).mean() < 0.05


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_make_no_difference(morning: list[Arrived], said: list[NetworkRow], batch: int) -> None:
    assert as_text(rows_of(NetworkStage(SETTINGS), morning, batch=batch)) == as_text(said)


def test_a_stage_that_was_kept_and_loaded_goes_on_as_if_nothing_had_been(
    morning: list[Arrived], said: list[NetworkRow]
) -> None:
    stage, again = NetworkStage(SETTINGS), []
    for start in range(0, len(morning), 61):
        again += stage.step(morning[start : start + 61]).rows
        stage = NetworkStage(SETTINGS).load(stage.small_bytes(), stage.model.to_bytes())

    assert as_text(again) == as_text(said)


@pytest.mark.parametrize("changed", [{"rank": 2}, {"warm_up": 25}])
def test_a_model_of_other_components_than_are_asked_for_is_refused(
    morning: list[Arrived], changed: dict[str, int]
) -> None:
    stage = NetworkStage(SETTINGS)
    stage.step(morning[:61])
    other = dataclasses.replace(SETTINGS, tensor=dataclasses.replace(SETTINGS.tensor, **changed))

    with pytest.raises(ValueError, match="other cells or components than the configuration"):
        NetworkStage(other).load(stage.small_bytes(), stage.model.to_bytes())


def test_a_site_that_comes_late_is_named_and_the_slice_is_not_given_twice(morning: list[Arrived]) -> None:
    stage = NetworkStage(SETTINGS)
    late = [row for row in morning if row.site == "site-5" and row.interval == FIRST + 50]
    punctual = [row for row in morning if row not in late]

    rows = of_kind(rows_of(stage, [*punctual[:600], *late, *punctual[600:]]), NETWORK_KIND)

    assert [row.values["num_sites"] for row in rows[50:51]] == [7]
    named = [row for row in rows if row.values["late_sites"]]
    assert [row.values["late_sites"] for row in named] == [["site-5"]]
    assert len({row.time_us for row in rows}) == len(rows)


def test_a_clock_in_the_future_is_refused_by_name_and_moves_nothing(morning: list[Arrived]) -> None:
    wrong = morning[0]._replace(interval=FIRST + 10_000)

    outcome = NetworkStage(SETTINGS).step([*morning[:80], wrong])

    (refusal,) = outcome.refusals
    assert refusal.site == "site-0"
    assert "begin after their record was written: the clock of the site" in refusal.reason
    assert outcome.num_slices == 8


def test_filled_gaps_are_only_those_of_profiles_that_are_there_in_part(said: list[NetworkRow]) -> None:
    stage_offers = {row.time_us for row in of_kind(said, NETWORK_KIND) if row.values["filling_offered"]}
    filled = of_kind(said, FILL_KIND)

    assert {row.time_us for row in filled} <= stage_offers
    for row in filled:
        assert len(row.values["heights_m"]) == len(row.values["log10_beta"]) > 0
        assert min(row.values["heights_m"]) >= 30 * 30.0  # only upper cells are missing


def test_filling_is_offered_where_it_beats_the_hourly_climatology_and_then_it_is_near_the_truth() -> None:
    rng = np.random.default_rng(9)
    truth = network_beta(360, SITES, rng)
    # Days differ: the climatology of yesterday is wrong by a factor, what the neighbours show today is not.
    truth[288:] *= 2.0
    seen = truth.copy()
    seen[:, :, 36:][rng.random((len(truth), 8, 24)) < 0.4] = np.nan

    rows = rows_of(NetworkStage(SETTINGS), as_cells(seen), batch=4000)

    filled = of_kind(rows, FILL_KIND)
    assert filled
    line = {site: number for number, site in enumerate(SITES)}
    errors = []
    for row in filled:
        cell = np.round((np.array(row.values["heights_m"]) - CELLS.height_m[0]) / CELLS.cell_m).astype(int)
        gates = 4 + 2 * cell  # two gates of 30 m to a cell from 120 m on
        of_slice = truth[row.time_us // 1_000_000 // INTERVAL_S - FIRST, line[row.site]]
        errors += list(np.log10((of_slice[gates] + of_slice[gates + 1]) / 2) - row.values["log10_beta"])
    assert np.abs(errors).mean() < 0.05


@pytest.fixture(scope="module")
def watched() -> tuple[NetworkStage, np.ndarray]:
    """A stage that has seen two days, and the hours that follow."""
    beta = network_beta(630, SITES, np.random.default_rng(6))
    stage = NetworkStage(SETTINGS)
    rows_of(stage, as_cells(beta[:580]), batch=4000)
    return stage, beta[580:]


def copy_of(stage: NetworkStage) -> NetworkStage:
    return NetworkStage(SETTINGS).load(stage.small_bytes(), stage.model.to_bytes())


def test_a_site_that_loses_half_of_its_light_is_named_within_hours_and_ends_when_a_person_says_so(
    watched: tuple[NetworkStage, np.ndarray],
) -> None:
    stage, beta = copy_of(watched[0]), watched[1].copy()
    beta[:, 2] *= 0.5

    alarms = of_kind(rows_of(stage, as_cells(beta, FIRST + 580)), ALARM_KIND)

    begin = alarms[0]
    assert begin.site == "site-2"
    assert [alarm["feature"] for alarm in begin.values["alarms"]] == ["level"]
    assert [alarm["direction"] for alarm in begin.values["alarms"]] == [-1]
    interval = begin.time_us // 1_000_000 // INTERVAL_S
    assert 580 < interval - FIRST <= 625
    ((alarm,), said) = (begin.values["alarms"], begin.values)
    assert alarm["score"] > 1.0  # of the threshold of its kind
    assert (said["is_standing"], said["ended"], alarm["since_s"]) == (True, [], interval * INTERVAL_S)
    (end,) = stage.follow(["site-9", "site-2"])
    assert (end.site, end.values["is_standing"], end.values["reason"]) == ("site-2", False, "acknowledged")
    assert stage.follow(["site-9", "site-2"]) == []  # once


def test_another_instrument_is_taken_as_it_is(watched: tuple[NetworkStage, np.ndarray]) -> None:
    stage, beta = copy_of(watched[0]), watched[1].copy()
    beta[:, 2] *= 0.5
    arrived = [*as_cells(beta[:40], FIRST + 580), *as_cells(beta[40:], FIRST + 620, **{"site-2": "another"})]

    alarms = of_kind(rows_of(stage, arrived), ALARM_KIND)

    ended = [row for row in alarms if row.site == "site-2" and not row.values["is_standing"]]
    assert [row.values["reason"] for row in ended] == ["instrument_exchanged"]


def test_a_slice_that_fails_costs_that_slice_and_is_named(
    morning: list[Arrived], said: list[NetworkRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = NetworkStage(SETTINGS)
    rows_of(stage, morning[:320])
    learnt = stage.model.num_slices

    def failing(*_: object) -> None:
        raise np.linalg.LinAlgError("planted")

    with monkeypatch.context() as patched:
        patched.setattr(type(stage.model), "update", failing)
        rows = of_kind(stage.step(morning[320:328]).rows, NETWORK_KIND)
    assert [row.values["quality"] for row in rows] == [["slice_failed"]]
    assert "LinAlgError: planted" in rows[0].values["problem"]

    rows = of_kind(stage.step(morning[328:400]).rows, NETWORK_KIND)
    assert all(row.values["is_warm"] for row in rows)
    assert stage.model.num_slices == learnt + len(rows)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "no average of a network"),
        (b"\x00" * 40, "no average of a network"),
        (message("oslo", FIRST, np.full(60, 1e-6))[:-100], "no average of a network"),
        (message("oslo", FIRST, np.full(60, 1e-6), interval_s=600), "an interval of 600 s in a network of 300 s"),
        (message("../x", FIRST, np.full(60, 1e-6)), "is no site id"),
    ],
)
def test_a_record_that_is_no_average_is_a_row_with_its_reason(value: bytes, says: str) -> None:
    row = dict(zip(NAMES, COLUMNS.row_of(b"oslo|x", value, 10**15, 0, 7), strict=True))

    assert says in row["reason"]
    assert row["value"] == value
    assert row["site"] == "oslo"


def test_one_site_alone_and_an_empty_slice_are_networks_too() -> None:
    beta = network_beta(60, SITES, np.random.default_rng(1))
    beta[:, 1:] = np.nan
    lonely = arrived_of(beta)
    empty = [row._replace(values=np.full(20, np.nan, np.float32)) for row in lonely]

    assert all(row.values["quality"] == [] for row in of_kind(rows_of(NetworkStage(SETTINGS), lonely), NETWORK_KIND))
    assert [row.values["is_warm"] for row in of_kind(rows_of(NetworkStage(SETTINGS), empty), NETWORK_KIND)] == (
        [False] * 58
    )


def test_state_grows_with_sites_and_not_with_time(morning: list[Arrived]) -> None:
    stage = NetworkStage(dataclasses.replace(SETTINGS, publish_filled=False))
    beta = network_beta(300, SITES, np.random.default_rng(3))
    arrived = as_cells(beta)
    rows_of(stage, arrived[:1200], batch=400)
    early = len(stage.small_bytes()) + len(stage.model.to_bytes())
    rows_of(stage, arrived[1200:], batch=400)

    assert len(stage.small_bytes()) + len(stage.model.to_bytes()) <= 1.01 * early


def test_state_files_hold_the_newest_batches_and_the_models_that_they_name(tmp_path: object) -> None:
    files = StateFiles(tmp_path / "state")  # type: ignore[operator]
    held = -1
    for batch in range(12):
        model = f"model {batch}".encode() if batch in (0, 5, 11) else None
        held = files.write(batch, f"small {batch}".encode(), model, held)

    assert not files.has(7)
    for batch, model in ((8, b"model 5"), (10, b"model 5"), (11, b"model 11")):
        kept = files.read(batch)
        assert kept is not None
        assert (kept.small, kept.model) == (f"small {batch}".encode(), model)
    assert files.read(12) is None
    assert sorted(path.name for path in files.directory.glob("model-*")) == [
        "model-000000000005.state",
        "model-000000000011.state",
    ]


def test_a_record_says_kind_site_and_time_before_its_values(said: list[NetworkRow]) -> None:
    record = product_of(of_kind(said, NETWORK_KIND)[-1], "products")
    values = json.loads(record.value)

    assert record.key == f"network|network|{values['time']}".encode()
    assert list(values)[:3] == ["kind", "site", "time"]


@pytest.mark.parametrize("gap", [30, 288 * 20])
def test_a_network_that_was_away_for_hours_or_weeks_goes_on_and_no_clock_of_its_sites_is_blamed(gap: int) -> None:
    beta = network_beta(40, SITES, np.random.default_rng(4))
    stage, rows = NetworkStage(SETTINGS), []
    for arrived in (as_cells(beta[:20]), as_cells(beta[20:], FIRST + 20 + gap)):
        for start in range(0, len(arrived), len(SITES)):
            outcome = stage.step(arrived[start : start + len(SITES)])
            assert outcome.refusals == []
            rows += of_kind(outcome.rows, NETWORK_KIND)

    assert [row.values["num_sites"] for row in rows] == [len(SITES)] * 38
    assert sum(row.values["num_late"] for row in rows) == 0
