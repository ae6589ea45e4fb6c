"""One form and one level of the log for every process of a job: the driver's Python and JVM, executors, their workers.

In the form `json` a line is an object with the fields of Spark's structured log (`ts`, `level`, `msg`, `context`,
`exception`, `logger`), so that one reader takes the lines of all.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

TEXT, JSON = "text", "json"
FORM_VARIABLE, LEVEL_VARIABLE = "IPDSF_LOG_FORMAT", "IPDSF_LOG_LEVEL"
LINE: Final = "%(asctime)s %(levelname)s %(message)s"
SPARK_LEVELS: Final = {"DEBUG": "DEBUG", "INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR"}
TEXT_FILE: Final = "log4j2.properties"  # of the configuration's folder
QUIET_FILE: Final = "log4j2-quiet.properties"  # beside it: what is not logged, in both forms
SPARK_JSON: Final = "org/apache/spark/log4j2-json-layout.properties"  # on the class path of every Spark from 4.0


def one_line(text: str) -> str:
    """Names that strangers chose may hold line ends and commands to a terminal: these are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class JsonFormatter(logging.Formatter):
    """A record as one line with the fields of Spark's own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        said: dict[str, object] = {
            "ts": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "level": SPARK_LEVELS.get(record.levelname, record.levelname),
            "msg": record.getMessage(),
            "context": {"process": str(record.process), "thread": str(record.threadName)},
        }
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            said["exception"] = {
                "class": type(error).__name__,
                "msg": str(error),
                "stacktrace": [
                    {"class": None, "method": frame.name, "file": frame.filename, "line": str(frame.lineno)}
                    for frame in frames
                ],
            }
        return json.dumps(said | {"logger": record.name}, ensure_ascii=False)


def begin(form: str, level: str) -> None:
    """Log to standard error from now on; what begins processes hands both on to them.

    Args:
        form: "text" or "json".
        level: name of the least level that is written.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == JSON else logging.Formatter(LINE))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it reports every call into the JVM
    os.environ[FORM_VARIABLE], os.environ[LEVEL_VARIABLE] = form, level.upper()


def begin_as_told(environment: Mapping[str, str] = os.environ) -> None:
    """The same in a process that was begun by one that logs so."""
    begin(environment.get(FORM_VARIABLE, TEXT), environment.get(LEVEL_VARIABLE, "WARNING"))


def spark_log_settings(
    form: str, level: str, *, text_file: Path | None = None, quiet_file: Path | None = None
) -> dict[str, str]:
    """What a session must be built with so that its JVMs and Python workers log so too; no executor needs a file.

    Args:
        form: "text" or "json".
        level: name of the least level that is written.
        text_file: of log4j, the form "text" for the driver's JVM.
        quiet_file: of log4j, what the driver's JVM does not log.
    """
    settings = {
        "spark.log.level": SPARK_LEVELS[level.upper()],
        "spark.executor.syncLogLevel.enabled": "true",
        "spark.log.structuredLogging.enabled": str(form == JSON).lower(),
        f"spark.executorEnv.{FORM_VARIABLE}": form,
        f"spark.executorEnv.{LEVEL_VARIABLE}": level.upper(),
    }
    if form == JSON:
        # A named layout, because the default one is announced by a line that is no JSON.
        settings["spark.executor.defaultJavaOptions"] = f"-Dlog4j2.configurationFile={SPARK_JSON}"
    # As addresses: options are cut at spaces, and a folder may have some. Log4j reads one beside the other.
    of_driver = [SPARK_JSON] if form == JSON else [text_file.resolve().as_uri()] if text_file is not None else []
    of_driver += [quiet_file.resolve().as_uri()] if of_driver and quiet_file is not None else []
    if of_driver:
        settings["spark.driver.defaultJavaOptions"] = f"-Dlog4j2.configurationFile={','.join(of_driver)}"
    return settings
