"""The Java of the tests' Spark sessions: it lives for half a minute, most of which would go into beginning.

No optimising compiler, no pages, no compiled queries. Spark's classes come parsed and checked from an archive that the
first run in a checkout makes (class data sharing of the Java machine): a third of the processor time of a session.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

TUNED: Final = (
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xlog:disable",  # an archive of other jars is left aside without a word
    "-Dspark.ui.enabled=false",
    "-Dspark.sql.codegen.wholeStage=false",
    "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
)
UNCHECKED: Final = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")
DUMP_S: Final = 400.0
# What most sessions of the tests load: a query, rows that go through Python, a stream.
SESSION: Final = """
import sys, time
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "768m").getOrCreate()
rows = spark.range(3).selectExpr("id", "string(id) as text").mapInPandas(lambda parts: parts, "id long, text string")
rows.groupBy("text").count().collect()
stream = spark.readStream.format("rate").load().writeStream.foreachBatch(lambda batch, number: batch.count())
query = stream.option("checkpointLocation", sys.argv[1]).start()
while not query.lastProgress:
    query.awaitTermination(0.2)
query.stop()
gateway = spark.sparkContext._gateway
spark.stop()
gateway.shutdown()
gateway.proc.stdin.close()
gateway.proc.wait()
"""


def tune(archive: Path | None = None) -> None:
    """Let every `spark-submit` that this process or its children start use these options."""
    more = UNCHECKED if archive is None else (f"-XX:SharedArchiveFile={archive}",)
    os.environ["SPARK_SUBMIT_OPTS"] = " ".join((*TUNED, *more))


def archive_in(folder: Path) -> Path | None:
    """The archive of this environment's Spark, made if it is not there; None where that cannot be."""
    import pyspark

    java = shutil.which("java") or ""
    told = f"{pyspark.__version__} {pyspark.__file__} {os.path.realpath(java)}"
    path = folder / f"spark-{hashlib.sha256(told.encode()).hexdigest()[:12]}.jsa"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _make(path)
    return path if path.exists() and path.stat().st_size else None


def _make(path: Path) -> None:
    part, work = path.with_suffix(".part"), path.with_suffix(".work")
    part.unlink(missing_ok=True)
    options = " ".join((*TUNED, f"-XX:ArchiveClassesAtExit={part}"))
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run([sys.executable, "-c", SESSION, str(work)], env=os.environ | {"SPARK_SUBMIT_OPTS": options},
                       cwd=path.parent, capture_output=True, timeout=DUMP_S, check=True)  # fmt: skip
        part.replace(path)
    shutil.rmtree(work, ignore_errors=True)
    path.touch()  # a machine that can make none is not asked again
