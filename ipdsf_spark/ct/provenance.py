"""What a written volume says about itself: that a network made it, from what, with which model.

A generated CT that looks measured is dangerous (Mirsky et al. 2019, CT-GAN). Pixels stay free of text, so that the
volume can be measured; the statement stands in the header, where every viewer shows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ipdsf_spark import __version__

GENERATED: Final = "GENERATED"  # the mark by which a program knows it
STATEMENT: Final = "GENERATED DATA - NOT AN ACQUIRED IMAGE - NOT FOR DIAGNOSIS"


@dataclass(frozen=True)
class Provenance:
    """How the voxels came about."""

    made_by: str  # "denoise", "depixelate", "autoencode", "phantom"
    made_at: datetime
    model: str = ""  # name or hash of the weights
    enhancement: str = ""  # hash of the preprocessing parameters
    source: str = ""  # study the volume was made from

    @property
    def sentence(self) -> str:
        """One line for people."""
        of = f" from {self.source}" if self.source else ""
        model = f", model {self.model[:16]}" if self.model else ""
        return f"{STATEMENT}. Made by ipdsf_spark {__version__} ({self.made_by}{of}{model})"

    @property
    def record(self) -> str:
        """All of it, as JSON."""
        return json.dumps(
            {
                "is_generated": True,
                "statement": STATEMENT,
                "software": f"ipdsf_spark {__version__}",
                "made_by": self.made_by,
                "model": self.model,
                "enhancement": self.enhancement,
                "source": self.source,
                "made_at": self.made_at.isoformat(),
            }
        )
