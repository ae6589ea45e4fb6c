# Databricks notebook source
# MAGIC %md
# MAGIC # A day of a network
# MAGIC All sites at once: a streaming tensor of backscatter by site and height, its components through the day, the
# MAGIC map, gaps that were filled, and instruments that no longer fit the others. From the Delta archive that
# MAGIC `ipdsf stream` and `ipdsf network` write.

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

from ipdsf_spark.archive.network import network_now
from ipdsf_spark.archive.reading import read_averages, read_products
from ipdsf_spark.config import load
from ipdsf_spark.plots.network_course import network_course
from ipdsf_spark.plots.network_map import MapSite, network_map
from ipdsf_spark.sites import site_named, sites_of

dbutils.widgets.text("archive", "/Volumes/main/ipdsf/storage/stream/archive", "folder of the archive")
dbutils.widgets.text("sites", "", "table of sites; empty = the one of the configuration")
dbutils.widgets.text("network", "network", "name of the network")
dbutils.widgets.text("day", "2026-06-15", "day, UTC")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Who was there
# MAGIC Averages of five minutes are all that the tensor sees; a site without them is a hole in it, not a zero.

# COMMAND ----------

archive, network, day = (dbutils.widgets.get(name) for name in ("archive", "network", "day"))
table = dbutils.widgets.get("sites")
known = sites_of(load(overrides=[f'sites.file="{table}"'] if table else []))
averages = read_averages(archive, since=day, until=day)
display(averages.groupby(["site", "instrument"])["num_profiles"].agg(intervals="count", profiles="sum").reset_index())

# COMMAND ----------

# MAGIC %md
# MAGIC ## The components through the day
# MAGIC Each is a profile over height, with a weight at every site and a strength that changes with the hour. Below, who
# MAGIC was under alarm and how long.

# COMMAND ----------

kinds = ("network", "network_components", "network_alarm", "network_fill")
said = {kind: read_products(archive, kind=kind, since=day, until=day).to_dict("records") for kind in kinds}
display(network_course(said["network"], said["network_components"][-1], said["network_alarm"], title=network))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The map
# MAGIC The weight of the first component at every site, and alarms that stand. Point at a site for its numbers.

# COMMAND ----------

state = network_now(archive, network)
placed = [(each, site_named(known, each.site)) for each in state.sites]
sites = [
    MapSite(each.site, where.latitude_deg, where.longitude_deg, each.weights[0], each.alarms) for each, where in placed
]
displayHTML(network_map(sites, state.strengths, title=state.title))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Gaps
# MAGIC Missing cells are filled only where that has beaten the hourly climatology; otherwise none is offered.

# COMMAND ----------

last = said["network"][-1]
errors = f"error {last['filling_error_log10']}, climatology {last['climatology_error_log10']} (log10 of backscatter)"
display(
    f"{len(said['network_fill'])} profiles with filled cells; offered now: {bool(last['filling_offered'])}; {errors}"
)

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen a component that grows with the mixing layer, weights that are alike where the weather is,
# MAGIC and alarms only at instruments that somebody should look at.
