"""A training by Horovod processes on Spark executors.

    driver ── horovod.spark.run ──► task 0 … K-1, one Horovod process each
                                      │  Petastorm data set → this machine's copy of the cubes
                                      └─ the training loop, gradients averaged by Horovod

Elastic: the job goes on with fewer workers when one is lost, from the last step on which all agreed.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import horovod.spark
import horovod.spark.task
import horovod.torch as hvd
import torch
from horovod.common.elastic import State
from horovod.common.exceptions import HorovodInternalError
from horovod.runner import gloo_run
from pyspark.sql import SparkSession

from ipdsf_spark.forecast.fitting import FitProgress
from ipdsf_spark.packing.local_copy import DatasetReference, local_copy
from ipdsf_spark.spark.master import given_master, is_cluster
from ipdsf_spark.storage.object_store import ENDPOINT_VARIABLES, REGION_VARIABLES, is_in_object_store
from ipdsf_spark.training.cores import keep_to_share_of_cores
from ipdsf_spark.training.failures import Overheard, first_of, told
from ipdsf_spark.training.folder import STOP_FILE
from ipdsf_spark.training.forecast_work import ForecastWork, claimed_for_forecast, trained
from ipdsf_spark.training.horovod_collective import HorovodCollective
from ipdsf_spark.training.loop import Progress, Trainer
from ipdsf_spark.training.wholes import mid_copy
from ipdsf_spark.training.worker import Work, claimed, converged, stopping, trainer_of

logger = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 120
# How often Horovod looks for work. Each look is a message between all workers, in a step as well as between steps: at
# its default of 1 ms a tenth of a CPU worker's time. CPU steps are long and compute while gradients travel, so a CPU
# worker looks rarely; a GPU's steps are short and leave the CPU free.
CPU_CYCLE_MS: Final = "20"
SPARK_THREAD: Final = "(run_spark)"  # in the name of Horovod's thread, by its function
PATHS: Final = ("PATH", "LD_LIBRARY_PATH", "CLASSPATH", "HADOOP_CONF_DIR", "TMPDIR", "XDG_CACHE_HOME", "IPDSF_CONF")
PASSED_ON: Final = frozenset((*PATHS, "LANG", "LC_ALL", "TZ"))
TUNING: Final = ("HOROVOD_", "OMP_", "MKL_", "KMP_", "GLOO_", "NCCL_", "CUDA_", "TORCH_", "PYTORCH_", "PYTHON")
SECRET: Final = re.compile(r"^IPDSF_.*(USERNAME|PASSWORD|KEY|TOKEN)|PASSWORD|PASSWD|^AWS_(ACCESS|SECRET|SESSION)")
# Of an object store: where it is. Who may read it is a matter of the executors' environment or role, not of ours.
STORE: Final = (*ENDPOINT_VARIABLES, *REGION_VARIABLES, "AWS_PROFILE")


@dataclass(frozen=True)
class SparkWork:
    """A training and the data set it reads."""

    work: Work
    dataset: DatasetReference
    cache: str  # folder on every machine for its copy of the cubes; `~` is that of the machine
    feed: str = "copy"  # or "shards": read the data set while training
    secrets: tuple[str, ...] = ()  # environment variables that workers must not see
    is_mid: bool = False  # on the volumes at a quarter of their resolution (`wholes`): the first stage of synthesis


def train_on_spark(spark: SparkSession, job: SparkWork, num_workers: int) -> Progress:
    """Train with `num_workers` Horovod processes; ends when all have ended.

    Args:
        spark: session with at least as many task slots.
        job: the training.
        num_workers: Horovod processes.
    """
    with claimed(job.work), _stopped_by_file(job.work.folder), _without_frames() as said:
        results = horovod.spark.run(
            _work,
            args=(job,),
            num_proc=num_workers,
            start_timeout=START_TIMEOUT_S,
            env=_environment(spark, job),
            executable=_hosts_python(),
            stdout=said,
            stderr=said,
            verbose=0,
            prefix_output_with_timestamp=False,
        )
    return converged(Progress(**first_of(results)), job.work)


def train_elastically(
    spark: SparkSession, job: SparkWork, num_workers: int, *, min_workers: int = 1, max_workers: int | None = None
) -> Progress:
    """As `train_on_spark`, but goes on when workers are lost or come.

    A Spark task fails with its worker, so the master must allow for that: ``local[N,F]`` with F task failures, or a
    cluster's ``spark.task.maxFailures``. Horovod starts its processes with the driver's path of Python here, so a
    cluster's hosts must have theirs at the same path.

    Args:
        spark: session with at least as many task slots.
        job: the training.
        num_workers: Horovod processes to begin with.
        min_workers: fewer end the training.
        max_workers: more are not started.
    """
    with claimed(job.work), _stopped_by_file(job.work.folder), _without_frames() as said:
        results = horovod.spark.run_elastic(
            _work_elastically,
            args=(job,),
            num_proc=num_workers,
            min_np=min_workers,
            max_np=max_workers or num_workers,
            start_timeout=START_TIMEOUT_S,
            elastic_timeout=START_TIMEOUT_S,
            env=_environment(spark, job),
            stdout=said,
            stderr=said,
            verbose=0,
            prefix_output_with_timestamp=False,
        )
    return converged(Progress(**first_of(results)), job.work)


def train_forecast_on_spark(work: ForecastWork, num_workers: int, secrets: Sequence[str] = ()) -> FitProgress:
    """Train a forecast with `num_workers` Horovod processes in the slots of the session that runs.

    Args:
        work: the training.
        num_workers: Horovod processes.
        secrets: environment variables that workers must not see.
    """
    with claimed_for_forecast(work), _stopped_by_file(work.folder), _without_frames() as said:
        results = horovod.spark.run(
            _train_forecast,
            args=(work,),
            num_proc=num_workers,
            start_timeout=START_TIMEOUT_S,
            env=_passed_on(secrets, is_on_gpu=False),
            executable=_hosts_python(),
            stdout=said,
            stderr=said,
            verbose=0,
            prefix_output_with_timestamp=False,
        )
    return FitProgress(**first_of(results))


def _train_forecast(work: ForecastWork) -> dict[str, Any]:
    """In every Horovod process."""
    keep_to_share_of_cores()  # before Horovod starts its threads
    is_stopped = (Path(work.folder) / STOP_FILE).exists
    return _among_workers(lambda all_: dataclasses.asdict(trained(work, all_, is_stopped=is_stopped)))


def _among_workers(work: Callable[[HorovodCollective], dict[str, Any]]) -> dict[str, Any]:
    """What `work` returns in this Horovod process, or its failure; then the others hear that this one has left."""
    hvd.init()
    try:
        return told(lambda: work(HorovodCollective()), rank=hvd.rank(), is_consequence=_is_consequence)
    finally:
        hvd.shutdown()


def _is_consequence(error: Exception) -> bool:
    """True where Horovod has ended under a worker, because another one left."""
    return isinstance(error, HorovodInternalError) or not hvd.is_initialized()


@contextmanager
def _without_frames() -> Iterator[Overheard]:
    """What workers write; one that failed is told of once, by name, and not by the thread that waits for Spark as well.

    Raises:
        IpdsfError: a worker failed, or its process ended without a word.
    """
    said = Overheard(sys.stderr)
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.thread is not None and SPARK_THREAD in args.thread.name:
            logger.info("the Spark job of the workers: %s", args.exc_value)
        else:
            before(args)

    threading.excepthook = hook
    try:
        with said.named():
            yield said
    finally:
        threading.excepthook = before


@contextmanager
def _stopped_by_file(folder: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM at the driver end the training after a checkpoint: worker 0 looks for a file in its folder.

    Horovod would kill the workers at once: it takes over both signals when it launches them, and is kept from it here.
    """
    file = Path(folder) / STOP_FILE

    def stop() -> None:
        with suppress(OSError):  # a folder that has gone ends the training by another word
            file.touch()

    file.unlink(missing_ok=True)
    took_over = gloo_run.register_shutdown_event
    gloo_run.register_shutdown_event = threading.Event
    try:
        with stopping(stop):
            yield
    finally:
        gloo_run.register_shutdown_event = took_over
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _environment(spark: SparkSession, job: SparkWork) -> dict[str, str]:
    gives_gpus = float(spark.conf.get("spark.task.resource.gpu.amount", "0") or 0) > 0
    is_on_gpu = _is_on_gpu(job) or (gives_gpus and not job.work.device)
    return _passed_on(job.secrets, is_on_gpu=is_on_gpu, reads_store=is_in_object_store(job.dataset.place))


