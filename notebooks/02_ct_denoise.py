# Databricks notebook source
# MAGIC %md
# MAGIC # Noise out of a CT
# MAGIC Volumes to Petastorm cubes, a 3-D conditional GAN on the cubes, a full-size volume back, and how good it is. The
# MAGIC chests are phantoms and the network is small, so that all of it takes a minute or two; put your own volumes in
# MAGIC place of `paths` and give the training an hour.

# COMMAND ----------

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from ipdsf_spark.config import load
from ipdsf_spark.ct.phantom import chest_phantom
from ipdsf_spark.ct.provenance import Provenance
from ipdsf_spark.ct.window import unwindowed
from ipdsf_spark.ct.writing import write_volume
from ipdsf_spark.gan.checkpoint import load_model
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.imaging.degrade import Degradation
from ipdsf_spark.imaging.evaluate import evaluate
from ipdsf_spark.imaging.generate import Generation
from ipdsf_spark.imaging.history import read_history
from ipdsf_spark.imaging.tables import baseline_table
from ipdsf_spark.packing.local_copy import local_copy
from ipdsf_spark.packing.pack import pack, wanted_volumes
from ipdsf_spark.packing.reference import reference_of
from ipdsf_spark.plots.ct_comparison import Comparison, comparison_figure
from ipdsf_spark.plots.training_curves import Curve, curves_figure
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.worker import Work, train_alone

# COMMAND ----------

# MAGIC %md
# MAGIC ## Three chests to learn from, one to be judged on
# MAGIC They are written as NIfTI. DICOM series, NRRD and MetaImage are read just so; `ipdsf ct info` says what is in
# MAGIC them.

# COMMAND ----------

dbutils.widgets.text("samples", "1200", "cubes to learn from")
folder = Path(tempfile.mkdtemp(prefix="ipdsf-"))
chests = [chest_phantom((48, 96, 96), seed=seed, spacing_mm=(6.0, 3.7, 3.7)).volume for seed in range(4)]
made = Provenance("phantom", datetime.now(UTC))
paths = [str(write_volume(folder / f"chest-{k}.nii.gz", chest, made)) for k, chest in enumerate(chests)]

# COMMAND ----------

# MAGIC %md
# MAGIC ## Packed by Spark
# MAGIC One task per volume, one Petastorm data set, split by patient. The contrast enhancement is fitted on the
# MAGIC training volumes only, and saved with the cubes.

# COMMAND ----------

small = ["training.width=8", "training.batch=8", "training.learning_rate=1e-3", "training.precision=fp32"]
config = load(overrides=[f"storage.root={folder}/storage", *small])
packed = pack(spark, config, "chest", wanted_volumes(paths[:3], paths[3:], []))
display(f"{packed.num_cubes} cubes in {packed.num_row_groups} row groups, {packed.bytes / 2**20:.1f} MB")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The training
# MAGIC The loop that Horovod runs on Spark executors (`ipdsf ct train --workers 2`), here by one worker.

# COMMAND ----------

reference = reference_of(config, "chest")
cubes = local_copy(reference, folder / "cache")
facts = {"overlap": reference.manifest.parameters.overlap}
samples = int(dbutils.widgets.get("samples"))
ended = train_alone(Work(settings_of(config, samples=samples), str(folder / "model"), str(cubes), facts))
history = read_history(folder / "model")
names = {"loss_l1": "generator, L1", "loss_d": "discriminator loss", "psnr_db": "PSNR of cubes [dB]"}
curves = {t: [Curve("one worker", history["seconds"], history[n], history.smoothed(n))] for n, t in names.items()}
display(curves_figure(curves))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The chest it has not seen
# MAGIC Noise of a twentieth of the window is added to the whole volume, its cubes go through the averaged generator,
# MAGIC and are blended where they overlap. PSNR and SSIM are those of the stitched volume.

# COMMAND ----------

generation = Generation.of(Predictor(load_model(folder / "model")))
judged = evaluate(
    generation, chests[3], Degradation("denoise"), model="small", num_workers=0, with_strong=False, with_nodules=False
)
case, middle = judged
pictures = (unwindowed(picture, case.window_hu) for picture in (middle.prediction, middle.original))
display(comparison_figure([Comparison("small", *pictures, middle.spacing_yx_mm, case.window_hu)], title="chest 3"))
display(baseline_table([case]).markdown())

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen losses that fall within the first hundred steps, a chest whose differences from the
# MAGIC original are noise and thin edges, and a model above both baselines in PSNR and SSIM.
