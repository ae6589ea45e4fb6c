# Databricks notebook source
# MAGIC %md
# MAGIC # Cubes and packing
# MAGIC CT volumes of any size become one Petastorm data set of small cubes, written by Spark, and come back whole. The
# MAGIC chests are phantoms; put a folder of your own volumes in place of them.

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/horovod-0.28.1-cp312-cp312-linux_x86_64.whl
# MAGIC %pip install --quiet "/Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl[imaging]"

# COMMAND ----------

dbutils.library.restartPython()

# COMMAND ----------

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ipdsf_spark.config import load
from ipdsf_spark.ct.cubes import CubePlan, cubes_of
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.reading import survey
from ipdsf_spark.ct.stitching import seam_ratio, stitched_volume
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.packing.pack import pack, wanted_volumes
from ipdsf_spark.packing.reading import cube_batches
from ipdsf_spark.packing.reference import reference_of
from ipdsf_spark.plots.ct_cubes import cubes_figure

dbutils.widgets.text("volumes", "", "folder of CT, in a volume; empty = phantoms")
dbutils.widgets.text(
    "storage", "", "storage.root, in a volume: /Volumes/main/ipdsf/storage; empty = a temporary folder of one machine"
)
dbutils.widgets.text("secret_scope", "", "scope with pseudonym-key; empty = a random salt beside the data set")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What there is
# MAGIC DICOM, NIfTI, NRRD, MetaImage and pictures are read; what is wrong with a volume is said, not repaired.

# COMMAND ----------

storage = dbutils.widgets.get("storage")
folder = Path(tempfile.mkdtemp(prefix="ipdsf-", dir=storage or None))  # in the volume, for executors read it
chests = [chest_phantom((48, 96, 96), seed=seed, spacing_mm=(6.0, 3.7, 3.7)).volume for seed in range(3)]
made = Provenance("phantom", datetime.now(UTC))
phantoms = [str(write_volume(folder / f"chest-{number}.nii.gz", chest, made)) for number, chest in enumerate(chests)]
given = dbutils.widgets.get("volumes")
paths = sorted(str(path) for path in Path(given).iterdir()) if given else phantoms
seen = [survey(path) for path in paths]
rows = [(each.hu.shape, each.grid.spacing_mm, each.hu.min(), each.hu.max(), len(each.problems)) for each in seen]
display(pd.DataFrame(rows, columns=["shape", "spacing [mm]", "lowest HU", "highest HU", "remarks"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Packed by Spark
# MAGIC One task per volume, one data set, split by patient: a patient is in training or in test, never in both. Who is
# MAGIC who is known by a keyed hash; the key is a secret, and only the driver sees it.

# COMMAND ----------

scope = dbutils.widgets.get("secret_scope")
config = load(overrides=[f'storage.root="{storage or folder / "storage"}"'])
os.environ[config.ct.pseudonym_key_env] = dbutils.secrets.get(scope, "pseudonym-key") if scope else ""
packed = pack(spark, config, "notebook", wanted_volumes(paths[:-1], paths[-1:], []))
display(f"{packed.num_cubes} cubes in {packed.num_row_groups} row groups, {packed.bytes / 2**20:.1f} MB")

# COMMAND ----------

# MAGIC %md
# MAGIC ## What a network sees
# MAGIC Cubes as they come out of Petastorm, each with its place in its volume: the middle slice, in the HU window.

# COMMAND ----------

reference = reference_of(config, "notebook")
batch, keys = next(iter(cube_batches(reference.files, config.ct.cube_size)))
window = (config.ct.window_low_hu, config.ct.window_high_hu)
busiest = np.argsort(-batch.std(axis=(1, 2, 3)))[:16]
display(cubes_figure(batch[busiest], [keys[k][1:] for k in busiest], window, title="training cubes"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## And whole again
# MAGIC Cubes overlap and are blended where they do. Cutting and stitching alone must change nothing: no voxel, no seam.

# COMMAND ----------

hu = seen[-1].hu
plan = CubePlan(hu.shape, config.ct.cube_size, config.ct.overlap)
whole = stitched_volume(plan, cubes_of(hu, plan))
display(
    f"{plan.num_cubes} cubes; largest difference {np.abs(whole - hu).max():.3g} HU; seams {seam_ratio(whole, plan):.2f}"
)

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen a table without remarks, a data set of a few megabytes, cubes of lung, heart and spine, and
# MAGIC a difference of rounding only.
