"""What every room's tests share: the repository, real files, a seeded generator, an environment without surprises."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# A process of the suite per core: threads of BLAS and torch in each would wait for one another (read when they load).
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests import spark_java

if TYPE_CHECKING:
    from ipdsf_spark.devkafka import EmbeddedKafka
    from tests.hadoop import Hadoop

REPOSITORY = Path(__file__).resolve().parent.parent

# Spark workers must run the interpreter of this environment, pictures must not look for a screen, and the configuration
# under test is the one of this checkout.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["MPLBACKEND"] = "Agg"
os.environ["IPDSF_CONF"] = str(REPOSITORY / "conf")

# The Java of the tests lives for half a minute: most of it would go into the optimising compiler.
os.environ["KAFKA_JVM_PERFORMANCE_OPTS"] = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
spark_java.tune()

# A shared or slow machine is no reason to fail a law, so laws have no deadline. A change is judged by the inputs that
# the one before it was judged by, not by chance; new ones, and many more, are tried with `--hypothesis-profile=search`.
for name, derandomize, num_inputs in (("ipdsf", True, 50), ("search", False, 500)):
    settings.register_profile(
        name,
        deadline=None,
        derandomize=derandomize,
        max_examples=num_inputs,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile("ipdsf")


# What several tests of a room share and what takes long to make; such a room is worked on by one process of the suite.
SHARED: Final = re.compile(r"\b(kafka: EmbeddedKafka|packed_chest|secured|SparkSession)\b")
# Units that begin first, so that no process waits long at the end; the longest first.
LONGEST: Final = ("training", "stream", "cli", "clusters", "architecture/test_readme", "notebooks/test_notebooks",
                  "drill/test_short_drill", "packing", "jobs", "archive")  # fmt: skip


@lru_cache
def is_shared(room: Path) -> bool:
    """Whether tests of a room share a broker, a data set or a session."""
    return any(SHARED.search(path.read_text(encoding="utf-8")) for path in room.glob("*.py"))


def unit_of(path: Path) -> str:
    """What one process takes as a whole: a room whose tests share something, else a file."""
    return (
        path.parent.name
        if path.parent.name != "tests" and is_shared(path.parent)
        else f"{path.parent.name}/{path.stem}"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest units first, then the others with slow tests."""
    is_slow: dict[str, bool] = {}
    for item in items:
        unit = unit_of(item.path)
        is_slow[unit] = is_slow.get(unit, False) or item.get_closest_marker("slow") is not None
    places = {unit: place for place, unit in enumerate(LONGEST)}
    ranks = {unit: (places.get(unit, len(places)), not slow) for unit, slow in is_slow.items()}
    items.sort(key=lambda item: ranks[unit_of(item.path)])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where Spark will start again and again, with the archive of its classes."""
    will_run = not session.config.option.collectonly and "PYTEST_XDIST_TESTRUNUID" in os.environ
    if will_run and any(item.get_closest_marker("spark") for item in session.items):
        spark_java.tune(spark_java.archive_in(REPOSITORY / "out" / "tests"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Units instead of single tests; groups by mark (--dist=loadgroup) are lost on the fixed node ids of pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):  # type: ignore[misc, unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(config.rootpath / nodeid.partition("::")[0])

    return Units(config, log)


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
        """The broker, without what the room before has left on it."""
        from ipdsf_spark.devkafka import EmbeddedKafka

        if self._broker is None:
            self._broker = EmbeddedKafka(self._folders.mktemp("kafka"), heap_mb=384, logins={"edge": "secret"})
            self._broker.start()
        elif room != self._room:
            empty(self._broker.bootstrap_servers)
        self._room = room
        return self._broker

    def stop(self) -> None:
        """Stop what runs."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None


def empty(bootstrap: str) -> None:
    """Remove every topic and every group that nobody is a member of."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": bootstrap})
    groups = [group.group_id for group in client.list_consumer_groups().result(60).valid or []]
    for removed in client.delete_consumer_groups(groups).values() if groups else ():
        with contextlib.suppress(KafkaException):
            removed.result(60)
    while names := [name for name in client.list_topics(timeout=60).topics if not name.startswith("__")]:
        for removed in client.delete_topics(names, operation_timeout=60).values():
            with contextlib.suppress(KafkaException):  # it has gone, and the list does not know yet
                removed.result(60)


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    held = Brokers(tmp_path_factory)
    yield held
    held.stop()


@pytest.fixture(scope="module")
def kafka(request: pytest.FixtureRequest, brokers: Brokers) -> EmbeddedKafka:
    """A real broker for all tests of a room that need one; each uses topics of its own."""
    return brokers.of(request.path.parent.name)


@pytest.fixture(scope="module")
def hadoop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hadoop]:
    """A real HDFS on this machine."""
    from tests.hadoop import running

    with running(tmp_path_factory.mktemp("hadoop") / "cluster") as cluster:
        yield cluster


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
    """Phantoms packed by the real Spark job into a real Petastorm data set, once for all processes of the suite."""
    own = tmp_path_factory.getbasetemp()
    # Processes of the suite have folders beside each other; each gets a copy that it may write into.
    common = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "packed chest"
    common.mkdir(exist_ok=True)
    with (common / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (common / "whole").exists():
            shutil.rmtree(common / "imaging", ignore_errors=True)
            pack_chest(chest_in(common / "imaging"))
            (common / "whole").touch()
    folder = tmp_path_factory.mktemp("imaging")
    shutil.copytree(common / "imaging", folder, dirs_exist_ok=True)
    return chest_in(folder)


def chest_in(folder: Path) -> PackedChest:
    return PackedChest(folder / "array #1 at 50%41 ä?", folder / "volumes")


def pack_chest(packed: PackedChest) -> None:
    """Make the volumes and pack them."""
    from ipdsf_spark.ct.phantom import chest_phantom
    from ipdsf_spark.ct.provenance import Provenance
    from ipdsf_spark.ct.writing import write_volume

    packed.volumes.mkdir(parents=True)
    for seed, name in enumerate(("train-1", "train-2", "test-1")):
        phantom = chest_phantom((32, 64, 64), seed=seed, spacing_mm=(8.0, 5.6, 5.6))
        provenance = Provenance("phantom", datetime(2026, 1, 1, tzinfo=UTC))
        write_volume(packed.volumes / f"{name}.nii.gz", phantom.volume, provenance)
    train = [packed.volumes / f"train-{k}.nii.gz" for k in (1, 2)]
    run_ipdsf("ct", "pack", "--name", packed.name, "--train", *train, "--test", packed.volumes / "test-1.nii.gz",
              "--as", "train-1", "train-2", "test-1", *packed.settings)  # fmt: skip
