"""The training of a forecast: its folder, its data, its resumption, by one worker or by many.

    manifest.json, weights-….npz    the best model (`forecast.folder`)
    checkpoint.pt                   everything a resumed training needs
    history.csv                     an epoch a line: loss, validation, seconds
    series.npz                      the archive's heights, where those are trained on: what every worker reads

Knows numpy and torch; `horovod_workers` runs it in Horovod processes on Spark.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from ipdsf_spark.errors import InputError
from ipdsf_spark.forecast.fitting import Fit, FitProgress, FitSettings
from ipdsf_spark.forecast.folder import FORMAT, MANIFEST, is_model, save_model
from ipdsf_spark.forecast.network_years import NetworkPlan, training_series, validation_series
from ipdsf_spark.forecast.series import Series
from ipdsf_spark.forecast.stored_series import load_series, share_of_sites, split_by_site_and_time
from ipdsf_spark.forecast.table import table_of
from ipdsf_spark.gan.checkpoint import saved
from ipdsf_spark.storage.location import location_of
from ipdsf_spark.storage.lock import is_lock, locked
from ipdsf_spark.training.collective import Collective, Solo
from ipdsf_spark.training.folder import STOP_FILE
from ipdsf_spark.training.worker import stopping

CHECKPOINT: Final = "checkpoint.pt"
HISTORY: Final = "history.csv"
SERIES: Final = "series.npz"
SAVE_EVERY_S: Final = 60.0
COLUMNS: Final = "epoch,updates,loss,validation_loss,best_loss,seconds"


@dataclass(frozen=True)
class ForecastWork:
    """One training, as plain values that travel to every worker.

    Attributes:
        settings: how it is run.
        folder: of the model; worker 0 must reach it, and every worker where an archive is trained on.
        network: the simulated network that is trained on; None = the series in the folder.
        threads: of each worker; 0 = as torch has it.
        anew: begin anew; the model that is there stays until the new one is better than none.
        command: how a person repeats this, written into the model.
    """

    settings: FitSettings
    folder: str
    network: NetworkPlan | None = None
    threads: int = 0
    anew: bool = False
    command: str = ""


Steps = Callable[[str, int, int], None]
"""Told what goes on, how much of it is done and of how much."""


def train_forecast_alone(work: ForecastWork, on_step: Steps = lambda what, done, of: None) -> FitProgress:
    """Train in this process."""
    with claimed_for_forecast(work), stopping() as is_stopped:
        return trained(work, Solo(), is_stopped=is_stopped, on_step=on_step)


@contextmanager
def claimed_for_forecast(work: ForecastWork) -> Iterator[None]:
    """Hold the model's folder against others.

    Raises:
        InputError: somebody else trains there, or it holds what no training of a forecast wrote.
    """
    folder = Path(work.folder)
    require_own(folder)
    with locked(location_of(work.folder), "training a forecast"):
        if work.anew:
            for name in (CHECKPOINT, HISTORY):
                (folder / name).unlink(missing_ok=True)
        yield


def require_own(folder: Path) -> None:
    """Refuse a folder that a training of a forecast must not write to.

    Raises:
        InputError: it is a file, or holds something and neither a model nor a checkpoint of a forecast.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; a model needs a folder")
    if not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir() if not is_lock(path.name)} - {STOP_FILE}
    is_own = (is_model(folder) and _is_marked(folder / MANIFEST)) or (there and there <= {CHECKPOINT, HISTORY, SERIES})
    if there and not is_own:
        raise InputError(
            f"{folder} holds {', '.join(sorted(there)[:3])} and no forecast: nothing was touched; name a new folder, "
            "or that of a forecast"
        )


def _is_marked(manifest: Path) -> bool:
    try:
        return bool(json.loads(manifest.read_text(encoding="utf-8")).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError):
        return False


def trained(
    work: ForecastWork,
    together: Collective,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    on_step: Steps = lambda what, done, of: None,
) -> FitProgress:
    """This worker's part, from the checkpoint if there is one; worker 0 writes."""
    if work.threads:
        torch.set_num_threads(work.threads)
    elif together.local_size > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // together.local_size))
    is_first = together.rank == 0
    train, validation, data = _series(work, together, on_step if is_first else lambda what, done, of: None)
    saver = _Saver(work, data)
    fit = Fit(
        table_of(train),
        table_of(validation),
        work.settings,
        together,
        identity=data,
        is_stopped=is_stopped,
        on_update=lambda progress: _after_update(saver, fit, on_step) if is_first else None,
    )
    if is_first:  # all ranks: `Fit.run` gives everybody the state of worker 0
        saver.resume(fit)
    progress = fit.run()
    if is_first:
        saver.save(fit, is_end=True)
    return progress


