"""Models and checkpoints: whole or not at all, and nothing foreign is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model
from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.inference import Predictor
from ipdsf_spark.gan.networks import Networks, OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings, adversarial_update

pytestmark = pytest.mark.training


def trained(width: int = 4) -> Networks:
    nets = Networks.new(GeneratorSettings(width, 2), DiscriminatorSettings(4, 2), OptimiserSettings(), seed=3)
    cubes = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    adversarial_update(nets, cubes, cubes.flip(2), UpdateSettings())
    return nets


def test_a_model_predicts_the_same_after_it_was_saved_and_loaded(tmp_path: Path) -> None:
    nets = trained()
    save_model(tmp_path, nets, {"task": "denoise"})
    model = load_model(str(tmp_path))  # a name will do, as in the guide
    cubes = np.random.default_rng(0).uniform(-1, 1, (3, 16, 16, 16)).astype(np.float32)

    predicted = Predictor(model, "cpu", is_mixed=False).predict(cubes)

    with torch.no_grad():
        expected = nets.average(torch.from_numpy(cubes)[:, None])[:, 0].clamp(-1, 1)
    np.testing.assert_allclose(predicted, expected, atol=1e-6)
    assert model.facts["task"] == "denoise"


def test_a_checkpoint_brings_back_weights_moments_and_average(tmp_path: Path) -> None:
    nets = trained()
    save_checkpoint(tmp_path, nets, {"step": 7})
    other = Networks.new(GeneratorSettings(4, 2), DiscriminatorSettings(4, 2), OptimiserSettings(), seed=9)

    assert load_checkpoint(tmp_path, other) == {"step": 7}
    restored = dict(other.tensors())
    assert set(restored) == set(dict(nets.tensors()))
    assert all(torch.equal(tensor, restored[name]) for name, tensor in nets.tensors())
    assert other.num_updates == 1


def test_a_checkpoint_of_other_networks_is_refused_by_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, trained(width=8), {})

    with pytest.raises(InputError, match="does not fit these networks"):
        load_checkpoint(tmp_path, trained(width=4))


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 cut"])
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)

    with pytest.raises(InputError, match=r"model\.pt is no file of this project"):
        load_model(tmp_path)


def test_nobody_is_advised_to_run_the_code_of_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"garbage")

    with pytest.raises(InputError, match="no file of this project") as told:
        load_model(tmp_path)
    assert "weights_only" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_model_cut_anywhere_is_refused_by_name(tmp_path: Path) -> None:
    save_model(tmp_path, trained(), {})
    whole = (tmp_path / "model.pt").read_bytes()

    for length in np.linspace(1, len(whole) - 1, 25).astype(int):
        (tmp_path / "model.pt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"model\.pt"):
            load_model(tmp_path)


def test_a_missing_model_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ipdsf ct train"):
        load_model(tmp_path)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_checkpoints import trained
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.checkpoint import save_checkpoint
nets = trained()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(Path(sys.argv[1]), nets, {"step": 2})
except InputError as error:
    print("named:", error)
"""


def test_a_disk_that_is_full_leaves_the_older_checkpoint_and_says_so(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, trained(), {"step": 1})
    before = (tmp_path / "checkpoint.pt").read_bytes()

    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "named: cannot write" in ended.stdout
    assert "checkpoint.pt: File too large; what was there before is untouched" in ended.stdout  # as the system says it
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_cubes_with_values_that_are_no_number_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, trained(), {})
    cubes = np.full((1, 16, 16, 16), np.nan, np.float32)

    with pytest.raises(InputError, match="no number"):
        Predictor(load_model(tmp_path), "cpu").predict(cubes)
