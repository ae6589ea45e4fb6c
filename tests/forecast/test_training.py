"""Training: it learns, it resumes where it stood, and sites are shared among workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.fitting import Fit, FitProgress, FitSettings
from ipdsf_spark.forecast.folder import load_model
from ipdsf_spark.forecast.judging import damping_of, forecasts_m, has_flag, judged
from ipdsf_spark.forecast.network_years import NetworkPlan, training_series, validation_series
from ipdsf_spark.forecast.table import Table, table_of
from ipdsf_spark.training.collective import Solo
from ipdsf_spark.training.forecast_work import ForecastWork, train_forecast_alone, trained

SETTINGS = FitSettings(width=8, num_layers=1, epochs=2, learning_rate=0.02)
PLAN = NetworkPlan(train=4, validation=2, days=4, later_days=4)


@pytest.fixture(scope="module")
def tables() -> tuple[Table, Table]:
    return table_of(training_series(PLAN)), table_of(validation_series(PLAN))


def test_training_makes_the_loss_fall(tables: tuple[Table, Table]) -> None:
    untrained = Fit(tables[0], tables[0], replace(SETTINGS, epochs=1, learning_rate=1e-9), Solo()).run()
    progress = Fit(tables[0], tables[0], replace(SETTINGS, epochs=6), Solo()).run()

    assert progress.reason == "6 epochs"
    assert progress.best_loss < 0.93 * untrained.best_loss


def test_a_training_that_was_stopped_ends_like_one_that_was_not(tables: tuple[Table, Table]) -> None:
    whole = Fit(*tables, SETTINGS, Solo())
    whole.run()
    first = Fit(*tables, SETTINGS, Solo(), is_stopped=lambda: True)
    assert first.run().reason == "stopped"
    second = Fit(*tables, SETTINGS, Solo())
    second.load_state(first.state())

    second.run()

    assert second.progress.updates == whole.progress.updates
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


class _SecondOfTwo(Solo):
    rank, size = 1, 2

    def __init__(self) -> None:
        self.exchanged: list[str] = []

    def exchange(self, name: str, gradients: Sequence[Tensor]) -> Callable[[], None]:
        self.exchanged.append(name)
        return super().exchange(name, gradients)


def test_workers_share_the_sites_and_exchange_every_gradient() -> None:
    shares = [training_series(NetworkPlan(train=5, days=1), rank=rank, size=2).sites for rank in (0, 1)]
    assert [len(share) for share in shares] == [2, 2]
    assert not set(shares[0]) & set(shares[1])

    second = _SecondOfTwo()
    work = ForecastWork(FitSettings(width=4, num_layers=1, epochs=1), "unused", PLAN)
    progress = trained(work, second)

    assert second.exchanged == ["forecast"] * progress.updates


def test_the_folder_holds_the_model_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder, steps = tmp_path / "model", []
    work = ForecastWork(SETTINGS, str(folder), PLAN, command="ipdsf forecast train")

    train_forecast_alone(work, lambda what, done, of: steps.append((what, done, of)))
    again: FitProgress = train_forecast_alone(work)

    assert load_model(folder).facts["data"]["simulated"]["train"] == PLAN.train
    assert again.updates > 0 and again.epoch == SETTINGS.epochs
    assert {what for what, _, _ in steps} >= {"simulating sites"}
    assert (folder / "history.csv").read_text().count("\n") >= 1 + SETTINGS.epochs


@pytest.mark.parametrize("changes", [{"width": 16}, {"seed": 3}])
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    plan = NetworkPlan(train=1, validation=1, days=1, later_days=1)
    common: dict[str, Any] = {"num_layers": 1, "epochs": 1}
    train_forecast_alone(ForecastWork(FitSettings(width=4, **common), str(tmp_path), plan))

    other = FitSettings(**({"width": 4} | common | changes))
    with pytest.raises(InputError, match=f"is of another training \\({next(iter(changes))}: "):
        train_forecast_alone(ForecastWork(other, str(tmp_path), plan))


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(InputError, match=r"holds thesis\.tex and no forecast: nothing was touched"):
        train_forecast_alone(ForecastWork(SETTINGS, str(tmp_path), PLAN))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_model_of_the_package_beats_every_rival_from_half_an_hour_on_and_its_interval_is_honest() -> None:
    from ipdsf_spark.forecast.folder import shipped_folder
    from ipdsf_spark.forecast.network_years import LATER_YEAR, simulated_series

    table = table_of(simulated_series(0, range(30_000, 30_012), LATER_YEAR, 18))
    found_m = forecasts_m(table, load_model(shipped_folder()))
    late = np.broadcast_to((np.arange(len(table)) > 12 * 288)[:, None], table.seen_m.shape)
    lines = judged(table, found_m, damping_of(table), late & has_flag(table, "has_height"))

    for line in lines:
        assert 0.70 < line.covered < 0.90, line.lead_min
        if line.lead_min >= 30:
            assert min(line.skill(rival) for rival in line.errors if rival != "LSTM") > 0.1, line.lead_min
