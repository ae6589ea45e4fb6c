"""The Spark session of the streaming jobs."""

from __future__ import annotations

import math
import os
import sys

from pyspark.sql import SparkSession

from ipdsf_spark.config import Config, conf_file
from ipdsf_spark.logs import QUIET_FILE, TEXT_FILE, spark_log_settings
from ipdsf_spark.spark.executors import await_executors, cores_of
from ipdsf_spark.spark.master import given_master, has_context, is_cluster
from ipdsf_spark.spark.shipping import ship, shipping_settings
from ipdsf_spark.spark.ui import keep_to_this_machine, ui_settings
from ipdsf_spark.spark.versions import of_spark

ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"

SLOTS_PER_CORE = 3
PARTITIONS_PER_TASK = 25  # a partition costs its reader 2-5 ms per batch, nearly all of it waiting

CONNECTORS_ENV = "IPDSF_CONNECTORS_BESIDE_SPARK"  # set by deploy/Dockerfile, which puts them there

# Spark's own pattern, and what Kafka's options call a login and a private key.
REDACTED = "(?i)secret|password|passphrase|token|access[.]?key|credential|jaas|keystore[.]key"


def build_session(config: Config, *, app_name: str, master: str | None = None) -> SparkSession:
    """The session of a streaming job.

    What spark-submit or a notebook has set already (master, memory, packages) is kept.

    Args:
        config: the whole configuration.
        app_name: shown in the Spark UI.
        master: used if nothing else names one; `local_master` by default.
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    is_begun = not has_context()
    given = given_master()
    builder = SparkSession.builder.appName(app_name)
    named = given or ("" if _is_submitted() else master or "")
    settings = spark_settings(config) | log_settings(config) | shipping_settings(given) | ui_settings(named)
    for key, value in settings.items():
        builder = builder.config(key, value)
    if is_begun and not _is_submitted():
        chosen = given or master or local_master()
        keep_to_this_machine(chosen)
        builder = builder.master(chosen)
    session = builder.getOrCreate()
    if not is_begun:
        session.sparkContext.setLogLevel(settings["spark.log.level"])
    if is_begun:
        ship(session)
        await_executors(session)
    return session


def spark_settings(config: Config) -> dict[str, str]:
    """Settings every job of the project runs with; each is there for a measured or a stated reason."""
    stream = config.stream
    settings = {
        "spark.driver.memory": f"{stream.driver_memory_mb}m",
        "spark.sql.session.timeZone": "UTC",
        # Adaptive execution re-plans between stages; a micro-batch of a second gains nothing from it.
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.streaming.stateStore.providerClass": ROCKSDB,
        "spark.sql.streaming.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        "spark.sql.streaming.minBatchesToRetain": "20",
        "spark.sql.streaming.numRecentProgressUpdates": "500",
        # Above the number of Kafka partitions, or consumers are closed and opened again in every batch.
        "spark.kafka.consumer.cache.capacity": str(max(64, 2 * config.kafka.partitions)),
        "spark.ui.showConsoleProgress": "false",
        # Logins and private keys travel as options of source and sink; plans, event logs and the UI show options.
        "spark.redaction.regex": REDACTED,
        # Silent sites are looked for in batches that have files: an empty batch after another would do nothing else.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        # Interpreted: generating and compiling code for a query of a few hundred rows, anew in every micro-batch,
        # costs more than it saves. The work is in Python.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
    }
    # The default manager forks a process for every file it creates or renames on a local disk (chmod, readlink): a
    # tenth of a second and more per micro-batch. Renaming is atomic there as it is.
    settings["spark.sql.streaming.checkpointFileManagerClass"] = of_spark().local_checkpoints
    if stream.warm_daemon:
        settings["spark.python.daemon.module"] = "ipdsf_spark.spark.daemon"
    if not _is_submitted():
        settings["spark.driver.extraJavaOptions"] = stream.driver_java_options
        settings["spark.jars.packages"] = kafka_package(config, given_master())
    return settings


def log_settings(config: Config) -> dict[str, str]:
    """How the JVMs and the Python workers of a session log."""
    told = config.monitoring
    return spark_log_settings(
        told.log_format, told.log_level or "warning", text_file=conf_file(TEXT_FILE), quiet_file=conf_file(QUIET_FILE)
    )


def kafka_package(config: Config, master: str = "") -> str:
    """group:artifact:version of the Kafka connector; empty where driver and executors run in the image, which has it.

    Args:
        config: [stream].
        master: of Spark. On this machine and on Kubernetes executors are where the driver is, or in the same image;
            others have a Spark of their own, to which the connector travels.
    """
    if config.stream.kafka_package:
        return config.stream.kafka_package
    is_one_image = not is_cluster(master) or master.startswith("k8s://")
    return "" if is_one_image and os.environ.get(CONNECTORS_ENV) else of_spark().kafka


def local_master() -> str:
    """More task slots than cores: a task that reads Kafka mostly waits for the broker, partition by partition."""
    return f"local[{SLOTS_PER_CORE * (os.cpu_count() or 1)}]"


def num_cores(session: SparkSession) -> int:
    """Cores of the session: what does not wait runs on so many at once."""
    return cores_of(session)


def num_reading_tasks(session: SparkSession, num_partitions: int) -> int:
    """Tasks that read and decode one batch: one per core, and more when each would wait for many partitions."""
    slots = int(session.sparkContext.defaultParallelism)
    if is_cluster(str(session.sparkContext.master)):
        slots = num_cores(session)
    return min(max(num_cores(session), math.ceil(num_partitions / PARTITIONS_PER_TASK)), slots)


def _is_submitted() -> bool:
    """Whether spark-submit started this process and has chosen master and packages."""
    return "PYSPARK_GATEWAY_PORT" in os.environ
