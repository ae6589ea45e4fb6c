"""What the files of jobs/ are: a verb under the name that spark-submit gives it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from ipdsf_spark.cli.arguments import begin_logging
from ipdsf_spark.errors import ConfigError, IpdsfError


def run_job(
    name: str,
    description: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
    *,
    epilog: str | None = None,
    is_logging: bool = True,
) -> int:
    """Parse the arguments and run; errors of ours become a line and an exit code.

    Args:
        name: of the job.
        description: one line.
        add_arguments: those of the verb.
        run: the verb.
        argv: arguments; None = those of the process.
        epilog: examples, where they are not those of the verb.
        is_logging: whether the job says on stderr what happens.
    """
    parser = argparse.ArgumentParser(
        prog=name, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    if epilog is not None:
        parser.epilog = epilog
    args = parser.parse_args(argv)
    try:
        if is_logging:
            begin_logging(args, otherwise="info")
        return run(args)
    except IpdsfError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
