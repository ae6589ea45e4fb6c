"""A training's settings from the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import torch

from ipdsf_spark.config import Config
from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.networks import OptimiserSettings
from ipdsf_spark.gan.precision import is_bf16_learnt_in
from ipdsf_spark.gan.update import UpdateSettings
from ipdsf_spark.training.pairs import PairSettings
from ipdsf_spark.training.settings import TrainSettings

# An autoencoder has no normalisation that would make up for steps too large for its weights, and begins where much can
# be lost: with rate and momentum of the other networks it gained .1 dB in 192 s of an H200, with these 3.1 dB in 222 s.
AUTOENCODER_OPTIMISER: Final = OptimiserSettings(learning_rate=1e-4, beta_1=0.9)


def settings_of(config: Config, *, samples: int = 0, device: str = "") -> TrainSettings:
    """What [training] and [ct] say.

    Args:
        config: the whole configuration.
        samples: cubes to stop after; 0 = no such limit.
        device: "cpu", "cuda" or "" for what there is; decides what precision "auto" means.
    """
    t: Any = config.training
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    is_mixed = is_bf16_learnt_in(torch.device(name)) if t.precision == "auto" else t.precision == "bf16"
    return TrainSettings(
        pairs=PairSettings(t.task, (t.sigma_low, t.sigma_high), t.factor, t.is_flipped, config.ct.seed),
        generator=_generator(t),
        discriminator=DiscriminatorSettings(t.discriminator_width, t.halvings, t.norm),
        optimiser=_optimiser(t),
        update=UpdateSettings(t.l1_weight, t.ema_decay, is_mixed, t.is_adversarial),
        batch=t.batch,
        epochs=t.epochs,
        samples=samples,
        minutes=t.minutes,
        scaling=t.lr_scaling,
        warm_up_samples=t.warm_up_samples,
        validation_share=t.validation_share,
        validate_every=t.validate_every,
        patience=t.patience,
        min_gain_db=t.min_gain_db,
        checkpoint_every_s=t.checkpoint_every_s,
        channels_last=t.channels_last,
        pairs_made_by=t.pairs_made_by,
        compiles=t.compiles,
        captures=t.captures,
        is_double=t.precision == "fp64",
        seed=config.ct.seed,
    )


def _optimiser(t: Any) -> OptimiserSettings:
    """Adam's momentum is short against an adversary only: Radford et al. (2016) chose it for GANs."""
    usual = AUTOENCODER_OPTIMISER if t.task == "autoencode" else OptimiserSettings()
    if t.is_adversarial:
        usual = replace(usual, beta_1=OptimiserSettings.beta_1)
    rate = usual.learning_rate if t.learning_rate == "auto" else float(t.learning_rate)
    return replace(usual, learning_rate=rate, discriminator_share=t.discriminator_share)


def _generator(t: Any) -> GeneratorSettings:
    """A U-Net; for `autoencode` a network with a bottleneck, which a U-Net would go around."""
    if t.task == "autoencode":
        return GeneratorSettings(t.width, t.code_halvings, "none", False, t.recomputes, t.code_channels)
    return GeneratorSettings(t.width, t.halvings, t.norm, True, t.recomputes)
