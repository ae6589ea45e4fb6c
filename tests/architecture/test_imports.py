"""The directions in which rooms may import, read from the sources with `ast`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "ipdsf_spark"


@dataclass(frozen=True)
class Doors:
    """What a room may import beside itself and the standard library."""

    rooms: frozenset[str]
    packages: frozenset[str]


def doors(rooms: str = "", packages: str = "") -> Doors:
    return Doors(frozenset(rooms.split()), frozenset(packages.split()))


DOORS = {
    "": doors(),  # ipdsf_spark/__init__.py
    "errors": doors(),
    "progress": doors("", "tqdm"),
    "logs": doors(),
    "config": doors("errors"),
    "sites": doors("errors config lidar"),
    # Kernels: no engine, no data frame, no configuration, and none of the others but where it says so.
    "lidar": doors("errors", "numpy scipy netCDF4 astral backports fastcrc"),
    # A forecast is an analysis of lidar's rows, in a room of its own because it is trained by torch.
    "forecast": doors("errors lidar", "torch numpy"),
    "tensor": doors("errors", "numpy"),
    "ct": doors("errors", "numpy scipy SimpleITK nibabel pydicom skimage"),
    "gan": doors("errors", "torch numpy"),
    "deep_edges": doors("errors", "torch numpy"),
    # Adapters around one engine each.
    "kafka": doors("errors config", "confluent_kafka"),
    "security": doors("errors config kafka storage", "confluent_kafka"),  # storage: one process at a time in a folder
    "devkafka": doors("errors config kafka", "confluent_kafka psutil tqdm"),
    "spark": doors("errors logs config storage", "pyspark pyarrow psutil"),
    "storage": doors("errors config", "pyarrow hdfs_native"),
    # The stream.
    "edge": doors("errors logs config sites lidar kafka monitoring", "confluent_kafka tqdm"),
    "loadgen": doors("errors config sites lidar kafka", "confluent_kafka tqdm numpy"),
    "stream": doors(
        "errors config sites lidar forecast tensor kafka devkafka spark archive monitoring",
        "pyspark pandas pyarrow numpy",
    ),
    # Delta's open protocol, without Spark: the archive is written beside the live query and read by anybody.
    "archive": doors("errors config lidar forecast kafka storage", "confluent_kafka pandas pyarrow numpy"),
    "monitoring": doors(
        "errors config sites lidar kafka archive plots",
        "pyspark pandas pyarrow numpy matplotlib tqdm confluent_kafka jinja2",
    ),
    # Imaging.
    "packing": doors("errors logs config ct spark storage", "pyspark petastorm pyarrow numpy"),
    # horovod in two files only, petastorm and pyspark behind those two: the loop runs with numpy and torch alone.
    "training": doors("errors config ct gan forecast packing spark storage", "torch numpy horovod pyspark"),
    "imaging": doors("errors config ct gan plots", "torch numpy matplotlib jinja2 tqdm"),
    "plots": doors("errors lidar", "numpy matplotlib"),
    "demo": doors(
        "errors progress config sites lidar forecast ct edge loadgen kafka devkafka stream spark archive imaging "
        "monitoring plots",
        "numpy pandas pyarrow matplotlib jinja2 tqdm psutil",
    ),
    # It measures the flows as they are, so it stands above all that they consist of.
    "experiments": doors(
        "errors progress config sites lidar ct loadgen kafka devkafka stream spark imaging monitoring plots",
        "confluent_kafka numpy matplotlib jinja2 tqdm psutil",
    ),
    # Faults done to everything that runs: processes of the command, brokers, senders.
    "drill": doors(
        "errors config lidar ct loadgen kafka devkafka archive spark monitoring", "confluent_kafka psutil numpy"
    ),
    # The command may call every room, but no engine behind a room's back.
    "cli": doors(
        "errors logs progress config sites lidar forecast tensor ct gan deep_edges edge loadgen kafka devkafka "
        "security stream spark archive storage packing training imaging monitoring plots demo drill experiments",
        "numpy matplotlib tqdm",
    ),
}


def room_of(module: str) -> str:
    """`ipdsf_spark.lidar.instruments.cl` stands in the room `lidar`."""
    return module.partition(".")[2].partition(".")[0]


def imported_modules(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of every module that `source`, a module of `package`, imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from ipdsf_spark import lidar` imports the room, not only the package.
            is_package_itself = base == PACKAGE
            yield from ((node.lineno, f"{base}.{alias.name}" if is_package_itself else base) for alias in node.names)


def trespasses(path: Path, room: str, source: str, package: str) -> list[str]:
    """Sentences that name each import of `source` that its room does not allow."""
    allowed, found = DOORS[room], []
    for line, module in imported_modules(source, package):
        top = module.partition(".")[0]
        if top == PACKAGE:
            other = room_of(module)
            if other not in {room, "__version__", ""} and other not in allowed.rooms:
                found.append(f"{path}:{line} imports {module}; {room} may import {sorted(allowed.rooms)}")
        elif top not in sys.stdlib_module_names and top not in allowed.packages:
            found.append(f"{path}:{line} imports {module}; {room} may import {sorted(allowed.packages)}")
    return found


def modules_of(repository: Path) -> list[Path]:
    return sorted((repository / PACKAGE).rglob("*.py"))


def test_every_room_imports_only_through_its_doors(repository: Path) -> None:
    found = []
    for path in modules_of(repository):
        inside = path.relative_to(repository / PACKAGE).with_suffix("")
        room = "" if inside.parts == ("__init__",) else inside.parts[0]
        assert room in DOORS, f"{path} stands in a room without doors: add {room!r} to the table, with its reason"
        package = ".".join([PACKAGE, *inside.parts[:-1]])
        found += trespasses(path.relative_to(repository), room, path.read_text(encoding="utf-8"), package)

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pyspark.sql",
        "def late():\n    from torch import nn",
        "from ipdsf_spark import config",
        "from ipdsf_spark.stream import job",
        "from .. import stream",
        "from ..config import load",
    ],
)
def test_a_kernel_that_imports_an_engine_or_an_adapter_is_named(source: str) -> None:
    assert trespasses(Path("lidar/clouds.py"), "lidar", source, "ipdsf_spark.lidar")


@pytest.mark.parametrize("source", ["import numpy as np", "from . import signal", "from ..errors import InputError"])
def test_a_kernel_may_use_arrays_its_own_room_and_the_errors(source: str) -> None:
    assert trespasses(Path("lidar/clouds.py"), "lidar", source, "ipdsf_spark.lidar") == []


def loaded_by(statement: str, *packages: str) -> set[str]:
    """Which of `packages` a fresh interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*(name for name in {packages!r} if name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(answer.stdout.splitlines()[-1].split())


def test_the_lidar_room_loads_no_engine(repository: Path) -> None:
    modules = [path for path in modules_of(repository) if (repository / PACKAGE / "lidar") in path.parents]
    names = [".".join(path.relative_to(repository).with_suffix("").parts).removesuffix(".__init__") for path in modules]

    loaded = loaded_by(f"import {', '.join(names)}", "pyspark", "torch", "pandas", "pyarrow", "confluent_kafka")

    assert loaded == set()


def test_the_training_loop_loads_neither_spark_nor_horovod_nor_petastorm() -> None:
    loaded = loaded_by(
        "import ipdsf_spark.training.worker",
        "pyspark",
        "horovod",
        "petastorm",
        "pyarrow",
        "scipy",
        "SimpleITK",
        "skimage",
    )

    assert loaded == set()


def test_horovod_stands_in_two_files_of_training(repository: Path) -> None:
    having = [
        path.name
        for path in modules_of(repository)
        if any(m.startswith("horovod") for _, m in imported_modules(path.read_text(encoding="utf-8"), PACKAGE))
    ]

    assert sorted(having) == ["horovod_collective.py", "horovod_workers.py"]


def test_petastorm_stands_in_one_file_that_makes_it_importable(repository: Path) -> None:
    having = [
        path.name
        for path in modules_of(repository)
        if any(m.partition(".")[0] == "petastorm" for _, m in imported_modules(path.read_text("utf-8"), PACKAGE))
    ]

    assert having == ["petastorm_on_arrow.py"]


def test_asking_the_command_for_help_loads_no_engine() -> None:
    ask = "import ipdsf_spark.cli.main as m\ntry: m.main(['--help'])\nexcept SystemExit: pass"

    assert loaded_by(ask, "pyspark", "torch", "pandas", "scipy", "netCDF4", "confluent_kafka") == set()


@pytest.mark.training
def test_all_engines_live_in_one_process() -> None:
    engines = ("horovod.torch", "petastorm", "pyspark", "torch")
    statement = "import horovod.torch, ipdsf_spark.packing.petastorm_on_arrow, pyspark, torch"

    assert loaded_by(statement, *engines) == set(engines)
