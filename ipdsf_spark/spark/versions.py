"""What differs between the versions of Spark that the project runs on.

`python -m ipdsf_spark.spark.versions` says the connectors of the installed Spark, one a line, for the set-up.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

import pyspark

from ipdsf_spark.errors import ConfigError


@dataclass(frozen=True)
class SparkVersion:
    """What a version needs.

    Attributes:
        kafka, delta: group:artifact:version of the connectors.
        local_checkpoints: class that writes checkpoints on a local disk without forking processes.
    """

    kafka: str
    delta: str
    local_checkpoints: str


_STREAMING: Final = "org.apache.spark.sql.execution.streaming"
VERSIONS: Final = {
    # Of the Kafka connector 4.0.1 to 4.0.4 lack an artifact on Maven Central; 4.0.0 runs on Spark 4.0.5.
    "4.0": SparkVersion(
        kafka="org.apache.spark:spark-sql-kafka-0-10_2.13:4.0.0",
        delta="io.delta:delta-spark_2.13:4.0.0",
        local_checkpoints=f"{_STREAMING}.FileSystemBasedCheckpointFileManager",
    ),
    # 4.2.0 is the newest that both connectors exist for; it runs on Spark 4.2.1.
    "4.2": SparkVersion(
        kafka="org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
        delta="io.delta:delta-spark_4.2_2.13:4.4.0",
        local_checkpoints=f"{_STREAMING}.checkpointing.FileSystemBasedCheckpointFileManager",
    ),
}


def of_spark(version: str = pyspark.__version__) -> SparkVersion:
    """What a version needs; that of the installed Spark by default.

    Raises:
        ConfigError: the project has never been run on it.
    """
    found = VERSIONS.get(".".join(version.split(".")[:2]))
    if found is None:
        raise ConfigError(f"this is Spark {version}; the project runs on {' and '.join(VERSIONS)}")
    return found


if __name__ == "__main__":
    sys.stdout.write(f"{of_spark().kafka}\n{of_spark().delta}\n")
