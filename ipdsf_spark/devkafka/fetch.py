"""The broker's jars: fetched once from Maven Central with the Ivy that pyspark ships, kept in the user's cache."""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Final

from ipdsf_spark.errors import BrokerError, PrerequisiteError

logger = logging.getLogger(__name__)

KAFKA_VERSION: Final = "4.1.0"
MIN_JAVA: Final = 17
FETCH_TIMEOUT_S: Final = 900


def cache_directory() -> Path:
    """Where the jars lie: ${XDG_CACHE_HOME:-~/.cache}/ipdsf/kafka-<version>."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "ipdsf" / f"kafka-{KAFKA_VERSION}"


def java_command() -> str:
    """The java of $JAVA_HOME or the path.

    Raises:
        PrerequisiteError: there is none, or it is older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    install = "install Java 17, e.g. `apt-get install openjdk-17-jre-headless`, and set JAVA_HOME or PATH"
    if not java or not Path(java).exists():
        raise PrerequisiteError(f"no java found; {install}")
    version = _version_of(java)
    if version < MIN_JAVA:
        raise PrerequisiteError(f"{java} is version {version or 'unknown'}, Kafka needs {MIN_JAVA}; {install}")
    return java


@lru_cache
def _version_of(java: str) -> int:
    """What a java says of itself, asked once; 0 where it says nothing."""
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', shown)
    return int(match[1]) if match else 0


def fetch() -> Path:
    """The folder with the broker's jars, fetched if it is not there yet. Safe to call from several processes.

    Raises:
        BrokerError: the jars could not be fetched.
        PrerequisiteError: java or pyspark is missing.
    """
    target = cache_directory()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():  # another process may have fetched it while this one waited
            _fetch_into(target)
    return target


def class_path() -> str:
    """Class path of the broker, with Spark's log4j binding in front so that the broker logs."""
    kafka = fetch()
    spark = _pyspark_jars()
    logging_jars = [*spark.glob("slf4j-api-*.jar"), *spark.glob("log4j-*.jar")]
    logging_jars = [jar for jar in logging_jars if not jar.name.startswith("log4j-1.2")]
    kafka_jars = [jar for jar in kafka.glob("*.jar") if not jar.name.startswith("slf4j-api-")]
    return os.pathsep.join(str(jar) for jar in [*sorted(logging_jars), *sorted(kafka_jars)])


def _fetch_into(target: Path) -> None:
    ivy = next(_pyspark_jars().glob("ivy-*.jar"), None)
    if ivy is None:
        raise PrerequisiteError("pyspark ships no Ivy; `make setup` installs one that does")
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    logger.info("fetching Kafka %s from Maven Central", KAFKA_VERSION)
    command = [java_command(), "-cp", str(ivy), "org.apache.ivy.Main", "-cache", str(partial / "ivy")]
    command += [
        "-dependency",
        "org.apache.kafka",
        "kafka_2.13",
        KAFKA_VERSION,
        "-confs",
        "default",
        "-types",
        "jar",
        "bundle",
    ]
    command += ["-retrieve", f"{partial}/jars/[artifact]-[revision].[ext]"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        num_jars = len(list((partial / "jars").glob("*.jar")))
        if done.returncode or not (partial / "jars" / f"kafka_2.13-{KAFKA_VERSION}.jar").exists():
            tail = "\n".join(done.stdout.splitlines()[-12:])
            raise BrokerError(
                f"could not fetch Kafka {KAFKA_VERSION} from Maven Central ({num_jars} jars came):\n{tail}"
            )
        (partial / "jars").rename(target)
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"fetching Kafka {KAFKA_VERSION} took over {FETCH_TIMEOUT_S} s; is Maven Central reachable?"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _pyspark_jars() -> Path:
    spec = importlib.util.find_spec("pyspark")  # found, not imported: importing takes a second
    if spec is None or spec.origin is None:
        raise PrerequisiteError("the embedded broker is fetched with pyspark's Ivy; install ipdsf-spark[streaming]")
    return Path(spec.origin).parent / "jars"
