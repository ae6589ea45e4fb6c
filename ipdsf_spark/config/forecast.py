"""[forecast] the model that foretells mixing heights in the stream."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class ForecastConfig:
    """The model of the operator `forecast`."""

    model: str = ""  # folder of `ipdsf forecast train`; empty = the model that comes with the package
    sha256: str = ""  # of its weights, or how it begins; another model is refused

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        right = "the hexadecimal SHA-256 of a model, or at least its first 8 digits"
        require(not self.sha256 or bool(re.fullmatch("[0-9a-fA-F]{8,64}", self.sha256)), "forecast.sha256", right,
                self.sha256)  # fmt: skip
