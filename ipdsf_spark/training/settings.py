"""How a training is run: everything that decides its result, and where it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ipdsf_spark.errors import InputError
from ipdsf_spark.gan.discriminator import DiscriminatorSettings
from ipdsf_spark.gan.generator import GeneratorSettings
from ipdsf_spark.gan.networks import OptimiserSettings
from ipdsf_spark.gan.update import UpdateSettings
from ipdsf_spark.training.pairs import PairSettings

REFERENCE_BATCH = 8  # cubes per step for which the learning rate is stated
SCALINGS = ("sqrt", "linear", "none")
MAKERS = ("auto", "host", "device")


@dataclass(frozen=True)
class TrainSettings:
    """One training.

    Attributes:
        pairs: what is done to the cubes.
        generator: its shape.
        discriminator: its shape.
        optimiser: Adam; its learning rate is that of a global batch of `REFERENCE_BATCH` cubes.
        update: losses and precision.
        batch: cubes per worker and step.
        epochs: to stop after.
        samples: cubes of all workers to stop after; 0 = no such limit.
        minutes: of training to stop after; 0 = no such limit.
        scaling: of the learning rate with the global batch: "sqrt" keeps the noise of Adam's steps what it was
            (Malladi et al. 2022), "linear" is that of the IPDSF presentation, "none" leaves it.
        warm_up_samples: cubes over which the rate rises to its value.
        validation_share: of the cubes, chosen by key, that are never trained on.
        validate_every: cubes between validations.
        patience: validations without a new best PSNR (by `min_gain_db`) after which training ends; 0 = never.
        min_gain_db: what counts as better.
        checkpoint_every_s: between checkpoints.
        channels_last: memory layout of the convolutions; "auto": on a CPU, which gains by it, and not on a GPU, where
            it was measured to lose. Decided where the networks live: the driver may have another device.
        pairs_made_by: "host": numpy, ahead of time; "device": beside the networks, which a GPU needs not to wait;
            "auto": the device where it is a GPU.
        compiles: the networks by `torch.compile`, which takes half a minute and a C compiler first.
        captures: an update of one worker as one CUDA graph.
        is_double: float64 throughout: slow, for showing that two ways to train are the same.
        seed: of weights, order, degradations, flips and the choice of validation cubes.
    """

    pairs: PairSettings = field(default_factory=PairSettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    discriminator: DiscriminatorSettings = field(default_factory=DiscriminatorSettings)
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    update: UpdateSettings = field(default_factory=UpdateSettings)
    batch: int = 8
    epochs: int = 100
    samples: int = 0
    minutes: float = 0.0
    scaling: str = "sqrt"
    warm_up_samples: int = 800
    validation_share: float = 0.02
    validate_every: int = 2_000
    patience: int = 10
    min_gain_db: float = 0.02
    checkpoint_every_s: float = 60.0
    channels_last: bool | str = "auto"
    pairs_made_by: str = "auto"
    compiles: bool = False
    captures: bool = False
    is_double: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.batch < 1 or self.epochs < 1 or self.samples < 0 or self.minutes < 0:
            raise InputError("a training needs a batch and epochs of 1 and more, and no negative limit")
        if self.scaling not in SCALINGS:
            raise InputError(f"the learning rate scales by {', '.join(SCALINGS)}, not {self.scaling!r}")
        if self.channels_last not in (True, False, "auto"):
            raise InputError(f"channels_last is True, False or auto, not {self.channels_last!r}")
        if self.pairs_made_by not in MAKERS:
            raise InputError(f"pairs are made by {', '.join(MAKERS)}, not {self.pairs_made_by!r}")
        if not 0 <= self.validation_share < 1:
            raise InputError(f"the share of validation cubes must be within 0 … 1, got {self.validation_share}")

    def learning_rate(self, samples: int, size: int) -> float:
        """Of the generator after `samples` cubes, with `size` workers: warm-up, then constant."""
        times = self.batch * size / REFERENCE_BATCH
        scale = {"sqrt": math.sqrt(times), "linear": times, "none": 1.0}[self.scaling]
        rise = min(1.0, (samples + self.batch * size) / max(1, self.warm_up_samples))
        return self.optimiser.learning_rate * scale * rise
