"""One form of log: what Python says has the fields of what Spark says, and one key changes all processes of a job."""

from __future__ import annotations

import ast
import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipdsf_spark.config import load
from ipdsf_spark.errors import ConfigError
from ipdsf_spark.logs import JsonFormatter, spark_log_settings

PROBE = """
import logging, sys
from argparse import Namespace

from ipdsf_spark.cli.arguments import begin_logging
from ipdsf_spark.config import load
from ipdsf_spark.spark import session
from ipdsf_spark.spark.described import described


def look(batches):
    for batch in batches:
        logging.getLogger("probe.worker").warning("from a worker")
        yield batch


if __name__ == "__main__":
    told = ["monitoring.log_format=" + sys.argv[2], "monitoring.log_level=warning"]
    begin_logging(Namespace(config=[], set=told), otherwise="info")
    connected = session.spark_settings
    session.spark_settings = lambda config: connected(config) | {"spark.jars.packages": ""}
    spark = session.build_session(load(overrides=told), app_name="probe", master="local[1]")
    logging.getLogger("probe.driver").warning("from the driver")
    logger_of = spark.sparkContext._jvm.org.slf4j.LoggerFactory.getLogger
    logger_of("probe.jvm").warn("from the JVM")
    logger_of("org.apache.kafka.clients.NetworkClient").warn("a broker is away")
    logger_of("org.apache.kafka.clients.NetworkClient").error("a broker is somebody else's")
    logger_of("org.apache.spark.TaskContextImpl").error("a task was cancelled")
    with described(spark, "what a person calls it"):
        spark.range(1).mapInArrow(look, "id long").collect()
    assert spark.sparkContext.getLocalProperty("spark.job.description") is None
    with open(sys.argv[1] + "/one.txt", "w") as file:
        file.write("a line")
    lines = spark.readStream.text(sys.argv[1]).writeStream.queryName("ipdsf-live").format("noop")
    lines = lines.option("checkpointLocation", sys.argv[1] + "/_checkpoint").trigger(availableNow=True)
    lines.start().awaitTermination()
    jobs = spark.sparkContext._jsc.sc().statusStore().jobsList(None)
    print([jobs.apply(number).description().toString() for number in range(jobs.size())])
    spark.stop()
"""
# What the JVM and its launcher write before any log is begun: plain in every form.
PLAIN = ("WARNING: Using incubator modules", "Setting ", "To adjust logging level", "Picked up ")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return probed(tmp_path_factory.mktemp("probe"), "json")


def probed(folder: Path, form: str) -> subprocess.CompletedProcess[str]:
    """A real session that logs, runs a job and a query, and says what its jobs are called."""
    (folder / "lines").mkdir()
    script = folder / "probe.py"
    script.write_text(PROBE)
    command = [sys.executable, str(script), str(folder / "lines"), form]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.spark
@pytest.mark.slow
def test_driver_jvm_and_python_workers_write_lines_of_one_form(probe: subprocess.CompletedProcess[str]) -> None:
    lines = [line for line in probe.stderr.splitlines() if line and not line.startswith(PLAIN)]
    told = {record["msg"]: record for record in map(json.loads, lines)}
    for words in ("from the driver", "from the JVM", "from a worker"):
        assert {"ts", "level", "msg", "logger"} <= set(told[words])
        assert told[words]["level"] == "WARN"
        assert told[words]["ts"][10] == "T"
        assert told[words]["ts"].endswith("Z")


def require_quiet(said: str) -> None:
    assert "a broker is somebody else's" in said
    assert "a broker is away" not in said
    assert "a task was cancelled" not in said


@pytest.mark.spark
@pytest.mark.slow
def test_json_is_as_quiet_about_what_nobody_can_act_on_as_text(
    probe: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    as_text = probed(tmp_path, "text").stderr

    assert re.search(r"^[-0-9]{10} [:0-9]{8} WARN .*from the JVM$", as_text, flags=re.MULTILINE)
    require_quiet(as_text)
    require_quiet(probe.stderr)


@pytest.mark.spark
@pytest.mark.slow
def test_jobs_are_called_what_they_do_and_those_of_a_query_by_its_name_and_batch(
    probe: subprocess.CompletedProcess[str],
) -> None:
    of_query, of_job = ast.literal_eval(probe.stdout.strip().splitlines()[-1])

    assert of_job == "Some(what a person calls it)"
    assert of_query.startswith("Some(ipdsf-live\n")
    assert of_query.endswith("batch = 0)")


@given(st.text(max_size=200), st.sampled_from(["DEBUG", "INFO", "WARNING", "ERROR"]))
def test_a_record_is_one_line_whatever_it_says(text: str, level: str) -> None:
    record = logging.LogRecord("ipdsf_spark.x", getattr(logging, level), "x.py", 1, "%s", (text,), None)

    line = JsonFormatter().format(record)

    assert "\n" not in line
    assert json.loads(line)["msg"] == text
    assert json.loads(line)["level"] == level.replace("WARNING", "WARN")


def test_an_exception_is_told_by_class_words_and_place() -> None:
    try:
        raise ValueError("no such gate")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", None, sys.exc_info())

    told = json.loads(JsonFormatter().format(record))["exception"]

    assert (told["class"], told["msg"]) == ("ValueError", "no such gate")
    assert told["stacktrace"][-1]["file"] == __file__


def test_no_host_of_a_cluster_needs_a_file_for_it() -> None:
    settings = spark_log_settings("json", "info", quiet_file=Path("conf/log4j2-quiet.properties"))

    assert settings["spark.log.level"] == "INFO"
    assert settings["spark.executor.defaultJavaOptions"].endswith("=org/apache/spark/log4j2-json-layout.properties")
    assert "conf/" not in " ".join(
        value for name, value in settings.items() if name != "spark.driver.defaultJavaOptions"
    )
    assert "spark.executor.defaultJavaOptions" not in spark_log_settings("text", "info", text_file=Path("x"))


def test_a_checkout_may_lie_in_a_folder_with_spaces() -> None:
    folder = Path("a person/conf").absolute()
    options = spark_log_settings("text", "info", text_file=folder / "text", quiet_file=folder / "quiet")

    assert " " not in options["spark.driver.defaultJavaOptions"]


@pytest.mark.parametrize("told", ["monitoring.log_format=xml", "monitoring.log_level=loud"])
def test_a_form_or_level_that_does_not_exist_is_refused(told: str) -> None:
    with pytest.raises(ConfigError, match=told.partition("=")[0]):
        load(overrides=[told])
