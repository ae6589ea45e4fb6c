"""Package and configuration to the executors of a cluster, whose hosts need the third-party packages only.

Both travel as one archive that Spark unpacks into the working directory of every executor before its first task, as
the folder `ipdsf`; PYTHONPATH names it, because the warm daemon is imported before `--py-files` are on the path. As an
unpacked folder it needs no reading of a zip's directory in every task, and files beside modules are files.

    python -m ipdsf_spark.spark.shipping ipdsf.zip      the archive, for a driver that itself runs on the cluster
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pyspark import SparkConf
from pyspark.sql import SparkSession

import ipdsf_spark
from ipdsf_spark.config import conf_directory
from ipdsf_spark.spark.master import is_cluster

FOLDER: Final = "ipdsf"  # in the working directory of every executor
ARCHIVE: Final = f"{FOLDER}.zip"
PATH_SETTING: Final = "spark.executorEnv.PYTHONPATH"


def shipping_settings(master: str, path: str | None = None) -> dict[str, str]:
    """What a session must be built with so that executors import from the archive.

    Args:
        master: of the session.
        path: PYTHONPATH that somebody has set for executors already; stays behind ours. spark-submit's by default.
    """
    if not is_cluster(master):
        return {}
    path = SparkConf().get(PATH_SETTING, "") or "" if path is None else path
    others = [each for each in path.split(":") if each and each != FOLDER]
    return {PATH_SETTING: ":".join([FOLDER, *others])}


def ship(spark: SparkSession) -> None:
    """Give the archive to every executor of a session, those that come later included.

    A driver that runs on the cluster itself was submitted with the archive, and so were its executors.
    """
    context = spark.sparkContext
    if not is_cluster(str(context.master)) or context.getConf().get("spark.submit.deployMode") == "cluster":
        return
    kept: Any = context  # its folder lasts as long as it serves files from there
    path = Path(kept._temp_dir) / ARCHIVE
    write_archive(path)
    context.addArchive(f"{path}#{FOLDER}")


def write_archive(path: Path) -> None:
    """The package as `ipdsf_spark`, and the configuration as `conf` beside it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, name in _content():
            archive.write(source, name)


def _content() -> Iterator[tuple[Path, str]]:
    package = Path(ipdsf_spark.__file__).parent
    for source in sorted(package.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            yield source, f"{package.name}/{source.relative_to(package)}"
    conf = conf_directory()
    for source in sorted(conf.glob("*.toml")) if conf is not None else ():
        yield source, f"conf/{source.name}"


if __name__ == "__main__":
    write_archive(Path(sys.argv[1]))
