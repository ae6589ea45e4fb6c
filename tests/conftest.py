"""What every room's tests share: the repository, real files, a seeded generator, an environment without surprises."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from ipdsf_spark.broker import EmbeddedKafka

REPOSITORY = Path(__file__).resolve().parent.parent

# Spark workers must run the interpreter of this environment, pictures must not look for a screen, and the configuration
# under test is the one of this checkout.
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["MPLBACKEND"] = "Agg"
os.environ["IPDSF_CONF"] = str(REPOSITORY / "conf")

# A shared or slow machine is no reason to fail a law, so laws have no deadline.
settings.register_profile("ipdsf", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ipdsf")


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


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A real broker for all tests that need one; each uses topics of its own."""
    from ipdsf_spark.broker import EmbeddedKafka

    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), heap_mb=384) as broker:
        yield broker
