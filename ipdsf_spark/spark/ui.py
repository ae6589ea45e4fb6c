"""Spark's UI, which asks for no login: who may see it.

It listens where SPARK_LOCAL_IP says, on every address if nothing is said. A local session is kept on this machine's
loopback; the driver of a cluster must be reached by its hosts, so there the UI is off, unless somebody has put a filter
before it (`spark.ui.filters`), has decided about it (`spark.ui.enabled`), or the whole cluster is on the loopback.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any, Final

from pyspark import SparkConf, SparkContext

from ipdsf_spark.spark.master import LOCAL, has_context, is_cluster

logger = logging.getLogger(__name__)

ENABLED: Final = "spark.ui.enabled"
FILTERS: Final = "spark.ui.filters"
LOOPBACK: Final = re.compile(r"127\.|::1$|localhost$")


def keep_to_this_machine(master: str) -> None:
    """Everything of a local session, its UI included, listens on the loopback, unless somebody has said otherwise.

    Args:
        master: of the session that will be made.
    """
    if master.startswith(LOCAL):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")


def ui_settings(master: str) -> dict[str, str]:
    """What a session must be built with so that its UI is open to nobody who has not logged in.

    Args:
        master: of the session.
    """
    is_here = LOOPBACK.match(os.environ.get("SPARK_LOCAL_IP", "")) is not None
    if not is_cluster(master) or is_here or has_context() or said(ENABLED) or said(FILTERS):
        return {}
    logger.warning(
        "Spark's UI is off: on a cluster it would be open to everybody. %s puts a login before it and turns it on; "
        "%s=true turns it on as it is",
        FILTERS,
        ENABLED,
    )
    return {ENABLED: "false"}


def said(key: str) -> str:
    """What spark-submit, PYSPARK_SUBMIT_ARGS or the site's spark-defaults.conf say of a setting; empty if nothing."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # started by spark-submit, which has read them all
        contexts: Any = SparkContext
        contexts._ensure_initialized()
        return SparkConf().get(key, "") or ""
    found = re.findall(rf"(?<!\S){re.escape(key)}=(\S+)", os.environ.get("PYSPARK_SUBMIT_ARGS", ""))
    return found[-1] if found else _default(key)


def _default(key: str) -> str:
    home = os.environ.get("SPARK_HOME")
    folder = os.environ.get("SPARK_CONF_DIR") or (str(Path(home) / "conf") if home else "")
    file = Path(folder) / "spark-defaults.conf"
    text = file.read_text(encoding="utf-8", errors="replace") if folder and file.is_file() else ""
    found = re.findall(rf"^\s*{re.escape(key)}(?:\s*[=:]\s*|\s+)(\S+)", text, flags=re.MULTILINE)
    return found[-1] if found else ""
