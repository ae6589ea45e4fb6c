"""A Python daemon for Spark executors that forks warm workers (`spark.python.daemon.module`).

Two costs are paid once here instead of in every task. Importing numpy, pandas, pyarrow and this package happens
before the fork, and is frozen out of the garbage collector so that workers share the pages. And archives leave
`sys.path`: for every task the worker calls `importlib.invalidate_caches()`, which re-reads the directory of each
archive on the path (pyspark.zip, py4j, Spark's own jar): a quarter of a second per task, all of it parsing zip
directories.

Only archives whose content is installed as well are dropped; `--py-files` zips stay.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import PurePath

ARCHIVES = {"pyspark.zip": "pyspark", "py4j": "py4j"}  # name of the archive, package it holds


def without_redundant_archives(path: list[str]) -> list[str]:
    """`path` less jars, and less the zips of pyspark and py4j if these packages are found elsewhere on it."""
    kept = []
    for entry in path:
        name = PurePath(entry).name
        if name.endswith(".jar"):
            continue  # Spark lists its own jar; it holds no Python
        package = next((package for prefix, package in ARCHIVES.items() if name.startswith(prefix)), None)
        if package is not None and name.endswith(".zip"):
            others = [other for other in path if other != entry and not other.endswith((".zip", ".jar"))]
            if PathFinder.find_spec(package, others) is not None:
                continue
        kept.append(entry)
    return kept


def warm_up() -> None:
    """Import what every task needs, once, before the first fork."""
    for module in (
        "numpy",
        "pandas",
        "pyarrow",
        "pyarrow.pandas_compat",
        "pyspark.sql.pandas.serializers",
        "pyspark.sql.streaming.state",
        "pyspark.worker",
        "ipdsf_spark.lidar.instruments",
        "ipdsf_spark.lidar.layers.operator",
        "ipdsf_spark.stream.decode",
        "ipdsf_spark.stream.operate",
    ):
        importlib.import_module(module)


def add_path_without_jars(add_path: Callable[[str], bool | None]) -> Callable[[str], bool | None]:
    """The worker's own `add_path`, deaf to jars.

    Spark lists the jars of `spark.jars.packages` among the Python files of a job, so every task would put a dozen of
    them on its path and parse their directories; a jar holds no Python.
    """

    def add(path: str) -> bool | None:
        return False if path.endswith(".jar") else add_path(path)

    return add


def main() -> None:
    """Entry point of `python -m`."""
    dropped = set(sys.path)
    sys.path[:] = without_redundant_archives(sys.path)
    for entry in dropped - set(sys.path):
        sys.path_importer_cache.pop(entry, None)
    warm_up()
    importlib.import_module("ipdsf_spark.logs").begin_as_told()
    worker_util = importlib.import_module("pyspark.worker_util")
    worker_util.add_path = add_path_without_jars(worker_util.add_path)  # type: ignore[attr-defined]
    importlib.import_module("ipdsf_spark.spark.state_rows").install()
    gc.collect()
    gc.freeze()
    importlib.import_module("pyspark.daemon").manager()


if __name__ == "__main__":
    main()