def _after_update(saver: _Saver, fit: Fit, on_step: Steps) -> None:
    p = fit.progress
    on_step(
        f"epoch {p.epoch + (p.chunk > 0)}, loss {p.loss:.3f}",
        p.epoch * fit.chunks + p.chunk,
        fit.settings.epochs * fit.chunks,
    )
    if p.chunk == 0:
        saver.tell(fit)
    if p.seconds - saver.saved_at_s > SAVE_EVERY_S or p.chunk == 0:
        saver.save(fit)


def _series(work: ForecastWork, together: Collective, on_step: Steps) -> tuple[Series, Series, dict[str, Any]]:
    """This worker's training and validation sites, and what they are."""
    rank, size, plan = together.rank, together.size, work.network
    if plan is None:
        series, sha256 = load_series(Path(work.folder) / SERIES)
        train, validation = split_by_site_and_time(series)
        return (
            share_of_sites(train, rank, size),
            share_of_sites(validation, rank, size),
            {"archive_sha256": sha256, "sites": len(series.sites), "workers": size},
        )
    if min(plan.train, plan.validation) < size:
        raise InputError(f"{size} workers need at least {size} training and {size} validation sites")
    total, done = (plan.train + plan.validation) // size, 0

    def one_more() -> None:
        nonlocal done
        done += 1
        on_step("simulating sites", done, total)

    train = training_series(plan, one_more, rank=rank, size=size)
    validation = validation_series(plan, one_more, rank=rank, size=size)
    return train, validation, {"simulated": asdict(plan), "workers": size}


class _Saver:
    """Writes model, checkpoint and history; worker 0 only."""

    def __init__(self, work: ForecastWork, data: dict[str, Any]) -> None:
        self.work, self.data, self.folder = work, data, Path(work.folder)
        self.saved_at_s = 0.0
        self._kept_epoch = 0

    def resume(self, fit: Fit) -> None:
        """Go on from the checkpoint, if there is one.

        Raises:
            InputError: it is damaged, or of other data or settings.
        """
        file = self.folder / CHECKPOINT
        if not file.is_file():
            return
        try:
            stored = torch.load(file, map_location="cpu", weights_only=True)
            there = json.loads(stored["identity"])
            state = stored["state"]
        except Exception as error:
            raise InputError(f"{file} is no checkpoint of a forecast, or a damaged one: --anew begins anew") from error
        here = json.loads(json.dumps(fit.identity))
        if differing := sorted(key for key in {*there, *here} if there.get(key) != here.get(key)):
            said = "; ".join(f"{key}: {there.get(key)!r} there, {here.get(key)!r} here" for key in differing)
            raise InputError(f"the checkpoint in {self.folder} is of another training ({said}): --anew begins anew")
        fit.load_state(state)
        self.saved_at_s, self._kept_epoch = fit.progress.seconds, fit.progress.best_epoch

    def save(self, fit: Fit, *, is_end: bool = False) -> None:
        """The checkpoint, and the model where it is a better one or where none has been kept."""
        p = fit.progress
        part = self.folder / f".{CHECKPOINT}.part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            saved({"identity": json.dumps(fit.identity), "state": fit.state()}, part)
            part.replace(self.folder / CHECKPOINT)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write the checkpoint to {self.folder}: {reason}") from error
        self.saved_at_s = p.seconds
        if p.best_epoch > self._kept_epoch or (is_end and not is_model(self.folder) and p.best_epoch):
            save_model(self.folder, fit.best_arrays(), self._facts(fit))
            self._kept_epoch = p.best_epoch

    def tell(self, fit: Fit) -> None:
        """A line of history, after an epoch."""
        p, path = fit.progress, self.folder / HISTORY
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            with path.open("a", encoding="utf-8") as file:
                if is_new:
                    file.write(COLUMNS + "\n")
                file.write(f"{p.epoch},{p.updates},{p.loss:.5f},{fit.last_validation:.5f},{p.best_loss:.5f},")
                file.write(f"{p.seconds:.1f}\n")
        except OSError as error:
            raise InputError(f"cannot write the history in {self.folder}: {error.strerror or error}") from error

    def _facts(self, fit: Fit) -> dict[str, Any]:
        p = fit.progress
        return {
            "data": self.data,
            "settings": {key: value for key, value in asdict(fit.settings).items() if key != "minutes"},
            "epoch": p.best_epoch,
            "updates": p.updates,
            "validation_loss": round(p.best_loss, 5),
            "training_s": round(p.seconds, 1),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "command": self.work.command,
        }
