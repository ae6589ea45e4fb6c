"""Every parameter of the streaming decomposition."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TensorSettings:
    """Parameters; defaults are for 5-minute slices of log10 backscatter.

    Attributes:
        rank: number of components R.
        period: slices of a day, the season of the components' strengths.
        warm_up: slices collected before the first decomposition; they are decomposed in one batch.
        memory: slices over which the factors of sites and gates remember (1 / (1 - forgetting factor)).
        window: newest slices that are kept whole ...
        refresh: ... and to which all factors are fitted anew after so many slices, from where they are.
        is_centered: whether every gate's median of the warm-up is taken off first; right for log10 of backscatter,
            whose constant part would otherwise be the largest component.
        ridge: of the solutions, relative to the mean diagonal of their matrices.
        level_gain, season_gain: Holt-Winters gains of the strengths: level per slice, daily season per day.
        scale_gain: of the running error scale of a cell.
        most_silent: slices without data after which a site is forgotten.
        most_sites: largest number of sites; a larger network is refused by name, because memory is promised.
        held_out: share of the cells of each slice that are hidden from the update to judge gap filling.
        seed: of the choice of hidden cells.
    """

    rank: int = 6
    period: int = 288
    warm_up: int = 72
    memory: float = 96.0
    window: int = 36
    refresh: int = 6
    is_centered: bool = True
    ridge: float = 0.3
    level_gain: float = 1.0 / 576.0
    season_gain: float = 0.2
    scale_gain: float = 0.05
    most_silent: int = 2016
    most_sites: int = 20_000
    held_out: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ValueError: a parameter is impossible.
        """
        whole = {"rank": self.rank, "period": self.period, "warm_up": self.warm_up, "most_sites": self.most_sites}
        whole |= {"window": self.window, "refresh": self.refresh}
        for name, value in whole.items():
            if value < 1:
                raise ValueError(f"{name} is a number of at least 1, not {value}")
        if self.warm_up < 2:
            raise ValueError(f"warm_up needs at least 2 slices, not {self.warm_up}")
        if not self.memory > 1.0:
            raise ValueError(f"memory is a number of slices above 1, not {self.memory}")
        for name, share in (("held_out", self.held_out), ("level_gain", self.level_gain)):
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name} is a share from 0 to 1, not {share}")

    @property
    def forgetting(self) -> float:
        """Factor by which what was seen a slice ago counts less."""
        return 1.0 - 1.0 / self.memory
