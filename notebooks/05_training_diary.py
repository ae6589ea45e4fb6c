# Databricks notebook source
# MAGIC %md
# MAGIC # A training, without and with Horovod
# MAGIC The same 3-D conditional GAN on the same cubes: once by one process, once by Horovod processes on Spark
# MAGIC executors. What each learnt per second, where a step's time went, and how good both are on a chest neither has
# MAGIC seen. The chests are phantoms and the network is small, so that all of it takes a few minutes.

# COMMAND ----------

# MAGIC %pip install --quiet /Volumes/main/ipdsf/wheels/horovod-0.28.1-cp312-cp312-linux_x86_64.whl
# MAGIC %pip install --quiet "/Volumes/main/ipdsf/wheels/ipdsf_spark-0.1.0-py3-none-any.whl[imaging]"

# COMMAND ----------

dbutils.library.restartPython()

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
from ipdsf_spark.imaging.tables import quality_table
from ipdsf_spark.packing.local_copy import local_copy
from ipdsf_spark.packing.pack import pack, wanted_volumes
from ipdsf_spark.packing.reference import reference_of
from ipdsf_spark.plots.ct_comparison import Comparison, comparison_figure
from ipdsf_spark.plots.training_curves import Curve, curves_figure, step_time_figure
from ipdsf_spark.training.configured import settings_of
from ipdsf_spark.training.facts import data_facts
from ipdsf_spark.training.horovod_workers import SparkWork, train_on_spark
from ipdsf_spark.training.worker import Work, train_alone

dbutils.widgets.text("samples", "1200", "cubes to learn from, each")
dbutils.widgets.text("workers", "2", "Horovod processes")
dbutils.widgets.text(
    "storage", "", "storage.root, in a volume: /Volumes/main/ipdsf/storage; empty = a temporary folder of one machine"
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Cubes
# MAGIC Three chests to learn from, one to be judged on, packed as in the notebook on cubes.

# COMMAND ----------

storage = dbutils.widgets.get("storage")
folder = Path(tempfile.mkdtemp(prefix="ipdsf-", dir=storage or None))  # what the driver and executors both see
cache = Path(tempfile.gettempdir()) / folder.name / "cubes"  # every machine has its own
chests = [chest_phantom((48, 96, 96), seed=seed, spacing_mm=(6.0, 3.7, 3.7)).volume for seed in range(4)]
made = Provenance("phantom", datetime.now(UTC))
paths = [str(write_volume(folder / f"chest-{k}.nii.gz", chest, made)) for k, chest in enumerate(chests)]
small = ["training.width=8", "training.batch=8", "training.learning_rate=1e-3", "training.precision=fp32"]
root = storage or folder / "storage"
config = load(overrides=[f'storage.root="{root}"', f'training.cache_directory="{cache}"', *small])
packed = pack(spark, config, "diary", wanted_volumes(paths[:3], paths[3:], []))
display(f"{packed.num_cubes} cubes in {packed.num_row_groups} row groups, {packed.bytes / 2**20:.1f} MB")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Two trainings
# MAGIC First one process, numpy and torch alone, on cubes that were copied out of Petastorm once. Then the same loop in
# MAGIC Horovod processes on Spark executors, a batch each: K workers with batch b take the steps of one worker with
# MAGIC batch K·b. Gradients travel while the workers compute.

# COMMAND ----------

reference = reference_of(config, "diary")
cubes = local_copy(reference, cache)
settings, facts = settings_of(config, samples=int(dbutils.widgets.get("samples"))), data_facts(reference.facts)
alone = Work(settings, str(folder / "alone"), str(cubes), {**facts, "horovod": False}, threads=1)
by_workers = Work(settings, str(folder / "horovod"), "", {**facts, "horovod": True}, threads=1)
job = SparkWork(by_workers, reference, config.training.cache_directory)
without, with_horovod = train_alone(alone), train_on_spark(spark, job, int(dbutils.widgets.get("workers")))
display(f"without Horovod: {without.samples} cubes in {without.seconds:.0f} s")
display(f"with Horovod: {with_horovod.samples} cubes in {with_horovod.seconds:.0f} s")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The diary
# MAGIC Losses and the quality of training cubes against time; what a step's time went to. Two workers on two cores can
# MAGIC be twice as fast at most, and only where the machine does nothing else.

# COMMAND ----------

told = {name: read_history(folder / path) for name, path in (("without Horovod", "alone"), ("with Horovod", "horovod"))}
quantities = {"loss_l1": "generator, L1", "loss_d": "discriminator loss", "psnr_db": "PSNR of cubes [dB]"}
display(
    curves_figure(
        {
            title: [Curve(n, h["seconds"], h[q], h.smoothed(q)) for n, h in told.items()]
            for q, title in quantities.items()
        }
    )
)
display(step_time_figure({name: history.step_times_ms() for name, history in told.items()}))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The chest neither has seen
# MAGIC Noise of a twentieth of the window is added to the whole volume, its cubes go through the averaged generator,
# MAGIC and are blended where they overlap. PSNR and SSIM are those of the stitched volume.

# COMMAND ----------

models = {
    name: Generation.of(Predictor(load_model(folder / path)))
    for name, path in (("without Horovod", "alone"), ("with Horovod", "horovod"))
}
task, quick = Degradation("denoise"), {"num_workers": 0, "with_strong": False, "with_nodules": False}
judged = {name: evaluate(each, chests[3], task, model=name, **quick) for name, each in models.items()}
display(quality_table(*([case] for case, _ in judged.values())).markdown())
sides = [
    Comparison(name, *(unwindowed(each, case.window_hu) for each in (seen.prediction, seen.original)),
               seen.spacing_yx_mm, case.window_hu)
    for name, (case, seen) in judged.items()
]  # fmt: skip
display(comparison_figure(sides, title="chest 3"))

# COMMAND ----------

# MAGIC %md
# MAGIC You should have seen losses that fall within the first hundred steps, two curves that differ in time and hardly
# MAGIC in height, an allreduce that is a small part of a step, and differences from the original that are noise and
# MAGIC thin edges.
