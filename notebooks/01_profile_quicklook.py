# Databricks notebook source
# MAGIC %md
# MAGIC # Profile quick-look
# MAGIC One day of one ceilometer: what the instrument sent, what the tracker made of it, and how far that is from the
# MAGIC truth. The day is simulated, so that the truth is known; the functions are those that the stream uses.

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

import numpy as np

from ipdsf_spark import plots
from ipdsf_spark.lidar.files import FileReader
from ipdsf_spark.lidar.layers.mixing_height import retrieve
from ipdsf_spark.lidar.layers.replay import replay
from ipdsf_spark.lidar.products.records import products_of
from ipdsf_spark.lidar.simulator import FileBank, simulate_day
from ipdsf_spark.lidar.site import Site

dbutils.widgets.text("day", "2026-06-15", "day, UTC")
dbutils.widgets.text("instrument", "cl51", "cl31, cl51, chm15k or cl61")
dbutils.widgets.text("scenario", "mixed", "clear, cumulus, stratus, rain, fog or mixed")

# COMMAND ----------

# MAGIC %md
# MAGIC ## A day with everything
# MAGIC A Vaisala CL51 near Munich in June: a nocturnal layer under a residual one, growth after sunrise, cumulus,
# MAGIC perhaps fog or a shower. The instrument writes a file every five minutes, with its own noise.

# COMMAND ----------

site = Site("munich", latitude_deg=48.148, longitude_deg=11.573, altitude_m=539.0)
date, scenario, instrument = (dbutils.widgets.get(name) for name in ("day", "scenario", "instrument"))
day = simulate_day(site, date, rng=np.random.default_rng(7), scenario=scenario, instrument=instrument)
bank = FileBank([day], minutes=5)
starts = np.datetime64(f"{date}T00:00", "m") + np.arange(0, 24 * 60, 5)
files = [bank.file(site.id, 0, start) for start in starts]
display(f"{len(files)} files of {len(files[0].raw)} bytes, the first is {files[0].name}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## From bytes to profiles
# MAGIC The reader is chosen by what the bytes are, not by what the file is called. To look at your own instrument, put
# MAGIC pairs of name and bytes in place of `files`, and its position in place of `site`.

# COMMAND ----------

reader = FileReader()
profiles = list(reader.blocks((file.name, file.raw) for file in files))
display(f"{reader.num_profiles} profiles of {', '.join(reader.files_by_instrument)}; {len(reader.rejected)} rejected")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The curtain
# MAGIC Backscatter in colour, the tracked mixing height in white with its uncertainty, the known height dashed. The
# MAGIC strip below says what hid the layer (sky) and what was published (height).

# COMMAND ----------

layers = retrieve(profiles, site)
truth = plots.Truth(day.truth_time, day.true_mixing_height_m)
display(plots.curtain(profiles, layers, site=site.id, truth=truth))

# COMMAND ----------

# MAGIC %md
# MAGIC ## At once, or right
# MAGIC The stream publishes a provisional height with every file and a final one two hours later. Both against the
# MAGIC truth, and one product as consumers receive it.

# COMMAND ----------

seen = replay(profiles, site)
display(
    plots.error_figure(
        layers.time, day.truth_at(layers.time), layers.mixing_height_m, seen.issued.mixing_height_m, site=site.id
    )
)
display(products_of(site.id, layers)[144])

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen a layer that grows from some 300 m at sunrise to above 1 km at noon and falls at sunset,
# MAGIC clouds at its top, no height under fog or rain, and errors of a few tens of metres.
