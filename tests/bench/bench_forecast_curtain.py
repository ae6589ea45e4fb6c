"""Does a convolutional LSTM that sees the curtain fill gaps better than the LSTM that is told heights?

python tests/bench/bench_forecast_curtain.py --days FOLDER [--from MODEL] [--seconds 600] [--record FILE]

Three forecasts over the same heights of days that nothing was trained on or chosen by: a model of `ipdsf forecast
train`; its LSTM, trained on with days that went through profiles and retrieval; and that LSTM with the curtain
(`curtain_network`), trained on likewise. The second tells what the days are worth, the third what the curtain adds.
Intervals of filled gaps of the two are widened by the same rule, fitted on the days of validation. The folder is kept:
a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from curtain_network import CurtainNetwork
from numpy.typing import NDArray
from recording import append, entry_of
from retrieved_days import JUDGED, TRAINING, VALIDATION, Forecast, Retrieved, gaps_of, judged_days, kept
from retrieved_training import Limits, batches_of, quantiles_m, trained

from ipdsf_spark.forecast.filling import widened
from ipdsf_spark.forecast.folder import load_model, shipped_folder
from ipdsf_spark.forecast.judging import FORECAST, damping_of, forecasts_m
from ipdsf_spark.forecast.model import LOWEST_M
from ipdsf_spark.forecast.network_years import NetworkPlan, validation_series
from ipdsf_spark.forecast.table import Table, table_of

NAMES_OF: Final = {"lstm": "LSTM, trained on", "curtain": "ConvLSTM on the curtain"}


def widened_by(network: CurtainNetwork, validation: list[Retrieved]) -> Forecast:
    """The network's forecast, filled gaps widened as the days of validation demand."""
    factors = gaps_of(validation, lambda retrieved, table: quantiles_m(network, retrieved, table)).factors

    def forecast(retrieved: Retrieved, table: Table) -> NDArray[np.float32]:
        told_m = widened(quantiles_m(network, retrieved, table), table.features, factors, LOWEST_M)
        return np.asarray(told_m, np.float32)

    return forecast


def main() -> None:
    """Make the days, train, judge, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=Path, required=True, help="folder of retrieved days and checkpoints")
    parser.add_argument("--from", dest="source", type=Path, default=shipped_folder(), metavar="MODEL")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0, help="processor time of each training at most")
    parser.add_argument("--record", type=Path)
    args = parser.parse_args()
    train, validation, held = (kept(args.days, days) for days in (TRAINING, VALIDATION, JUDGED))
    start = load_model(args.source)
    bare = replace(start, filled_factors=np.ones_like(start.filled_factors))
    forecasts: dict[str, Any] = {"LSTM": lambda retrieved, table: forecasts_m(table, bare)}
    facts: dict[str, Any] = {"model": start.sha256}
    data = batches_of(train), batches_of(validation)
    limits = Limits(args.epochs, args.seconds)
    for name, label in NAMES_OF.items():
        torch.manual_seed(0)
        network = CurtainNetwork(start, has_curtain=name == "curtain")
        facts[label] = trained(args.days / f"{name}-{start.sha256[:8]}-{args.epochs}.pt", network, *data, limits)
        forecasts[label] = widened_by(network, validation)
        forecasts[f"{label}, not widened"] = lambda retrieved, table, one=network: quantiles_m(one, retrieved, table)
    damping = damping_of(table_of(validation_series(NetworkPlan(validation=2, later_days=60))))
    results = {label: judged_days(held, forecast, damping) for label, forecast in forecasts.items()}
    show(results)
    print(facts)
    if args.record:
        append(args.record, entry_of("forecast_curtain", results=results, facts=facts))


def show(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """RMSE, and the share of heights in the interval, as a table for the docs."""
    rivals = ("persistence", "diurnal step")
    print("| | heights | " + " | ".join([*results, *rivals]) + " |")
    print("|---|---|" + "---|" * (len(results) + len(rivals)))
    for name, first in next(iter(results.values())).items():
        lines = [each[name] for each in results.values()]
        cells = [f"{line['rmse_m'][FORECAST]:.0f} ({100 * line['covered']:.0f} %)" for line in lines]
        cells += [f"{first['rmse_m'][rival]:.0f}" for rival in rivals]
        print(f"| {name} | {first['num']:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
