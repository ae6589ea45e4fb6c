# Databricks notebook source
# MAGIC %md
# MAGIC # A fault drill
# MAGIC Things break while a network reports: here they are broken on purpose. Brokers, a job, edge nodes and a
# MAGIC simulated instrument are started for this notebook alone, a process is killed with SIGKILL or fed with garbage,
# MAGIC and afterwards both topics are read from their beginning: what was lost, what was repeated, what was the
# MAGIC operator told?

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

import tempfile
from pathlib import Path

import pandas as pd

from ipdsf_spark.drill import DRILLS, markdown, named, run

dbutils.widgets.text("drills", "edge-killed poison-10", "names, with blanks between; see the table")
dbutils.widgets.text("is_short", "true", "small loads and short faults")
dbutils.widgets.text(
    "keep", "", "folder for table and logs, in a volume: /Volumes/main/ipdsf/storage/drills; empty = temporary"
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The faults there are
# MAGIC Each is really done; nothing is imitated. `edge-killed` takes some seconds, those with a streaming job half a
# MAGIC minute and more.

# COMMAND ----------

display(pd.DataFrame([(drill.name, drill.fault, drill.how) for drill in DRILLS], columns=["name", "fault", "how"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Done
# MAGIC The driver of this notebook needs Java and, once, the jars of a Kafka (`ipdsf broker fetch`). Everything that is
# MAGIC started ends with the cell, whatever happens.

# COMMAND ----------

keep = Path(dbutils.widgets.get("keep") or tempfile.mkdtemp(prefix="ipdsf-drills-"))
outcomes = run(
    named(dbutils.widgets.get("drills").split()),
    is_short=dbutils.widgets.get("is_short") == "true",
    keep=keep / "logs",
    on_begin=lambda drill: display(f"{drill.name}: {drill.how} ..."),
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What it cost
# MAGIC *Lost* is what a consumer finds neither among the products nor in quarantine. *Repeated* is what somebody who
# MAGIC reads the newest record of each key sees twice, or said differently.

# COMMAND ----------

found = [(each, each.found.account) for each in outcomes if each.found]
columns = ["fault", "sent", "lost", "repeated", "in quarantine", "seconds"]
rows = [(each.fault, of.sent, of.lost, of.repeated, of.quarantined, each.seconds) for each, of in found]
display(pd.DataFrame(rows, columns=columns))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What the operator was told
# MAGIC The lines of the logs that a person is meant to act on, and the same table as `make drill` writes it for the
# MAGIC documentation.

# COMMAND ----------

display(pd.DataFrame([(each.fault, line) for each, _ in found for line in each.found.told], columns=["fault", "line"]))
page = keep / "drills.md"
page.write_text(markdown(outcomes, record="(none)"), encoding="utf-8")
display(f"{sum(each.is_held for each in outcomes)} of {len(outcomes)} held; the page is {page}")

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen nothing lost and nothing repeated, garbage in quarantine with its reason, and lines that
# MAGIC name what happened and what is done about it.
