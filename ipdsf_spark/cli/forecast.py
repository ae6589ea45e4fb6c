"""`ipdsf forecast`: train a forecast of the mixing height, judge it, and show what it foretells."""

from __future__ import annotations

import argparse
from typing import Final

from ipdsf_spark.cli import forecast_evaluate, forecast_show, forecast_train

EPILOG: Final = """examples:
  ipdsf forecast train -o model                       on a simulated network, numpy and torch alone
  ipdsf forecast train -o model --workers 2           by two Horovod processes on Spark
  ipdsf forecast evaluate --model model               errors at 10, 30, 60, 180 minutes beside persistence and others
  ipdsf forecast show today/ --site oslo --plot fan.png
"""
ACTIONS: Final = {"train": forecast_train, "evaluate": forecast_evaluate, "show": forecast_show}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.epilog = EPILOG
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, module in ACTIONS.items():
        added = actions.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(added)


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    return int(ACTIONS[args.action].run(args))
