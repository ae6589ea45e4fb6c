"""The Spark session of the imaging jobs."""

from __future__ import annotations

import os
import sys

from pyspark.sql import SparkSession

from ipdsf_spark.config import conf_directory


def imaging_session(app_name: str, *, master: str | None = None) -> SparkSession:
    """A session for packing and training; what spark-submit or a notebook has set already is kept.

    Args:
        app_name: shown in the Spark UI.
        master: used if nothing else names one; all cores of this machine by default.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app_name).config("spark.ui.showConsoleProgress", "false")
    # As in `packing`, but in Petastorm's own tasks, which import nothing of this project.
    builder = builder.config("spark.executorEnv.PYTHONWARNINGS", "ignore::FutureWarning:petastorm.fs_utils")
    is_submitted = "spark.master" in os.environ.get("PYSPARK_SUBMIT_ARGS", "") or "MASTER" in os.environ
    if master or not is_submitted:
        builder = builder.master(master or "local[*]")
        folder = conf_directory()
        if folder is not None and (folder / "log4j2.properties").is_file():
            quiet = f"-Dlog4j2.configurationFile={(folder / 'log4j2.properties').resolve()}"
            builder = builder.config("spark.driver.extraJavaOptions", quiet)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
