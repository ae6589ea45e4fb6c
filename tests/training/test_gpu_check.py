"""The check for a bare GPU machine, rehearsed on a CPU, where nothing but numpy, torch and scipy is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.training

# Absent as an uninstalled package is absent, in the process and in all it starts.
BARE = """
import sys
ABSENT = {
    "SimpleITK", "astral", "confluent_kafka", "duckdb", "h5py", "horovod", "jinja2", "matplotlib", "netCDF4", "nibabel",
    "pandas", "petastorm", "psutil", "pyarrow", "pydicom", "pyspark", "skimage", "tensorboard", "tqdm",
}
class Bare:
    finders = list(sys.meta_path)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            return None
        return next((spec for finder in self.finders if (spec := finder.find_spec(name, path, target))), None)
sys.meta_path[:] = [Bare()]
"""


@pytest.fixture
def bare(tmp_path: Path, repository: Path) -> dict[str, str]:
    """The environment of a machine with numpy, torch and scipy."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BARE)
    paths = f"{tmp_path / 'bare'}{os.pathsep}{repository}"
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "IPDSF_CONF": str(repository / "conf")}


def checked(repository: Path, out: Path, environment: dict[str, str], *words: str) -> dict[str, object]:
    command = [sys.executable, "scripts/gpu_check.py", "--tiny", "--device", "cpu", "--out", str(out), *words]
    ended = subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=400)
    assert out.is_file(), ended.stderr[-3000:]
    return dict(json.loads(out.read_text()), said=ended.stdout + ended.stderr[-2000:], code=ended.returncode)


def test_a_machine_with_numpy_torch_and_scipy_trains_generates_and_judges(
    repository: Path, tmp_path: Path, bare: dict[str, str]
) -> None:
    found = checked(repository, tmp_path / "found.json", bare, "--together", "--skip", "captured", "compiled")

    assert found["code"] == 0, found["said"]
    parts = {
        name: found[name]
        for name in ("machine", "data", "choices", "train", "generate", "evaluate", "as_cpu", "quality")
    }
    assert parts["train"]["samples"] == 40
    assert parts["choices"]["rows"]["batch 4 fp32 plain"]["cubes_per_s"] > 0
    assert parts["choices"]["device_pairs_per_s"] > 0
    assert parts["generate"]["cubes"] == 4 * 6 * 6
    assert 10 < parts["evaluate"]["psnr_db"] < 60


def test_a_part_whose_time_is_up_is_ended_and_what_is_known_is_written(
    repository: Path, tmp_path: Path, bare: dict[str, str]
) -> None:
    skipped = ("cpu", "choices", "captured", "compiled")
    found = checked(repository, tmp_path / "found.json", bare, "--total", "2.5", "--skip", *skipped)

    assert found["code"] == 1
    assert "error" in found["machine"] or "error" in found["data"]
    assert found["evaluate"] == {"error": "no time was left", "wall_s": 0} or "error" in found["evaluate"]
    assert found["seconds"] < 30
