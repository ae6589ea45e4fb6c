# Databricks notebook source
# MAGIC %md
# MAGIC # Live layers and air quality
# MAGIC What the stream has said of a site, read from its Delta archive while it is written: heights, the class of every
# MAGIC gate, air quality, forecasts. No Kafka, and no Spark: the tables are files, where `stream.archive_directory`
# MAGIC says, best in a volume. After `make demo` there are some in `out/demo/stream/archive`.

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

import numpy as np

from ipdsf_spark.archive.reading import read_averages, read_products
from ipdsf_spark.config import load
from ipdsf_spark.demo.outcome import layers_of
from ipdsf_spark.forecast.foretold import fan_of_records
from ipdsf_spark.lidar.air_quality.records import row_of
from ipdsf_spark.lidar.edges.lines import lines_of_records
from ipdsf_spark.lidar.targets.series import series_of_records
from ipdsf_spark.plots.forecast_fan import forecast_fan
from ipdsf_spark.plots.raster import raster_of_averages
from ipdsf_spark.plots.site_day import SiteDay, site_day
from ipdsf_spark.sites import layer_settings, site_named, sites_of

dbutils.widgets.text("archive", "/Volumes/main/ipdsf/storage/stream/archive", "folder of the archive")
dbutils.widgets.text("sites", "", "table of sites; empty = the one of the configuration")
dbutils.widgets.text("site", "munich", "site")
dbutils.widgets.text("day", "2026-06-15", "day, UTC")

# COMMAND ----------

# MAGIC %md
# MAGIC ## One site and day
# MAGIC Of every time the newest revision counts: a provisional height is replaced by its final one. The same rows by
# MAGIC Spark: `spark.read.format("delta").load(f"{archive}/products")`.

# COMMAND ----------

archive, name, day = (dbutils.widgets.get(widget) for widget in ("archive", "site", "day"))
table = dbutils.widgets.get("sites")
config = load(overrides=[f'sites.file="{table}"'] if table else [])
site = site_named(sites_of(config), name)
of_day = {"site": name, "since": day, "until": day}
heights = read_products(archive, **of_day)
columns = ["time", "mixing_height_m", "uncertainty_m", "residual_height_m", "cloud_base_m", "provisional", "quality"]
display(heights[columns].tail(12))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Everything that is known of it, in one picture
# MAGIC The backscatter comes from the archive too: means of five minutes on blocks of about 50 m.

# COMMAND ----------

averages = read_averages(archive, **of_day).to_dict("records")
said = {kind: read_products(archive, kind=kind, **of_day).to_dict("records") for kind in ("targets", "edges")}
air = [row_of(record) for record in read_products(archive, kind="air_quality", **of_day).to_dict("records")]
cells = raster_of_averages(averages, site.max_height_m, calibration=site.calibration)
picture = SiteDay(
    site,
    averages[0]["instrument"],
    cells,
    layers_of(heights),
    layer_settings(config).ceiling,
    targets=series_of_records(said["targets"]) if said["targets"] else None,
    edges=lines_of_records(said["edges"]),
    air=air,
)
display(site_day(picture))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was foretold
# MAGIC The forecast that was made at noon, UTC, beside what came: ten minutes to three hours ahead, with the interval
# MAGIC that shall hold the height eight times in ten.

# COMMAND ----------

forecasts = read_products(archive, kind="forecast", **of_day)
noon = int(np.searchsorted(forecasts["time"].to_numpy(), np.datetime64(f"{day}T12:00"))) - 1
display(forecast_fan(fan_of_records(forecasts.to_dict("records"), noon), title=name))

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen heights that follow the sun, classes that agree with the sky, air quality by the hour with
# MAGIC an uncertainty as large as an uncalibrated instrument deserves, and a fan that opens with its lead.
