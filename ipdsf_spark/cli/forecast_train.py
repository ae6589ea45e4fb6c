"""`ipdsf forecast train`: the LSTM, on a simulated network or on the user's own archive, by one process or by many."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration, check_days, seed
from ipdsf_spark.config import load
from ipdsf_spark.config.checks import require
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.progress import progress_bar
from ipdsf_spark.storage.location import location_of

if TYPE_CHECKING:
    from ipdsf_spark.forecast.fitting import FitProgress
    from ipdsf_spark.training.forecast_work import ForecastWork

HELP: Final = "train the forecast of the mixing height, by one process or by Horovod on Spark"
EXAMPLES: Final = """examples:
  ipdsf forecast train -o model                            a simulated network: 48 sites, half a year each
  ipdsf forecast train -o model --minutes 5                stop after five minutes; the same command again goes on
  ipdsf forecast train -o model --workers 2                two Horovod processes on Spark
  ipdsf forecast train -o own --archive ~/.local/share/ipdsf/stream/archive --since 2026-01-01
                                                           the heights that `ipdsf stream` has archived
  ipdsf forecast evaluate --model model                    what it is worth

Ctrl-C ends after a checkpoint. The folder holds the best model so far; `forecast.model` of the configuration names it
for the stream. Sites are split: a quarter of an archive's sites and the last 30 % of its time are never trained on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="of the model; made if it is not there")
    add_data_arguments(parser)
    fit = parser.add_argument_group("training")
    fit.add_argument("--workers", type=int, default=0, metavar="K", help="Horovod processes on Spark; 0 = without")
    fit.add_argument("--minutes", type=float, default=0.0, metavar="M", help="of training to stop after (0 = no limit)")
    fit.add_argument("--epochs", type=int, default=6, metavar="N", help="walks through the years (default: 6)")
    fit.add_argument("--width", type=int, default=32, metavar="N", help="numbers a layer remembers (default: 32)")
    fit.add_argument("--layers", type=int, default=2, metavar="N", help="of LSTM (default: 2)")
    fit.add_argument("--rate", type=float, default=4e-3, metavar="R", help="learning rate at its highest (4e-3)")
    fit.add_argument("--threads", type=int, default=0, metavar="N", help="of each worker (default: its share)")
    fit.add_argument("--anew", action="store_true", help="begin anew, not at the checkpoint in the folder")
    fit.add_argument("--master", help="Spark master (default: MASTER, else this machine)")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object on standard output")
    add_configuration(parser)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Where heights come from: a simulated network, or an archive."""
    data = parser.add_argument_group("data")
    data.add_argument("--archive", metavar="DIR", help="of `ipdsf stream`; not given: a simulated network")
    data.add_argument("--since", metavar="YYYY-MM-DD", help="first day of the archive")
    data.add_argument("--until", metavar="YYYY-MM-DD", help="last day of it")
    data.add_argument("--sites", type=int, default=48, metavar="N", help="simulated sites to train on (default: 48)")
    data.add_argument("--held-out", type=int, default=12, metavar="N", help="simulated sites to judge (default: 12)")
    data.add_argument("--days", type=int, default=183, metavar="N", help="that a simulated site lives (default: 183)")
    data.add_argument("--seed", type=seed, default=0, help="of the simulated network and of the training (default: 0)")


def check_counts(args: argparse.Namespace, *names: str) -> None:
    """Refuse a number of nothing.

    Raises:
        ConfigError: one is below 1.
    """
    for name in names:
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")


def run(args: argparse.Namespace) -> int:
    """Train."""
    from ipdsf_spark.forecast.fitting import FitSettings
    from ipdsf_spark.forecast.network_years import NetworkPlan
    from ipdsf_spark.training.forecast_work import SERIES, ForecastWork, require_own

    check_counts(args, "epochs", "width", "layers", "sites", "days")
    if args.workers < 0 or not 0 < args.rate < 1:
        raise ConfigError("--workers must be 0 or more, --rate between 0 and 1")
    require(args.threads >= 0, "--threads", "at least 0", args.threads)
    require(0 <= args.minutes < math.inf, "--minutes", "0 or more", args.minutes)
    check_days(args)
    place = location_of(args.output)
    if place.path is None:
        raise ConfigError(f"models are written to a folder of this machine or a mounted one, not to {args.output}")
    folder = place.path
    require_own(folder)
    network = None
    if args.archive:
        from ipdsf_spark.archive.heights import series_of_archive
        from ipdsf_spark.forecast.stored_series import save_series
        from ipdsf_spark.sites import sites_of

        sites = sites_of(load(*args.config, overrides=args.set))
        save_series(folder / SERIES, series_of_archive(args.archive, sites, since=args.since, until=args.until))
    else:
        network = NetworkPlan(
            args.sites, max(3, args.sites // 8, args.workers), args.held_out, args.days, args.days, args.seed
        )
    settings = FitSettings(
        args.width, args.layers, epochs=args.epochs, learning_rate=args.rate, minutes=args.minutes, seed=args.seed
    )
    work = ForecastWork(settings, str(folder), network, args.threads, args.anew, _command(args))
    progress = _by_horovod(args, work) if args.workers else _alone(args, work)
    return _report(args, folder, progress)


def _command(args: argparse.Namespace) -> str:
    """How a person repeats this: what decides the result, without folders of this machine."""
    parts = ["ipdsf forecast train -o MODEL"]
    if args.archive:
        parts.append("--archive DIR")
    else:
        parts.append(f"--sites {args.sites} --days {args.days}")
    parts.append(f"--epochs {args.epochs} --width {args.width} --layers {args.layers} --rate {args.rate:g}")
    parts.append(f"--seed {args.seed}")
    if args.workers:
        parts.append(f"--workers {args.workers}")
    return shlex.join(shlex.split(" ".join(parts)))


def _alone(args: argparse.Namespace, work: ForecastWork) -> FitProgress:
    from ipdsf_spark.training.forecast_work import train_forecast_alone

    bar: Any = None

    def show(what: str, done: int, of: int) -> None:
        nonlocal bar
        if bar is None or bar.total != of:
            if bar is not None:
                bar.__exit__(None, None, None)
            bar = progress_bar(total=of, leave=False, disable=not sys.stderr.isatty(), file=sys.stderr)
        bar.update(done - bar.n)
        bar.set_postfix_str(what, refresh=False)

    return train_forecast_alone(work, show)


def _by_horovod(args: argparse.Namespace, work: ForecastWork) -> FitProgress:
    from ipdsf_spark.packing.session import imaging_session
    from ipdsf_spark.spark.master import given_master
    from ipdsf_spark.training.horovod_workers import train_forecast_on_spark

    kafka = load(*args.config, overrides=args.set).kafka
    master = args.master or ("" if given_master() else f"local[{args.workers}]")
    with imaging_session("ipdsf-forecast", master=master):
        return train_forecast_on_spark(work, args.workers, (kafka.sasl_username_env, kafka.sasl_password_env))


def _report(args: argparse.Namespace, folder: Path, progress: FitProgress) -> int:
    from ipdsf_spark.forecast.folder import is_model, load_model

    facts = {
        "model": str(folder),
        "sha256": load_model(folder).sha256 if is_model(folder) else None,
        "ended": progress.reason,
        "epochs": progress.epoch,
        "updates": progress.updates,
        "validation_loss": round(progress.best_loss, 4) if math.isfinite(progress.best_loss) else None,
        "seconds": round(progress.seconds, 1),
    }
    if args.json:
        print(json.dumps(facts))
    else:
        print(f"{folder}: ended after {progress.reason}, {progress.updates} updates in {progress.seconds:.0f} s")
        if facts["sha256"]:
            print(f"  model {str(facts['sha256'])[:12]}, validation loss {facts['validation_loss']}")
        else:
            print("  no model yet: the first is kept after the first epoch; the same command goes on")
    return 0
