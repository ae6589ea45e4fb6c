"""The configuration of one run: topics and folders of its own, so that runs share nothing but the broker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipdsf_spark.config import Config, load

TOPICS: Final = ("files", "averages", "products", "sites", "quarantine")

# One lever each that the stream pulls, as Spark, its Kafka source and its Python workers come by themselves.
LEVERS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "fetch_wait": ("stream.fetch_max_wait_ms=500",),
    "coalesce": ("stream.python_tasks=100000",),
    "compiler": ('stream.driver_java_options="-XX:+UseG1GC"',),
    "daemon": ("stream.warm_daemon=false",),
}
DEFAULT_SPARK: Final = (*(word for lever in LEVERS.values() for word in lever), "stream.state_partitions=200")


def config_of(
    run: str, bootstrap: str, folder: Path, *, partitions: int, replicas: int = 1, overrides: Sequence[str] = ()
) -> Config:
    """The configuration of a run.

    Args:
        run: a name for its topics.
        bootstrap: where Kafka is.
        folder: of checkpoints.
        partitions: of the files topic.
        replicas: copies of every partition.
        overrides: further settings of the configuration, as `--set` takes them.
    """
    return load(overrides=overrides_of(run, bootstrap, folder, partitions, replicas, overrides))


def overrides_of(
    run: str, bootstrap: str, folder: Path, partitions: int, replicas: int, overrides: Sequence[str]
) -> list[str]:
    """The same as words, for a process of its own."""
    return [
        f'kafka.bootstrap_servers="{bootstrap}"',
        f"kafka.partitions={partitions}",
        f"kafka.replication_factor={replicas}",
        *(f"kafka.{name}_topic={json.dumps(f'{run}.{name}')}" for name in TOPICS),
        f"stream.directory={json.dumps(str(folder / run))}",
        'monitoring.listen=""',
        *overrides,
    ]