def _passed_on(secrets: Sequence[str], *, is_on_gpu: bool, reads_store: bool = False) -> dict[str, str]:
    """What a Horovod process inherits from the driver: what the libraries are tuned by, and on this machine paths.

    On one machine a worker would inherit the rest from Spark's JVM; secrets are blanked there. On a cluster paths are
    those of the executor, its PYTHONPATH with the package that was shipped among them.
    Where the data set is in an object store, a worker of this machine keeps the credentials that Spark's JVM has.
    """
    inherited = {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith(TUNING)}
    kept = {*inherited, *(name for name in os.environ if reads_store and name.startswith("AWS_"))}
    hidden = {name: "" for name in (*secrets, *filter(SECRET.search, os.environ)) if name not in kept}
    if is_cluster(given_master()):
        inherited = {k: v for k, v in inherited.items() if k not in (*PATHS, "PYTHONPATH", "PYTHONHOME")}
    store = {name: os.environ[name] for name in STORE if reads_store and name in os.environ}
    pace = {} if is_on_gpu else {"HOROVOD_CYCLE_TIME": CPU_CYCLE_MS}
    return {**hidden, **pace, **store, **inherited}


def _hosts_python() -> str | None:
    """The Python of a cluster's hosts; None for the one of this machine."""
    return os.environ.get("PYSPARK_PYTHON") if is_cluster(given_master()) else None


