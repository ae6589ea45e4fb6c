"""An autoencoder passes on its code and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import fft

from ipdsf_spark.config import load
from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.autoencoder import Autoencoder
from ipdsf_spark.gan.checkpoint import load_model, save_model
from ipdsf_spark.gan.cosine import lowest_frequencies, transform_coded
from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.networks import Networks, OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings, l1_update
from ipdsf_spark.training.configured import settings_of

SMALL = GeneratorSettings(width=4, halvings=2, norm="none", is_residual=False, code_channels=4)


def disturbed(settings: GeneratorSettings = SMALL) -> Autoencoder:
    """With weights that are no longer those it begins with."""
    torch.manual_seed(0)
    net = Autoencoder(settings).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return net


def test_sixteen_voxels_become_one_number_unless_it_is_set_otherwise() -> None:
    settings = settings_of(load(overrides=["training.task=autoencode"]), device="cpu").generator

    code = Autoencoder(settings).eval().encode(torch.zeros(1, 1, 32, 32, 32))
    assert 32**3 / code.numel() == settings.ratio == 16
    assert code.dtype == torch.float16  # as many bits as a voxel of a CT


def test_cubes_of_one_code_come_out_alike_whatever_else_differs() -> None:
    """The gradient of the code spans what passes; a change of the cube at right angles to it changes nothing."""
    net = disturbed().double()
    net.train()  # the code in double precision
    cube = torch.randn(1, 1, 8, 8, 8, dtype=torch.float64)

    def code_of(x: torch.Tensor) -> torch.Tensor:
        return net.encode(x.reshape(1, 1, 8, 8, 8)).ravel()

    slopes = torch.autograd.functional.jacobian(code_of, cube.ravel())
    output = torch.autograd.functional.jacobian(lambda x: net(x.reshape(1, 1, 8, 8, 8)).ravel(), cube.ravel())
    assert slopes.shape[0] == 8**3 / SMALL.ratio
    assert torch.linalg.matrix_rank(output) <= slopes.shape[0]


def test_it_begins_as_a_cosine_transform_with_its_lowest_frequencies_kept() -> None:
    net = Autoencoder(SMALL).eval().double()
    block = torch.randn(4, 4, 4, dtype=torch.float64)
    net.train()

    found = net(block[None, None])[0, 0].detach().numpy()

    wanted = fft.dctn(block.numpy(), norm="ortho")
    kept = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    coefficients = fft.dctn(found, norm="ortho")
    assert all(coefficients[f] == pytest.approx(wanted[f], abs=1e-5) for f in kept)
    assert abs(coefficients).sum() == pytest.approx(sum(abs(wanted[f]) for f in kept), abs=1e-4)


def test_a_step_of_training_moves_grey_levels_by_a_few_hu_and_not_by_what_is_to_be_gained() -> None:
    """The transform is wrong by about 20 HU; steps of 16 HU, as they once were, learnt nothing."""
    torch.manual_seed(0)
    settings = GeneratorSettings(width=8, halvings=3, norm="none", is_residual=False, code_channels=32)
    nets = Networks.new(settings, DiscriminatorSettings(4, 2), OptimiserSettings(5e-4))
    even = torch.linspace(-1, 1, 5).reshape(5, 1, 1, 1, 1).expand(5, 1, 16, 16, 16)
    before = nets.generator.train()(even).detach()

    cubes = torch.rand(4, 1, 16, 16, 16) - 0.9
    l1_update(nets, cubes, cubes, UpdateSettings(is_adversarial=False))

    moved_hu = 700 * (nets.generator.train()(even).detach() - before).abs()  # a level of 1 is half of 1400 HU
    assert 0 < float(moved_hu.mean()) < 4


def test_the_frequencies_are_orthonormal_and_no_more_than_there_are() -> None:
    basis = lowest_frequencies(4, 20).reshape(20, -1)

    torch.testing.assert_close(basis @ basis.T, torch.eye(20), atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="more than the 8 voxels"):
        lowest_frequencies(2, 9)


def test_differences_between_cubes_reach_the_code_before_anything_is_learnt() -> None:
    torch.manual_seed(0)
    net = Autoencoder(GeneratorSettings(width=16, halvings=3, norm="none", is_residual=False, code_channels=32))
    cubes = torch.linspace(-1, 1, 8).reshape(8, 1, 1, 1, 1).expand(8, 1, 16, 16, 16)  # each of one tissue

    found = net.entry(cubes)
    for down in net.downs:
        found = down(found)

    assert found.std(dim=0).mean() > 0.03


def test_a_coded_volume_holds_the_kept_frequencies_of_every_block_and_no_others() -> None:
    share = np.random.default_rng(0).uniform(0.4, 0.6, (8, 16, 8)).astype(np.float32)

    found = transform_coded(share, 8, 4)

    kept = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    for block in (np.s_[:, :8], np.s_[:, 8:]):
        wanted, coefficients = (fft.dctn(volume[block], norm="ortho") for volume in (share, found))
        assert [coefficients[f] for f in kept] == pytest.approx([wanted[f] for f in kept], rel=1e-3, abs=1e-3)
        assert abs(coefficients).sum() == pytest.approx(sum(abs(coefficients[f]) for f in kept), abs=1e-3)


def test_all_frequencies_give_a_volume_back_whatever_its_edges_to_half_precision() -> None:
    share = np.random.default_rng(1).random((9, 13, 6), np.float32)

    np.testing.assert_allclose(transform_coded(share, 4, 64), share, atol=2e-3)


def test_it_is_saved_and_loaded_and_a_unet_is_not_called_so(tmp_path: Path) -> None:
    cube = torch.rand(1, 1, 16, 16, 16)
    for name, settings in (("autoencoder", SMALL), ("unet", GeneratorSettings(width=4, halvings=2))):
        nets = Networks.new(settings, DiscriminatorSettings(4, 2), OptimiserSettings())
        save_model(tmp_path / name, nets, {"task": "autoencode"})

    loaded = load_model(tmp_path / "autoencoder").generator
    torch.testing.assert_close(loaded(cube), Networks.new(
        SMALL, DiscriminatorSettings(4, 2), OptimiserSettings()).average(cube))  # fmt: skip
    with pytest.raises(InputError, match="a U-Net whose skips may copy its input"):
        load_model(tmp_path / "unet")
