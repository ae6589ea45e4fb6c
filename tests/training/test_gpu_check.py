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
import os, sys
ABSENT = {
    "SimpleITK", "astral", "confluent_kafka", "duckdb", "h5py", "horovod", "jinja2", "matplotlib", "netCDF4", "nibabel",
    "pandas", "petastorm", "psutil", "pyarrow", "pydicom", "pyspark", "skimage", "tensorboard", "tqdm",
}
# Neither is the project: what an installed checkout puts on the path, or among the finders, is not there.
sys.path[:] = [place for place in sys.path if os.path.realpath(place or ".") != REPOSITORY]
class Bare:
    finders = [finder for finder in sys.meta_path if "editable" not in str(finder)]
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
    (tmp_path / "bare" / "sitecustomize.py").write_text(f"REPOSITORY = {str(repository.resolve())!r}\n{BARE}")
    without = {name: value for name, value in os.environ.items() if name != "IPDSF_CONF"}
    return {**without, "PYTHONPATH": str(tmp_path / "bare"), "OMP_NUM_THREADS": "1"}


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


def test_an_autoencoder_is_trained_and_judged_at_doubling_times_beside_the_transform_it_begins_as(
    repository: Path, tmp_path: Path, bare: dict[str, str]
) -> None:
    words = ["--tiny", "--device", "cpu", "--minutes", "0.02", "--out", str(tmp_path / "found")]
    command = [sys.executable, "scripts/gpu_autoencode.py", *words]
    ended = subprocess.run(command, cwd=repository, env=bare, capture_output=True, text=True, timeout=400)

    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads((tmp_path / "found" / "autoencode-check.json").read_text())
    start, *trained = found["curve"]
    assert found["ratio"] == 16
    assert "data range 1" in found["judged_on"]
    # Overlapping cubes are blended and their curve undone, which moves the transform by a little.
    assert start["psnr_db"] == pytest.approx(found["cosine_transform"]["psnr_db"], abs=0.5)
    assert trained[-1]["cubes"] > 0
    assert trained[-1]["training_s"] >= 1.2
    assert found["psnr_db"] == pytest.approx(trained[-1]["psnr_db"], abs=0.02)
    assert set(found["mae_hu"]["model"]) == {"air", "lung", "fat", "soft", "bone"}
    assert (tmp_path / "found" / "autoencode.png").stat().st_size > 1000
