"""The Spark session of the imaging jobs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyspark import SparkContext
from pyspark.sql import SparkSession

from ipdsf_spark.config import conf_file
from ipdsf_spark.logs import FORM_VARIABLE, LEVEL_VARIABLE, QUIET_FILE, TEXT, TEXT_FILE, spark_log_settings
from ipdsf_spark.spark.executors import await_executors
from ipdsf_spark.spark.jvm import end_jvm, has_jvm
from ipdsf_spark.spark.master import given_master
from ipdsf_spark.spark.shipping import ship, shipping_settings
from ipdsf_spark.spark.ui import keep_to_this_machine, ui_settings


@contextmanager
def imaging_session(app_name: str, *, master: str | None = None) -> Iterator[SparkSession]:
    """A session for packing and training; what spark-submit or a notebook has set already is kept.

    A session that was there stays. One that begins here ends here, with its JVM: what is on a JVM's class path is
    decided when it starts, and the next session of this process, one of the stream perhaps, needs other packages.

    Args:
        app_name: shown in the Spark UI.
        master: used if nothing else names one; all cores of this machine by default.
    """
    contexts: Any = SparkContext
    had_jvm, had_session = has_jvm(), contexts._active_spark_context is not None
    session = _session(app_name, master)
    try:
        if not had_session:
            ship(session)
            await_executors(session)  # Horovod waits for its processes for two minutes only
        yield session
    finally:
        if not had_session:
            session.stop()
        if not had_jvm:
            end_jvm()


def _session(app_name: str, master: str | None) -> SparkSession:
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(app_name).config("spark.ui.showConsoleProgress", "false")
    # As in `packing`, but in Petastorm's own tasks, which import nothing of this project.
    builder = builder.config("spark.executorEnv.PYTHONWARNINGS", "ignore::FutureWarning:petastorm.fs_utils")
    given = given_master()
    settings = _log_settings() | shipping_settings(master or given) | ui_settings(master or given)
    for key, value in settings.items():
        builder = builder.config(key, value)
    if master or not given:
        keep_to_this_machine(master or "local[*]")
        builder = builder.master(master or "local[*]")
    elif os.environ.get("MASTER") and "PYSPARK_GATEWAY_PORT" not in os.environ:
        builder = builder.master(given)  # nobody else hands it on
    return builder.getOrCreate()


def _log_settings() -> dict[str, str]:
    """As this process logs; errors alone where nobody has said."""
    form = os.environ.get(FORM_VARIABLE, TEXT)
    level = "ERROR" if form == TEXT else os.environ.get(LEVEL_VARIABLE, "ERROR")
    return spark_log_settings(form, level, text_file=conf_file(TEXT_FILE), quiet_file=conf_file(QUIET_FILE))
