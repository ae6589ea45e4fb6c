"""What every room's tests share: the repository, real files, a seeded generator, an environment without surprises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ipdsf_spark.devkafka import EmbeddedKafka

REPOSITORY = Path(__file__).resolve().parent.parent

# Spark workers must run the interpreter of this environment, pictures must not look for a screen, and the configuration
# under test is the one of this checkout.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["MPLBACKEND"] = "Agg"
os.environ["IPDSF_CONF"] = str(REPOSITORY / "conf")

# A shared or slow machine is no reason to fail a law, so laws have no deadline.
settings.register_profile("ipdsf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ipdsf")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What a process of the suite takes as a whole: a room's files that need the broker or the data set, else a file.

    The slow ones begin first, so that no process waits long for the other at the end.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    is_slow: dict[str, bool] = {}
    for path, tests in files.items():
        used = {name for item in tests for name in getattr(item, "fixturenames", ())}
        shared = sorted(used & {"kafka", "packed_chest", "secured"})
        group = "-".join([path.parent.name, *shared] if shared else [path.parent.name, path.stem])
        is_slow[group] = is_slow.get(group, False) or any(item.get_closest_marker("slow") for item in tests)
        for item in tests:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: not is_slow[item.get_closest_marker("xdist_group").args[0]])  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files: $IPDSF_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("IPDSF_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"the real files are not here: {folder} does not exist, and IPDSF_DATA names no other folder")
    return folder


@pytest.fixture(scope="session")
def real_ceilometer_data(real_data: Path) -> Path:
    """The ceilometer files with their INVENTORY.csv."""
    return real_data / "ceilometer"


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20210909)


class Brokers:
    """A real broker for the tests of one room at a time: topics of rooms cannot meet, whatever runs in one process."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._room = ""
        self._broker: EmbeddedKafka | None = None

    def of(self, room: str) -> EmbeddedKafka:
        """The broker of a room; the one of the room before is stopped."""
        from ipdsf_spark.devkafka import EmbeddedKafka

        if self._broker is None or room != self._room:
            self.stop()
            self._room = room
            self._broker = EmbeddedKafka(self._folders.mktemp("kafka"), heap_mb=384, logins={"edge": "secret"})
            self._broker.start()
        return self._broker

    def stop(self) -> None:
        """Stop what runs."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    held = Brokers(tmp_path_factory)
    yield held
    held.stop()


@pytest.fixture(scope="module")
def kafka(request: pytest.FixtureRequest, brokers: Brokers) -> EmbeddedKafka:
    """A real broker for all tests of a room that need one; each uses topics of its own."""
    return brokers.of(request.path.parent.name)


@dataclass(frozen=True)
class PackedChest:
    """A data set of phantoms on a storage array of its own: two volumes to train on, one to test with."""

    storage: Path
    volumes: Path  # train-1.nii.gz, train-2.nii.gz, test-1.nii.gz
    name: str = "chest"

    @property
    def settings(self) -> list[str]:
        """What makes the command use it."""
        cache = self.storage.parent / "cache"
        return ["--set", f"storage.root={self.storage}", "--set", f"training.cache_directory={cache}"]


def run_ipdsf(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The `ipdsf` command in a process of its own, as a person runs it."""
    command = [sys.executable, "-W", "ignore", "-m", "ipdsf_spark.cli.main", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=560, check=False)
    assert not check or ended.returncode == 0, f"{arguments}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}"
    return ended


@pytest.fixture(scope="session")
def packed_chest(tmp_path_factory: pytest.TempPathFactory) -> PackedChest:
    """Phantoms packed by the real Spark job into a real Petastorm data set."""
    from ipdsf_spark.ct.phantom import chest_phantom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.writing import write_volume

    folder = tmp_path_factory.mktemp("imaging")
    packed = PackedChest(folder / "array #1 at 50%41 ä?", folder / "volumes")
    packed.volumes.mkdir()
    for seed, name in enumerate(("train-1", "train-2", "test-1")):
        phantom = chest_phantom((32, 64, 64), seed=seed, spacing_mm=(8.0, 5.6, 5.6))
        provenance = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
        write_volume(packed.volumes / f"{name}.nii.gz", phantom.volume, provenance)
    train = [packed.volumes / f"train-{k}.nii.gz" for k in (1, 2)]
    run_ipdsf("ct", "pack", "--name", packed.name, "--train", *train, "--test", packed.volumes / "test-1.nii.gz",
              "--as", "train-1", "train-2", "test-1", *packed.settings)  # fmt: skip
    return packed
