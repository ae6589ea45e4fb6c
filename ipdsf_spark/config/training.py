"""[training] the training of the conditional GAN; the defaults are those of `training.settings` and the `gan` room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ipdsf_spark.config.checks import require

TASKS: Final = ("autoencode", "denoise", "depixelate")
NORMS: Final = ("group", "instance", "none")
PRECISIONS: Final = ("auto", "bf16", "fp32", "fp64")
SCALINGS: Final = ("sqrt", "linear", "none")
MAKERS: Final = ("auto", "host", "device")
FEEDS: Final = ("copy", "shards")


@dataclass(frozen=True)
class TrainingConfig:
    """The training of the conditional GAN; the defaults are those of `training.settings` and the `gan` room."""

    task: str = "denoise"
    sigma_low: float = 0.025
    sigma_high: float = 0.1
    factor: int = 2
    is_flipped: bool = True
    width: int = 16
    halvings: int = 3
    norm: str = "group"
    code_channels: int = 32
    code_halvings: int = 3
    discriminator_width: int = 16
    recomputes: bool = False
    batch: int = 8
    epochs: int = 100
    minutes: float = 0.0
    learning_rate: float | str = "auto"
    discriminator_share: float = 0.5
    lr_scaling: str = "sqrt"
    warm_up_samples: int = 800
    l1_weight: float = 100.0
    is_adversarial: bool = True
    ema_decay: float = 0.999
    precision: str = "auto"
    channels_last: bool | str = "auto"
    pairs_made_by: str = "auto"
    compiles: bool = False
    captures: bool = False
    validation_share: float = 0.02
    validate_every: int = 2_000
    patience: int = 10
    min_gain_db: float = 0.02
    checkpoint_every_s: float = 60.0
    feed: str = "copy"
    cache_directory: str = "~/.cache/ipdsf/cubes"

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(self.task in TASKS, "training.task", ", ".join(TASKS), self.task)
        sigma = (self.sigma_low, self.sigma_high)
        require(0 <= sigma[0] <= sigma[1] <= 1, "training.sigma_low and sigma_high", "rising within 0 … 1", sigma)
        require(self.norm in NORMS, "training.norm", ", ".join(NORMS), self.norm)
        require(self.precision in PRECISIONS, "training.precision", ", ".join(PRECISIONS), self.precision)
        require(self.pairs_made_by in MAKERS, "training.pairs_made_by", ", ".join(MAKERS), self.pairs_made_by)
        is_layout = self.channels_last in (True, False, "auto")
        require(is_layout, "training.channels_last", "true, false or auto", self.channels_last)
        require(self.feed in FEEDS, "training.feed", " or ".join(FEEDS), self.feed)
        require(self.lr_scaling in SCALINGS, "training.lr_scaling", ", ".join(SCALINGS), self.lr_scaling)
        for name in (
            "width",
            "halvings",
            "code_channels",
            "code_halvings",
            "discriminator_width",
            "batch",
            "epochs",
            "validate_every",
        ):
            require(getattr(self, name) >= 1, f"training.{name}", "at least 1", getattr(self, name))
        require(self.factor >= 2, "training.factor", "at least 2", self.factor)
        for name in ("minutes", "warm_up_samples", "l1_weight", "patience", "min_gain_db", "checkpoint_every_s"):
            require(getattr(self, name) >= 0, f"training.{name}", "0 or more", getattr(self, name))
        rate = self.learning_rate
        is_rate = rate > 0 if isinstance(rate, int | float) else rate == "auto"
        require(is_rate, "training.learning_rate", "above 0, or auto", rate)
        require(self.discriminator_share > 0, "training.discriminator_share", "above 0", self.discriminator_share)
        for name in ("ema_decay", "validation_share"):
            require(0 <= getattr(self, name) < 1, f"training.{name}", "0 or more, below 1", getattr(self, name))
