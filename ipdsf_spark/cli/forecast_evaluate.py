"""`ipdsf forecast evaluate`: errors and honesty of a model on sites that it was not trained on, beside its rivals."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ipdsf_spark.cli.arguments import add_configuration
from ipdsf_spark.cli.forecast_train import add_data_arguments, check_counts
from ipdsf_spark.config import load
from ipdsf_spark.progress import counting, progress_bar

if TYPE_CHECKING:
    from ipdsf_spark.forecast.judging import Judged
    from ipdsf_spark.forecast.series import Series
    from ipdsf_spark.forecast.table import Table

HELP: Final = "errors of a forecast at every lead, beside persistence, yesterday, climatology and the damped trend"
EXAMPLES: Final = """examples:
  ipdsf forecast evaluate --model model                    twelve simulated sites that nobody has trained on
  ipdsf forecast evaluate --model own --archive DIR        the held-out sites and time of an archive
  ipdsf forecast evaluate --json > judged.json             the model that comes with the package

All methods are judged over the same heights: those of intervals in which a height was seen, after 15 days in which the
climatology comes to be known. Then the gaps: what the height was where none was seen.
"""
PUBLISHED: Final = "published, hourly sodar heights (Tellus A 2021): MAPE 10.6 % with observations, 17.3 % without"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("--model", metavar="FOLDER", help="(default: forecast.model, else the one of the package)")
    add_data_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_configuration(parser)


def run(args: argparse.Namespace) -> int:
    """Judge."""
    from ipdsf_spark.forecast.folder import load_model, shipped_folder
    from ipdsf_spark.forecast.judging import after_days, damping_of, forecasts_m, has_flag, judged
    from ipdsf_spark.forecast.network_years import WARM_UP_DAYS

    check_counts(args, "held_out", "days")
    config = load(*args.config, overrides=args.set)
    folder = Path(args.model or config.forecast.model or shipped_folder()).expanduser()
    model = load_model(folder, "" if args.model else config.forecast.sha256)
    fitted, held_out, warm_days = _series(args)
    damping = damping_of(_walked(fitted, "other sites"))
    table = _walked(held_out, "held-out sites")
    with progress_bar(total=len(table), desc="foretelling", leave=False, disable=not sys.stderr.isatty()) as bar:
        found_m = forecasts_m(table, model, counting(bar))
    warm = after_days(table, min(warm_days, WARM_UP_DAYS, len(table) // 288 // 2))
    seen = has_flag(table, "has_height")
    groups = {
        "seen": judged(table, found_m, damping, warm & seen)[1:],
        "gaps": judged(table, found_m, damping, warm & ~seen)[:1],
    }
    for name in ("rain", "fog"):
        groups[f"gaps_{name}"] = judged(table, found_m, damping, warm & ~seen & has_flag(table, name))[:1]
    if args.json:
        found = {name: [asdict(line) for line in lines] for name, lines in groups.items()}
        print(json.dumps({"model": model.sha256, "sites": held_out.sites, "judged": found}))
    else:
        print(_readable(folder, model.sha256, held_out, groups))
    return 0


def _series(args: argparse.Namespace) -> tuple[Series, Series, int]:
    """A series to fit the damped trend on, the held-out one, and days of warm-up."""
    from ipdsf_spark.forecast import network_years

    if args.archive:
        from ipdsf_spark.archive.heights import series_of_archive
        from ipdsf_spark.forecast.stored_series import split_by_site_and_time
        from ipdsf_spark.sites import sites_of

        sites = sites_of(load(*args.config, overrides=args.set))
        train, held_out = split_by_site_and_time(
            series_of_archive(args.archive, sites, since=args.since, until=args.until)
        )
        return train, held_out, 3
    plan = network_years.NetworkPlan(judged=args.held_out, validation=2, later_days=args.days, seed=args.seed)
    with progress_bar(total=args.held_out, desc="simulating", leave=False, disable=not sys.stderr.isatty()) as bar:
        held_out = network_years.judged_series(plan, lambda: bar.update(1))
    return network_years.validation_series(plan), held_out, network_years.WARM_UP_DAYS


def _walked(series: Series, what: str) -> Table:
    from ipdsf_spark.forecast.table import table_of

    with progress_bar(total=len(series), desc=what, leave=False, disable=not sys.stderr.isatty()) as bar:
        return table_of(series, counting(bar))


def _readable(folder: Path, sha256: str, series: Series, groups: dict[str, list[Judged]]) -> str:
    from ipdsf_spark.forecast.judging import FORECAST, NOMINAL, RIVALS

    methods = (FORECAST, *RIVALS)
    width = max(map(len, methods))
    lines = [
        f"model {sha256[:12]} of {folder.name}, {len(series.sites)} held-out site(s), {len(series) // 288} days",
        "",
    ]

    def told(title: str, found: list[Judged]) -> None:
        for at in found:
            errors: Any = at.errors
            lead = f"{at.lead_min} min ahead" if at.lead_min else title
            lines.append(f"{lead}: {errors[FORECAST].num} heights, {100 * NOMINAL:.0f} % interval holds "
                         f"{100 * at.covered:.1f} %, {at.width_m:.0f} m wide")  # fmt: skip
            for name in methods:
                one = errors[name]
                skill = "" if name == FORECAST else f"   skill {at.skill(name):+.2f}"
                lines.append(
                    f"  {name:<{width}}  RMSE {one.rmse_m:6.0f} m   MAE {one.mae_m:6.0f} m   "
                    f"MAPE {100 * one.mape:5.1f} %{skill}"
                )

    told("", groups["seen"])
    told("now, where no height is seen", groups["gaps"])
    told("now, in rain", groups["gaps_rain"])
    told("now, in fog", groups["gaps_fog"])
    return "\n".join([*lines, "", PUBLISHED])