def _is_on_gpu(job: SparkWork) -> bool:
    return job.work.device == "cuda" or (not job.work.device and torch.cuda.is_available())


def _work(job: SparkWork) -> dict[str, Any]:
    """In every Horovod process."""
    if not _is_on_gpu(job):
        keep_to_share_of_cores()  # before Horovod starts its threads
    return _among_workers(lambda all_: _trained(job, all_))


def _trained(job: SparkWork, collective: HorovodCollective) -> dict[str, Any]:
    with _cubes_of_stage(job) as here:
        return dataclasses.asdict(_trainer(here, collective).run())


@contextmanager
def _cubes_of_stage(job: SparkWork) -> Iterator[SparkWork]:
    """The job with the folder of its cubes, where they are made on this machine."""
    if not job.is_mid:
        yield job
        return
    copied = local_copy(job.dataset, Path(job.cache).expanduser())
    with mid_copy(copied, job.work.folder) as cubes:
        yield dataclasses.replace(job, work=dataclasses.replace(job.work, cubes=str(cubes)))


def _work_elastically(job: SparkWork) -> dict[str, Any]:
    """In every Horovod process; called again by those that are left when one is lost.

    A named error would meet the next worker as well: it ends the training. With any other the worker is lost.
    """
    hvd.init()

    def work() -> dict[str, Any]:
        run: Any = hvd.elastic.run(_resume)
        return dict(run(_ElasticState(job)))

    return told(work, rank=hvd.rank(), tells_all=False)


def _resume(state: _ElasticState) -> dict[str, Any]:
    return dataclasses.asdict(state.trainer.run(commit=state.commit))


class _ElasticState(State):  # type: ignore[misc]
    """The state of a training on which all workers last agreed; `commit` is called between steps."""

    def __init__(self, job: SparkWork) -> None:
        super().__init__(bcast_object=hvd.broadcast_object, get_rank=hvd.rank)
        self._job = job
        self.trainer = _trainer(job, HorovodCollective())
        self.save()

    def save(self) -> None:
        """Remember this state."""
        self._networks = copy.deepcopy(self.trainer.nets.state())
        self._progress = copy.copy(self.trainer.progress)

    def restore(self) -> None:
        """Go back to it: a step may have been cut off in its middle."""
        self.trainer.nets.load_state(self._networks)
        self.trainer.progress = copy.copy(self._progress)

    def sync(self) -> None:
        """Take over worker 0's state; the workers may be others than before."""
        self.trainer.collective = HorovodCollective()
        self.trainer.progress = Progress(
            **hvd.broadcast_object(dataclasses.asdict(self.trainer.progress), root_rank=0, name="progress")
        )
        self.trainer.collective.share(self.trainer.nets)
        self.save()

    def reset(self) -> None:
        """Nothing of this process depends on the others but what `sync` renews."""


def _trainer(job: SparkWork, collective: HorovodCollective) -> Trainer:
    """This worker's loop, on this machine's copy of the cubes."""
    if job.is_mid:
        work = job.work
    elif job.feed == "shards":
        work = dataclasses.replace(job.work, shards=job.dataset)
    else:
        work = dataclasses.replace(job.work, cubes=str(local_copy(job.dataset, Path(job.cache).expanduser())))
    gpus = tuple(horovod.spark.task.get_available_devices())
    return trainer_of(work, collective, gpus=gpus, is_stopped=(Path(work.folder) / STOP_FILE).exists)
