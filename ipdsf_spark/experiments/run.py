"""Experiments by name: measured once, kept as files, shown again, drawn, and laid out on one page."""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ipdsf_spark.errors import InputError
from ipdsf_spark.experiments.bench import Bench
from ipdsf_spark.experiments.page import write_page
from ipdsf_spark.experiments.pictures import draw
from ipdsf_spark.experiments.result import Claim, Found, Result, path_of, read_result, write_result
from ipdsf_spark.monitoring.provenance import provenance_of


@dataclass(frozen=True)
class Kind:
    """An experiment.

    Attributes:
        module: of its settings, rows and claims.
        runs: module that measures.
        settings: name of its settings.
        title: what it is called.
    """

    module: str
    runs: str
    settings: str
    title: str


KINDS: Final[dict[str, Kind]] = {
    "latency": Kind("latency", "latency", "LatencySettings", "Time and latency against consumers"),
    "throughput": Kind("throughput", "throughput", "ThroughputSettings", "Throughput against consumers and partitions"),
    "hosts": Kind("hosts", "hosts_runs", "HostsSettings", "Two hosts, one broker and two"),
    "sites": Kind("sites", "sites", "SitesSettings", "Sites, and what they cost"),
    "training": Kind("training", "training_runs", "TrainingSettings", "Training without and with Horovod"),
}


def settings_class(experiment: str) -> type[Any]:
    """The settings of an experiment."""
    return getattr(_module(KINDS[experiment].module), KINDS[experiment].settings)  # type: ignore[no-any-return]


def perform(
    experiment: str, settings: Any, bench: Bench, out: Path, *, words: Sequence[str], again: bool = False
) -> tuple[Result, bool]:
    """The result of an experiment, and whether it was measured now; one that lies in `out` is not measured again.

    Args:
        experiment: its name.
        settings: of its kind.
        bench: surroundings.
        out: folder of the results.
        words: of the command line, for whoever wants to repeat it.
        again: measure it anyway.

    Raises:
        InputError: a result is there, but damaged.
    """
    path = path_of(experiment, out)
    if path.is_file() and not again:
        return read_result(path), False
    kind, provenance, began = KINDS[experiment], provenance_of(words), time.monotonic()
    measure: Callable[[Any, Bench], Found] = _module(kind.runs).measure
    found = measure(settings, bench)
    claims: tuple[Claim, ...] = _module(kind.module).claims(settings, found.tables)
    seconds = round(time.monotonic() - began, 1)
    asked = dataclasses.asdict(settings)
    result = Result(experiment, asked, provenance, found.tables, claims, found.notes, seconds)
    write_result(result, out)
    return result, True


def has_same_settings(result: Result, settings: Any) -> bool:
    """Whether a result was measured with these settings."""
    return {name: _plain(value) for name, value in result.settings.items()} == {
        name: _plain(value) for name, value in dataclasses.asdict(settings).items()
    }


def present(out: Path) -> Path:
    """Draw all results that lie in a folder and lay them out on its page.

    Raises:
        InputError: there is none.
    """
    results = [read_result(path) for name in KINDS if (path := path_of(name, out)).is_file()]
    if not results:
        raise InputError(f"no result of an experiment in {out}: measure one first, `ipdsf bench --help` names them")
    pictures = {result.experiment: draw(result, out) for result in results}
    return write_page(results, pictures, {name: kind.title for name, kind in KINDS.items()}, out)


def _module(name: str) -> Any:
    return importlib.import_module(f"ipdsf_spark.experiments.{name}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
